"""compose: handlers wrapped in middleware, whatever they are."""

from __future__ import annotations

import asyncio

import pytest

from vanilla import Server, ServerConfig, Step, streaming
from vanilla.streaming import may_return_coroutines, streams_requests
from vanilla.toolkit.composition import awaitable, compose
from vanilla.toolkit.routing import Router

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def plain(request, response, worker):
    response.reply(200, b"content")


async def coroutine(request, response, worker):
    await asyncio.sleep(0)
    response.reply(200, b"content")


def waiting(request, response, worker):
    def go_on(request, response, worker, payload, event):
        response.reply(200, b"content")

    worker.park().resume(go_on)
    return Step.SUSPEND


def marking(mark: str):
    """A middleware that appends its mark to a field of the answer, and to that of the request's way."""

    def middleware(inner):
        def handle(request, response, worker):
            def leave(request, response, worker):
                way = response.header("x-way", b"")
                response.set_header("X-Way", way + mark.encode())

            response.before_send(leave)
            return inner(request, response, worker)

        return handle

    return middleware


def refusing(inner):
    def handle(request, response, worker):
        response.reply(403)

    return handle


@pytest.mark.parametrize("handler", [plain, coroutine, waiting])
def test_the_first_middleware_is_the_outermost_and_sees_every_answer(handler) -> None:
    composed = compose(handler, marking("a"), marking("b"), marking("c"))
    [answer] = Server(ServerConfig(composed)).test([GET * 2])
    assert answer.count(b"X-Way: cba\r\n") == 2
    assert answer.count(b"content") == 2


@pytest.mark.parametrize("handler", [plain, coroutine, waiting])
def test_a_middleware_that_answers_keeps_the_handler_from_being_called(handler) -> None:
    composed = compose(handler, marking("a"), refusing, marking("b"))
    [answer] = Server(ServerConfig(composed)).test([GET])
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"X-Way: a\r\n" in answer


@pytest.mark.parametrize("handler", [plain, coroutine])
def test_an_async_middleware_awaits_any_handler(handler) -> None:
    def middleware(inner):
        call = awaitable(inner)

        async def handle(request, response, worker):
            await worker.sleep(0)
            await call(request, response, worker)
            response.set_header("X-After", str(response.status))

        return handle

    composed = compose(handler, marking("a"), middleware)
    assert may_return_coroutines(composed)
    [answer] = Server(ServerConfig(composed)).test([GET])
    assert b"X-After: 200\r\n" in answer
    assert b"X-Way: a\r\n" in answer


def test_it_is_called_once_at_the_start() -> None:
    called = []

    def middleware(inner):
        called.append(inner)
        return inner

    composed = compose(plain, middleware)
    Server(ServerConfig(composed)).test([GET * 3])
    assert called == [plain]


def test_without_middleware_it_is_the_handler_itself() -> None:
    assert compose(plain) is plain


def test_marks_are_handed_on_through_whatever_a_middleware_returns() -> None:
    class Wrapper:
        __slots__ = ("inner",)

        def __init__(self, inner):
            self.inner = inner

        def __call__(self, request, response, worker):
            return self.inner(request, response, worker)

    @streaming
    async def streams(request, response, worker):
        response.reply(200, b"%d" % len(await request.read()))

    composed = compose(streams, Wrapper, marking("a"), Wrapper)
    assert may_return_coroutines(composed)
    assert streams_requests(composed)
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
    [answer] = Server(ServerConfig(composed)).test([post])
    assert answer.endswith(b"\r\n\r\n3")
    assert not may_return_coroutines(compose(plain, Wrapper))


def test_a_router_is_composed_like_any_handler() -> None:
    router = Router()
    router.get("/", coroutine)
    composed = compose(router, marking("a"))
    [answer, missing] = Server(ServerConfig(composed)).test([GET, GET.replace(b"/ ", b"/x ")])
    assert b"X-Way: a\r\n" in answer
    assert missing.startswith(b"HTTP/1.1 404 ")
    assert b"X-Way: a\r\n" in missing


@pytest.mark.parametrize(("handler", "middleware"), [(3, ()), (plain, (3,)), (plain, (lambda inner: None,))])
def test_what_cannot_be_called_is_refused(handler, middleware) -> None:
    with pytest.raises(TypeError, match=r"cannot be called|give a function|return a handler"):
        compose(handler, *middleware)
