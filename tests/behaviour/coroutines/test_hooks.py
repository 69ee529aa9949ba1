"""Hooks that wait: nothing is accepted before they are done."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from vanilla import ConfigError, Server


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


@contextlib.contextmanager
def connected(config):
    """A running server, and a client of it."""
    with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        yield server, client


async def wait_if_asked(request, response, worker):
    if request.path.startswith(b"/wait"):
        await asyncio.sleep(0.001)
    response.reply(200, request.path)


def test_hooks_may_wait_and_nothing_is_accepted_before_they_are_done(configure, receive_answer) -> None:
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
        assert receive_answer(client).endswith(b"1")
    assert order == ["make_state", ("on_worker_start", 0), "handle", ("on_worker_stop", True)]


def test_a_client_that_comes_while_a_hook_waits_is_served_after_it(configure, receive_answer) -> None:
    order = []
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()

    async def on_worker_start(worker):
        client.connect(address)  # the backlog takes it
        client.sendall(get("/"))
        for _ in range(20):
            await worker.sleep(0.001)
        order.append("started")

    async def handle(request, response, worker):
        order.append("handle")
        response.reply(200, b"served")

    with socket.socket() as client:
        client.settimeout(20)
        with Server(configure(handle, port=address[1], on_worker_start=on_worker_start)):
            assert receive_answer(client).endswith(b"served")
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
