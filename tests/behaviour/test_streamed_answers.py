"""Answers that plain handlers send in pieces: framed as the head said, at the client's pace, ended or visibly cut."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import struct
import sys
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

    with (
        Server(configure(handle, port=0)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
    ):
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

    with (
        Server(configure(handle, port=0)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
    ):
        client.sendall(get("/") * 3)
        answer = read_to_end(client)
    assert (answer.count(b"HTTP/1.1"), answer.count(b"Connection: close")) == (1, 1)
    assert answer.endswith(b"3\r\nabc\r\n0\r\n\r\n")


def test_requests_behind_a_stream_are_answered_in_order(configure) -> None:
    def handle(request, response, worker):
        if request.path == b"/":
            return response.reply(200, b"short")
        return response.stream(b"%b%06d" % (request.path, number) * 1000 for number in range(30))

    with (
        Server(configure(handle, port=0)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
    ):
        client.sendall(get("/a") + get("/") + get("/b") + get("/"))
        client.shutdown(socket.SHUT_WR)
        answer = read_to_end(client)
    assert answer.count(b"0\r\n\r\n") == 2
    places = [answer.index(part) for part in (b"/a000000", b"/a000029", b"short", b"/b000000", b"/b000029")]
    assert places == sorted(places)
    assert answer.endswith(b"short")


# Content that is pulled.

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


def pulled_until_it_rests(site: Streams, source: Source) -> int:
    """How many pieces were pulled, once another client's requests go by without a further one."""
    other = site.connect()
    count = -1
    while count != source.pulled:
        count = source.pulled
        for _ in range(50):
            other.sendall(get("/other"))
            read_until(other, b"ok")
    return count


def from_sources(*sources: Source):
    """Streams the next source for `/pull`; everything else is answered at once."""
    left = list(sources)

    def handle(request, response, worker):
        if request.path == b"/pull":
            return response.stream(left.pop(0))
        return response.reply(200, b"ok")

    return handle


def test_a_client_that_does_not_read_has_little_more_pulled_than_the_kernel_holds(streams) -> None:
    source = Source()
    with streams(from_sources(source)) as site:
        client = site.connect(get("/pull"))
        until(lambda: site.server.counters().parked)
        count = pulled_until_it_rests(site, source)
        with open("/proc/sys/net/ipv4/tcp_wmem") as wmem, open("/proc/sys/net/ipv4/tcp_rmem") as rmem:
            kernel = int(wmem.read().split()[2]) + int(rmem.read().split()[2])
        assert count * len(PIECE) <= kernel + 64 * 1024 + 2 * len(PIECE)
        received = 0
        while source.pulled <= count:  # reading has more pulled
            received += len(client.recv(1 << 16))
        assert received > 0
        reset(client)
        until(lambda: source.end)
        assert source.end == "closed"
        until(lambda: site.server.counters().open == 1)
        assert (site.server.counters().parked, site.server.counters().in_flight) == (0, 0)


def test_all_that_is_pulled_arrives_in_order_however_slowly_it_is_read(streams) -> None:
    source = Source(3000)
    with streams(from_sources(source)) as site:
        client = site.connect(get("/pull", "1.0"))
        until(lambda: site.server.counters().parked)
        pulled_until_it_rests(site, source)
        content = read_to_end(client).partition(b"\r\n\r\n")[2]
    assert content == PIECE * 3000
    assert source.end == "exhausted"


def test_an_endless_generator_holds_up_nobody(streams) -> None:
    sources = [Source(), Source(piece=b""), Source(piece=b"y")]
    with streams(from_sources(*sources)) as site:
        readers = [site.connect(get("/pull")) for _ in sources]
        until(lambda: site.server.counters().parked == 3)
        for reader in readers:
            reader.setblocking(False)
        stop = threading.Event()

        def read():
            while not stop.is_set():
                for reader in readers:
                    with contextlib.suppress(BlockingIOError):
                        reader.recv(1 << 20)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            other = site.connect()
            for _ in range(100):
                other.sendall(get("/other"))
                read_until(other, b"ok")
        finally:
            stop.set()
            thread.join()
        for reader in readers:
            reset(reader)
        until(lambda: [source.end for source in sources] == ["closed"] * 3)


def test_a_shutdown_whose_grace_ends_closes_the_generators(streams) -> None:
    sources = [Source(), Source()]
    with streams(from_sources(*sources)) as site:
        clients = [site.connect(get("/pull")) for _ in sources]
        until(lambda: site.server.counters().parked == 2)
        site.server.shutdown(grace=0)
        assert [source.end for source in sources] == ["closed", "closed"]
        assert [client.fileno() >= 0 for client in clients] == [True, True]
        assert (site.server.counters().parked, site.server.counters().in_flight) == (0, 0)


def test_an_answer_to_head_pulls_nothing_and_closes_what_it_was_given(streams) -> None:
    class Closable:
        pulled, closed = 0, 0

        def __iter__(self):
            return self

        def __next__(self):
            self.pulled += 1
            return b"x"

        def close(self):
            self.closed += 1

    source = Closable()
    with streams(lambda request, response, worker: response.stream(source)) as site:
        read_until(site.connect(get("/", "1.1", "HEAD")), b"\r\n\r\n")
        until(lambda: source.closed)
    assert (source.pulled, source.closed) == (0, 1)


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
        until(lambda: site.server.counters().open == 0)
        assert (site.server.counters().parked, site.server.counters().in_flight) == (0, 0)


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


# Handles.


@pytest.mark.parametrize("where", ["timer", "post", "other_request"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_handle_goes_on_with_its_stream_from_anywhere(streams, where, version) -> None:
    def go_on(parked):
        parked.write(b"one")
        parked.write(bytearray(b"two"))
        parked.write(b"")
        parked.finish()
        parked.write(b"too late")  # to nobody
        parked.finish()
        parked.abort()

    def handle(request, response, worker):
        if request.path == b"/go":
            go_on(site.parked[0])
            return response.reply(200, b"ok")
        response.start(200)
        site.parked.append(worker.park())
        if where == "timer":
            worker.call_later(0, go_on, site.parked[0])
        elif where == "post":
            worker.post(go_on, site.parked[0])
        return Step.SUSPEND

    with streams(handle) as site:
        client = site.connect(get("/begin", version))
        if where == "other_request":
            until(lambda: site.server.counters().parked)
            read_until(site.connect(get("/go")), b"ok")
        client.shutdown(socket.SHUT_WR)
        content = read_to_end(client).partition(b"\r\n\r\n")[2]
    assert content == (b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n" if version == "1.1" else b"onetwo")


def test_a_handle_of_an_answer_that_has_not_begun_writes_nothing(streams, caplog) -> None:
    with streams() as site:
        client = site.open("/unbegun")
        with pytest.raises(RuntimeError, match="has not begun"):
            site.run(lambda: site.parked[0].write(b"x"))
        site.run(lambda: site.parked[0].finish())
        assert read_until(client, b"\r\n\r\n").startswith(b"HTTP/1.1 500 ")
        assert "appended no response" in caplog.text


def test_a_handle_writes_no_more_than_the_length_and_fewer_is_cut(streams, caplog) -> None:
    with streams() as site:
        full, short = site.open("/sized"), site.open("/sized")
        with pytest.raises(ValueError, match="1 bytes more"):
            site.run(lambda: site.parked[0].write(b"four"))
        site.run(lambda: [site.parked[0].write(b"all"), site.parked[0].finish()])
        site.run(lambda: [site.parked[1].write(b"a"), site.parked[1].finish()])
        assert read_until(full, b"all") == b"all"
        full.sendall(get("/next"))
        assert read_until(full, b"ok").startswith(b"HTTP/1.1 200 ")
        assert read_to_end(short) == b"a"
        assert "lacks 2 bytes" in caplog.text


def test_a_handle_is_nothing_once_its_client_is_gone(streams) -> None:
    with streams() as site:
        client = site.open()
        reset(client)
        until(lambda: site.server.counters().parked == 0)
        assert site.run(lambda: [site.parked[0].write(b"x"), site.parked[0].finish(), site.parked[0].abort()])
        assert not site.run(lambda: site.parked[0].is_active)
        assert site.run(lambda: site.workers[0].write_each(site.parked, b"x", 0)) == site.parked


def test_an_aborted_stream_is_cut_and_its_source_and_waits_are_let_go_of(streams) -> None:
    with streams() as site:
        client = site.open()
        site.run(lambda: [site.parked[0].write(b"x"), site.parked[0].abort()])
        assert read_to_end(client) in (b"", b"1\r\nx\r\n")
        until(lambda: site.server.counters().open == 0)
        assert (site.server.counters().parked, site.server.counters().in_flight) == (0, 0)


def test_what_is_written_to_many_arrives_between_what_each_is_written(streams) -> None:
    with streams() as site:
        clients = [(version, site.open("/stream", version)) for version in ("1.1", "1.0") * 3]

        def write():
            site.parked[0].write(b"before")
            left = site.workers[0].write_each(site.parked, b"all", 1000)
            site.parked[0].write(b"behind")
            return left

        assert site.run(write) == []
        assert site.run(lambda: site.workers[0].write_each(site.parked, b"", 0)) == []
        site.run(lambda: [parked.finish() for parked in site.parked])
        got = [read_until(c, b"0\r\n\r\n") if version == "1.1" else read_to_end(c) for version, c in clients]
    assert got[0] == b"6\r\nbefore\r\n3\r\nall\r\n6\r\nbehind\r\n0\r\n\r\n"
    assert got[1:] == [b"all", b"3\r\nall\r\n0\r\n\r\n"] * 2 + [b"all"]


def test_a_client_that_does_not_keep_up_is_named_and_given_nothing(streams) -> None:
    with streams() as site:
        slow, quick = site.open(), site.open()
        piece = b"z" * 100_000

        def fill():
            while site.parked[0].unsent <= 1000:
                assert site.workers[0].write_each(site.parked[:1], piece, 1000) == []
            return site.workers[0].write_each(site.parked, b"now", 1000)

        assert site.run(fill) == site.parked[:1]
        assert read_until(quick, b"now\r\n") == b"3\r\nnow\r\n"
        assert site.run(lambda: site.parked[0].unsent) > 0
        reset(slow)


# Shutdown.


def test_a_shutdown_finishes_plain_answers_first_and_has_a_thousand_streams_say_their_last(streams) -> None:
    order, held = [], []

    def handle(request, response, worker):
        held.append(worker.park())
        return Step.SUSPEND

    def finish():
        order.append("streams")
        assert site.workers[0].write_each(site.parked, b"last", 1000) == []
        for parked in site.parked:
            parked.finish()

    def reply(request, response, worker, payload, event):
        order.append("plain")
        response.reply(200, b"ok")

    with streams(handle) as site:
        clients = [("1.0" if number % 10 == 0 else "1.1") for number in range(1000)]
        clients = [(version, site.connect(get("/stream", version))) for version in clients]
        until(lambda: site.server.counters().parked == 1000)
        plain = site.connect(get("/plain"))
        until(lambda: held)
        site.run(lambda: site.workers[0].on_drain(finish))
        site.run(lambda: site.workers[0].on_drain(lambda: 1 / 0))  # logged; the others are told
        ending = threading.Thread(target=site.server.shutdown, kwargs={"grace": 600})
        ending.start()
        until(lambda: site.workers[0].draining)
        site.workers[0].post(held[0].resume, reply)
        assert read_to_end(plain).endswith(b"ok")
        for version, client in clients:
            content = read_to_end(client).partition(b"\r\n\r\n")[2]
            assert content == (b"last" if version == "1.0" else b"4\r\nlast\r\n0\r\n\r\n")
        ending.join(20)
        assert not ending.is_alive()
        assert order == ["plain", "streams"]
        counters = site.server.counters()
        assert (counters.parked, counters.in_flight, counters.open, counters.responses_2xx) == (0, 0, 0, 1001)


def test_streams_are_told_at_half_the_grace_although_a_plain_answer_still_waits(streams) -> None:
    told, held = [], []

    def handle(request, response, worker):
        held.append(worker.park())
        return Step.SUSPEND

    with streams(handle) as site:
        client = site.open()
        site.connect(get("/never"))
        until(lambda: held)
        site.run(lambda: site.workers[0].on_drain(lambda: [told.append(1), site.parked[0].finish()]))
        site.server.shutdown(grace=0.4)
        assert told == [1]
        assert read_to_end(client) == b"0\r\n\r\n"


# Nothing stays.


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
        until(lambda: site.server.counters().open == 0)
        assert (site.server.counters().parked, site.server.counters().in_flight) == (0, 0)
        until(lambda: all(source.end or source.pulled == 0 for source in sources))
        sources.clear()

    sources = []

    def handle(request, response, worker):
        return response.stream(next(source for source in sources if source.pulled == 0))

    with streams(handle) as site:
        round_of(20)
        site.stack.close()
        gc.collect()
        before = (len(os.listdir("/proc/self/fd")), sys.getallocatedblocks())
        for _ in range(5):
            round_of(20)
            site.stack.close()
        gc.collect()
        after = (len(os.listdir("/proc/self/fd")), sys.getallocatedblocks())
    assert after[0] == before[0]
    assert after[1] - before[1] < 200  # a leak of one block a stream would be 100 at least


def resident_bytes() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_thousand_small_requests_that_wait_do_not_hold_a_slab_each(streams) -> None:
    with streams() as site:
        site.open()
        before = resident_bytes()
        for _ in range(1000):
            site.connect(get("/stream"))
        until(lambda: site.server.counters().parked == 1001)
        assert resident_bytes() - before < 1000 * 16 * 1024  # slabs would be 64 MiB; both ends are this process
        site.run(lambda: [parked.abort() for parked in site.parked])
        until(lambda: site.server.counters().parked == 0)
