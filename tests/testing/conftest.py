"""A server that is none: one thread, one loop, canned answers, and a memory of how the bytes came in."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

import pytest

from system import needs_unix_sockets

HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class FakeServer:
    """Answers HELLO for each blank line, closes after one that follows `Connection: close`, and keeps each arrival."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.arrivals: list[list[bytes]] = []  # per connection in the order of accepting, b"" for EOF
        self.stopping, self.stop_signal = socket.socketpair()

    def run(self) -> None:
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as sockets:
            selector.register(self.listener, selectors.EVENT_READ, None)
            selector.register(self.stopping, selectors.EVENT_READ, self)
            while True:
                for key, _ in selector.select():
                    if key.data is self:
                        return
                    if key.data is None:
                        peer = sockets.enter_context(self.listener.accept()[0])
                        self.arrivals.append([])
                        selector.register(peer, selectors.EVENT_READ, self.arrivals[-1])
                        continue
                    data = b""
                    with contextlib.suppress(ConnectionError):  # a client that went away reads as EOF
                        data = key.fileobj.recv(65536)
                        key.data.append(data)
                        key.fileobj.sendall(HELLO * data.count(b"\r\n\r\n"))
                    if not data or b"Connection: close\r\n\r\n" in data:
                        selector.unregister(key.fileobj)
                        key.fileobj.close()


@pytest.fixture(params=["tcp", pytest.param("unix", marks=needs_unix_sockets)])
def fake_server(request: pytest.FixtureRequest, tmp_path) -> Iterator[FakeServer]:
    family, address = (socket.AF_INET, ("127.0.0.1", 0))
    if request.param == "unix":
        family, address = (socket.AF_UNIX, str(tmp_path / "socket"))
    with socket.socket(family) as listener:
        listener.bind(address)
        listener.listen()
        server = FakeServer(listener)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server
        server.stop_signal.send(b"x")
        thread.join()
        server.stop_signal.close()
        server.stopping.close()
