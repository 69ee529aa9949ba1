"""What handlers are marked with: that they take the content of requests piece by piece, or return coroutines."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

H = TypeVar("H", bound=Callable[..., Any])


def streaming(handler: H) -> H:
    """Have `handler` called as soon as the head of a request is in, with its content still to come.

    It takes the content by `request.on_body`, or in an `async def` handler by `request.stream()` or `request.read()`;
    `request.body` raises RuntimeError while not all of it is there. It is the handler of a server that is marked: one
    that a marked one calls streams as well.

    Args:
        handler: a function, or a class whose objects are called; its attribute `streams_requests` is set to True.

    Returns: the handler itself.
    """
    handler.streams_requests = True  # type: ignore[attr-defined]
    return handler


def streams_requests(handler: object) -> bool:
    """Whether a handler was marked `streaming`."""
    return bool(getattr(handler, "streams_requests", False))


def may_return_coroutines(handler: object) -> bool:
    """Whether a handler is an `async def`, or says by a true attribute `is_async` that it returns coroutines."""
    call = getattr(handler, "__call__", None)  # noqa: B004  # of an object that is called
    is_coroutine_function = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)
    return is_coroutine_function or bool(getattr(handler, "is_async", False))
