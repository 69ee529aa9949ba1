"""Blocking work on threads beside a worker's own: a bounded pool, and a bounded queue before it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from vanilla.errors import OverloadError


class Offload:
    """At most `threads` calls run at a time and `queue` more wait; one beyond that is refused."""

    def __init__(self, threads: int, queue: int, name: str) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._count_max = threads + queue
        self._unfinished: set[Future[Any]] = set()

    def submit(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Future[Any]:
        """Have `function(*arguments)` called on one of the threads, in a copy of the caller's context.

        Raises: OverloadError if the queue is full.
        """
        if len(self._unfinished) >= self._count_max:
            raise OverloadError(f"offload: {self._count_max} calls run or wait already")
        future = self._threads.submit(contextvars.copy_context().run, function, *arguments)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return future

    def close(self) -> None:
        """Forget the calls that wait; those that run come to their end alone."""
        self._threads.shutdown(wait=False, cancel_futures=True)
