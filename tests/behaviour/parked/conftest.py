"""A server that must leave nothing behind of requests that wait, and handlers that have them wait."""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from system import close, count_descriptors, is_open, open_pair, read, until
from vanilla import Event, Interest, Server, Step


class Site:
    """A running server of one worker that must leave nothing behind, and clients of it."""

    def __init__(self, config) -> None:
        self.fds_before = count_descriptors()
        self.config = config
        self.clients: list[socket.socket] = []

    def __enter__(self) -> Site:
        self.server = Server(self.config)
        self.server.start()
        self.worker = self.server.workers[0]
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.end(5)
            counters = self.server.counters()
            assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
            assert count_descriptors() == self.fds_before
        else:
            self.end(0)

    def end(self, grace: float) -> None:
        """Close the clients and shut down; what happens to what still waits is for the grace to say."""
        for client in self.clients:
            client.close()
        self.server.shutdown(grace)

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
        self.clients.append(client)
        client.sendall(sent)
        return client

    def run(self, function, *args):
        """Call it on the worker's thread, and wait for what it returns."""
        done = threading.Event()
        results = []

        def call() -> None:
            try:
                results.append(function(*args))
            finally:
                done.set()

        self.worker.post(call)
        assert done.wait(20)
        return results[0]

    @contextlib.contextmanager
    def busy(self):
        """The worker is inside a call: all that happens meanwhile comes to it in one wait."""
        entered, leave = threading.Event(), threading.Event()

        def stay() -> None:
            entered.set()
            assert leave.wait(20)

        self.worker.post(stay)
        assert entered.wait(20)
        try:
            yield
        finally:
            leave.set()

    def await_parked(self, count: int) -> None:
        until(lambda: self.server.counters().parked == count)

    def await_idle(self) -> None:
        """Nothing waits any more, and whoever is told of that has been told."""
        until(lambda: (counters := self.server.counters()).parked == counters.in_flight == 0)
        self.run(int)


@pytest.fixture
def site(configure):
    """Starts a server of one worker with a handler: `with site(handler) as running`, after which nothing is left."""
    return lambda handler, **settings: Site(configure(handler, port=0, **settings))


class Pipes:
    """Parks each request on a pipe of its own, whose writer stays here; notes whatever is called."""

    def __init__(self, **watching) -> None:
        self.watching = watching
        self.writers: list[int] = []
        self.readers: list[int] = []
        self.requests: list[object] = []
        self.seen: list[object] = []

    def __call__(self, request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        return self.watch(request, worker)

    def watch(self, request, worker):
        reader, writer = open_pair()
        self.readers.append(reader)
        self.writers.append(writer)
        self.requests.append(request)
        worker.watch_fd(
            reader, Interest.READABLE, self.go_on, reader, on_disconnect=self.on_disconnect, **self.watching
        )
        return Step.SUSPEND

    def go_on(self, request, response, worker, fd, event):
        self.seen.append(("continuation", event))
        data = read(fd, 100) if event & Event.READABLE else b"nothing"
        close(fd)
        if data == b"again":
            return self.watch(request, worker)
        response.reply(200, data)
        return Step.DONE

    def on_disconnect(self, fd) -> None:
        self.seen.append(("disconnected", fd, is_open(fd)))

    def close(self) -> None:
        for fd in self.writers:
            close(fd)
        self.writers.clear()


@pytest.fixture
def make_pipes() -> type[Pipes]:
    """Makes handlers that wait for pipes."""
    return Pipes
