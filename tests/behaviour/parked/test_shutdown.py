"""The server ends while requests wait in every way that there is."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from system import close, count_descriptors, give_way, is_open, open_pair, reset, until
from vanilla import Interest, Server, Step

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def read_to_end(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


class Everything:
    """Does what the path says, and keeps count of what must be closed and told."""

    def __init__(self) -> None:
        self.handles: list[object] = []
        self.silent: list[int] = []
        self.writers: list[int] = []
        self.told: list[bytes] = []
        self.soon: list[object] = []

    def __call__(self, request, response, worker):
        path = request.path
        if path == b"/streams":
            response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        elif path == b"/big":
            response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + b"b" * 20_000_000)
        if path in (b"/watches", b"/streams", b"/big", b"/timed", b"/two"):
            for _ in range(1 + (path == b"/two")):
                reader, writer = open_pair()
                self.silent.append(reader)
                self.writers.append(writer)
                worker.watch_fd(
                    reader,
                    Interest.READABLE,
                    self.never,
                    path,
                    timeout=1000 if path == b"/timed" else None,
                    on_disconnect=self.told.append,
                )
            return Step.SUSPEND
        if path == b"/parks":
            self.handles.append(worker.park())
            return Step.SUSPEND
        if path == b"/soon":
            self.soon.append(worker.park())
            return Step.SUSPEND
        response.reply(200, path)
        return Step.DONE

    def never(self, request, response, worker, payload, event):
        self.told.append(b"continuation")

    def finish_once_it_drains(self, worker) -> None:
        if worker.draining:
            self.soon[0].resume(self.finish, b"soon")
        else:
            worker.call_later(0.001, self.finish_once_it_drains, worker)

    def finish(self, request, response, worker, payload, event):
        response.reply(200, payload)


WATCHING = ["/watches", "/streams", "/big", "/timed", "/two"]


@pytest.mark.parametrize("grace", [0, 0.5], ids=["cut", "grace"])
def test_a_shutdown_with_all_of_that_in_flight_leaves_nothing(configure, grace) -> None:
    everything = Everything()
    fds = count_descriptors()
    server = Server(configure(everything, port=0))
    server.start()
    address = ("127.0.0.1", server.port)
    paths = [*WATCHING, "/parks"] * 4
    clients = [socket.create_connection(address, timeout=20) for _ in paths]
    for index, (client, path) in enumerate(zip(clients, paths, strict=True)):
        client.sendall(get(path) + [b"", get("/plain") * 3, b"BAD\r\n\r\n", TINY[:9]][index // len(WATCHING) % 4])
    halves = [socket.create_connection(address, timeout=20) for _ in range(4)]
    for client in halves:
        client.sendall(get("/watches"))
        client.shutdown(socket.SHUT_WR)
    soon = socket.create_connection(address, timeout=20)
    soon.sendall(get("/soon") + get("/plain"))
    until(lambda: server.counters().parked == len(paths) + 5)
    for client, path in zip(clients, paths, strict=True):
        while path in ("/streams", "/big") and len(client.recv(15, socket.MSG_PEEK)) < 15:
            give_way()  # these answers have begun
    if grace:
        server.workers[0].post(everything.finish_once_it_drains, server.workers[0])
    server.shutdown(grace)

    assert sorted(everything.told) == sorted(
        [path.encode() for path in WATCHING] * 4 + [b"/two"] * 4 + [b"/watches"] * 4
    )
    assert [is_open(fd) for fd in everything.silent] == [False] * len(everything.silent)
    assert [handle.is_active for handle in everything.handles] == [False] * 4
    everything.handles.clear()  # a handle keeps its worker's engine
    everything.soon.clear()
    counters = server.counters()
    assert (counters.parked, counters.in_flight, counters.open, counters.handler_since_ns) == (0, 0, 0, 0)
    data = read_to_end(soon)
    assert (data.count(b"soon") == 1) == bool(grace)
    for client, path in zip(clients, paths, strict=True):
        data = read_to_end(client)
        assert data.count(b"200 OK") == (path in ("/streams", "/big"))
        assert not data.endswith(b"0\r\n\r\n")
    for client in [*clients, *halves, soon]:
        client.close()
    for fd in everything.writers:
        close(fd)
    assert count_descriptors() == fds


def test_what_on_disconnect_posts_at_the_end_is_still_called(configure) -> None:
    writers: list[int] = []
    called: list[str] = []

    def handle(request, response, worker):
        reader, writer = open_pair()
        writers.append(writer)
        worker.watch_fd(
            reader,
            Interest.READABLE,
            print,
            worker,
            on_disconnect=lambda worker: worker.post(called.append, "posted"),
        )
        return Step.SUSPEND

    fds = count_descriptors()
    server = Server(configure(handle, port=0))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(TINY)
        until(lambda: server.counters().parked == 1)
        server.shutdown(0)
        assert read_to_end(client) == b""
    assert called == ["posted"]
    close(writers[0])
    assert count_descriptors() == fds


def test_a_server_that_ends_while_its_clients_leave_is_told_of_each_once(configure, make_pipes) -> None:
    for _ in range(10):
        pipes = make_pipes()
        fds = count_descriptors()
        server = Server(configure(pipes, port=0))
        server.start()
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(10)]
        for client in clients:
            client.sendall(TINY)
        until(lambda server=server: server.counters().parked == 10)
        leaving = threading.Thread(target=lambda clients=clients: [reset(client) for client in clients])
        leaving.start()
        server.shutdown(0.05)
        leaving.join()
        assert sorted(fd for _, fd, _ in pipes.seen) == sorted(pipes.readers)
        counters = server.counters()
        assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
        pipes.close()
        assert count_descriptors() == fds
