"""Coroutines that fail, before and after something of their answer was sent."""

from __future__ import annotations

import asyncio
import sys

import pytest

from vanilla import OverloadError, RefusedError, Step
from vanilla.testing import ask, drive, eof, frames


def get(path: str, version: str = "1.1", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def bodies(configure, handle, *paths: str, **settings) -> list[bytes]:
    """What one client gets that asks for all these paths at once."""
    results = drive(configure(handle, **settings), [ask(b"".join(map(get, paths)), frames(len(paths)))])
    counters = results.counters
    assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
    return results[0].bodies


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
