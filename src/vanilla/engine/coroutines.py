"""`async def` handlers: a worker's own asyncio loop, for which the engine does the waiting.

# Facts about asyncio
# - One turn of its loop asks a selector to wait, then runs what is ready. Nothing else in it waits, so a selector that
#   runs the engine's ticks, and returns only when asyncio has something to do, makes both one loop with one wait.
# - `call_soon` appends to `_ready`, `call_at` pushes onto the heap `_scheduled`, on every version from 3.5 on. To look
#   at the two after each tick costs less than to override the calls.
# - A turn costs about 2 µs. So a coroutine's first step runs inside the tick: 3.12 and later start a task eagerly if
#   told to; before, the callback that a new task schedules is caught and run at once.
# - `asyncio.timeout`, `TaskGroup` and anyio ask for the current task: the first step needs one, even if it is the last.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import selectors
import sys
import types
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vanilla.steps import Event, Step

log = logging.getLogger("vanilla")

CLEAN_UP_SECONDS = 5.0  # for coroutines that were cancelled at the end of the grace to run their `finally`


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
        self._watches.pop(fd).cancel()
        return self._keys.pop(fd)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[self._fd_of(fileobj)]
        if events != key.events:
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


class EngineEventLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop over the engine."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self._caught: asyncio.Handle | None = None
        self._is_catching = False
        self.selector = EngineSelector(engine)
        super().__init__(self.selector)

    def _write_to_self(self) -> None:
        """Another thread has called `call_soon_threadsafe`."""
        self._engine.nudge()

    if sys.version_info >= (3, 12):

        def start_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            """A task whose first step has run."""
            return asyncio.Task(coroutine, loop=self, eager_start=True)

    else:

        def call_soon(  # type: ignore[override]  # with fewer words about its arguments
            self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
        ) -> asyncio.Handle:
            if self._is_catching:
                self._is_catching = False
                self._caught = asyncio.Handle(callback, args, self, context)
                return self._caught
            return super().call_soon(callback, *args, context=context)

        def start_task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
            """A task whose first step has run."""
            self._is_catching = True
            task = asyncio.Task(coroutine, loop=self)
            handle, self._caught = self._caught, None
            assert handle is not None
            handle._run()
            return task


class _Run:
    """One coroutine that answers a request: what it returned or raised, and its response once it has waited."""

    __slots__ = ("error", "is_done", "response", "result")

    def __init__(self) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self.is_done = False
        self.response: Any = None


class Runner:
    """Runs the coroutines of one worker, on the worker's thread."""

    def __init__(self, engine: Any, name: str) -> None:
        self._engine = engine
        self.loop = EngineEventLoop(engine)
        self._threads = ThreadPoolExecutor(thread_name_prefix=f"{name}-to_thread")  # starts none before it is used
        self.loop.set_default_executor(self._threads)
        self.selected = self.loop.selector.ready
        self.ready = self.loop._ready  # type: ignore[attr-defined]  # see the facts above
        self.scheduled = self.loop._scheduled  # type: ignore[attr-defined]

    def __call__(self, result: object) -> object:
        """Run the first step of a coroutine that a handler returned; anything else is the handler's step.

        Returns: what the coroutine returned if it is over, else Step.SUSPEND.
        Raises: what the coroutine raised.
        """
        if type(result) is not types.CoroutineType and not asyncio.iscoroutine(result):
            return result
        run = _Run()
        task = self.loop.start_task(self._serve(result, run))
        if not run.is_done:
            run.response = self._engine.park_task(task)
            return Step.SUSPEND
        if run.error is None:
            return run.result
        try:
            raise run.error
        finally:
            del run  # it holds the error, whose traceback holds it

    async def _serve(self, coroutine: Coroutine[Any, Any, object], run: _Run) -> None:
        try:
            run.result = await coroutine
            if run.response is not None:
                await self.pull(run.response)
        except BaseException as error:
            run.error = error
        run.is_done = True
        if run.response is not None:
            self._engine.conclude_coroutine(run.response, run.result, run.error)

    async def pull(self, response: Any) -> None:
        """Write what `Response.stream` was given, at the pace of the client."""
        source = self._engine.take_source(response)
        if source is None:
            return
        try:
            if hasattr(source, "__aiter__"):
                async for piece in source:
                    response.write(piece)
                    await response.flush()
            else:
                for piece in source:
                    response.write(piece)
                    await response.flush()
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
            elif hasattr(source, "close"):
                source.close()

    def new_future(self) -> asyncio.Future[Any]:
        """What a coroutine waits for, until the engine sets its result."""
        return self.loop.create_future()

    async def sleep(self, seconds: float) -> None:
        """Worker.sleep."""
        future = self.loop.create_future()
        timer = self._engine.call_later(seconds, _settle, (future, None))
        try:
            await future
        finally:
            timer.cancel()

    async def wait_fd(self, fd: int, interest: int) -> Event:
        """Worker.readable and Worker.writable."""
        future: asyncio.Future[Event] = self.loop.create_future()
        watch = self._engine.watch_fd(fd, interest, _on_ready, future, None, None, True)
        try:
            return await future
        finally:
            watch.cancel()

    async def wait_drained(self) -> None:
        """`await worker.draining`."""
        future = self.loop.create_future()
        self._engine.on_drain(_settle, (future, None))
        await future

    def wrap(self, future: Any) -> Awaitable[Any]:
        """A future of another thread, to be awaited here."""
        return asyncio.wrap_future(future, loop=self.loop)

    def run(self) -> None:
        """Serve until the engine is over."""
        self.loop.run_forever()

    def stop(self) -> None:
        """Have `run` return once this turn is over."""
        self.loop.stop()

    def run_hook(self, result: object) -> object:
        """The value of a hook: what it returned or, if that can be awaited, what comes of it."""
        if not inspect.isawaitable(result):
            return result
        return self.loop.run_until_complete(_awaited(result))

    def finish(self) -> None:
        """Cancel every coroutine that is left, and give them CLEAN_UP_SECONDS to come to their end."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = self.loop.run_until_complete(asyncio.wait(tasks, timeout=CLEAN_UP_SECONDS))
            for task in left:
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

    def _bounded(self, coroutine: Coroutine[Any, Any, object]) -> None:
        self.loop.run_until_complete(asyncio.wait_for(coroutine, CLEAN_UP_SECONDS))


async def _awaited(result: Awaitable[object]) -> object:
    return await result


def _settle(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _on_ready(request: None, response: None, worker: Any, future: asyncio.Future[Event], event: Event) -> None:
    _settle(future, event)
