"""A shutdown waits for coroutines, then cancels them, and bounds how long they clean up."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from system import until
from vanilla import Server
from vanilla.engine import coroutines


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def read_all(client: socket.socket) -> bytes:
    """Everything until the server closes."""
    return b"".join(iter(lambda: client.recv(65_536), b""))


@contextlib.contextmanager
def connected(config):
    """A running server, and a client of it."""
    with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        yield server, client


async def wait_if_asked(request, response, worker):
    if request.path.startswith(b"/wait"):
        await asyncio.sleep(0.001)
    response.reply(200, request.path)


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


def test_background_tasks_are_cancelled_when_the_server_ends(configure, receive_answer) -> None:
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
        receive_answer(client)
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
