"""Watched descriptors: they stand in the worker's own set of events, so that waiting for one costs no thread.

Phase 1 only notes which became ready, without the GIL; phase 2 goes on with what waits for them.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.contract.worker import LIMIT_SUSPEND
from cython.cimports.vanilla.net.platform import EBADF, EPERM

from vanilla.engine.calls import check_seconds
from vanilla.net.descriptors import UNWATCHABLE, explain
from vanilla.steps import Event, Interest

EVENT_TIMEOUT = int(Event.TIMEOUT)
EVENTS = tuple(Event(bits) for bits in range(64))  # making one costs more than a small request does
_INTERESTS = (int(Interest.READABLE), int(Interest.WRITABLE), int(Interest.READABLE | Interest.WRITABLE))


@cython.final
@cython.cclass
class Watch:
    """One watched descriptor; `cancel()` ends it."""

    def cancel(self) -> None:
        """Watch the descriptor no longer; it stays open. On the worker's own thread only."""
        if self.is_active:
            self.loop.backend.unwatch(self.fd, self.slot, self.generation)
            self.loop.forget_watch(self)


@cython.cclass
class Watches(Parking):
    """The part of the engine that watches descriptors, for requests or beside them."""

    def __cinit__(self, *_: object, **__: object) -> None:
        self.ready = cython.NULL
        self.watches = []
        self.free_slots = []
        self.watched = {}

    def __dealloc__(self) -> None:
        free(self.ready)

    def watch_fd(
        self,
        fd: int,
        interest: int,
        continuation: object,
        payload: object,
        timeout: float | None,
        on_disconnect: object,
        is_persistent: bool,
    ) -> Watch:
        """Worker.watch_fd and Worker.watch_fd_persistent."""
        bits: cython.int = interest
        result: cython.int
        watch: Watch
        self.check_open()
        if bits not in _INTERESTS:
            raise ValueError(f"interest {interest!r}: give Interest.READABLE, Interest.WRITABLE, or both")
        if not callable(continuation):
            raise TypeError(
                f"continuation {continuation!r}: give a function of (request, response, worker, payload, event)"
            )
        if timeout is not None:
            check_seconds(timeout)
        if fd in self.watched:
            raise ValueError(f"fd {fd} is watched already; cancel that watch first")
        if self.calling is not cython.NULL and fd == self.calling.channel.fd:
            raise ValueError(
                f"fd {fd} is the client's own connection; on_disconnect and request.disconnected tell of it"
            )
        if not is_persistent and self.calling is cython.NULL:
            raise RuntimeError(
                "watch_fd outside a request: use watch_fd_persistent for descriptors that outlive requests"
            )
        watch = Watch()
        watch.loop = self
        watch.fd = fd
        watch.interest = bits
        watch.continuation = continuation
        watch.payload = payload
        watch.on_disconnect = on_disconnect
        watch.is_persistent = is_persistent
        self.watch_count += 1
        watch.slot = self.free_slots.pop() if self.free_slots else len(self.watches)
        watch.generation = self.watch_count
        result = self.backend.watch(watch.fd, watch.slot, watch.generation, bits, is_persistent)
        if watch.slot == cython.cast(cython.uint, len(self.watches)):
            self.watches.append(None)
        if result < 0:
            self.free_slots.append(watch.slot)
            raise OSError(-result, _refusal(fd, -result))
        self.watches[watch.slot] = watch
        self.watched[fd] = watch
        watch.is_active = True
        if not is_persistent:
            watch.parked = self.park()
            watch.parked.watches.append(watch)
            if timeout is None and self.bounds[self.calling.listener].suspend_ms:
                timeout = self.bounds[self.calling.listener].suspend_ms / 1000.0  # 1000 would cut it to seconds
                watch.is_limited = True
        if timeout is not None:
            watch.deadline = self.call_later(timeout, self.time_out, (watch,))
        return watch

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget_watch(self, watch: Watch) -> cython.int:
        """Take a watch out of the tables; the backend does not report it any more, or what it reports is stale."""
        watch.is_active = False
        self.watches[watch.slot] = None
        self.free_slots.append(watch.slot)
        del self.watched[watch.fd]
        if watch.deadline is not None:
            watch.deadline.cancel()
            watch.deadline = None
        if watch.parked is not None:
            watch.parked.watches.remove(watch)
        return 0

    # Phase 1: noting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def on_ready(self, completion: cython.pointer[Completion]) -> cython.void:
        """A watched descriptor became ready."""
        if self.ready_count == self.ready_size:
            self.ready_size = max(self.ready_size * 2, 64)
            self.ready = cython.cast(cython.pointer[Ready], realloc(self.ready, self.ready_size * cython.sizeof(Ready)))
            if self.ready is cython.NULL:
                abort()
        self.ready[self.ready_count].slot = cython.cast(cython.uint, completion.start)
        self.ready[self.ready_count].generation = completion.generation
        self.ready[self.ready_count].events = completion.result
        self.ready_count += 1
        self.has_notice = True

    # Phase 2: going on.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_ready(self) -> cython.int:
        """Go on with what waited for descriptors."""
        index: cython.int
        count: cython.int = self.ready_count
        ready: Ready
        watch: Watch
        for index in range(count):
            ready = self.ready[index]
            watch = self.watches[ready.slot] if ready.slot < cython.cast(cython.uint, len(self.watches)) else None
            if watch is not None and watch.generation == ready.generation:
                self.fire(watch, ready.events)
        self.ready_count = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fire(self, watch: Watch, events: cython.int) -> cython.int:
        """A watch is over, or a persistent one has something to do."""
        parked: Parked = watch.parked
        if watch.is_persistent:
            self.call(watch.continuation, (None, None, self.worker, watch.payload, EVENTS[events]))
            return 0
        if not parked.is_active:
            return 0  # its client has just gone: abandon() comes, and closes what it finds among its watches
        self.forget_watch(watch)  # before anything that may watch the same descriptor again
        return self.go_on(parked, watch.continuation, watch.payload, events)

    def time_out(self, watch: Watch) -> None:
        """The time of a watch is up."""
        watch.deadline = None
        if watch.is_limited:
            self.reached(LIMIT_SUSPEND)
        if not watch.is_persistent:
            self.backend.unwatch(watch.fd, watch.slot, watch.generation)
        self.fire(watch, EVENT_TIMEOUT)


def _refusal(fd: int, error: int) -> str:
    """Why a descriptor cannot be watched."""
    if error == EPERM:
        return f"fd {fd}: {UNWATCHABLE}"
    if error == EBADF:
        return f"fd {fd}: not open; give a descriptor that is, and keep it open while it is watched"
    return f"fd {fd}: {explain(error)}"
