"""What `Worker` hands out for things that are still to come, as types to annotate with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Watch(Protocol):
    """A watched descriptor: what `Worker.watch_fd` returns."""

    @property
    def is_active(self) -> bool:
        """Whether it is still watched."""

    def cancel(self) -> None:
        """Watch the descriptor no longer; it stays open. On the worker's own thread only."""


class Timer(Protocol):
    """A call that is due later: what `Worker.call_later` returns."""

    @property
    def is_active(self) -> bool:
        """Whether the call is still to come."""

    def cancel(self) -> None:
        """Forget the call. On the worker's own thread only."""


class Parked(Protocol):
    """A request that waits: what `Worker.park` returns."""

    @property
    def is_active(self) -> bool:
        """Whether it still waits: it was not answered, and its client is there."""

    def resume(self, continuation: Callable[..., Any], payload: Any = None) -> None:
        """Have `continuation(request, response, worker, payload, Event.RESUMED)` called in this tick.

        On the worker's own thread only; elsewhere `worker.post(parked.resume, continuation)`.
        """

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one more piece of the content of an answer that has begun with `start`, at the end of this tick.

        On the worker's own thread only, as are `finish` and `abort`. To somebody who is gone it is nothing.
        Raises: RuntimeError if the answer has not begun; ValueError for more than the length that was given.
        """

    def finish(self) -> None:
        """End the answer, as a handler that returns `Step.DONE`: the connection goes on with the next request."""

    def abort(self) -> None:
        """Cut the answer off: the connection closes now. One that does not wait any more stays as it is."""
