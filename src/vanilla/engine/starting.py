"""A coroutine's first step, run inside the tick: compiled, since it is most of what one that never waits costs.

Python 3.12 and later start a task eagerly if told to. Before, the callback that a new task schedules is caught, and run
at once.
"""

from __future__ import annotations

import cython


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
        self.is_catching = False

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

    def close(self) -> None:
        """Let go of the loop, which calls this."""
        self.loop = self.plain_call_soon = None
