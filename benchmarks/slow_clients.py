"""Holds clients that send a request one byte a second: `python slow_clients.py PORT COUNT`.

Prints `held` once all are connected and have sent a byte, and ends when its standard input does. A client that the
server gave up on connects again, so that COUNT of them are always there.
"""

from __future__ import annotations

import select
import socket
import sys

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: " + b"x" * 4096
INTERVAL_SECONDS = 1.0


class SlowClient:
    """One connection and how much of the request it has sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connect()

    def connect(self) -> None:
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        self.sent = 0

    def send_byte(self) -> None:
        try:
            self.socket.sendall(REQUEST[self.sent : self.sent + 1])
            self.sent += 1
        except OSError:
            self.socket.close()
            self.connect()


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    clients = [SlowClient(port) for _ in range(count)]
    for client in clients:
        client.send_byte()
    print("held", flush=True)
    while not select.select([sys.stdin], [], [], INTERVAL_SECONDS)[0]:
        for client in clients:
            client.send_byte()


if __name__ == "__main__":
    main()
