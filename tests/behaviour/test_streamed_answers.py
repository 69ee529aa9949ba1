"""Answers that plain handlers send in pieces: framed as the head said, at the client's pace, ended or visibly cut."""

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


# What is written to many streams at once.


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


def test_a_stream_listed_twice_whose_client_is_found_gone_by_the_first_piece_is_closed_once(streams) -> None:
    with streams() as site:
        gone, stays = site.open(), site.open()

        def write():
            reset(gone)
            return site.workers[0].write_each([site.parked[0]] * 3 + [site.parked[1]], b"piece", 0)

        assert site.run(write) == []
        assert read_until(stays, b"piece\r\n") == b"5\r\npiece\r\n"
        until(lambda: site.server.counters().parked == 1)
        counters = site.server.counters()
        assert (counters.open, counters.in_flight) == (1, 1)


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


# How the content is framed, and how it ends.

SIZED = b"Content-Length: 6\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


def begin(request, response):
    response.start(200, [("Date", "now")], length=6 if request.path == b"/sized" else None)
    response.write(b"abc")


def at_once(request, response, worker):
    begin(request, response)
    response += b"def"


def in_two_ticks(request, response, worker):
    def finish(request, response, worker, payload, event):
        response.write(b"def")

    begin(request, response)
    response.on_drained(finish)
    return Step.SUSPEND


def pulled(request, response, worker):
    response.start(200, [("Date", "now")], length=6 if request.path == b"/sized" else None)
    response.stream(iter([b"abc", b"", bytearray(b"de"), memoryview(b"f")]))


def by_handle(request, response, worker):
    begin(request, response)
    parked = worker.park()
    worker.post(parked.write, b"def")
    worker.post(parked.finish)
    return Step.SUSPEND


@pytest.mark.parametrize("handle", [at_once, in_two_ticks, pulled, by_handle], ids=lambda handle: handle.__name__)
@pytest.mark.parametrize(
    ("path", "version", "method", "fields", "content", "goes_on"),
    [
        pytest.param("/", "1.1", "GET", CHUNKED, b"0\r\n\r\n", True, id="chunked"),
        pytest.param("/", "1.0", "GET", b"Connection: close\r\n", b"abcdef", False, id="until_close"),
        pytest.param("/sized", "1.1", "GET", SIZED, b"abcdef", True, id="sized"),
        pytest.param("/sized", "1.0", "GET", b"Connection: close\r\n" + SIZED, b"abcdef", False, id="sized_1_0"),
        pytest.param("/", "1.1", "HEAD", CHUNKED, b"", True, id="head"),
        pytest.param("/sized", "1.1", "HEAD", SIZED, b"", True, id="head_sized"),
    ],
)
def test_an_answer_is_framed_as_its_client_can_read_it(
    configure, handle, path, version, method, fields, content, goes_on
) -> None:
    behind = get("/", "1.1", "HEAD")
    with Server(configure(handle, port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(get(path, version, method) + behind)
            client.shutdown(socket.SHUT_WR)
            head, _, rest = read_to_end(client).partition(b"\r\n\r\n")
        until(lambda: server.counters().open == 0)
        counters = server.counters()
    assert sorted(head.split(b"\r\n")[1:]) == sorted([b"Date: now", *fields.rstrip().split(b"\r\n")])
    wanted = rest.partition(b"HTTP/1.1")[0]
    assert wanted.replace(b"3\r\nabc\r\n", b"").endswith(content)
    assert b"".join(wanted.replace(b"\r\n", b"").translate(None, b"0123456789").split()) == b"abcdef" * (
        method == "GET"
    )
    assert (b"HTTP/1.1 200 OK" in rest) == goes_on
    assert (counters.parked, counters.in_flight, counters.responses_2xx) == (0, 0, 1 + goes_on)


def too_few(request, response, worker):
    response.start(200, length=9)
    response.write(b"abc")


def too_many(request, response, worker):
    response.start(200, length=2)
    response.write(b"abc")


def raises(request, response, worker):
    response.start(200)
    response.write(b"abc")
    raise RuntimeError("no more")


def pulls_text(request, response, worker):
    response.stream(["text"])


def pulls_and_raises(request, response, worker):
    response.stream(failing())


def failing(pieces: int = 0):
    yield from [b"x" * 100_000] * pieces
    raise RuntimeError("no more")


def pulls_too_many(request, response, worker):
    response.start(200, length=3)
    response.stream([b"ab", b"cd"])


FAULTS = [
    pytest.param(too_few, "lacks 6 bytes", id="too_few"),
    pytest.param(too_many, "more than the length", id="too_many"),
    pytest.param(raises, "no more", id="raises"),
    pytest.param(pulls_text, "not str", id="pulls_text"),
    pytest.param(pulls_and_raises, "no more", id="pulls_and_raises"),
    pytest.param(pulls_too_many, "more than the length", id="pulls_too_many"),
]


@pytest.mark.parametrize(("handle", "logged"), FAULTS)
def test_what_fails_before_the_head_has_left_is_a_500(configure, caplog, handle, logged) -> None:
    with Server(configure(handle, port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(get("/") * 2)
            answer = read_to_end(client)
        assert server.counters().responses_5xx == 1
    assert (answer.count(b"HTTP/1.1 "), answer[:12]) == (1, b"HTTP/1.1 500")
    assert logged in caplog.text


def later(handle):
    """The head leaves first; what `handle` does comes in a later tick."""

    def begin(request, response, worker):
        if handle is too_few or handle is too_many or handle is pulls_too_many:
            response.start(200, length=4)
        else:
            response.start(200)
        response.write(b"1")
        response.on_drained(go_on)
        return Step.SUSPEND

    def go_on(request, response, worker, payload, event):
        if handle is too_many:
            response.write(b"12345")
        elif handle is raises:
            response.write(b"not sent")
            raise RuntimeError("no more")
        elif handle is not too_few:
            response.stream({pulls_text: ["text"], pulls_too_many: [b"1", b"2345"]}.get(handle) or failing())

    return begin


@pytest.mark.parametrize(("handle", "logged"), FAULTS)
def test_what_fails_once_the_head_has_left_is_cut_where_the_client_sees_it(configure, caplog, handle, logged) -> None:
    with Server(configure(later(handle), port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(get("/") * 2)
            answer = read_to_end(client)
        until(lambda: server.counters().open == 0)
        assert (server.counters().parked, server.counters().in_flight) == (0, 0)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert (head[:12], answer.count(b"HTTP/1.1")) == (b"HTTP/1.1 200", 1)
    assert content == (b"1" if b"Content-Length" in head else b"1\r\n1\r\n")
    assert logged.replace("6 bytes", "3 bytes") in caplog.text


@pytest.mark.parametrize(
    ("path", "version", "end"),
    [
        pytest.param("/", "1.1", b"3\r\nabc\r\n0\r\nSum: 6\r\n\r\n", id="chunked"),
        pytest.param("/", "1.0", b"\r\n\r\nabc", id="until_close"),
        pytest.param("/sized", "1.1", b"\r\n\r\nabc", id="sized"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
def test_trailers_stand_behind_the_last_chunk_alone(configure, path, version, end, waits) -> None:
    def finish(request, response, worker, payload, event):
        response.trailers({"Sum": "5"})
        response.trailers({"Sum": "6"})

    def handle(request, response, worker):
        response.start(200, length=3 if request.path == b"/sized" else None)
        response.write(b"abc")
        if not waits:
            return finish(request, response, worker, None, None)
        response.on_drained(finish)
        return Step.SUSPEND

    with Server(configure(handle, port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(get(path, version))
            client.shutdown(socket.SHUT_WR)
            assert read_to_end(client).endswith(end)


@pytest.mark.parametrize(("version", "hints"), [("1.1", 2), ("1.0", 0)])
def test_early_hints_leave_with_the_suspension_to_those_who_know_them(configure, version, hints) -> None:
    handles = []

    def finish(request, response, worker, payload, event):
        response.inform(headers={"Link": "</b>"})
        response.start(200, length=2)
        response.write(b"ok")

    def handle(request, response, worker):
        if request.path == b"/go":
            handles[0].resume(finish)
            return response.reply(204)
        response.inform(headers={"Link": "</a>", "Connection": "close"})
        handles.append(worker.park())
        return Step.SUSPEND

    with Server(configure(handle, port=0)) as server, contextlib.ExitStack() as stack:
        client, other = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)) for _ in range(2)
        )
        client.sendall(get("/", version))
        early = read_until(client, b"Link: </a>\r\nConnection: close\r\n\r\n") if hints else b""
        until(lambda: handles)
        other.sendall(get("/go"))
        client.shutdown(socket.SHUT_WR)
        answer = early + read_to_end(client)
        assert answer.count(b"HTTP/1.1 103 Early Hints\r\nLink: ") == hints
        assert answer.endswith(b"Content-Length: 2\r\n\r\nok")
        until(lambda: server.counters().parked == 0)
        assert server.counters().responses_2xx == 2


def test_a_stream_that_says_close_closes_and_drops_what_is_behind(configure) -> None:
    def handle(request, response, worker):
        response.start(200, {"Connection": "close"})
        response.stream([b"abc"])

    with Server(configure(handle, port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(get("/") * 3)
            answer = read_to_end(client)
    assert (answer.count(b"HTTP/1.1"), answer.count(b"Connection: close")) == (1, 1)
    assert answer.endswith(b"3\r\nabc\r\n0\r\n\r\n")


def test_requests_behind_a_stream_are_answered_in_order(configure) -> None:
    def handle(request, response, worker):
        if request.path == b"/":
            return response.reply(200, b"short")
        response.stream(b"%b%06d" % (request.path, number) * 1000 for number in range(30))

    with Server(configure(handle, port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(get("/a") + get("/") + get("/b") + get("/"))
            client.shutdown(socket.SHUT_WR)
            answer = read_to_end(client)
    assert answer.count(b"0\r\n\r\n") == 2
    places = [answer.index(part) for part in (b"/a000000", b"/a000029", b"short", b"/b000000", b"/b000029")]
    assert places == sorted(places)
    assert answer.endswith(b"short")
