"""Coroutines for `response_cache`, which is compiled: to wait for another's answer, and to refresh one for nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

_running: set[asyncio.Task[Any]] = set()  # asyncio itself holds tasks weakly


async def follow(waiting: list[Any], go_on: Callable[..., Any], request: Any, response: Any, worker: Any) -> Any:
    """Wait until the answer that another request awaits is there, or is none for this one, and go on."""
    future = asyncio.get_running_loop().create_future()
    waiting.append(future)
    await future
    result = go_on(request, response, worker)
    return await result if hasattr(result, "__await__") else result


def release(future: Any) -> None:
    """Let a follower go on; one whose client is gone waits no more."""
    if not future.done():
        future.set_result(None)


def run_behind(awaited: Awaitable[Any], then: Callable[[object, BaseException | None], None]) -> None:
    """Run a handler's coroutine for nobody, and call `then` with what it returned or raised."""

    async def run() -> None:
        result, failure = None, None
        try:
            result = await awaited
        except Exception as error:
            failure = error
        except BaseException as error:
            then(None, error)
            raise
        then(result, failure)

    task = asyncio.get_running_loop().create_task(run())
    _running.add(task)
    task.add_done_callback(_running.discard)
