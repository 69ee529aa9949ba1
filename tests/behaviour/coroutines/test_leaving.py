"""Clients that leave while a coroutine answers them: it is cancelled, or goes on unheard."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from system import reset, until
from vanilla import Server

BIG = b"0123456789abcde\n" * 4096  # 64 KiB


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


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
