"""before_send: functions that look at an answer, and change it, before it leaves."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import socket
import struct
import threading

import pytest

from vanilla import Server, Step
from vanilla.errors import RefusedError

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def configure(configure):
    """On a free port."""
    return functools.partial(configure, port=0)


def replies(request, response, worker):
    response.reply(200, b"content")


def writes_raw(request, response, worker):
    response += b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncontent"


def starts(request, response, worker):
    response.start(200)
    response.write(b"content")


def streams(request, response, worker):
    response.start(200, length=7)
    response.stream([b"con", b"tent"])


def informs(request, response, worker):
    response.inform(103, {"Link": "</a>"})
    response.reply(200, b"content")


def waits(request, response, worker):
    def go_on(request, response, worker, payload, event):
        response.reply(200, b"content")

    worker.park().resume(go_on)
    return Step.SUSPEND


def waits_in_the_midst(request, response, worker):
    def go_on(request, response, worker, payload, event):
        response.write(b"tent")

    response.start(200)
    response.write(b"con")
    worker.park().resume(go_on)
    return Step.SUSPEND


async def awaits(request, response, worker):
    await asyncio.sleep(0)
    response.reply(200, b"content")


async def awaits_nothing(request, response, worker):
    response.reply(200, b"content")


async def flushes(request, response, worker):
    response.start(200)
    response.write(b"con")
    await response.flush()
    response.write(b"tent")


async def flushes_later(request, response, worker):
    await asyncio.sleep(0)
    response.start(200)
    response.write(b"con")
    await response.flush()
    response.write(b"tent")


HANDLERS = [
    replies,
    writes_raw,
    starts,
    streams,
    informs,
    waits,
    waits_in_the_midst,
    awaits,
    awaits_nothing,
    flushes,
    flushes_later,
]
COMPLETE = [replies, writes_raw, informs, waits, awaits, awaits_nothing]


def hooked(handler, *hooks):
    """A handler that registers hooks before another one."""

    def handle(request, response, worker):
        for hook in hooks:
            response.before_send(hook)
        return handler(request, response, worker)

    handle.is_async = asyncio.iscoroutinefunction(handler)
    return handle


def body_of(answer: bytes) -> bytes:
    """The content of a final answer, chunks put together."""
    head, _, content = answer.rpartition(b"HTTP/1.1 200 OK")[2].partition(b"\r\n\r\n")
    if b"chunked" not in head:
        return content
    return b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", content))


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_hook_sees_the_status_and_edits_the_head_of_any_answer(configure, handler) -> None:
    seen = []

    def hook(request, response, worker):
        seen.append((response.status, request.path))
        response.set_header("X-Hook", str(worker.index))
        response.remove_header("Date")

    [answer] = Server(configure(hooked(handler, hook))).test([GET * 3])
    answers = answer.split(b"HTTP/1.1 200 OK")[1:]
    assert len(answers) == 3
    for each in answers:
        assert each.count(b"X-Hook: 0\r\n") == 1
        assert b"Date: " not in each
        assert body_of(b"HTTP/1.1 200 OK" + each.split(b"HTTP/1.1 103")[0]) == b"content"
    assert seen == [(200, b"/")] * 3


def test_the_hook_registered_last_is_called_first_and_once(configure) -> None:
    called = []
    hooks = [lambda *_, number=number: called.append(number) for number in range(3)]
    [answer] = Server(configure(hooked(replies, *hooks))).test([GET * 2])
    assert answer.count(b"200 OK") == 2
    assert called == [2, 1, 0] * 2


def test_a_hook_may_register_another_that_is_called_next(configure) -> None:
    called = []

    def first(request, response, worker):
        called.append("first")
        response.before_send(lambda *_: called.append("second"))

    Server(configure(hooked(replies, lambda *_: called.append("third"), first))).test([GET])
    assert called == ["first", "second", "third"]


@pytest.mark.parametrize("handler", COMPLETE)
@pytest.mark.parametrize("content", [b"", b"else", b"z" * 200_000])
def test_a_hook_replaces_the_content(configure, handler, content: bytes) -> None:
    def hook(request, response, worker):
        assert response.content == b"content"
        response.replace_content(content)

    [answer] = Server(configure(hooked(handler, hook))).test([GET])
    assert body_of(answer) == content
    assert b"Content-Length: %d\r\n" % len(content) in answer


@pytest.mark.parametrize("handler", COMPLETE)
def test_a_hook_replaces_the_whole_answer(configure, handler) -> None:
    def hook(request, response, worker):
        response.clear()
        response.reply(304, headers={"ETag": '"1"'})

    [answer] = Server(configure(hooked(handler, hook))).test([GET * 2])
    assert answer.count(b"HTTP/1.1 304 Not Modified\r\n") == 2
    assert b"200 OK" not in answer


def test_a_hook_may_answer_in_chunks_at_once(configure) -> None:
    def hook(request, response, worker):
        response.clear()
        response.start(200)
        response.write(b"chunk")

    for handler in (replies, starts):
        [answer] = Server(configure(hooked(handler, hook))).test([GET * 2])
        assert answer.count(b"5\r\nchunk\r\n0\r\n\r\n") == 2
        assert b"content\r\n" not in answer


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_hook_that_raises_makes_the_answer_a_500_that_the_others_see(configure, handler, caplog) -> None:
    seen = []

    def fails(request, response, worker):
        raise KeyError("hook")

    def looks(request, response, worker):
        seen.append(response.status)
        response.set_header("X-Seen", "yes")

    [answer] = Server(configure(hooked(handler, looks, fails))).test([GET])
    assert answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"500 ")
    assert b"X-Seen: yes\r\n" in answer
    assert b"Connection: close\r\n" in answer
    assert b"content" not in answer
    assert seen == [500]
    assert "a before_send hook raised" in caplog.text


@pytest.mark.parametrize("handler", HANDLERS)
def test_a_status_that_a_hook_raises_is_answered(configure, handler) -> None:
    class TeapotError(RefusedError):
        status = 418

    def refuses(request, response, worker):
        raise TeapotError

    [answer] = Server(configure(hooked(handler, refuses))).test([GET])
    assert answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"418 ")


@pytest.mark.parametrize("kind", ["sync", "async", "waiting"])
def test_a_hook_sees_the_refusal_of_a_handler_that_raised(configure, kind: str) -> None:
    def fails(request, response, worker):
        response.write(b"half of")
        raise KeyError

    async def fails_later(request, response, worker):
        response.write(b"half of")
        await asyncio.sleep(0)
        raise KeyError

    def fails_waiting(request, response, worker):
        def go_on(*_):
            raise KeyError

        worker.park().resume(go_on)
        return Step.SUSPEND

    seen = []

    def hook(request, response, worker):
        seen.append(response.status)
        response.clear()
        response.reply(500, b"sorry")

    handler = {"sync": fails, "async": fails_later, "waiting": fails_waiting}[kind]
    [answer] = Server(configure(hooked(handler, hook))).test([GET])
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"sorry")
    assert b"Connection: close\r\n" in answer
    assert seen == [500]


@pytest.mark.parametrize("handler", [waits_in_the_midst, flushes, flushes_later])
def test_an_answer_that_has_begun_cannot_be_replaced(configure, handler, caplog) -> None:
    def hook(request, response, worker):
        response.clear()
        response.reply(304)

    [answer] = Server(configure(hooked(handler, hook))).test([GET])
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "replaced an answer that has begun" in caplog.text


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (lambda request, response, worker: response.clear(), "no response"),
        (lambda request, response, worker: (response.clear(), response.write(b"HTTP/1.1 200 OK\r\n")), "no whole head"),
        (lambda request, response, worker: (response.clear(), response.stream([b"x"])), r"stream\(\)"),
        (lambda request, response, worker: (response.clear(), response.start(200, length=3)), "left content out"),
        (lambda request, response, worker: worker.park(), "hook raised"),
        (lambda request, response, worker: response.on_drained(print), "hook raised"),
    ],
)
@pytest.mark.parametrize("handler", [replies, waits, awaits])
def test_what_a_hook_may_not_do_is_answered_500_and_logged(configure, handler, deed, why, caplog) -> None:
    [answer] = Server(configure(hooked(handler, deed))).test([GET])
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert re.search(why, caplog.text)


@pytest.mark.parametrize("handler", [replies, waits, awaits, waits_in_the_midst, flushes_later])
def test_a_hook_may_write_to_other_connections(configure, handler) -> None:
    """Their bytes go through the same buffer, and may be sent from within it."""
    listeners = []

    def listen(request, response, worker):
        response.start(200, {"Connection": "close"}, length=100_000)
        listeners.append(worker.park())
        return Step.SUSPEND

    def handle(request, response, worker):
        if request.path == b"/listen":
            return listen(request, response, worker)
        response.before_send(hook)
        return handler(request, response, worker)

    def hook(request, response, worker):
        assert worker.write_each(listeners, b"x" * 20_000, 2**30) == []
        for listener in listeners:
            listener.write(b"y" * 5_000)
            if request.path == b"/last":
                listener.finish()
        response.set_header("X-Hook", "yes")

    handle.is_async = True
    with Server(configure(handle)) as server, contextlib.ExitStack() as stack:

        def connect(path: bytes) -> socket.socket:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            client.sendall(GET.replace(b"/ ", path + b" "))
            return client

        clients = [connect(b"/listen") for _ in range(3)]
        assert [client.recv(9) for client in clients] == [b"HTTP/1.1 "] * 3
        for path in (b"/", b"/", b"/", b"/last"):
            answer = connect(path).recv(100)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        for client in clients:
            with client.makefile("rb") as file:
                assert file.read().endswith(b"\r\n\r\n" + (b"x" * 20_000 + b"y" * 5_000) * 4)


def test_hooks_of_a_request_are_not_those_of_the_next(configure) -> None:
    called = []

    def handle(request, response, worker):
        if request.path == b"/first":
            response.before_send(lambda *_: called.append(request.path))
        response.reply(200, b"")

    Server(configure(handle)).test([GET.replace(b"/ ", b"/first ") + GET * 3])
    assert called == [b"/first"]


def test_the_answer_that_switches_protocols_is_seen_too(configure) -> None:
    class Silent:
        def received(self, data):
            connection[0].close()

        def drained(self):
            pass

        def closed(self, reason):
            pass

    connection = []

    def handle(request, response, worker):
        response += b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
        connection.append(response.takeover(Silent()))

    def hook(request, response, worker):
        assert response.status == 101
        response.add_header("X-Hook", "yes")

    upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes"
    [answer] = Server(configure(hooked(handle, hook))).test([upgrade])
    assert answer.endswith(b"Upgrade: x\r\nX-Hook: yes\r\n\r\n")


def test_an_answer_to_head_keeps_what_a_hook_says_of_its_content(configure) -> None:
    def hook(request, response, worker):
        assert response.content == b"content"
        response.replace_content(b"longer content")

    [answer] = Server(configure(hooked(replies, hook))).test([GET.replace(b"GET", b"HEAD")])
    assert b"Content-Length: 14\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def test_once_the_head_has_left_it_is_neither_seen_nor_changed(configure) -> None:
    seen = []

    def handle(request, response, worker):
        def go_on(request, response, worker, payload, event):
            for deed in (lambda: response.headers(), lambda: response.before_send(print)):
                with pytest.raises(RuntimeError, match="has left"):
                    deed()
            seen.append(response.status)

        response.start(200)
        response.write(b"x")
        worker.park().resume(go_on)
        return Step.SUSPEND

    [answer] = Server(configure(handle)).test([GET])
    assert answer.endswith(b"0\r\n\r\n")
    assert seen == [0]


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("after_disconnect", ["cancel", "ignore"])
def test_what_stands_in_for_a_hook_is_called_when_the_client_goes_away(
    configure, is_async, after_disconnect, receive_answer
) -> None:
    called = []
    parked = threading.Event()
    gone = threading.Event()

    def register(request, response):
        request.on_disconnect = after_disconnect
        response.before_send(lambda *_: called.append("hook"), otherwise=lambda: called.append("first"))
        response.before_send(lambda *_: called.append("hook"))
        response.before_send(
            lambda *_: called.append("hook"), otherwise=lambda: (called.append("last"), gone.set(), int("x"))
        )
        parked.set()

    async def awaits_for_long(request, response, worker):
        register(request, response)
        await worker.sleep(0 if request.path == b"/answered" else 1000)
        response.reply(200)

    def waits_for_long(request, response, worker):
        register(request, response)
        if request.path == b"/answered":
            return response.reply(200)
        worker.park()
        return Step.SUSPEND

    with Server(configure(awaits_for_long if is_async else waits_for_long)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(GET.replace(b"/ ", b"/answered "))
            assert receive_answer(client).startswith(b"HTTP/1.1 200 ")
            assert called == ["hook"] * 3
            parked.clear()
            client.sendall(GET)
            assert parked.wait(20)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert gone.wait(20)
    assert called == ["hook"] * 3 + ["last", "first"]


def test_a_stream_of_more_than_the_client_takes_at_once_has_its_hook(configure) -> None:
    def handle(request, response, worker):
        response.before_send(lambda request, response, worker: response.set_header("X-Hook", "yes"))
        response.start(200, content_type="text/plain")
        response.stream(b"x" * 50_000 for _ in range(100))

    [answer] = Server(configure(handle)).test([GET])
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"X-Hook: yes\r\n" in answer
    assert answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"x") > 5_000_000 - 1
