"""`async def` handlers: coroutines on a worker's own asyncio loop, with everything that asyncio offers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import socket
import struct
import subprocess
import sys
import threading

import pytest

from vanilla import ConfigError, Event, Limits, OverloadError, RefusedError, Server, Step
from vanilla.engine import coroutines
from vanilla.testing import Round, Script, ask, count, drive, eof, frames, repeat

BIG = b"0123456789abcde\n" * 4096  # 64 KiB


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def reset(client: socket.socket) -> None:
    """Go away without a word: the server sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def until(condition) -> None:
    """Wait for what another thread does; the test's own time limit ends it."""
    while not condition():
        os.sched_yield()


def is_idle(server: Server) -> bool:
    """Whether no client is left, nor anything of one: a request that waited ends after its connection."""
    counters = server.counters()
    return (counters.open, counters.parked, counters.in_flight) == (0, 0, 0)


def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


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


# What asyncio offers.


async def use_timeout(worker) -> bytes:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
            return b"not reached"
    return b"timed out"


async def use_timeout_in_time(worker) -> bytes:
    async with asyncio.timeout(20):
        await asyncio.sleep(0)
    return b"in time"


async def use_wait_for(worker) -> bytes:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(worker.sleep(20), 0.01)
    return b"timed out"


async def use_task_group(worker) -> bytes:
    async def double(n: int) -> int:
        await asyncio.sleep(0.001 * n)
        return n * 2

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(double(n)) for n in range(4)]
    return repr([task.result() for task in tasks]).encode()


async def use_failing_task_group(worker) -> bytes:
    async def fail() -> None:
        raise LookupError("on purpose")

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(20))
            group.create_task(fail())
    except ExceptionGroup as failure:
        return repr(failure.exceptions).encode()
    return b"not reached"


async def use_event(worker) -> bytes:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    return str(await event.wait()).encode()


async def use_queue(worker) -> bytes:
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def produce() -> None:
        for n in range(5):
            await queue.put(n)

    producer = asyncio.create_task(produce())
    got = [await queue.get() for _ in range(5)]
    await producer
    return repr(got).encode()


async def use_lock(worker) -> bytes:
    lock = asyncio.Lock()
    held: list[int] = []

    async def hold(n: int) -> None:
        async with lock:
            held.append(n)
            await asyncio.sleep(0)

    await asyncio.gather(*(hold(n) for n in range(3)))
    return repr(held).encode()


async def use_to_thread(worker) -> bytes:
    return b"%d" % ((await asyncio.to_thread(threading.get_ident)) != threading.get_ident())


async def use_gather(worker) -> bytes:
    return b" ".join(await asyncio.gather(*(asyncio.sleep(0.001 * n, b"%d" % n) for n in range(4))))


async def use_callback_from_a_thread(worker) -> bytes:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, b"from a thread")).start()
    return await future


async def use_shield(worker) -> bytes:
    inner = asyncio.create_task(asyncio.sleep(0.01, b"shielded"))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(inner), 0.001)
    return await inner


async def use_own_server(worker) -> bytes:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readline()).upper())
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"hello\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()
    return answer


async def use_current_task_in_the_first_step(worker) -> bytes:
    return b"%d" % isinstance(asyncio.current_task(), asyncio.Task)


async def use_own_awaitables(worker) -> bytes:
    reader, writer = os.pipe()
    try:
        writable = await worker.writable(writer)
        os.write(writer, b"x")
        readable = await worker.readable(reader)
        await worker.sleep(0.001)
        return b"%d %d" % (writable, readable)
    finally:
        os.close(reader)
        os.close(writer)


async def use_worker_offload(worker) -> bytes:
    return await worker.offload(bytes.upper, b"offloaded")


WAYS = [
    pytest.param(use_timeout, b"timed out", id="timeout"),
    pytest.param(use_timeout_in_time, b"in time", id="timeout_in_time"),
    pytest.param(use_wait_for, b"timed out", id="wait_for"),
    pytest.param(use_task_group, b"[0, 2, 4, 6]", id="task_group"),
    pytest.param(use_failing_task_group, b"(LookupError('on purpose'),)", id="failing_task_group"),
    pytest.param(use_event, b"True", id="event"),
    pytest.param(use_queue, b"[0, 1, 2, 3, 4]", id="queue"),
    pytest.param(use_lock, b"[0, 1, 2]", id="lock"),
    pytest.param(use_to_thread, b"1", id="to_thread"),
    pytest.param(use_gather, b"0 1 2 3", id="gather"),
    pytest.param(use_callback_from_a_thread, b"from a thread", id="call_soon_threadsafe"),
    pytest.param(use_shield, b"shielded", id="shield"),
    pytest.param(use_own_server, b"HELLO\n", id="open_connection_and_start_server"),
    pytest.param(use_current_task_in_the_first_step, b"1", id="current_task"),
    pytest.param(use_own_awaitables, b"%d %d" % (Event.WRITABLE, Event.READABLE), id="writable_readable_sleep"),
    pytest.param(use_worker_offload, b"OFFLOADED", id="offload"),
]


@pytest.mark.parametrize(("use", "wanted"), WAYS)
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_what_asyncio_offers_works_in_a_handler(configure, use, wanted: bytes, waits_first: bool) -> None:
    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.reply(200, await use(worker))

    assert bodies(configure, handle, *["/"] * 4) == [wanted] * 4


def test_a_background_task_outlives_its_request(configure) -> None:
    tasks = set()
    done = threading.Event()

    async def later() -> None:
        await asyncio.sleep(0.01)
        done.set()

    async def handle(request, response, worker):
        tasks.add(asyncio.create_task(later()))
        response.reply(200, b"now")

    with connected(configure(handle, port=0)) as (_, client):
        client.sendall(get("/"))
        assert client.recv(1000).endswith(b"now")
        assert done.wait(20)


def test_a_failing_background_task_is_reported_and_nobody_else_suffers(configure, caplog) -> None:
    async def fail() -> None:
        raise LookupError("in the background")

    async def handle(request, response, worker):
        asyncio.create_task(fail())  # noqa: RUF006  # forgotten, as users do
        await asyncio.sleep(0.001)
        response.reply(200, b"fine")

    assert bodies(configure, handle, "/", "/") == [b"fine"] * 2
    assert "in the background" in caplog.text


def test_each_request_has_a_context_of_its_own_also_on_other_threads(configure) -> None:
    name: contextvars.ContextVar[bytes] = contextvars.ContextVar("name", default=b"none")

    async def handle(request, response, worker):
        seen = [name.get()]
        name.set(request.path)
        await asyncio.sleep(0.001)
        seen.append(name.get())
        seen.append(await asyncio.to_thread(name.get))
        seen.append(await worker.offload(name.get))
        response.reply(200, b" ".join(seen))

    scripts = [ask(get(f"/{n}") * 2, frames(2)) for n in range(20)]
    results = drive(configure(handle), scripts)
    for n, result in enumerate(results):
        assert result.bodies == [b"none /%d /%d /%d" % (n, n, n)] * 2


# Order and numbers.


async def wait_if_asked(request, response, worker):
    if request.path.startswith(b"/wait"):
        await asyncio.sleep(0.001)
    response.reply(200, request.path)


def test_pipelined_requests_behind_a_coroutine_that_waits_are_answered_in_order(configure) -> None:
    paths = ["/wait1", "/2", "/3", "/wait4", "/wait5", "/6"] * 20
    assert bodies(configure, wait_if_asked, *paths) == [path.encode() for path in paths]


def test_a_request_split_behind_a_coroutine_that_waits_is_answered_once_it_is_whole(configure) -> None:
    rounds = [Round(send=[get("/wait") + get("/1")[:9], get("/1")[9:]], until=frames(2))]
    results = drive(configure(wait_if_asked), [Script(rounds=rounds)])
    assert results[0].bodies == [b"/wait", b"/1"]


def test_a_thousand_coroutines_wait_at_once(configure) -> None:
    gate = []

    async def handle(request, response, worker):
        gate.append(asyncio.get_running_loop().create_future())
        if len(gate) == 1000:
            for future in gate:
                future.set_result(b"through")
        response.reply(200, await gate[-1] if len(gate) == 1000 else await gate[len(gate) - 1])

    results = drive(configure(handle), repeat(1000, ask(get("/"))))
    assert {tuple(result.bodies) for result in results} == {(b"through",)}
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


def test_others_are_served_while_a_coroutine_waits(configure) -> None:
    waiting = []

    async def handle(request, response, worker):
        if request.path == b"/wait":
            waiting.append(asyncio.Event())
            await waiting[0].wait()
        elif request.path == b"/go":
            waiting[0].set()
        response.reply(200, request.path)

    with connected(configure(handle, port=0)) as (server, one):
        one.sendall(get("/wait"))
        until(lambda: server.counters().parked == 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as two:
            for path in ("/1", "/2", "/go"):
                two.sendall(get(path))
                assert two.recv(1000).endswith(path.encode())
        assert one.recv(1000).endswith(b"/wait")


# What goes wrong.


class TeapotError(RefusedError):
    status = 418


async def raise_at_once(response) -> None:
    raise LookupError("on purpose")


async def raise_later(response) -> None:
    response.write(b"HTTP/1.1 200 OK\r\n")
    await asyncio.sleep(0)
    raise LookupError("on purpose")


async def exit_at_once(response) -> None:
    sys.exit("on purpose")


async def exit_later(response) -> None:
    await asyncio.sleep(0)
    sys.exit("on purpose")


async def interrupt_later(response) -> None:
    await asyncio.sleep(0)
    raise KeyboardInterrupt("on purpose")


async def refuse(response) -> None:
    raise TeapotError("on purpose")


async def refuse_later(response) -> None:
    await asyncio.sleep(0)
    raise TeapotError("on purpose")


async def overload_later(response) -> None:
    await asyncio.sleep(0)
    raise OverloadError("on purpose")


async def cancel_itself(response) -> None:
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def cancel_itself_later(response) -> None:
    await asyncio.sleep(0)
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def return_nonsense(response):
    return "nonsense"


async def return_nonsense_later(response):
    await asyncio.sleep(0)
    return "nonsense"


async def return_a_coroutine(response):
    return asyncio.sleep(0)


async def answer_nothing(response) -> None:
    await asyncio.sleep(0)


async def suspend_without_a_watch(response):
    await asyncio.sleep(0)
    return Step.SUSPEND


async def suspend_at_once_without_a_watch(response):
    return Step.SUSPEND


async def flush_no_head(response) -> None:
    await asyncio.sleep(0)
    response.write(b"nonsense")
    await response.flush()


async def flush_no_head_at_once(response) -> None:
    response.write(b"nonsense")
    await response.flush()


FAILURES = [
    (raise_at_once, 500, "on purpose"),
    (raise_later, 500, "on purpose"),
    (exit_at_once, 500, "on purpose"),
    (exit_later, 500, "on purpose"),
    (interrupt_later, 500, "on purpose"),
    (refuse, 418, "on purpose"),
    (refuse_later, 418, "on purpose"),
    (overload_later, 503, "on purpose"),
    (cancel_itself, 500, "CancelledError"),
    (cancel_itself_later, 500, "CancelledError"),
    (return_nonsense, 500, "'nonsense': return Step.DONE"),
    (return_nonsense_later, 500, "'nonsense': return Step.DONE"),
    (return_a_coroutine, 500, "the coroutine"),
    (answer_nothing, 500, "no response"),
    (suspend_without_a_watch, 500, "watches nothing"),
    (suspend_at_once_without_a_watch, 500, "watches nothing"),
    (flush_no_head, 500, "no head"),
    (flush_no_head_at_once, 500, "no head"),
]


@pytest.mark.parametrize(("fail", "status", "reason"), FAILURES, ids=lambda value: getattr(value, "__name__", None))
def test_a_coroutine_that_fails_before_it_sends_is_answered_a_status_and_closes(
    configure, caplog, fail, status: int, reason: str
) -> None:
    async def handle(request, response, worker):
        if request.path == b"/fine":
            return response.reply(200, b"fine")
        return await fail(response)

    caplog.set_level("INFO")
    results = drive(configure(handle), [ask(get("/fail") + get("/never"), eof), ask(get("/fine"))])
    assert [frame.status for frame in results[0].frames] == [status]
    assert results[0].frames[0].closes
    assert results[1].bodies == [b"fine"]
    assert reason in caplog.text
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


@pytest.mark.parametrize("fail", [raise_later, exit_later, refuse_later, cancel_itself_later, return_nonsense_later])
@pytest.mark.parametrize("waits_first", [False, True], ids=["first_step", "later_step"])
def test_a_coroutine_that_fails_after_a_flush_has_its_answer_cut_off(
    configure, caplog, fail, waits_first: bool
) -> None:
    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        response.start(200)
        response.write(b"begin")
        await response.flush()
        return await fail(response)

    caplog.set_level("INFO")
    results = drive(configure(handle), [ask(get("/") + get("/never"), eof)])
    assert results[0].raw.startswith(b"HTTP/1.1 200 OK\r\n")
    assert results[0].raw.endswith(b"5\r\nbegin\r\n")
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


def test_a_coroutine_closes_its_connection_by_its_step(configure) -> None:
    async def handle(request, response, worker):
        await asyncio.sleep(0)
        response.reply(200, b"last")
        return Step.CLOSE

    results = drive(configure(handle), [ask(get("/") * 2, eof)])
    assert results[0].bodies == [b"last"]
    assert results[0].frames[0].closes


def test_a_coroutine_on_a_server_that_is_not_async_is_answered_500_with_advice(configure, caplog) -> None:
    async def later():
        raise AssertionError("nobody runs it")

    def handle(request, response, worker):
        return later()

    results = drive(configure(handle), [ask(get("/"), eof)])
    assert [frame.status for frame in results[0].frames] == [500]
    assert "is_async" in caplog.text


class Router:
    """Answers /step without a coroutine, everything else with one."""

    is_async = True

    def __call__(self, request, response, worker):
        if request.path == b"/step":
            response.reply(200, b"step")
            return Step.DONE
        return self.later(request, response)

    async def later(self, request, response):
        if request.path == b"/waits":
            await asyncio.sleep(0)
        response.reply(200, b"coroutine")


def test_an_object_that_is_async_returns_coroutines_or_steps(configure) -> None:
    paths = ["/step", "/waits", "/at_once", "/step"]
    assert bodies(configure, Router(), *paths) == [b"step", b"coroutine", b"coroutine", b"step"]


# Clients that go.


def test_a_coroutine_whose_client_goes_is_cancelled_at_its_await_and_cleans_up(configure) -> None:
    seen = []

    async def handle(request, response, worker):
        seen.append(request)
        try:
            await worker.sleep(1000)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0.001)  # cleaning up may wait
            seen.append(request.disconnected)

    with Server(configure(handle, port=0)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        until(lambda: server.counters().parked == 1)
        reset(client)
        until(lambda: seen[1:] == ["cancelled", True])
        until(lambda: is_idle(server))


@pytest.mark.parametrize("configured", ["cancel", "ignore"])
@pytest.mark.parametrize("asked", [None, "cancel", "ignore"])
@pytest.mark.parametrize("waits_first", [False, True], ids=["asked_at_once", "asked_later"])
def test_what_becomes_of_a_coroutine_without_a_client_is_said_by_request_or_config(
    configure, configured: str, asked: str | None, waits_first: bool
) -> None:
    seen, gates = [], []

    async def handle(request, response, worker):
        if waits_first:
            await asyncio.sleep(0)
        request.on_disconnect = asked
        gates.append(asyncio.Event())
        try:
            await gates[0].wait()
            response.start(200)
            response.write(b"unheard")
            await response.flush()
            seen.append("came to its end")
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with Server(configure(handle, port=0, on_disconnect=configured)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        until(lambda: gates)
        reset(client)
        until(lambda: server.counters().open == 0)
        server.workers[0].post(lambda: server.workers[0].post(gates[0].set))
        until(lambda: seen)
    assert seen == ["cancelled" if (asked or configured) == "cancel" else "came to its end"]


def test_a_shutdown_waits_for_a_coroutine_that_goes_on_without_its_client(configure) -> None:
    seen, gates = [], []

    async def handle(request, response, worker):
        gates.append(asyncio.Event())
        await gates[0].wait()
        await worker.sleep(0.05)
        seen.append("came to its end")

    server = Server(configure(handle, port=0, on_disconnect="ignore"))
    server.start()
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(get("/"))
    until(lambda: gates)
    reset(client)
    until(lambda: server.counters().open == 0)
    server.workers[0].post(gates[0].set)
    server.shutdown(20)
    assert seen == ["came to its end"]


def test_a_client_that_only_shuts_its_writing_side_is_answered(configure) -> None:
    gates = []

    async def handle(request, response, worker):
        gates.append(asyncio.Event())
        await gates[0].wait()
        response.reply(200, request.path)

    with connected(configure(handle, port=0)) as (server, client):
        client.sendall(get("/half"))
        client.shutdown(socket.SHUT_WR)
        until(lambda: gates)
        server.workers[0].post(gates[0].set)
        assert read_all(client).endswith(b"/half")


def test_a_client_that_goes_during_a_flush_has_its_coroutine_cancelled(configure) -> None:
    seen = []

    async def handle(request, response, worker):
        response.start(200)
        try:
            while True:
                response.write(BIG)
                seen.append(len(BIG))
                await response.flush()
        finally:
            seen.append("over")

    with Server(configure(handle, port=0)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        assert client.recv(10_000)
        reset(client)
        until(lambda: seen[-1] == "over")
        until(lambda: is_idle(server))


# Flushing, and streaming.


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


# Waiting for descriptors and timers.


def test_a_wait_that_is_cancelled_leaves_its_descriptor_alone_and_free(configure) -> None:
    async def handle(request, response, worker):
        ends = os.pipe()
        try:
            for _ in range(3):  # it would be watched already if a wait left its watch behind
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.002):
                        await worker.readable(ends[0])
            os.write(ends[1], b"x")
            event = await worker.readable(ends[0])
            response.reply(200, b"%d %b" % (event, os.read(ends[0], 1)))
        finally:
            for fd in ends:
                os.close(fd)

    assert bodies(configure, handle, "/", "/") == [b"%d x" % Event.READABLE] * 2


def test_waits_that_cannot_be_are_refused(configure, tmp_path) -> None:
    async def handle(request, response, worker):
        with open(tmp_path / "file", "wb") as regular, pytest.raises(OSError, match="regular file"):
            await worker.readable(regular.fileno())
        ends = os.pipe()
        first = asyncio.create_task(worker.readable(ends[0]))
        await asyncio.sleep(0)
        with pytest.raises(ValueError, match="watched already"):
            await worker.readable(ends[0])
        first.cancel()
        await asyncio.wait([first])
        for fd in ends:
            os.close(fd)
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
def test_work_beyond_the_queue_is_refused_until_there_is_room(configure, kind: str) -> None:
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
            assert b"done" in client.recv(1000)
        clients[3].sendall(get("/"))
        assert b"done" in clients[3].recv(1000)


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_goes_leaves_its_offloaded_work_to_end_alone(configure, kind: str) -> None:
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
            assert b"next" in after.recv(1000)


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


# Shutting down.


def start_one(configure, handle, **settings):
    """A server, with one client whose request is being answered by a coroutine."""
    server = Server(configure(handle, port=0, **settings))
    server.start()
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(get("/"))
    until(lambda: server.counters().parked == 1)
    return server, client


def test_a_shutdown_waits_for_coroutines_that_end_within_its_grace(configure) -> None:
    async def handle(request, response, worker):
        while not worker.draining:
            await worker.sleep(0.001)
        await worker.sleep(0.02)
        response.reply(200, b"in time")

    server, client = start_one(configure, handle)
    server.shutdown(20)
    answer = read_all(client)
    assert answer.endswith(b"in time")
    assert b"Connection: close" in answer
    client.close()


def test_coroutines_that_do_not_end_within_the_grace_are_cancelled_and_clean_up(configure) -> None:
    seen = []

    async def handle(request, response, worker):
        try:
            await worker.sleep(1000)
        finally:
            await asyncio.sleep(0.01)
            await worker.sleep(0.01)
            seen.append(await asyncio.to_thread(bytes, b"cleaned up"))

    server, client = start_one(configure, handle)
    server.shutdown(0.02)
    assert seen == [b"cleaned up"]
    assert read_all(client) == b""
    client.close()


def test_background_tasks_are_cancelled_when_the_server_ends(configure) -> None:
    seen = []

    async def work() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append("cleaned up")

    async def handle(request, response, worker):
        seen.append(asyncio.create_task(work()))
        response.reply(200)

    with connected(configure(handle, port=0)) as (_, client):
        client.sendall(get("/"))
        client.recv(1000)
    assert seen[1:] == ["cleaned up"]


def test_a_clean_up_that_does_not_end_is_left_after_a_bound(configure, monkeypatch, caplog) -> None:
    monkeypatch.setattr(coroutines, "CLEAN_UP_SECONDS", 0.05)
    stopped = []

    async def handle(request, response, worker):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await worker.sleep(1000)

    server, client = start_one(configure, handle, on_worker_stop=stopped.append)
    server.shutdown(0.01)
    assert "does not end within" in caplog.text
    assert len(stopped) == 1
    client.close()


def test_a_last_hook_that_does_not_end_is_left_after_a_bound(configure, monkeypatch, caplog) -> None:
    monkeypatch.setattr(coroutines, "CLEAN_UP_SECONDS", 0.05)

    async def on_worker_stop(worker):
        await worker.sleep(1000)

    with Server(configure(wait_if_asked, port=0, on_worker_stop=on_worker_stop)):
        pass
    assert "on_worker_stop raised" in caplog.text


def test_streams_are_told_of_a_shutdown_after_plain_answers_are_finished(configure) -> None:
    order, gates = [], []

    async def handle(request, response, worker):
        if request.path == b"/stream":
            response.start(200)
            response.write(b"begin")
            await response.flush()
            await worker.draining
            order.append("stream")
            response.write(b"end")
        else:
            gates.append(asyncio.Event())
            await gates[0].wait()
            await worker.sleep(0.02)
            order.append("plain")
            response.reply(200, b"plain")

    server = Server(configure(handle, port=0))
    server.start()
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(2)]
    for client, path in zip(clients, ("/stream", "/plain"), strict=True):
        client.sendall(get(path))
    until(lambda: server.counters().parked == 2)
    server.workers[0].post(gates[0].set)
    server.shutdown(20)
    assert order == ["plain", "stream"]
    assert read_all(clients[0]).endswith(b"5\r\nbegin\r\n3\r\nend\r\n0\r\n\r\n")
    assert read_all(clients[1]).endswith(b"plain")
    for client in clients:
        client.close()


# Hooks.


def test_hooks_may_wait_and_nothing_is_accepted_before_they_are_done(configure) -> None:
    order = []

    async def make_state():
        await asyncio.sleep(0.01)
        order.append("make_state")
        return asyncio.get_running_loop()

    async def on_worker_start(worker):
        await worker.sleep(0.01)
        order.append(("on_worker_start", worker.counters().accepted))

    async def on_worker_stop(worker):
        await asyncio.sleep(0.01)
        order.append(("on_worker_stop", asyncio.get_running_loop() is worker.state))

    async def handle(request, response, worker):
        order.append("handle")
        response.reply(200, b"%d" % (asyncio.get_running_loop() is worker.state))

    hooks = {"make_state": make_state, "on_worker_start": on_worker_start, "on_worker_stop": on_worker_stop}
    with connected(configure(handle, port=0, **hooks)) as (_, client):
        client.sendall(get("/"))
        assert client.recv(1000).endswith(b"1")
    assert order == ["make_state", ("on_worker_start", 0), "handle", ("on_worker_stop", True)]


def test_a_client_that_comes_while_a_hook_waits_is_served_after_it(configure, tmp_path) -> None:
    order = []
    path = str(tmp_path / "socket")

    async def on_worker_start(worker):
        client.connect(path)  # the backlog takes it
        client.sendall(get("/"))
        for _ in range(20):
            await worker.sleep(0.001)
        order.append("started")

    async def handle(request, response, worker):
        order.append("handle")
        response.reply(200, b"served")

    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        with Server(configure(handle, uds=path, on_worker_start=on_worker_start)):
            assert client.recv(1000).endswith(b"served")
    assert order == ["started", "handle"]


@pytest.mark.parametrize("name", ["make_state", "on_worker_start"])
def test_a_server_whose_hook_fails_does_not_start(configure, name: str) -> None:
    async def fail(*worker):
        await asyncio.sleep(0)
        raise LookupError("on purpose")

    server = Server(configure(wait_if_asked, port=0, **{name: fail}))
    with pytest.raises(LookupError, match="on purpose"):
        server.start()


def test_a_last_hook_that_fails_is_reported(configure, caplog) -> None:
    async def fail(worker):
        await asyncio.sleep(0)
        raise LookupError("on purpose")

    with Server(configure(wait_if_asked, port=0, on_worker_stop=fail)):
        pass
    assert "on_worker_stop raised" in caplog.text
    assert "on purpose" in caplog.text


@pytest.mark.parametrize("name", ["make_state", "on_worker_start", "on_worker_stop"])
def test_a_hook_that_waits_is_refused_beside_a_plain_handler(configure, echo, name: str) -> None:
    async def wait(*worker):
        raise AssertionError("nobody runs it")

    with pytest.raises(ConfigError, match=name):
        Server(configure(echo, port=0, **{name: wait}))


# What it costs, and what is told of it.


@pytest.mark.parametrize(("kind", "has_asyncio"), [("def", False), ("async def", True)])
def test_asyncio_is_imported_for_async_handlers_only(backend: str, kind: str, has_asyncio: bool) -> None:
    program = f"""
import socket, sys
import vanilla

{kind} handle(request, response, worker):
    response.reply(200)

with vanilla.Server(vanilla.ServerConfig(handle, workers=1, port=0, backend={backend!r})) as server:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        print(client.recv(1000)[9:12].decode(), "asyncio" in sys.modules)
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout == f"200 {has_asyncio}\n"


def test_coroutines_are_timed_like_any_other_handler(configure) -> None:
    timings = []

    async def handle(request, response, worker):
        if request.path == b"/streams":
            response.start(202, length=5)
            response.write(b"ab")
            await response.flush()
            await asyncio.sleep(0.001)
            response.write(b"cde")
        elif request.path == b"/fails":
            await asyncio.sleep(0)
            raise TeapotError("on purpose")
        else:
            if request.path == b"/waits":
                await asyncio.sleep(0.001)
            response.reply(203, request.path)

    paths = ["/at_once", "/waits", "/streams", "/fails"]
    script = ask(b"".join(map(get, paths)), eof)
    results = drive(configure(handle, on_timing=timings.append), [script])
    assert [timing.target.decode() for timing in timings] == paths
    assert [timing.status for timing in timings] == [203, 203, 202, 418]
    assert sum(timing.response_bytes for timing in timings) == len(results[0].raw)
    for timing in timings:
        assert 0 < timing.received_ns <= timing.entered_ns < timing.returned_ns <= timing.sent_ns


def test_a_coroutine_that_flushes_to_a_client_that_goes_comes_to_its_end_if_told_to(configure) -> None:
    seen = []

    async def handle(request, response, worker):
        response.start(200)
        for _ in range(1024):  # 64 MiB: more than any socket buffers
            response.write(BIG)
            await response.flush()
        seen.append("came to its end")

    with Server(configure(handle, port=0, on_disconnect="ignore")) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        assert client.recv(10_000)
        reset(client)
        until(lambda: seen)
        until(lambda: is_idle(server))


@pytest.mark.parametrize("is_async", [True, False])
def test_an_endless_stream_ends_with_its_client_even_if_coroutines_go_on_without_theirs(configure, is_async) -> None:
    seen = []

    async def endless_async():
        try:
            while True:
                yield BIG
        finally:
            seen.append("closed")

    def endless():
        try:
            while True:
                yield BIG
        finally:
            seen.append("closed")

    async def handle(request, response, worker):
        await asyncio.sleep(0)
        response.start(200)
        response.stream(endless_async() if is_async else endless())

    with Server(configure(handle, port=0, on_disconnect="ignore")) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        assert client.recv(10_000)
        reset(client)
        until(lambda: seen == ["closed"])
        until(lambda: is_idle(server))


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
