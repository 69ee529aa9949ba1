"""Handlers wrapped in others: what belongs around many of them stands in one place, put together at the start."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, cast

from vanilla.streaming import may_return_coroutines, streams_requests

Handler: TypeAlias = Callable[[Any, Any, Any], Any]
Middleware: TypeAlias = Callable[[Handler], Handler]


def compose(handler: Handler, *middleware: Middleware) -> Handler:
    """A handler wrapped in middleware: the first one is the outermost.

    A middleware is a function that takes a handler, the next one, and returns a handler that calls it or answers by
    itself. Each is called once, here; a request goes through nothing but the functions that they returned. What is to
    be done with the answer, do in `response.before_send`: it comes when there is one, also where the handler waits.

    Args:
        handler: what is wrapped; plain, an `async def`, or a `vanilla.toolkit.routing.Router`.
        middleware: from the outside in.

    Returns: a handler that a server, a router, or another `compose` takes; it is async, or takes streamed requests,
        where the handler or a middleware is or does. Without middleware it is the handler itself.
    Raises: TypeError for what cannot be called, or returns what cannot.
    """
    if not callable(handler):
        raise TypeError(f"handler {handler!r}: cannot be called")
    composed = handler
    for wrap in reversed(middleware):
        if not callable(wrap):
            raise TypeError(f"middleware {wrap!r}: give a function of the next handler that returns a handler")
        inner = composed
        composed = wrap(inner)
        if not callable(composed):
            raise TypeError(f"middleware {wrap!r} returned {composed!r}: return a handler")
        composed = _with_marks_of(inner, composed)
    return composed


def awaitable(handler: Handler) -> Callable[[Any, Any, Any], Awaitable[Any]]:
    """A handler that an `async def` middleware may await, whether it is async itself or not."""

    @functools.wraps(handler)
    async def call(request: Any, response: Any, worker: Any) -> Any:
        result = handler(request, response, worker)
        return await result if inspect.isawaitable(result) else result

    return call


def _with_marks_of(inner: Handler, outer: Handler) -> Handler:
    """`outer`, marked with what the server has to know of `inner`; itself where nothing is to be said."""
    is_async = may_return_coroutines(inner) and not may_return_coroutines(outer)
    is_streaming = streams_requests(inner) and not streams_requests(outer)
    if not is_async and not is_streaming:
        return outer
    marked = cast("Any", outer)
    if not inspect.isfunction(outer):

        def marked(request: Any, response: Any, worker: Any) -> Any:  # what it calls may take no attributes
            return outer(request, response, worker)

    if is_async:
        marked.is_async = True
    if is_streaming:
        marked.streams_requests = True
    return cast("Handler", marked)
