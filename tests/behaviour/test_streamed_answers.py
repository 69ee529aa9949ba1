"""Answers that plain handlers send in pieces: framed as the head said, at the pace of the client, ended or visibly cut."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time

import pytest

from vanilla import Server, Step


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def until(condition) -> None:
    """Wait for what another thread does; the test's own time limit ends it."""
    while not condition():
        os.sched_yield()


def reset(client: socket.socket) -> None:
    """Go away without a word: the server sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def read_until(client: socket.socket, end: bytes) -> bytes:
    """What the server sends, up to `end`."""
    data = b""
    while not data.endswith(end):
        piece = client.recv(65536)
        assert piece, f"closed after {data!r}"
        data += piece
    return data


def read_to_end(client: socket.socket) -> bytes:
    """What the server sends until it closes."""
    data = bytearray()
    while piece := client.recv(1 << 20):
        data += piece
    return bytes(data)


class Streams:
    """A server whose `/stream` begins an answer that the test goes on with; other paths are the test's own handler."""

    def __init__(self, config, handler=None, **settings) -> None:
        self.parked, self.handler = [], handler
        self.server = Server(config(self.handle, port=0, **settings))
        self.workers = []
        self.stack = contextlib.ExitStack()

    def handle(self, request, response, worker):
        self.workers[:] = [worker]
        if request.path == b"/stream":
            response.start(200)
        elif request.path == b"/sized":
            response.start(200, length=3)
        elif request.path != b"/unbegun":
            return self.handler(request, response, worker) if self.handler else response.reply(200, b"ok")
        self.parked.append(worker.park())
        return Step.SUSPEND

    def connect(self, wire: bytes = b"") -> socket.socket:
        client = self.stack.enter_context(socket.create_connection(("127.0.0.1", self.server.port), timeout=20))
        client.sendall(wire)
        return client

    def open(self, path: str = "/stream", version: str = "1.1") -> socket.socket:
        """A client whose answer waits for more; what was sent already is read."""
        count = len(self.parked)
        client = self.connect(get(path, version))
        until(lambda: len(self.parked) > count and self.server.counters().parked == count + 1)
        if path != "/unbegun":
            read_until(client, b"\r\n\r\n")
        return client

    def run(self, function):
        """What a function returns, or raises, on the worker's own thread."""
        outcome, done = [], threading.Event()

        def call():
            try:
                outcome.append((function(), None))
            except BaseException as error:
                outcome.append((None, error))
            done.set()

        self.workers[0].post(call)
        assert done.wait(20)
        result, error = outcome[0]
        if error is not None:
            raise error
        return result

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        self.stack.close()
        self.server.__exit__(*error)


@pytest.fixture
def streams(configure):
    """Makes servers of streams."""
    return lambda handler=None, **settings: Streams(configure, handler, **settings)


@pytest.mark.parametrize("pause", [0, 0.001], ids=["at_once", "late_enough_for_an_early_flush"])
@pytest.mark.parametrize("begins", ["first", "last"])
def test_what_a_continuation_writes_to_another_stream_stays_out_of_its_own_answer(streams, pause, begins) -> None:
    site = streams(lambda request, response, worker: worker.park().resume(go_on) or Step.SUSPEND)

    def go_on(request, response, worker, payload, event):
        if begins == "first":
            response.start(200)
            response.write(b"mine")
        for piece in (b"one", b"two"):
            site.parked[0].write(piece)
            time.sleep(pause)
        site.parked[0].finish()
        if begins == "last":
            response.start(200)
        response.write(b"also mine")

    with site:
        other = site.open()
        client = site.connect(get("/mine"))
        mine = read_until(client, b"0\r\n\r\n").partition(b"\r\n\r\n")[2]
        assert mine == b"4\r\nmine\r\n" * (begins == "first") + b"9\r\nalso mine\r\n0\r\n\r\n"
        assert read_until(other, b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
        assert site.server.counters().parked == 0
