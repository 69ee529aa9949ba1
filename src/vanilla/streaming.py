"""The mark of handlers that take the content of requests piece by piece."""

from __future__ import annotations

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
