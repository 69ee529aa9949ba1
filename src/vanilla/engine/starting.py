"""A coroutine's steps that need no turn of asyncio's loop: the first, and those that the engine makes possible.

They run inside the tick; compiled, since they are most of what a coroutine costs. Python 3.12 and later start a task
eagerly if told to. Before that, and whenever a future of the engine's gets its result, the callback that asyncio
schedules is caught, and run at once.
"""

from __future__ import annotations

import logging

import cython

log = logging.getLogger("vanilla")


@cython.final
@cython.cclass
class Starter:
    """Makes the tasks of one worker, and stands in for its loop's `call_soon`.

    Args:
        loop: the worker's asyncio loop.
        make_task: asyncio.Task.
        answered: the class of what is called when a request's coroutine is over: at once, not in a turn of its own.
        never: what stands for a call that is not scheduled, a Handle.
        is_eager: whether tasks can start eagerly.
    """

    def __init__(self, loop: object, make_task: object, answered: object, never: object, is_eager: bool) -> None:
        self.loop = loop
        self.make_task = make_task
        self.plain_call_soon = loop.call_soon  # type: ignore[attr-defined]
        self.answered = answered
        self.never = never
        self.is_eager = is_eager
        self.is_catching = self.is_waking = False
        self.woken = []

    def call_soon(self, callback: object, *args: object, context: object = None) -> object:
        """AbstractEventLoop.call_soon."""
        if type(callback) is self.answered:
            callback(*args)  # type: ignore[operator]
            return self.never
        if self.is_catching:
            self.is_catching = False
            self.step = callback
            self.context = context
            return self.never
        if self.is_waking:
            self.woken.append((callback, args, context))
            return self.never
        return self.plain_call_soon(callback, *args, context=context)

    @cython.cfunc
    def start(self, coroutine: object) -> object:
        """A task whose first step has run."""
        if self.is_eager:
            return self.make_task(coroutine, loop=self.loop, eager_start=True)
        self.is_catching = True
        task: object = self.make_task(coroutine, loop=self.loop)
        step: object = self.step
        context: object = self.context
        self.step = self.context = None
        try:
            context.run(step)  # type: ignore[attr-defined]
        except (SystemExit, KeyboardInterrupt):
            return task  # it knows, too
        return task

    @cython.ccall
    @cython.exceptval(-1, check=False)
    def wake(self, future: object, result: object) -> cython.int:
        """Settle a future, and have those who wait for it go on now. From the tick only, between two turns of asyncio's
        loop; one that is done, or was cancelled, stays so.

        Args:
            future: of the worker's loop.
            result: what it gets; an exception is raised to those who wait.
        """
        woken: list
        if future.done():  # type: ignore[attr-defined]
            return 0
        self.is_waking = True
        try:
            if isinstance(result, BaseException):
                future.set_exception(result)  # type: ignore[attr-defined]
            else:
                future.set_result(result)  # type: ignore[attr-defined]
        finally:
            self.is_waking = False
        woken = self.woken
        self.woken = []
        for callback, args, context in woken:
            try:
                context.run(callback, *args)
            except BaseException as error:
                # asyncio lets SystemExit and KeyboardInterrupt out of a task: they end no server.
                log.warning("a coroutine of this worker raised %r; the worker goes on", error, exc_info=error)
        return 0

    def close(self) -> None:
        """Let go of the loop, which calls this."""
        self.loop = self.plain_call_soon = None
