"""What a coroutine flushes, and what it leaves to be streamed, at the pace of its client."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

from system import reset, until
from vanilla import Limits, Server, Step
from vanilla.testing import ask, count, drive, eof, frames

BIG = b"0123456789abcde\n" * 4096  # 64 KiB


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def is_idle(server: Server) -> bool:
    """Whether no client is left, nor anything of one: a request that waited ends after its connection."""
    counters = server.counters()
    return (counters.open, counters.parked, counters.in_flight) == (0, 0, 0)


@contextlib.contextmanager
def connected(config):
    """A running server, and a client of it."""
    with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        yield server, client


def bodies(configure, handle, *paths: str, **settings) -> list[bytes]:
    """What one client gets that asks for all these paths at once."""
    results = drive(configure(handle, **settings), [ask(b"".join(map(get, paths)), frames(len(paths)))])
    counters = results.counters
    assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
    return results[0].bodies


@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_a_flush_waits_for_a_client_that_does_not_read(configure, waits_first: bool) -> None:
    written = []
    pieces = 1024  # 64 MiB: more than any socket buffers

    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200, length=pieces * len(BIG))
        for _ in range(pieces):
            response.write(BIG)
            await response.flush()
            written.append((len(BIG), response.unsent))

    limits = Limits(high_water_bytes=4096, low_water_bytes=1024)
    with Server(configure(handle, port=0, limits=limits)) as server, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        client.connect(("127.0.0.1", server.port))
        client.sendall(get("/") + get("/")[:1])
        ticks = [-1]

        def has_stopped() -> bool:
            """Two looks, with a round trip of the worker between them, see the same."""
            before = len(written)
            turned = threading.Event()
            server.workers[0].post(lambda: server.workers[0].post(turned.set))
            assert turned.wait(20)
            ticks.append(before)
            return before > 0 and ticks[-50:] == [before] * 50

        until(has_stopped)
        assert len(written) < pieces // 2
        assert max(unsent for _, unsent in written) <= 4096
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1_000_000)  # so that the rest does not take seconds
        received = b""
        while not received.endswith(b"\r\n\r\n"):
            received += client.recv(1)
        total = 0
        while total < pieces * len(BIG):
            total += len(client.recv(1_000_000))
        assert len(written) >= pieces - 1


async def pieces_async(seen):
    try:
        for piece in (b"one", b"", b"two", BIG):
            yield piece
            await asyncio.sleep(0)
    finally:
        seen.append("closed")


def pieces_plain(seen):
    try:
        yield from (b"one", b"", b"two", BIG)
    finally:
        seen.append("closed")


SOURCES = [pieces_async, pieces_plain]


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
@pytest.mark.parametrize("length", [None, 6 + len(BIG)], ids=["chunked", "sized"])
def test_an_iterable_is_streamed_and_closed(configure, make, waits_first: bool, length: int | None) -> None:
    seen = []

    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200, length=length)
        response.stream(make(seen))

    assert bodies(configure, handle, "/", "/") == [b"onetwo" + BIG] * 2
    assert seen == ["closed"] * 2


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_a_stream_to_http_1_0_ends_with_the_connection_and_one_to_head_has_no_content(
    configure, make, waits_first: bool
) -> None:
    seen = []

    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200)
        response.stream(make(seen))

    old = ask(get("/", "1.0") + get("/never"), eof)
    head = ask(get("/", method="HEAD") * 2, count(b"\r\n\r\n", 2))
    results = drive(configure(handle), [old, head])
    assert results[0].raw.endswith(b"\r\n\r\nonetwo" + BIG)
    assert b"chunked" not in results[0].raw
    assert results[1].raw.endswith(b"\r\n\r\n")
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)
    assert seen.count("closed") >= 1  # a generator that was never begun has nothing to close


@pytest.mark.parametrize("make", SOURCES)
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_a_stream_may_have_trailers_and_close(configure, make, waits_first: bool) -> None:
    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200, {"Trailer": "Sum"})
        response.trailers({"Sum": "1"})
        response.stream(make([]))
        return Step.CLOSE

    results = drive(configure(handle), [ask(get("/") * 2, eof)])
    assert results[0].raw.endswith(b"0\r\nSum: 1\r\n\r\n")
    assert len(results[0].frames) == 1


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_an_iterable_that_raises_has_its_answer_cut_off(configure, caplog, is_async, waits_first: bool) -> None:
    async def fail_later():
        yield b"begin"
        await asyncio.sleep(0.001)
        raise LookupError("on purpose")

    def fail():
        yield BIG
        yield BIG
        raise LookupError("on purpose")

    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200)
        response.stream(fail_later() if is_async else fail())

    results = drive(configure(handle), [ask(get("/") + get("/never"), eof)])
    assert not results[0].raw.endswith(b"0\r\n\r\n")
    assert results[0].raw.count(b"HTTP/1.1 ") == 1
    assert "on purpose" in caplog.text
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_a_generator_is_closed_when_its_client_goes(configure, is_async, waits_first: bool) -> None:
    seen = []

    async def endless_async():
        try:
            while True:
                yield BIG
        finally:
            await asyncio.sleep(0)
            seen.append("closed")

    def endless():
        try:
            while True:
                yield BIG
        finally:
            seen.append("closed")

    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200)
        response.stream(endless_async() if is_async else endless())

    with Server(configure(handle, port=0)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        assert client.recv(10_000)
        reset(client)
        until(lambda: seen == ["closed"])
        until(lambda: is_idle(server))


def test_a_coroutine_that_has_waited_may_leave_its_answer_to_a_handle(configure) -> None:
    def end(request, response, worker, payload, event):
        response.reply(200, payload)

    async def handle(request, response, worker):
        await asyncio.sleep(0)
        parked = response.park()
        if request.path == b"/early":
            parked.resume(end, b"early")  # while the coroutine still runs
            await asyncio.sleep(0)
        else:
            worker.call_later(0.001, parked.resume, end, b"late")
        return Step.SUSPEND

    assert bodies(configure, handle, "/late", "/early", "/late") == [b"late", b"early", b"late"]


def test_several_tasks_may_flush_one_answer(configure) -> None:
    async def handle(request, response, worker):
        async def write(n: int) -> None:
            for _ in range(10):
                response.write(b"%d" % n * 5000)
                await response.flush()

        response.start(200, length=4 * 10 * 5000)
        await asyncio.gather(*map(write, range(4)))

    [body] = bodies(configure, handle, "/")
    assert [body.count(b"%d" % n) for n in range(4)] == [50_000] * 4


@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_a_flush_that_is_not_awaited_sends_all_the_same(configure, waits_first: bool) -> None:
    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200)
        response.write(b"begin")
        response.flush()
        response.write(b"end")

    assert bodies(configure, handle, "/", "/") == [b"beginend"] * 2


def test_interim_answers_leave_with_a_flush(configure) -> None:
    async def handle(request, response, worker):
        response.inform(103, {"Link": "</a.css>"})
        await response.flush()
        await asyncio.sleep(0)
        response.inform(103, {"Link": "</b.css>"})
        await response.flush()
        response.reply(200, b"final")

    with connected(configure(handle, port=0)) as (_, client):
        client.sendall(get("/"))
        received = b""
        while not received.endswith(b"final"):
            received += client.recv(1000)
    assert [received.count(part) for part in (b"HTTP/1.1 103 ", b"a.css", b"b.css", b"HTTP/1.1 200 ")] == [2, 1, 1, 1]
