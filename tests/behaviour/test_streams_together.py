"""Streams of one worker beside each other: none gets what is another's, and none stays behind."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import time

import pytest

from system import count_descriptors, reset, until
from vanilla import Server, Step


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def is_at_rest(server: Server) -> bool:
    counters = server.counters()
    return (counters.open, counters.in_flight, counters.parked) == (0, 0, 0)


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
        self.server.shutdown(grace=0)  # clients that close in order leave their streams waiting
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


def test_a_stream_that_a_piece_is_wrong_for_keeps_it_from_no_other(streams) -> None:
    with streams() as site:
        first, sized, unbegun, last = site.open(), site.open("/sized"), site.open("/unbegun"), site.open()
        with pytest.raises(ValueError, match="1 bytes more than the length"):
            site.run(lambda: site.workers[0].write_each(site.parked, b"four", 0))
        with pytest.raises(RuntimeError, match="the answer has not begun"):
            site.run(lambda: site.workers[0].write_each([*site.parked[2:], site.parked[0]], b"five", 0))
        for client in (first, last):
            assert read_until(client, b"five\r\n") == b"4\r\nfour\r\n4\r\nfive\r\n"
        site.run(lambda: site.workers[0].write_each(site.parked[1:2], b"all", 0))
        assert read_until(sized, b"all") == b"all"
        site.run(lambda: [parked.abort() for parked in site.parked])
        assert read_to_end(unbegun) == b""


def test_what_is_no_handle_is_refused(streams) -> None:
    with streams() as site:
        site.open()
        for wrong in (None, 5):
            with pytest.raises((TypeError, AttributeError)):
                site.run(lambda wrong=wrong: site.workers[0].write_each([wrong], b"piece", 0))


def test_a_stream_is_timed_with_all_that_it_was_sent(streams) -> None:
    timings = []
    with streams(on_timing=timings.append) as site:
        client = site.open()
        site.run(lambda: site.workers[0].write_each(site.parked, b"piece", 0))
        site.run(lambda: site.parked[0].write(b"more"))
        site.run(lambda: site.parked[0].finish())
        content = read_until(client, b"0\r\n\r\n")
        until(lambda: timings)
        head = len(b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 01:43:42 GMT\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert timings[0].response_bytes == head + len(content)
        assert timings[0].sent_ns >= timings[0].entered_ns


PIECE = b"x" * 10_000


class Source:
    """A generator of pieces that counts how many were asked for, and says how it ended."""

    def __init__(self, pieces: int | None = None, piece: bytes = PIECE) -> None:
        self.pulled, self.pieces, self.piece, self.end = 0, pieces, piece, None

    def __iter__(self):
        try:
            while self.pulled != self.pieces:
                self.pulled += 1
                yield self.piece
            self.end = "exhausted"
        except GeneratorExit:
            self.end = "closed"
            raise


def test_a_generator_that_fails_at_its_end_is_logged_and_the_worker_goes_on(streams, caplog) -> None:
    def stubborn():
        try:
            while True:
                yield PIECE
        finally:
            raise RuntimeError("at the end")

    def handle(request, response, worker):
        return response.stream(stubborn()) if request.path == b"/pull" else response.reply(200, b"ok")

    with streams(handle) as site:
        client = site.connect(get("/pull"))
        until(lambda: site.server.counters().parked)
        reset(client)
        until(lambda: "at the end" in caplog.text)
        read_until(site.connect(get("/other")), b"ok")
        until(lambda: site.server.counters().parked == 0)


def test_a_generator_may_abort_the_answer_that_it_is_pulled_for(streams, caplog) -> None:
    def handle(request, response, worker):
        parked = worker.park()

        def pieces():
            for number in range(100):
                if number == 50:
                    parked.abort()
                yield PIECE

        response.stream(pieces())

    with streams(handle) as site:
        answer = read_to_end(site.connect(get("/")))
        assert not answer.endswith(b"0\r\n\r\n")
        until(lambda: is_at_rest(site.server))


@pytest.mark.parametrize("pieces", [1, 500], ids=["pulled_at_once", "pulled_in_many_ticks"])
def test_a_generator_sends_trailers_as_its_last_act(streams, pieces) -> None:
    def handle(request, response, worker):
        def source():
            for _ in range(pieces):
                yield PIECE
            response.trailers({"Sum": b"%d" % pieces})

        response.start(200)
        response.stream(source())

    with streams(handle) as site:
        answer = read_until(site.connect(get("/")), b"0\r\nSum: %d\r\n\r\n" % pieces)
        assert answer.count(b"2710\r\nxx") == pieces


def test_streams_leave_no_descriptor_and_no_memory(streams) -> None:
    def round_of(count: int) -> None:
        sources.extend(Source(50) for _ in range(count))
        clients = [site.connect(get("/pull")) for _ in range(count)]
        for number, client in enumerate(clients):
            if number % 2:
                reset(client)
            else:
                read_until(client, b"0\r\n\r\n")
                client.close()
        until(lambda: is_at_rest(site.server))
        until(lambda: all(source.end or source.pulled == 0 for source in sources))
        sources.clear()

    sources = []

    def handle(request, response, worker):
        return response.stream(next(source for source in sources if source.pulled == 0))

    with streams(handle) as site:
        round_of(20)
        site.stack.close()
        gc.collect()
        before = (count_descriptors(), sys.getallocatedblocks())
        for _ in range(5):
            round_of(20)
            site.stack.close()
        gc.collect()
        after = (count_descriptors(), sys.getallocatedblocks())
    assert after[0] == before[0]
    assert after[1] - before[1] < 200  # a leak of one block a stream would be 100 at least
