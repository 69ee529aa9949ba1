"""What a `Worker` made by hand has for an event loop: it records what a handler asked for, so that a test can see it.

worker = Worker()
assert handle(request, response, worker) is Step.SUSPEND
(watch,) = worker.recorded.watches
assert watch.continuation(request, response, worker, watch.payload, Event.READABLE) is Step.DONE
"""

from __future__ import annotations

import dataclasses
import importlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

from vanilla.steps import Event


@dataclasses.dataclass(slots=True)
class RecordedWatch:
    """One call of watch_fd or watch_fd_persistent."""

    fd: int
    interest: int
    continuation: Callable[..., Any]
    payload: Any
    timeout: float | None
    on_disconnect: Callable[[Any], Any] | None
    is_persistent: bool
    is_active: bool = True

    def cancel(self) -> None:
        """Watch the descriptor no longer."""
        self.is_active = False


@dataclasses.dataclass(slots=True)
class RecordedTimer:
    """One call of call_later or call_at; `due_ns` is on the clock of time.monotonic_ns()."""

    due_ns: int
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    is_active: bool = True

    def cancel(self) -> None:
        """Forget the call."""
        self.is_active = False


@dataclasses.dataclass(slots=True, eq=False)
class RecordedPark:
    """One call of park: what it was resumed with, and the content that was written to it."""

    on_disconnect: Callable[[], Any] | None = None
    is_active: bool = True
    resumed: list[tuple[Callable[..., Any], Any]] = dataclasses.field(default_factory=list)
    written: list[bytes] = dataclasses.field(default_factory=list)
    unsent: int = 0

    def resume(self, continuation: Callable[..., Any], payload: Any = None) -> None:
        """Note the continuation; the test calls it."""
        self.resumed.append((continuation, payload))

    def write(self, data: bytes) -> None:
        """Note the content, and count it as unsent: no client takes it."""
        if not self.is_active:
            raise RuntimeError("write: this request waits no more")
        self.written.append(bytes(data))
        self.unsent += len(data)

    def finish(self) -> None:
        """End the answer."""
        self.is_active = False

    def abort(self) -> None:
        """Cut the answer off."""
        self.is_active = False


class RecordingLoop:
    """Everything asked of it, in order, by kind. Nothing is ever ready, due or called."""

    def __init__(self) -> None:
        self.watches: list[RecordedWatch] = []
        self.timers: list[RecordedTimer] = []
        self.parked: list[RecordedPark] = []
        self.posted: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self.offloaded: list[tuple[Callable[..., Any], tuple[Any, ...], Callable[..., Any]]] = []
        self.on_drain_calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def watch_fd(self, *arguments: Any) -> RecordedWatch:
        """Worker.watch_fd and Worker.watch_fd_persistent."""
        self.watches.append(RecordedWatch(*arguments))
        return self.watches[-1]

    def call_later(self, seconds: float, function: Callable[..., Any], arguments: tuple[Any, ...]) -> RecordedTimer:
        """Worker.call_later."""
        return self.call_at_ns(time.monotonic_ns() + int(seconds * 1e9), function, arguments)

    def call_at_ns(self, due_ns: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> RecordedTimer:
        """Worker.call_at."""
        self.timers.append(RecordedTimer(due_ns, function, arguments))
        return self.timers[-1]

    def park_current(self, on_disconnect: Callable[[], Any] | None) -> RecordedPark:
        """Worker.park."""
        self.parked.append(RecordedPark(on_disconnect))
        return self.parked[-1]

    def write_each(self, parked: list[RecordedPark], data: bytes, unsent_max: int) -> list[RecordedPark]:
        """Worker.write_each."""
        left = [one for one in parked if not one.is_active or one.unsent > unsent_max]
        for one in parked:
            if one not in left:
                one.write(data)
        return left

    def on_drain(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Worker.on_drain."""
        self.on_drain_calls.append((function, arguments))

    async def wait_drained(self) -> None:
        """`await worker.draining`: a worker made by hand shuts down at once."""

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Worker.sleep: a test that awaits it runs asyncio, which sleeps."""
        return _asyncio().sleep(seconds)  # type: ignore[no-any-return]

    async def wait_fd(self, fd: int, interest: int) -> Event:
        """Worker.readable and Worker.writable, likewise."""
        loop = _asyncio().get_running_loop()
        future = loop.create_future()
        add, remove = (loop.add_reader, loop.remove_reader) if interest == 1 else (loop.add_writer, loop.remove_writer)
        add(fd, lambda: future.done() or future.set_result(Event(interest)))
        try:
            return await future  # type: ignore[no-any-return]
        finally:
            remove(fd)

    def offload(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], continuation: Callable[..., Any] | None
    ) -> Awaitable[Any] | None:
        """Worker.offload: called here and now if it is awaited, else noted."""
        if continuation is None:
            return _called(function, arguments)
        self.offloaded.append((function, arguments, continuation))
        return None

    def post(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Worker.post."""
        self.posted.append((function, arguments))


def _asyncio() -> Any:
    """asyncio, for tests that await; whoever does not need not import it."""
    return importlib.import_module("asyncio")


async def _called(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(*arguments)


class EndedLoop:
    """The loop of a worker that has ended: whatever is asked of it would never happen."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name}: the worker has ended")
