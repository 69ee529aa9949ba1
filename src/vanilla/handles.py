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


class ContentEncoder(Protocol):
    """What `Response.encode_content` is given: it makes what is sent of what is written."""

    def encode(self, data: bytes, /) -> bytes:
        """What to send for a piece of the content; it may be empty, and kept back."""

    def flush(self) -> bytes:
        """What was kept back: a part of the answer leaves. Empty where there is nothing."""

    def finish(self) -> bytes:
        """The last of it."""


class TakeoverProtocol(Protocol):
    """What `Response.takeover` is given: it speaks another protocol on the connection.

    It is called on its worker's thread only. It may have two methods more: `ended()`, called when the client has shut
    its writing side, which closes the connection where it is missing; and `draining()`, called when a shutdown asks it
    to end.
    """

    def received(self, data: bytes, /) -> object:
        """Take what arrived: never empty, at most 64 KiB at a time but for what came with the request."""

    def drained(self) -> object:
        """Go on sending: of more than `Limits.high_water_bytes` unsent, `low_water_bytes` or fewer are left."""

    def closed(self, reason: BaseException | None, /) -> object:
        """Let go: the connection is over, in order where `reason` is None. Called once, and nothing is after it."""


class Takeover(Protocol):
    """A connection that another protocol has taken over: what `Response.takeover` returns.

    On the worker's own thread only; elsewhere `connection.worker.post(connection.send, data)`.
    """

    @property
    def is_open(self) -> bool:
        """Whether the client is there and `close` has not been called: what is sent now leaves."""

    @property
    def unsent(self) -> int:
        """Bytes that were sent and that the kernel has not taken yet."""

    @property
    def protocol(self) -> Any:
        """What `Response.takeover` was given; None once it has been told `closed`."""

    @property
    def worker(self) -> Any:
        """The `Worker` whose connection it is."""

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port; None on a unix socket."""

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, at the end of this tick, behind what was sent before; what the client does not take is queued.

        There is no bound: look at `unsent`, or wait for `drained()`. To a client that is gone it is nothing.
        Raises: TypeError for what is no bytes; RuntimeError after `close` and `abort`; MemoryError.
        """

    def close(self) -> None:
        """Close in order once everything that was sent has been taken. What still arrives is dropped."""

    def abort(self) -> None:
        """Close now; what is unsent is lost."""

    def pause(self) -> None:
        """Receive nothing more until `resume`: the client is held back once the kernel's buffers are full."""

    def resume(self) -> None:
        """Receive again."""

    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer:
        """`Worker.call_later`, forgotten when the connection is gone; what `function` raises closes the connection.

        Raises: as `Worker.call_later`; RuntimeError once the connection is gone.
        """
