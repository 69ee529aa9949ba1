"""`async def` handlers: a worker's own asyncio loop, for which the engine does the waiting.

# Facts about asyncio
# - One turn of its loop asks a selector to wait, then runs what is ready. Nothing else in it waits, so a selector that
#   runs the engine's ticks, and returns only when asyncio has something to do, makes both one loop with one wait.
# - `call_soon` appends to `_ready`, on every version from 3.5 on: a look at it after each tick tells what is due.
# - `call_at` keeps a heap of objects that compare in Python: 1.5 µs for each of some hundred that sleep. The engine's
#   wheel does it for less, and in the tick itself.
# - A turn costs about 2 µs. So a coroutine's first step runs inside the tick: see `starting`.
# - `asyncio.timeout`, `TaskGroup` and anyio ask for the current task: the first step needs one, even if it is the last.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import math
import selectors
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vanilla.engine.starting import Starter
from vanilla.steps import Event

log = logging.getLogger("vanilla")

FOREVER_SECONDS = 1e9  # three decades, for who waits until infinity, as anyio.sleep_forever does: it fits in 64 bits
CLEAN_UP_SECONDS = 5.0  # for coroutines that were cancelled at the end of the grace to run their `finally`


class _Never(asyncio.Handle):
    """What stands for a call that is not scheduled, since it is made at once."""

    def __init__(self) -> None:
        """No callback, no loop: asyncio keeps it nowhere."""

    def cancel(self) -> None:
        """Nothing is left to cancel."""


NEVER = _Never()


class EngineSelector(selectors.BaseSelector):
    """What asyncio waits with: the engine, which watches asyncio's descriptors beside its own connections."""

    def __init__(self, engine: Any) -> None:
        self.ready: list[tuple[selectors.SelectorKey, int]] = []
        self._engine = engine
        self._keys: dict[int, selectors.SelectorKey] = {}
        self._watches: dict[int, Any] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        fd = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        if fd in self._keys:
            raise KeyError(f"{fileobj!r} (fd {fd}) is registered already")
        self._watch(fd, events)
        key = self._keys[fd] = selectors.SelectorKey(fileobj, fd, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        fd = self._fd_of(fileobj)
        self._drop_noted(fd)
        self._watches.pop(fd).cancel()
        return self._keys.pop(fd)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[self._fd_of(fileobj)]
        self._drop_noted(key.fd)  # it is told to the old callbacks; what is still ready is noted again
        if events != key.events:
            del self._keys[key.fd]
            self._watches.pop(key.fd).cancel()
            self._watch(key.fd, events)
        key = self._keys[key.fd] = key._replace(events=events, data=data)
        return key

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Serve connections until asyncio has something to do."""
        self._engine.turn(timeout)
        ready = self.ready.copy()
        self.ready.clear()
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[self._fd_of(fileobj)]

    def close(self) -> None:
        for watch in self._watches.values():
            watch.cancel()
        self._watches.clear()
        self._keys.clear()

    def _drop_noted(self, fd: int) -> None:
        """Leave what was noted untold: by the time asyncio looks, the number may be another's."""
        if self.ready:
            self.ready[:] = [noted for noted in self.ready if noted[0].fd != fd]

    def _watch(self, fd: int, events: int) -> None:
        self._watches[fd] = self._engine.watch_fd(fd, events, self._on_ready, fd, None, None, True)

    def _on_ready(self, request: None, response: None, worker: Any, fd: int, event: Event) -> None:
        key = self._keys[fd]
        mask = int(event) & key.events
        if event & (Event.HANGUP | Event.ERROR):
            mask = key.events  # reading or writing tells what it is
        self.ready.append((key, mask))

    def _fd_of(self, fileobj: Any) -> int:
        """The descriptor of what was registered, even if it has been closed since."""
        if isinstance(fileobj, int):
            return fileobj
        fd: int = fileobj.fileno()
        if fd >= 0:
            return fd
        for key in self._keys.values():
            if key.fileobj is fileobj:
                return key.fd
        raise KeyError(f"{fileobj!r} is not registered")


_SLEPT = asyncio.futures._set_result_unless_cancelled  # type: ignore[attr-defined]  # what asyncio.sleep calls


class WheelHandle(asyncio.TimerHandle):
    """A call at a time, on the engine's wheel."""

    __slots__ = ("timer",)

    timer: Any

    def cancel(self) -> None:
        self.timer.cancel()
        super().cancel()

    def run(self) -> None:
        """It is due: the engine calls this in a tick, between two turns of asyncio's loop."""
        if not self.cancelled():
            self._run()


class EngineEventLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over the engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.selector = EngineSelector(engine)
        self.wake: Callable[[asyncio.Future[Any], object], object]
        super().__init__(self.selector)

    def _write_to_self(self) -> None:
        """Another thread has called `call_soon_threadsafe`."""
        self._engine.nudge()

    def call_at(  # type: ignore[override]  # likewise
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        handle = WheelHandle(when, callback, args, self, context)
        due_ns = math.ceil(min(when, FOREVER_SECONDS) * 1e9)
        if callback is _SLEPT:
            handle.timer = self._engine.call_at_ns(due_ns, self.wake, args)
        else:
            handle.timer = self._engine.call_at_ns(due_ns, handle.run, ())
        return handle


class Answered:
    """Called when the coroutine of a request that has waited is over."""

    __slots__ = ("_response", "_result", "_runner")

    def __init__(self, runner: Runner, response: Any, result: object = None) -> None:
        self._runner = runner
        self._response = response
        self._result = result

    def __call__(self, task: asyncio.Task[object]) -> None:
        error: BaseException | None = asyncio.CancelledError() if task.cancelled() else task.exception()
        result = task.result() if error is None and self._result is None else self._result
        self._runner.on_answered(self._response, result, error)
        if error is not None and not task.cancelled():
            self._runner.loop.call_soon(task.exception)  # asyncio would else report that nobody asked for it


class Runner:
    """Runs the coroutines of one worker, on the worker's thread."""

    def __init__(self, engine: Any, name: str) -> None:
        self._engine = engine
        self._is_over = False
        self.loop = EngineEventLoop(engine)
        self._threads = ThreadPoolExecutor(thread_name_prefix=f"{name}-to_thread")  # starts none before it is used
        self.loop.set_default_executor(self._threads)
        self.starter = Starter(self.loop, asyncio.Task, Answered, NEVER, sys.version_info >= (3, 12))
        self.loop.call_soon = self.starter.call_soon  # type: ignore[assignment, method-assign]
        self.loop.wake = self.starter.wake
        self.is_coroutine = asyncio.iscoroutine
        self.selected = self.loop.selector.ready
        self.ready = self.loop._ready  # type: ignore[attr-defined]  # see the facts above
        self._drain_waiters: set[asyncio.Future[None]] = set()
        self._is_drain_awaited = self._has_drained = False

    def take_over(self, task: asyncio.Task[object], response: Any) -> None:
        """The coroutine that answers a request has not come to its end in its first step."""
        task.add_done_callback(Answered(self, response))

    def on_answered(self, response: Any, result: object, error: BaseException | None) -> None:
        """The coroutine of a request that has waited is over; what it left to be streamed is still to come."""
        source = None if error is not None else self._engine.take_source(response)
        if source is None:
            self._engine.conclude_coroutine(response, result, error)
            return
        task = self.loop.create_task(self._pull(source, response))
        self._engine.replace_task(response, task)
        task.add_done_callback(Answered(self, response, result))

    async def pull(self, response: Any) -> None:
        """Write what `Response.stream` was given, at the pace of the client."""
        source = self._engine.take_source(response)
        if source is not None:
            await self._pull(source, response)

    async def _pull(self, source: Any, response: Any) -> None:
        try:
            if hasattr(source, "__aiter__"):
                async for piece in source:
                    response.write(piece)
                    await response.flush()
                    if self._engine.has_lost(response):
                        break  # a coroutine may go on without its client, but a stream may have no end
            else:
                for piece in source:
                    response.write(piece)
                    await response.flush()
                    if self._engine.has_lost(response):
                        break
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
            elif hasattr(source, "close"):
                closing = source.close()
                if inspect.isawaitable(closing):
                    await closing

    def new_future(self) -> asyncio.Future[Any]:
        """What a coroutine waits for, until the engine sets its result."""
        return self.loop.create_future()

    async def sleep(self, seconds: float) -> None:
        """Worker.sleep."""
        future = self.loop.create_future()
        timer = self._engine.call_later(seconds, self.starter.wake, (future, None))
        try:
            await future
        finally:
            timer.cancel()

    async def wait_fd(self, fd: int, interest: int) -> Event:
        """Worker.readable and Worker.writable."""
        future: asyncio.Future[Event] = self.loop.create_future()
        watch = self._engine.watch_fd(fd, interest, self._on_ready, future, None, None, True)
        try:
            return await future
        finally:
            watch.cancel()

    async def wait_drained(self) -> None:
        """`await worker.draining`."""
        if self._has_drained:
            return
        if not self._is_drain_awaited:
            self._is_drain_awaited = True
            self._engine.on_drain(self._on_drained, ())
        future = self.loop.create_future()
        self._drain_waiters.add(future)
        try:
            await future
        finally:
            self._drain_waiters.discard(future)  # a client may go long before the server does

    def _on_drained(self) -> None:
        self._has_drained = True
        for future in list(self._drain_waiters):
            self.starter.wake(future, None)

    def _on_ready(
        self, request: None, response: None, worker: Any, future: asyncio.Future[Event], event: Event
    ) -> None:
        self.starter.wake(future, event)

    def wrap(self, future: Any) -> Awaitable[Any]:
        """A future of another thread, to be awaited here."""
        return asyncio.wrap_future(future, loop=self.loop)

    def run(self) -> None:
        """Serve until the engine is over."""
        while not self._is_over:
            try:
                self.loop.run_forever()
            except (SystemExit, KeyboardInterrupt):  # asyncio lets these two out of a task; they end no server
                log.warning("a coroutine of this worker raised; the worker goes on", exc_info=True)

    def stop(self) -> None:
        """Have `run` return once this turn is over."""
        self._is_over = True
        self.loop.stop()

    def run_hook(self, result: object) -> object:
        """The value of a hook: what it returned or, if that can be awaited, what comes of it."""
        if not inspect.isawaitable(result):
            return result
        return self.loop.run_until_complete(_awaited(result))

    def finish(self) -> None:
        """Cancel every coroutine that is left, and give them CLEAN_UP_SECONDS to come to their end.

        One that was cancelled before is in the midst of its clean-up: it is cancelled again only at half-time.
        """
        left = asyncio.all_tasks(self.loop)
        fresh = {task for task in left if not task.cancelling()}
        for cancelled in (fresh, left):
            left = {task for task in left if not task.done()}
            for task in cancelled & left:
                task.cancel()
            if left:
                self.loop.run_until_complete(asyncio.wait(left, timeout=CLEAN_UP_SECONDS / 2))
        for task in left:
            if not task.done():
                log.error("%r was cancelled and does not end within %g s; it is left", task, CLEAN_UP_SECONDS)
        self._bounded(self.loop.shutdown_asyncgens())

    def run_last(self, result: object) -> None:
        """Wait for what the last hook returned, within a bound."""
        if inspect.isawaitable(result):
            self._bounded(_awaited(result))

    def close(self) -> None:
        """Let go of the loop, and of threads that nobody waits for any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.loop.close()
        del self.loop.call_soon, self.loop.wake
        self.starter.close()

    def _bounded(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(coroutine, CLEAN_UP_SECONDS))


async def _awaited(result: Awaitable[object]) -> object:
    return await result
