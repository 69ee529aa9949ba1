"""What a worker lets a coroutine wait for: descriptors, timers, and work on other threads."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

from system import close, open_pair, read, reset, until, write
from vanilla import Event, RefusedError, Server, Step
from vanilla.testing import ask, drive, eof, frames


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def is_idle(server: Server) -> bool:
    """Whether no client is left, nor anything of one: a request that waited ends after its connection."""
    counters = server.counters()
    return (counters.open, counters.parked, counters.in_flight) == (0, 0, 0)


def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


def bodies(configure, handle, *paths: str, **settings) -> list[bytes]:
    """What one client gets that asks for all these paths at once."""
    results = drive(configure(handle, **settings), [ask(b"".join(map(get, paths)), frames(len(paths)))])
    counters = results.counters
    assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
    return results[0].bodies


class TeapotError(RefusedError):
    status = 418


# Waiting for descriptors and timers.


def test_a_wait_that_is_cancelled_leaves_its_descriptor_alone_and_free(configure) -> None:
    async def handle(request, response, worker):
        ends = open_pair()
        try:
            for _ in range(3):  # it would be watched already if a wait left its watch behind
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.002):
                        await worker.readable(ends[0])
            write(ends[1], b"x")
            event = await worker.readable(ends[0])
            response.reply(200, b"%d %b" % (event, read(ends[0], 1)))
        finally:
            for fd in ends:
                close(fd)

    assert bodies(configure, handle, "/", "/") == [b"%d x" % Event.READABLE] * 2


def test_waits_that_cannot_be_are_refused(configure, tmp_path) -> None:
    async def handle(request, response, worker):
        with open(tmp_path / "file", "wb") as regular, pytest.raises(OSError, match=r"regular file|no socket"):
            await worker.readable(regular.fileno())
        ends = open_pair()
        first = asyncio.create_task(worker.readable(ends[0]))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="watched already"):
            await worker.readable(ends[0])
        first.cancel()
        await asyncio.wait([first])
        for fd in ends:
            close(fd)
        with pytest.raises(OSError, match="not open"):
            await worker.readable(ends[0])
        for seconds in (-1, float("nan")):
            with pytest.raises(ValueError, match="seconds"):
                await worker.sleep(seconds)
        response.reply(200, b"refused")

    assert bodies(configure, handle, "/") == [b"refused"]


@pytest.mark.parametrize(
    "misuse",
    [
        pytest.param(lambda worker, response: worker.readable(0), id="readable"),
        pytest.param(lambda worker, response: worker.writable(1), id="writable"),
        pytest.param(lambda worker, response: worker.sleep(1), id="sleep"),
        pytest.param(lambda worker, response: worker.offload(int), id="offload"),
        pytest.param(lambda worker, response: worker.draining.__await__(), id="draining"),
        pytest.param(lambda worker, response: response.flush(), id="flush"),
    ],
)
def test_a_plain_handler_is_told_that_it_cannot_await(configure, misuse) -> None:
    def handle(request, response, worker):
        with pytest.raises(RuntimeError, match="async def"):
            misuse(worker, response)
        response.reply(200, b"refused")

    assert bodies(configure, handle, "/") == [b"refused"]


# Work on other threads.


def use_offload(handler_kind: str, function):
    """A handler that answers with what `function(path)` returns on another thread."""

    def finish(request, response, worker, future, event):
        response.reply(200, b"%b %d" % (future.result(), event))

    def plain(request, response, worker):
        worker.offload(function, request.path, then=finish)
        return Step.SUSPEND

    async def awaited(request, response, worker):
        response.reply(200, b"%b %d" % (await worker.offload(function, request.path), Event.RESUMED))

    async def handed_on(request, response, worker):
        worker.offload(function, request.path, then=finish)
        return Step.SUSPEND

    return {"plain": plain, "awaited": awaited, "handed_on": handed_on}[handler_kind]


KINDS = ["plain", "awaited", "handed_on"]


@pytest.mark.parametrize("kind", KINDS)
def test_offloaded_work_is_answered_from_another_thread(configure, kind: str) -> None:
    threads = set()

    def work(path: bytes) -> bytes:
        threads.add(threading.current_thread().name.rpartition("_")[0])
        return path.upper()

    paths = [f"/a{n}" for n in range(20)]
    wanted = [b"/A%d %d" % (n, Event.RESUMED) for n in range(20)]
    assert bodies(configure, use_offload(kind, work), *paths) == wanted
    assert threads == {"vanilla-worker-0-offload"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("error", "status"), [(LookupError("on purpose"), 500), (TeapotError("on purpose"), 418)])
def test_offloaded_work_that_raises_is_answered_as_if_the_handler_did(
    configure, caplog, kind: str, error: Exception, status: int
) -> None:
    def work(path: bytes) -> bytes:
        raise error

    caplog.set_level("INFO")
    results = drive(configure(use_offload(kind, work)), [ask(get("/"), eof)])
    assert [frame.status for frame in results[0].frames] == [status]
    assert "on purpose" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_work_beyond_the_queue_is_refused_until_there_is_room(configure, kind: str, receive_answer) -> None:
    gate, began = threading.Event(), threading.Semaphore(0)

    def work(path: bytes) -> bytes:
        began.release()
        gate.wait(20)
        return b"done"

    config = configure(use_offload(kind, work), port=0, offload_threads=1, offload_queue=1)
    with Server(config) as server, contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)) for _ in range(4)
        ]
        clients[0].sendall(get("/"))
        assert began.acquire(timeout=20)
        clients[1].sendall(get("/"))
        until(lambda: server.counters().parked == 2)
        clients[2].sendall(get("/"))
        assert read_all(clients[2]).startswith(b"HTTP/1.1 503 ")
        gate.set()
        for client in clients[:2]:
            assert b"done" in receive_answer(client)
        clients[3].sendall(get("/"))
        assert b"done" in receive_answer(clients[3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_goes_leaves_its_offloaded_work_to_end_alone(configure, kind: str, receive_answer) -> None:
    gate, began, ended = threading.Event(), threading.Event(), threading.Event()

    def work(path: bytes) -> bytes:
        if path == b"/next":
            return b"next"
        began.set()
        gate.wait(20)
        ended.set()
        return b"unheard"

    with Server(configure(use_offload(kind, work), port=0, offload_threads=1)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        assert began.wait(20)
        reset(client)
        until(lambda: is_idle(server))
        gate.set()
        assert ended.wait(20)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as after:
            after.sendall(get("/next"))
            assert b"next" in receive_answer(after)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shutdown_does_not_wait_longer_than_its_grace_for_offloaded_work(configure, kind: str) -> None:
    gate, began, ended = threading.Event(), threading.Event(), threading.Event()

    def work(path: bytes) -> bytes:
        began.set()
        gate.wait(20)
        ended.set()
        return b"too late"

    server = Server(configure(use_offload(kind, work), port=0))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(get("/"))
        assert began.wait(20)
        server.shutdown(0.05)
        assert read_all(client) == b""
    assert not ended.is_set()
    gate.set()
    assert ended.wait(20)
