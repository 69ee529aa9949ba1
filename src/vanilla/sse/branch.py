"""The part of a channel that lives on one worker: its streams there, and the events that they are still to be sent.

Everything runs on the worker's own thread but `add`. What other threads touch, `pending` and what counts it, is
guarded by the channel's lock.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import random
import threading
import time

from vanilla.contract import Worker
from vanilla.handles import Parked
from vanilla.sse.events import encode

# Milliseconds after which a client is told to come back when its worker shuts down: each has its own, so that the
# next server is not met by all of them at once.
RECONNECT_MS_MIN, RECONNECT_MS_MAX = 1_000, 10_000

# Events that wait for one worker, because it sits in a handler for long. Above this its streams are dropped: their
# clients reconnect, and are replayed what the channel keeps.
PENDING_BYTES_MAX = 16 * 1024 * 1024

HEARTBEAT = encode(comment="")
HEARTBEAT_LATENESS = 1 / 8  # of the interval: streams that fall due within it are told together
HEARTBEAT_STREAMS_MAX = 1_024  # told at once; the next ones after a pause, in which the worker serves others
HEARTBEAT_PAUSE = 0.01

_GONE_SHARE = 64  # one stream in so many is gone before they are sorted out, so that each costs the same however many


def encode_reconnection() -> bytes:
    """The last words to a client whose worker shuts down: when to come back."""
    return encode(retry=random.randint(RECONNECT_MS_MIN, RECONNECT_MS_MAX))


@dataclasses.dataclass(slots=True)
class Shared:
    """What a channel and its branches have in common; `branches` and `dropped` are guarded by the lock."""

    heartbeat: float | None
    max_unsent_bytes: int
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)
    branches: dict[Worker, Branch] = dataclasses.field(default_factory=dict)
    dropped: int = 0


@dataclasses.dataclass(slots=True)
class _Cohort:
    """Streams that have been sent the same events, and were last sent something at about the same time."""

    streams: list[Parked]
    seen: int  # the number of the last event that they were sent
    due_at: float  # when they want a heartbeat: not before an interval has passed since any of them was sent something


class _Here(threading.local):
    """The branches on this thread, by their worker. A worker is asked once to tell when it drains, for all of them:
    channels come and go, and what it is asked it remembers for life.
    """

    def __init__(self) -> None:
        self.branches: dict[Worker, set[Branch]] = {}

    def add(self, branch: Branch) -> None:
        """Have it ended when its worker drains."""
        if branch.worker not in self.branches:
            self.branches[branch.worker] = set()
            branch.worker.on_drain(self.drain, branch.worker)
        self.branches[branch.worker].add(branch)

    def discard(self, branch: Branch) -> None:
        """It has ended."""
        self.branches.get(branch.worker, set()).discard(branch)

    def drain(self, worker: Worker) -> None:
        """End every stream of a worker that shuts down."""
        for branch in self.branches.pop(worker, set()):
            branch.end(reconnects=True)


_here = _Here()


class Branch:
    """One worker's streams. Events are numbered by their channel; a stream joins with the number that it has seen."""

    def __init__(self, worker: Worker, shared: Shared, number: int) -> None:
        self.worker = worker
        self.count = 0  # of the streams whose clients are there
        self._shared = shared
        self._pending: collections.deque[bytes] = collections.deque()
        self._pending_bytes = 0
        self._number = number  # of the last event taken from _pending: the next one there has the next number
        self._cohorts: list[_Cohort] = []  # the one that is due first comes first
        self._gone = 0  # streams in _cohorts that are over
        self._has_timer = False
        self._is_ending = self._reconnects = False
        _here.add(self)

    def add(self, encoded: bytes) -> None:
        """One more event, under the channel's lock. However many are added, the worker is asked once to send them.

        Raises: RuntimeError if the worker has ended.
        """
        if not self._pending:
            self.worker.post(self.deliver)
        self._pending.append(encoded)
        self._pending_bytes += len(encoded)
        if self._pending_bytes > PENDING_BYTES_MAX and len(self._pending) > 1:
            self._number += len(self._pending)  # deliver() finds the streams that have missed these
            self._pending.clear()
            self._pending_bytes = 0

    def join(self, stream: Parked, seen: int) -> None:
        """Have a stream that was just begun told what comes after the event with the number `seen`."""
        self.count += 1
        self._place([stream], seen)
        if not self._has_timer and self._shared.heartbeat is not None:
            self._set_timer()

    def on_gone(self) -> None:
        """The client of one of the streams went away."""
        self.count -= 1
        self._gone += 1
        self._sort_out()

    def deliver(self) -> None:
        """Send what is pending to every stream that has not seen it: so much at once as one client may have unsent."""
        with self._shared.lock:
            first = self._number
            batch = self._take()
            is_done = not self._pending
        number = first + len(batch)
        behind = [cohort for cohort in self._cohorts if cohort.seen < number]
        if behind:
            self._cohorts = [cohort for cohort in self._cohorts if cohort.seen >= number]
            streams: list[Parked] = []
            for cohort in behind:
                if cohort.seen < first:
                    self._drop(cohort.streams)
                    continue
                # One may have joined after some of these were published: it was replayed them, or is not to have them.
                self._write(cohort.streams, b"".join(batch[cohort.seen - first :]))
                streams += cohort.streams
            self._cohorts.append(_Cohort(streams, number, self._next_due_at()))
            self._sort_out()
        if not is_done:
            self.worker.post(self.deliver)
        elif self._is_ending:
            self._finish()

    def end(self, *, reconnects: bool = False) -> None:
        """End every stream properly, once it was sent what is pending.

        reconnects: tell each client when to come back.
        """
        _here.discard(self)
        self._is_ending = True
        self._reconnects = self._reconnects or reconnects
        with self._shared.lock:
            self._shared.branches.pop(self.worker, None)  # nothing is added any more
            is_done = not self._pending
        if is_done:
            self._finish()

    def _take(self) -> list[bytes]:
        """The next events: one at least, if there is one."""
        batch: list[bytes] = []
        size = 0
        while self._pending and size < self._shared.max_unsent_bytes:
            batch.append(self._pending.popleft())
            size += len(batch[-1])
        self._pending_bytes -= size
        self._number += len(batch)
        return batch

    def _place(self, streams: list[Parked], seen: int) -> None:
        """Put streams that were just sent something into the last cohort, or into a new one behind it."""
        due_at = self._next_due_at()
        last = self._cohorts[-1] if self._cohorts else None
        if last is not None and last.seen == seen and last.due_at >= due_at - self._lateness:
            last.streams += streams
        else:
            self._cohorts.append(_Cohort(streams, seen, due_at))

    def _write(self, streams: list[Parked], data: bytes) -> None:
        """Send to each; those that do not keep up are dropped."""
        refused = self.worker.write_each(streams, data, self._shared.max_unsent_bytes)
        if refused:
            self._drop(refused)

    def _drop(self, streams: list[Parked]) -> None:
        """Cut streams off, but for those that are gone by themselves: `on_gone` counts them."""
        active = [stream for stream in streams if stream.is_active]
        for stream in active:
            stream.abort()
        self.count -= len(active)
        self._gone += len(active)
        with self._shared.lock:
            self._shared.dropped += len(active)

    def _sort_out(self) -> None:
        """Let go of streams that are over, once they are many enough to be worth a look at all."""
        if not self._gone or self._gone * _GONE_SHARE < self.count + self._gone:
            return
        self._gone = 0
        for cohort in self._cohorts:
            cohort.streams = [stream for stream in cohort.streams if stream.is_active]
        self._cohorts = [cohort for cohort in self._cohorts if cohort.streams]

    def _finish(self) -> None:
        """The end of every stream, and its last words."""
        cohorts, self._cohorts = self._cohorts, []
        for cohort in cohorts:
            for stream in cohort.streams:
                if stream.is_active:
                    self._end(stream)

    def _end(self, stream: Parked) -> None:
        if self._reconnects:
            stream.write(encode_reconnection())
        try:
            stream.finish()
        except RuntimeError:  # its coroutine still runs, though it had nothing to do but return the step
            stream.abort()

    @property
    def _lateness(self) -> float:
        return (self._shared.heartbeat or 0.0) * HEARTBEAT_LATENESS

    def _next_due_at(self) -> float:
        """When a cohort is due whose streams are sent something now, or will have been within its lateness."""
        heartbeat = self._shared.heartbeat
        return math.inf if heartbeat is None else time.monotonic() + heartbeat + self._lateness

    def _set_timer(self, seconds: float = 0.0) -> None:
        """Come back when the first cohort is due, in so many seconds at least."""
        self._has_timer = True
        self.worker.call_later(max(self._cohorts[0].due_at - time.monotonic(), seconds), self._beat)

    def _beat(self) -> None:
        """Send a heartbeat to streams that were sent nothing for the interval: to so many at most, then to the next."""
        self._has_timer = False
        if self._cohorts and self._cohorts[0].due_at <= time.monotonic():
            cohort = self._cohorts[0]
            streams = cohort.streams[-HEARTBEAT_STREAMS_MAX:]
            del cohort.streams[-HEARTBEAT_STREAMS_MAX:]
            if not cohort.streams:
                del self._cohorts[0]
            self._write(streams, HEARTBEAT)
            self._place(streams, cohort.seen)
            self._sort_out()
        if self._cohorts:
            self._set_timer(HEARTBEAT_PAUSE)
