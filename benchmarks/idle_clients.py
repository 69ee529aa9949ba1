"""Holds idle keep-alive connections, each of which has made one request: `python idle_clients.py PORT COUNT`.

Prints `held` once all of them have been answered, waits for a line on standard input, prints how many the server has
kept open until then, and ends.
"""

from __future__ import annotations

import resource
import socket
import sys

from processes import read_response


def is_open(client: socket.socket) -> bool:
    """Neither closed nor reset by the server: there is nothing to read, not even the end."""
    client.setblocking(False)
    try:
        client.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def main() -> None:
    port, count = int(sys.argv[1]), int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n" % port)
        read_response(client)
        clients.append(client)
    print("held", flush=True)
    sys.stdin.readline()
    print(sum(is_open(client) for client in clients), flush=True)


if __name__ == "__main__":
    main()
