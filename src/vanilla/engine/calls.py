"""Calls that are due on a worker's own thread: at a time, posted by another thread, or said for a shutdown.

Phase 1 only notes what came due, without the GIL; phase 2 calls it. What a call raises is logged, and the worker goes
on.
"""

from __future__ import annotations

import collections
import logging
import math
import time

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.atomics import ACQUIRE, ACQUIRE_RELEASE, atomic_exchange, atomic_load
from cython.cimports.vanilla.engine.state import read_clock_ns

log = logging.getLogger("vanilla")

TIMER_SECONDS_MAX = 100 * 366 * 86400.0  # a century: what is due later is a mistake, and would overflow in nanoseconds

# In Windows Python's monotonic clock counts ticks of 16 ms before 3.13, and is not the engine's.
HAS_OTHER_CLOCK = time.get_clock_info("monotonic").implementation == "GetTickCount64()"


@cython.final
@cython.cclass
class Timer:
    """One call that is due later on its worker's thread; `cancel()` forgets it."""

    def __cinit__(self) -> None:
        self.node.link = cython.NULL
        self.node.owner = cython.cast(cython.p_void, self)

    @property
    def is_active(self) -> bool:
        """Whether the call is still to come."""
        return self.loop is not None

    def cancel(self) -> None:
        """Forget the call; one that was made, or is forgotten already, stays so. On the worker's own thread only."""
        loop: Calls = self.loop
        if loop is not None:
            loop.wheel.remove(cython.address(self.node))
            loop.timers.discard(self)
            self.loop = None
            self.function = self.arguments = None
            if self.siblings is not None:
                self.siblings.discard(self)
                self.siblings = None


@cython.final
@cython.cclass
class Posted:
    """A call that another thread wants; equal to itself alone, so that it is found again in the mailbox."""


@cython.cclass
class Calls(State):
    """The part of the engine that makes calls for nobody's request: timers, posts, and last words."""

    def __cinit__(self, *_: object, **__: object) -> None:
        self.due = cython.NULL
        self.timers = set()
        self.mailbox = collections.deque()
        self.drain_calls = []

    def __dealloc__(self) -> None:
        free(self.due)

    # What a worker offers.

    def call_later(self, seconds: float, function: object, arguments: tuple) -> Timer:
        """Worker.call_later."""
        check_seconds(seconds)
        return self.set_timer(read_clock_ns() + math.ceil(seconds * 1e9), function, arguments)

    def call_at_ns(self, due_ns: int, function: object, arguments: tuple) -> Timer:
        """A timer for a time on the clock of time.monotonic_ns()."""
        if HAS_OTHER_CLOCK:
            due_ns += time.perf_counter_ns() - time.monotonic_ns()
        return self.set_timer(due_ns, function, arguments)

    @cython.cfunc
    def set_timer(self, due_ns: object, function: object, arguments: tuple) -> Timer:
        """A timer for a time on the engine's clock; the wheel knows milliseconds and rounds up: late, never early."""
        timer: Timer
        self.check_open()
        if not callable(function):
            raise TypeError(f"function {function!r}: cannot be called")
        timer = Timer()
        timer.function = function
        timer.arguments = arguments
        timer.loop = self
        self.timers.add(timer)
        self.wheel.add(cython.address(timer.node), (due_ns + 999_999) // 1_000_000)
        return timer

    def post(self, function: object, arguments: tuple) -> None:
        """Worker.post: any thread. One wake-up, however many posts."""
        posted: Posted = Posted()
        if self.has_ended():
            raise RuntimeError("post: the worker has ended")
        posted.function = function
        posted.arguments = arguments
        self.mailbox.append(posted)
        if atomic_exchange(cython.address(self.has_mail), 1, ACQUIRE_RELEASE) == 0:
            self.backend.wake()
        # Without a GIL the worker may have ended since: then it has taken this, or it is here still.
        if self.has_ended() and self.withdraw(posted):
            raise RuntimeError("post: the worker has ended")

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def withdraw(self, posted: Posted) -> cython.bint:
        """Whether it was still there to be withdrawn."""
        try:
            self.mailbox.remove(posted)
        except ValueError:
            return False
        return True

    def on_drain(self, function: object, arguments: tuple) -> None:
        """Worker.on_drain."""
        if not callable(function):
            raise TypeError(f"function {function!r}: cannot be called")
        if self.has_told_streams:
            self.post(function, arguments)
        else:
            self.drain_calls.append((function, arguments))
            self.has_drain_calls = True

    def has_ended(self) -> bool:
        """Whether nothing posted would be called any more."""
        return atomic_load(cython.address(self.is_shut), ACQUIRE) != 0

    def nudge(self) -> None:
        """asyncio has something to do, another thread says. Any thread."""
        if atomic_exchange(cython.address(self.has_mail), 1, ACQUIRE_RELEASE) == 0:
            self.backend.wake()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_open(self) -> cython.int:
        """Refuse what would never happen any more."""
        if self.is_shut:
            raise RuntimeError("the worker has ended")
        return 0

    # Phase 1: noting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def on_timer(self, owner: cython.p_void) -> cython.void:
        """A timer came due. Nobody can cancel it before phase 2 holds it: that is this thread, too."""
        if self.due_count == self.due_size:
            self.due_size = max(self.due_size * 2, 64)
            self.due = cython.cast(
                cython.pointer[cython.p_void], realloc(self.due, self.due_size * cython.sizeof(cython.p_void))
            )
            if self.due is cython.NULL:
                abort()
        self.due[self.due_count] = owner
        self.due_count += 1
        self.has_notice = True

    # Phase 2: calling.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_mail(self) -> cython.int:
        """Call what other threads posted until now; what they post meanwhile is for the next tick."""
        count: cython.Py_ssize_t
        posted: Posted
        if not atomic_exchange(cython.address(self.has_mail), 0, ACQUIRE_RELEASE):
            return 0
        count = len(self.mailbox)
        while count > 0:
            count -= 1
            posted = self.mailbox.popleft()
            self.call(posted.function, posted.arguments)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_last_mail(self) -> cython.int:
        """Take no more posts, and call those that were taken: each is called, or refused."""
        posted: Posted
        atomic_exchange(cython.address(self.is_shut), 1, ACQUIRE_RELEASE)
        while True:
            try:  # and no look at its length: what takes from it waits for who is adding to it
                posted = self.mailbox.popleft()
            except IndexError:
                return 0
            self.call(posted.function, posted.arguments)

    @cython.cfunc
    def hold_due(self) -> list:
        """What came due, earliest first. Taken before anything else runs, which may cancel a timer and so free it."""
        index: cython.int
        came: list = [cython.cast(Timer, self.due[index]) for index in range(self.due_count)]
        self.due_count = 0
        came.sort(key=_due_ms)
        return came

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_due(self, came: list) -> cython.int:
        """Call what came due."""
        timer: Timer
        for timer in came:
            if timer.loop is None:
                continue  # cancelled in this tick
            function, arguments = timer.function, timer.arguments
            timer.cancel()
            self.call(function, arguments)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_streams(self) -> cython.int:
        """The shutdown has come to the streams: let those who asked for it say their last words."""
        calls: list = self.drain_calls
        self.drain_calls = []
        self.has_drain_calls = False
        for function, arguments in calls:
            self.call(function, arguments)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def call(self, function: object, arguments: object) -> cython.int:
        """Call something that belongs to no request: what it raises is logged, and the worker goes on."""
        try:
            function(*arguments)
        except BaseException as error:
            self.report(self.worker, f"{function!r} raised", error)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def report(self, subject: object, what: str, error: object) -> cython.void:
        """Log what went wrong, and with whom."""
        try:
            log.error("%r: %s", subject, what, exc_info=error)
        except Exception:
            return  # a logging handler of the user's that fails must not end the worker


def check_seconds(seconds: float) -> None:
    """Refuse a delay that cannot be, before anything is registered."""
    if not 0 <= seconds <= TIMER_SECONDS_MAX:
        raise ValueError(f"seconds {seconds!r}: give a number of seconds from 0 to {TIMER_SECONDS_MAX:.0f}")


def _due_ms(timer: Timer) -> int:
    return timer.node.due_ms
