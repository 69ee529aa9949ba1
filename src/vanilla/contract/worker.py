"""The Worker: the thread that a handler runs on, what it lets handlers wait for, and what it has counted.

Made by the engine, and by hand, so that a handler is tested by calling it. All but `post` and `counters` is for its own
thread.
"""

from __future__ import annotations

import importlib
import math

import cython

from vanilla.counters import Counters

LIMIT_NAMES = (
    "max_target_bytes",
    "max_header_bytes",
    "max_headers",
    "max_body_bytes",
    "max_chunk_extension_bytes",
    "read_timeout",
    "keepalive_timeout",
    "write_timeout",
    "min_receive_rate",
    "min_send_rate",
    "max_connections",
    "accept_timeout",
    "max_requests_per_connection",
    "max_pending_bytes",
    "linger_timeout",
    "suspend_timeout",
)
LIMIT_TARGET, LIMIT_HEADER_BYTES, LIMIT_HEADERS, LIMIT_BODY, LIMIT_EXTENSION, LIMIT_READ, LIMIT_KEEPALIVE = range(7)
LIMIT_WRITE, LIMIT_RECEIVE_RATE, LIMIT_SEND_RATE, LIMIT_CONNECTIONS, LIMIT_ACCEPT, LIMIT_REQUESTS = range(7, 13)
LIMIT_PENDING, LIMIT_LINGER, LIMIT_SUSPEND = range(13, 16)


@cython.final
@cython.cclass
class Draining:
    """Whether the server shuts down, as a flag; awaited, the moment at which streams should come to their end.

    The flag is true as soon as the shutdown begins. The wait ends a little later: answers that are short are finished
    first, for half of the grace at most.
    """

    def __bool__(self) -> bool:
        return self.worker.is_draining

    def __repr__(self) -> str:
        return f"<Draining: {bool(self)}>"

    def __await__(self) -> object:
        return self.worker._reach_loop().wait_drained().__await__()


@cython.final
@cython.cclass
class Worker:
    """The thread that a handler runs on: its own listener, event loop, connections and state.

    Args:
        state: what `make_state()` returned on this thread; handlers may set it.
        index: 0 for the first worker of a server.
        forwarded_allow_ips: the networks of `ServerConfig.forwarded_allow_ips`; readable under this name.
    """

    def __cinit__(self) -> None:
        self.is_draining = False
        self.forwarded_allow_ips = ()

    def __init__(self, state: object = None, index: int = 0, *, forwarded_allow_ips: object = ()) -> None:
        self.state = state
        self.index = index
        self.forwarded_allow_ips = tuple(forwarded_allow_ips)

    def __repr__(self) -> str:
        return f"<Worker {self.index}>"

    @property
    def draining(self) -> Draining:
        """Whether the server is shutting down: finish what is short, begin nothing long.

        Awaited, it lets a coroutine that streams wait for the moment to end its stream: see `Draining`.
        """
        draining: Draining = Draining.__new__(Draining)
        draining.worker = self
        return draining

    def on_drain(self, function: object, *args: object) -> None:
        """Have `function(*args)` called once on this thread when a shutdown has come to the streams that are open:
        when all short answers are finished, or half of the grace is over. It is the moment for their last words.

        What it raises is logged. Called after that moment, it is called in the next tick.
        """
        self._reach_loop().on_drain(function, args)

    def write_each(self, parked: list, data: bytes, unsent_max: int) -> list:
        """Write one piece of content to each of many streams at once: `Parked.write`, at little more than the cost of
        sending.

        Args:
            parked: handles whose answers have begun with `start`.
            data: the piece.
            unsent_max: bytes; a client that has more than this to take already is given nothing.

        Returns: the handles that were given nothing: those whose client does not keep up, or is gone.
        Raises: as `Parked.write`, for the first handle that it is wrong for, once all others have been written to.
        """
        return self._reach_loop().write_each(parked, data, unsent_max)

    def watch_fd(
        self,
        fd: int,
        interest: int,
        continuation: object,
        payload: object = None,
        *,
        timeout: float | None = None,
        on_disconnect: object = None,
    ) -> object:
        """Go on with this request once a descriptor is ready: register, and return `Step.SUSPEND`.

        Then `continuation(request, response, worker, payload, event)` is called, once, on this thread, and returns a
        step: `Step.SUSPEND` after another watch, or the end. Of several watches the first that is ready decides what
        goes on; the rest stay until they are ready, cancelled, or the request is answered. What was appended before
        a suspension is sent at once. Later requests of the same client wait in order.

        Args:
            fd: a descriptor that can be polled: socket, pipe, timerfd, eventfd, inotify; best non-blocking. It is the
                request's own: the continuation closes it, and if the client goes away first, the worker does.
            interest: `Interest.READABLE`, `Interest.WRITABLE`, or both.
            continuation: what goes on.
            payload: handed to the continuation.
            timeout: seconds until it is called with `Event.TIMEOUT` instead; default `Limits.suspend_timeout`.
            on_disconnect: called with the payload if the client goes away first, before the descriptor is closed.

        Returns: the watch; `cancel()` ends it, and its descriptor stays open.
        Raises: ValueError if the descriptor is watched already; OSError if it is closed, or is a regular file;
            RuntimeError outside a request.
        Source: epoll_ctl(2).
        """
        return self._reach_loop().watch_fd(fd, interest, continuation, payload, timeout, on_disconnect, False)

    def watch_fd_persistent(
        self, fd: int, interest: int, continuation: object, payload: object = None, *, timeout: float | None = None
    ) -> object:
        """Call `continuation(None, None, worker, payload, event)` whenever a descriptor is ready, until cancelled.

        For what outlives requests: a database connection, a timerfd, an inotify. It belongs to no request and stays
        open whoever goes away; answer requests that wait for it by their `park()` handles. A continuation that leaves
        the descriptor ready is called again in the next tick.

        Args, Returns, Raises: as `watch_fd`; `timeout` is one call with `Event.TIMEOUT`, and the watch goes on.
        """
        return self._reach_loop().watch_fd(fd, interest, continuation, payload, timeout, None, True)

    def park(self, *, on_disconnect: object = None) -> object:
        """A handle for the request that is being handled, to return `Step.SUSPEND` with and to go on with it by.

        Args:
            on_disconnect: called without arguments, on this thread, if the client goes away while the request waits.

        Returns: the handle, a `Parked`: `resume` has a continuation called; where the answer has begun with `start`,
            `write` sends more of it, `finish` ends it and `abort` cuts it off.
        Raises: RuntimeError outside a request.
        """
        return self._reach_loop().park_current(on_disconnect)

    def call_later(self, seconds: float, function: object, *args: object) -> object:
        """Call `function(*args)` once, on this worker's thread, `seconds` from now.

        Args:
            seconds: 0 or more; resolution 1 ms; it may be late after a long tick, never early.
            function: what it raises is logged with its traceback, and the worker goes on.

        Returns: the timer; `cancel()` before it is due forgets it.
        Raises: ValueError if `seconds` is negative or not finite; TypeError if `function` cannot be called.
        Source: the monotonic clock, clock_gettime(2).
        """
        return self._reach_loop().call_later(seconds, function, args)

    def call_at(self, when: float, function: object, *args: object) -> object:
        """Call `function(*args)` once when `time.monotonic()` has reached `when`; otherwise as `call_later`."""
        if not abs(when) <= 1e10:  # three centuries; NaN is neither
            raise ValueError(f"when {when!r}: give a time on the clock of time.monotonic()")
        return self._reach_loop().call_at_ns(math.ceil(when * 1e9), function, args)

    def readable(self, fd: int) -> object:
        """`await worker.readable(fd)`: wait, in an `async def` handler, until a descriptor can be read.

        Returns: the `Event` bits that ended the wait, when awaited; `HANGUP` and `ERROR` end it too.
        Raises: as `watch_fd`; RuntimeError where the server's handler is no `async def`.
        """
        return self._reach_loop().wait_fd(fd, 1)

    def writable(self, fd: int) -> object:
        """`await worker.writable(fd)`: likewise, until it can be written."""
        return self._reach_loop().wait_fd(fd, 2)

    def sleep(self, seconds: float) -> object:
        """`await worker.sleep(seconds)`: `asyncio.sleep` on the worker's own timers, cheaper where many sleep.

        Raises: as `call_later`, when awaited; RuntimeError where the server's handler is no `async def`.
        """
        return self._reach_loop().sleep(seconds)

    def offload(self, function: object, *args: object, then: object = None) -> object:
        """Have blocking work done on another thread: `function(*args)`, in a copy of the present context.

        In an `async def` handler await it: `await worker.offload(fn, *args)` is what it returns, or raises. A plain
        handler gives a continuation and returns `Step.SUSPEND`: then `then(request, response, worker, future,
        Event.RESUMED)` is called, and `future.result()` returns or raises what the function did.

        Each worker has `ServerConfig.offload_threads` threads, started when needed, and room for `offload_queue` calls
        that wait. A client that goes away does not stop a call that runs; `request.disconnected` tells it.

        Raises: OverloadError if the queue is full: let through, it answers 503.
        Source: concurrent.futures.
        """
        return self._reach_loop().offload(function, args, then)

    def post(self, function: object, *args: object) -> None:
        """Have `function(*args)` called on this worker's thread in its next tick. Any thread; in the order posted.

        What it raises is logged, and the worker goes on. However many posts come, the worker is woken once.
        Raises: RuntimeError if the worker has ended.
        """
        self._reach_loop().post(function, args)

    @cython.cfunc
    def find_kept(self, keeper: object) -> object:
        """What a handler keeps for this worker alone, or None."""
        found: object
        if self.keeper is keeper:
            return self.last_kept
        found = None if self.kept is None else self.kept.get(keeper)
        if found is not None:
            self.last_kept = found
            self.keeper = keeper
        return found

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, keeper: object, what: object) -> cython.int:
        """Keep it for as long as the worker lives."""
        if self.kept is None:
            self.kept = {}
        self.kept[keeper] = self.last_kept = what
        self.keeper = keeper
        return 0

    def _reach_loop(self) -> object:
        """The event loop below; for a worker made by hand one that records, see `vanilla.recording`."""
        loop: object
        with cython.critical_section(self):  # its engine may be ending on another thread
            loop = self.loop
        if loop is None:
            self.loop = loop = importlib.import_module("vanilla.recording").RecordingLoop()  # no server needs it
        return loop

    @property
    def recorded(self) -> object:
        """For tests, on a worker made by hand: what was asked of it, as a `RecordingLoop`."""
        return self._reach_loop()

    def counters(self) -> Counters:
        """What this worker has counted so far. Any thread, no lock."""
        counts: cython.pointer[Counts] = cython.address(self.counts)
        return Counters(
            counts.accepted,
            counts.open,
            counts.requests,
            counts.bytes_received,
            counts.bytes_sent,
            counts.responses[1],
            counts.responses[2],
            counts.responses[3],
            counts.responses[4],
            counts.responses[5],
            counts.in_flight,
            counts.parked,
            counts.ticks,
            counts.gil_held_ns,
            counts.handler_since_ns,
            {name: counts.limits[index] for index, name in enumerate(LIMIT_NAMES) if counts.limits[index]},
        )
