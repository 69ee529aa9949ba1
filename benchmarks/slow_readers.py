"""Holds clients that read a long answer at 10 KiB a second each: `python slow_readers.py PORT COUNT`.

Prints `held` once all of them have asked, reads until a line arrives on standard input, prints how many bytes were read
and how many clients the server has closed, and ends.
"""

from __future__ import annotations

import select
import socket
import sys

INTERVAL_SECONDS = 0.1
READ_BYTES = 1024  # by interval
BUFFER_BYTES = 16 * 1024  # of the kernel, or it would take megabytes for a client that reads none


def connect(port: int) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
    client.settimeout(10)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /down HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    client.setblocking(False)
    return client


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    clients = {connect(port) for _ in range(count)}
    print("held", flush=True)
    received = 0
    while not select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
        for client in list(clients):
            try:
                piece = client.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                piece = b""
            received += len(piece)
            if not piece:
                clients.remove(client)
    print(received, count - len(clients), flush=True)


if __name__ == "__main__":
    main()
