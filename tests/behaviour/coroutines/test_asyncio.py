"""What asyncio offers works in a handler: tasks, contexts and time-outs, in order, and at what cost."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import socket
import subprocess
import sys
import threading

import pytest

from system import close, open_pair, until, write
from vanilla import Event, RefusedError, Server
from vanilla.testing import Round, Script, ask, drive, eof, frames, repeat


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


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


class TeapotError(RefusedError):
    status = 418


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
    reader, writer = open_pair()
    try:
        writable = await worker.writable(writer)
        write(writer, b"x")
        readable = await worker.readable(reader)
        await worker.sleep(0.001)
        return b"%d %d" % (writable, readable)
    finally:
        close(reader)
        close(writer)


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


def test_a_background_task_outlives_its_request(configure, receive_answer) -> None:
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
        assert receive_answer(client).endswith(b"now")
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


def test_others_are_served_while_a_coroutine_waits(configure, receive_answer) -> None:
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
                assert receive_answer(two).endswith(path.encode())
        assert receive_answer(one).endswith(b"/wait")


# What it costs, and what is told of it.


@pytest.mark.parametrize(("kind", "has_asyncio"), [("def", False), ("async def", True)])
def test_asyncio_is_imported_for_async_handlers_only(backend: str, kind: str, has_asyncio: bool) -> None:
    program = f"""
import socket, sys
import vanilla

{kind} handle(request, response, worker):
    response.reply(200)

with vanilla.Server(vanilla.ServerConfig(handle, workers=1, port=0, backend={backend!r})) as server:
    address = ("127.0.0.1", server.port)
    with socket.create_connection(address, timeout=20) as client, client.makefile("rb") as answer:
        client.sendall(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")
        print(answer.readline()[9:12].decode(), "asyncio" in sys.modules)
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
