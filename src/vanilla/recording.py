"""What a `Worker` made by hand has for an event loop: it records what a handler asked for, so that a test can see it.

worker = Worker()
assert handle(request, response, worker) is Step.SUSPEND
(watch,) = worker.recorded.watches
assert watch.continuation(request, response, worker, watch.payload, Event.READABLE) is Step.DONE
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any


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


@dataclasses.dataclass(slots=True)
class RecordedPark:
    """One call of park, and what it was resumed with."""

    is_active: bool = True
    resumed: list[tuple[Callable[..., Any], Any]] = dataclasses.field(default_factory=list)

    def resume(self, continuation: Callable[..., Any], payload: Any = None) -> None:
        """Note the continuation; the test calls it."""
        self.resumed.append((continuation, payload))


class RecordingLoop:
    """Everything asked of it, in order, by kind. Nothing is ever ready, due or called."""

    def __init__(self) -> None:
        self.watches: list[RecordedWatch] = []
        self.timers: list[RecordedTimer] = []
        self.parked: list[RecordedPark] = []
        self.posted: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

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

    def park_current(self) -> RecordedPark:
        """Worker.park."""
        self.parked.append(RecordedPark())
        return self.parked[-1]

    def post(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        """Worker.post."""
        self.posted.append((function, arguments))


class EndedLoop:
    """The loop of a worker that has ended: whatever is asked of it would never happen."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{name}: the worker has ended")
