"""What waits on a worker besides its connections: watched descriptors, timers, and calls posted by other threads.

Phase 1 only notes what became ready or due, without the GIL; phase 2 begins by running it. A request that waits is a
`Parked`: its connection is not read, and the requests behind it wait in order; nobody else does.
"""

from __future__ import annotations

import collections
import logging
import math
import os

import cython
from cython.cimports.libc.stdlib import abort
from cython.cimports.vanilla.buffers import new_own_buffer
from cython.cimports.vanilla.contract.request import IGNORE
from cython.cimports.vanilla.contract.worker import LIMIT_SUSPEND
from cython.cimports.vanilla.engine.connections import count_unsent
from cython.cimports.vanilla.engine.contents import grow_or_shrink, has_piece, next_size, receive_content
from cython.cimports.vanilla.engine.state import NOTICE_CONTENT, Notice, read_clock_ns
from cython.cimports.vanilla.http1.reply import append_interim_continue
from cython.cimports.vanilla.net.posix import EBADF, ECONNRESET, EPERM

from vanilla.errors import BodyError
from vanilla.steps import Event, Interest

log = logging.getLogger("vanilla")

EVENT_WRITABLE_AGAIN = int(Event.WRITABLE)
EVENT_TIMEOUT, EVENT_RESUMED = int(Event.TIMEOUT), int(Event.RESUMED)
TIMER_SECONDS_MAX = 100 * 366 * 86400.0  # a century: what is due later is a mistake, and would overflow in nanoseconds
EVENT_PIECE, EVENT_BAD = int(Event.READABLE), int(Event.ERROR)
_REASONS = {
    408: "the content comes too slowly",
    413: "the content is longer than max_body_bytes",
    431: "the trailers are longer than max_header_bytes",
}
EVENTS = tuple(Event(bits) for bits in range(64))  # making one costs more than a small request does
_INTERESTS = (int(Interest.READABLE), int(Interest.WRITABLE), int(Interest.READABLE | Interest.WRITABLE))


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
        loop: Loop = self.loop
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
class Parked:
    """A request whose handler returned Step.SUSPEND, until one of its continuations returns another step."""

    def __cinit__(self) -> None:
        self.connection = cython.NULL
        self.piece = cython.NULL
        self.is_open = True

    def __dealloc__(self) -> None:
        Py_XDECREF(self.piece)

    @property
    def is_active(self) -> bool:
        """Whether the request still waits: it was not answered, and its client is there."""
        return self.is_open and self.connection.channel.generation == self.generation

    def resume(self, continuation: object, payload: object = None) -> None:
        """Have `continuation(request, response, worker, payload, Event.RESUMED)` called in this tick.

        The worker's own thread only; elsewhere `worker.post(parked.resume, continuation)`. One that is answered or
        whose client is gone by then is not called.
        """
        self.loop.resumptions.append((self, continuation, payload))
        self.loop.has_notice = True

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return count_unsent(self.connection) if self.is_active else 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one more piece of the content of an answer that has begun with `start`, at the end of this tick.

        On the worker's own thread only, as are `finish` and `abort`. To somebody who is gone it is nothing.
        Raises: RuntimeError if the answer has not begun; ValueError for more than the length that was given.
        """
        if self.is_active:
            self.loop.write_parked(self, data)

    def finish(self) -> None:
        """End the answer, as a handler that returns `Step.DONE`: the connection goes on with the next request."""
        if self.is_active:
            self.loop.finish_parked(self)

    def abort(self) -> None:
        """Cut the answer off: the connection closes now. One that does not wait any more stays as it is."""
        if self.is_active and self.connection.parked is not cython.NULL:
            self.on_disconnect = None
            self.loop.close(self.connection)


@cython.final
@cython.cclass
class Watch:
    """One watched descriptor; `cancel()` ends it."""

    def cancel(self) -> None:
        """Watch the descriptor no longer; it stays open. On the worker's own thread only."""
        if self.is_active:
            self.loop.backend.unwatch(self.fd)
            self.loop.forget_watch(self)


@cython.cclass
class Loop(State):
    """The part of the engine that `Worker` hands out. Its methods are called on the worker's thread, but for `post`."""

    def __cinit__(self, *_: object, **__: object) -> None:
        self.ready = cython.NULL
        self.due = cython.NULL
        self.calling = cython.NULL
        self.watches = []
        self.free_slots = []
        self.watched = {}
        self.timers = set()
        self.parked = set()
        self.mailbox = collections.deque()
        self.resumptions = collections.deque()
        self.drain_calls = []

    def __dealloc__(self) -> None:
        free(self.ready)
        free(self.due)

    # What a worker offers.

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
            _check_seconds(timeout)
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
                timeout = self.bounds[self.calling.listener].suspend_ms / 1000
                watch.is_limited = True
        if timeout is not None:
            watch.deadline = self.call_later(timeout, self.time_out, (watch,))
        return watch

    def call_later(self, seconds: float, function: object, arguments: tuple) -> Timer:
        """Worker.call_later."""
        _check_seconds(seconds)
        return self.call_at_ns(read_clock_ns() + math.ceil(seconds * 1e9), function, arguments)

    def call_at_ns(self, due_ns: int, function: object, arguments: tuple) -> Timer:
        """A timer for a time on CLOCK_MONOTONIC; the wheel knows milliseconds, so it rounds up: late, never early."""
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
        if self.is_shut:
            raise RuntimeError("post: the worker has ended")
        self.mailbox.append((function, arguments))
        if atomic_exchange(cython.address(self.has_mail), 1, ACQUIRE_RELEASE) == 0:
            self.backend.wake()

    def park_current(self, on_disconnect: object) -> Parked:
        """Worker.park."""
        parked: Parked
        self.check_open()
        if self.calling is cython.NULL:
            raise RuntimeError("park outside a request: only a handler or its continuation can park its request")
        parked = self.park()
        parked.has_handle = True
        parked.on_disconnect = on_disconnect
        return parked

    def park_answer(self, response: Response, on_disconnect: object) -> Parked:
        """Response.park."""
        parked: Parked = response.parked
        if parked is None:
            return self.park_current(on_disconnect)
        parked.has_handle = True
        parked.on_disconnect = on_disconnect
        return parked

    def go_on_drained_with(self, response: Response, continuation: object, payload: object) -> None:
        """Response.on_drained."""
        parked: Parked
        self.check_open()
        if self.calling is cython.NULL:
            raise RuntimeError("on_drained in a coroutine: await response.flush() instead")
        parked = self.park()
        parked.drained = (continuation, payload)
        self.calling.wants_drained = True

    def go_on_with_content(self, request: Request, continuation: object, on_disconnect: object) -> None:
        """Request.on_body."""
        parked: Parked
        self.check_open()
        if self.calling is cython.NULL:
            raise RuntimeError("on_body in a coroutine: use request.stream() instead")
        parked = self.park()
        if request is not (self.request if parked.request is None else parked.request):
            raise RuntimeError("on_body of another request than the one that is being handled")
        parked.body = (continuation, None)
        if on_disconnect is not None:
            parked.on_disconnect = on_disconnect

    def next_piece(self, request: Request) -> object:
        """Request.stream and Request.read, of content still to come: a piece, or the future that will have it."""
        parked: Parked
        future: object
        if self.runner is None:
            raise RuntimeError("stream: this server's handler is no `async def`; use on_body")
        if request.parked is not cython.NULL:
            parked = cython.cast(Parked, request.parked)
            if not parked.is_active:
                raise _gone()
        elif self.calling is not cython.NULL and request is self.request:
            parked = self.park()
        else:
            raise RuntimeError("stream: this request is not being handled")
        if parked.body is not None and not (parked.body[1] is not None and parked.body[1].done()):
            raise RuntimeError("stream: somebody else waits for a piece of this content")
        if request.parked is not cython.NULL and has_piece(parked.connection.intake):
            return self.take_piece(parked)
        future = self.runner.new_future()
        parked.body = (None, future)
        if request.parked is not cython.NULL:
            self.ask_content(parked)  # else once the handler has been left: what it appended goes first
        return future

    def count_unsent_of(self, response: Response) -> int:
        """Response.unsent."""
        parked: Parked = response.parked
        if parked is not None:
            return parked.unsent
        return count_unsent(self.calling) if self.calling is not cython.NULL and response.is_open else 0

    def on_drain(self, function: object, arguments: tuple) -> None:
        """Worker.on_drain."""
        if not callable(function):
            raise TypeError(f"function {function!r}: cannot be called")
        if self.has_told_streams:
            self.post(function, arguments)
        else:
            self.drain_calls.append((function, arguments))

    def wait_drained(self) -> object:
        """`await worker.draining`."""
        return self.reach_runner("await worker.draining", "use worker.on_drain").wait_drained()

    def wait_fd(self, fd: int, interest: int) -> object:
        """Worker.readable and Worker.writable."""
        return self.reach_runner("await a descriptor", "use worker.watch_fd").wait_fd(fd, interest)

    def sleep(self, seconds: float) -> object:
        """Worker.sleep."""
        return self.reach_runner("sleep", "use worker.call_later").sleep(seconds)

    def offload(self, function: object, arguments: tuple, continuation: object) -> object:
        """Worker.offload."""
        parked: Parked
        self.check_open()
        if not callable(function):
            raise TypeError(f"function {function!r}: cannot be called")
        if continuation is None:
            self.reach_runner("await worker.offload(...)", "give then=continuation")
        elif not callable(continuation):
            raise TypeError(f"then {continuation!r}: give a function of (request, response, worker, payload, event)")
        if self.offloads is None:
            self.offloads = self.make_offloads()
        if continuation is None:
            return self.runner.wrap(self.offloads.submit(function, arguments))
        if self.calling is cython.NULL:
            raise RuntimeError("offload with `then` outside a request: only a handler or its continuation has one")
        future = self.offloads.submit(function, arguments)
        parked = self.park()
        parked.has_handle = True
        future.add_done_callback(_Return(self, parked, continuation))
        return None

    def reach_runner(self, what: str, instead: str) -> object:
        """What runs coroutines, on a server that has them."""
        self.check_open()
        if self.runner is None:
            raise RuntimeError(f"{what}: this server's handler is no `async def`; {instead}")
        return self.runner

    def has_ended(self) -> bool:
        """Whether nothing posted would be called any more."""
        return self.is_shut

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

    @cython.cfunc
    def park(self) -> Parked:
        """The request that is being handled, as something that can wait."""
        parked: Parked
        if self.current is None:
            parked = Parked()
            parked.loop = self
            parked.connection = self.calling
            parked.generation = self.calling.channel.generation
            parked.watches = []
            self.current = parked
        return self.current

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

    # Phase 2: running.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_mail(self) -> cython.int:
        """Call what other threads posted until now; what they post meanwhile is for the next tick."""
        count: cython.Py_ssize_t
        if not atomic_exchange(cython.address(self.has_mail), 0, ACQUIRE_RELEASE):
            return 0
        count = len(self.mailbox)
        while count > 0:
            count -= 1
            function, arguments = self.mailbox.popleft()
            self.call(function, arguments)
        return 0

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
    def run_gone(self) -> cython.int:
        """Let go of requests whose clients are gone: their one-shot descriptors close, persistent ones stay."""
        index: cython.int
        parked: Parked
        gone: list = [cython.cast(Parked, self.gone[index]) for index in range(self.gone_count)]
        self.gone_count = 0
        for parked in gone:
            self.abandon(parked)
        return 0

    def abandon(self, parked: Parked) -> None:
        """End a request that nobody waits for any more."""
        watch: Watch
        parked.is_open = False
        self.parked.discard(parked)
        self.counts.parked -= 1
        self.stream_count -= parked.response.has_begun
        parked.request.leave()
        flushes = parked.drained[1] if parked.drained is not None and parked.drained[0] is None else ()
        parked.drained = None
        body = parked.body
        parked.body = None
        for watch in list(parked.watches):
            watch.cancel()
            if watch.on_disconnect is not None:
                self.call(watch.on_disconnect, (watch.payload,))
            try:
                os.close(watch.fd)
            except OSError:
                continue  # on_disconnect closed it
        if parked.on_disconnect is not None:
            self.call(parked.on_disconnect, ())
        self.drop_source(parked.response)
        if parked.response.taking is not None:
            self.drop_takeover(parked.response, ConnectionResetError(ECONNRESET, os.strerror(ECONNRESET)))
        if parked.task is None:
            parked.response.loop = None
        elif parked.request.after_disconnect == IGNORE or (
            parked.request.after_disconnect == 0 and self.ignores_disconnect
        ):
            parked.is_orphan = True
            self.orphan_count += 1
            for future in flushes:
                if not future.done():
                    future.set_result(None)  # nobody else would: it goes on, unheard
        else:
            parked.task.cancel()
        if body is not None and body[1] is not None and not body[1].done():
            body[1].set_exception(_gone())

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_source(self, response: Response) -> cython.bint:
        """Let go of what `Response.stream` was given: a generator is closed."""
        source: object = response.source
        response.source = None
        if source is not None and hasattr(source, "close"):
            self.call(source.close, ())
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_resumptions(self) -> cython.int:
        """Go on with requests that somebody resumed, those among them too."""
        parked: Parked
        while self.resumptions:
            parked, continuation, payload = self.resumptions.popleft()
            if parked.is_active:
                self.go_on(parked, continuation, payload, EVENT_RESUMED)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_notices(self) -> cython.int:
        """Act on what phases 1 and 3 have noted about connections."""
        index: cython.int
        notice: Notice
        count: cython.int = self.notice_count
        for index in range(count):
            notice = self.notices[index]
            if notice.takeover is not cython.NULL:
                self.tell_protocol(cython.address(notice))
            elif notice.connection.channel.generation == notice.generation:
                if notice.connection.parked is not cython.NULL:
                    if notice.kind == NOTICE_CONTENT:
                        self.go_on_content(cython.cast(Parked, notice.connection.parked))
                    else:
                        self.go_on_drained(cython.cast(Parked, notice.connection.parked))
        self.notice_count -= count
        for index in range(self.notice_count):
            self.notices[index] = self.notices[count + index]
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_protocol(self, notice: cython.pointer[Notice]) -> cython.int:
        """Tell the protocol that has taken a connection over; the part of the engine that knows it says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_takeover(self, response: Response, reason: object) -> cython.int:
        """The answer with which a protocol would have taken a connection over does not come about; likewise."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_drained(self, parked: Parked) -> cython.int:
        """The client has taken most of what was written: more may be."""
        drained: object = parked.drained
        if drained is None:
            return 0
        if count_unsent(parked.connection) > self.bounds[parked.connection.listener].low_water:
            parked.connection.wants_drained = True  # more was written since
            return 0
        parked.drained = None
        continuation, payload = drained
        if continuation is not None:
            return self.go_on(parked, continuation, payload, EVENT_WRITABLE_AGAIN)
        for future in payload:
            self.wake(future, None)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_content(self, parked: Parked) -> cython.int:
        """A piece of the content is there, or its end, or what is wrong with it: hand it to whoever waits."""
        connection: cython.pointer[Connection] = parked.connection
        body: object = parked.body
        if body is None:
            return 0  # it stays for the one who asks next
        if parked.request.framed.is_partial and not has_piece(connection.intake):
            if connection.is_ended:
                self.close(connection)  # what is missing will never come
            return 0
        parked.body = None
        continuation, future = body
        if future is not None and future.done():
            return 0  # whoever waited was cancelled
        try:
            piece = self.take_piece(parked)
        except BodyError as error:
            if continuation is not None:
                return self.go_on(parked, continuation, error, EVENT_BAD)
            return self.wake(future, error)
        if continuation is not None:
            return self.go_on(parked, continuation, piece, EVENT_PIECE)
        return self.wake(future, piece)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wake(self, future: object, result: object) -> cython.int:
        """Have a coroutine go on with what it waits for; the part of the engine that runs them says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def ask_content(self, parked: Parked) -> cython.int:
        """Somebody waits for a piece of the content: receive it, if it is not there."""
        connection: cython.pointer[Connection] = parked.connection
        intake: cython.pointer[Intake] = connection.intake
        start: cython.Py_ssize_t = self.resumed.length
        size: cython.Py_ssize_t
        if not parked.is_active:
            return 0  # cut off in its own call
        if not parked.request.framed.is_partial:
            self.notify(NOTICE_CONTENT, connection)
            return 0
        if intake.is_wanted:
            return 0
        if intake.expects_continue:
            intake.expects_continue = False
            if not parked.response.has_begun:  # else the client has its answer to that question
                if not append_interim_continue(self.resumed):
                    raise MemoryError
                self.push_written(connection, start)
                self.counts.responses[1] += 1
        if has_piece(intake) or connection.is_ended:
            self.notify(NOTICE_CONTENT, connection)
            return 0
        size = next_size(intake)
        piece: bytes = PyBytes_FromStringAndSize(cython.NULL, size)
        Py_INCREF(piece)
        Py_XDECREF(parked.piece)
        parked.piece = cython.cast(cython.pointer[PyObject], piece)
        intake.piece = cython.cast(cython.p_uchar, PyBytes_AS_STRING(piece))
        intake.is_wanted = True
        connection.channel.target = intake.piece
        connection.channel.target_room = size
        if count_unsent(connection) == 0:
            receive_content(self, connection)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep_first(self, parked: Parked) -> cython.int:
        """The content that came along with the head is the first piece. A request that waits keeps the head alone: it
        should not hold on to 64 KiB that others stood in.
        """
        framed: cython.pointer[Framed] = cython.address(parked.request.framed)
        intake: cython.pointer[Intake] = parked.connection.intake
        intake.filled = framed.content_end - framed.content_start
        if intake.filled > 0:
            piece: bytes = parked.request.copy(framed.content_start, framed.content_end)
            Py_INCREF(piece)
            parked.piece = cython.cast(cython.pointer[PyObject], piece)
            framed.content_end = framed.content_start
        return 0

    @cython.cfunc
    def take_piece(self, parked: Parked) -> bytes:
        """What there is for whoever asks: a piece, `b""` at the end. Raises BodyError where the content is refused."""
        intake: cython.pointer[Intake] = parked.connection.intake
        raw: cython.pointer[PyObject] = parked.piece
        filled: cython.Py_ssize_t
        if not parked.request.framed.is_partial:
            return parked.request.take_whole()
        if intake.status:
            raise BodyError(intake.status, _REASONS.get(intake.status, "the content is malformed"))
        filled = intake.filled
        if filled == 0:
            return b""
        intake.filled = 0
        parked.piece = cython.NULL
        grow_or_shrink(intake, filled)
        if filled < PyBytes_GET_SIZE(cython.cast(object, raw)):
            _PyBytes_Resize(cython.address(raw), filled)
        piece: bytes = cython.cast(bytes, raw)
        Py_XDECREF(raw)
        return piece

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_streams(self) -> cython.int:
        """The shutdown has come to the streams: let those who asked for it say their last words."""
        calls: list = self.drain_calls
        self.drain_calls = []
        for function, arguments in calls:
            self.call(function, arguments)
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
            self.backend.unwatch(watch.fd)
        self.fire(watch, EVENT_TIMEOUT)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self, parked: Parked, continuation: object, payload: object, events: cython.int) -> cython.int:
        """Call a parked request's continuation; the engine, which answers, says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_way(self) -> cython.int:
        """`resumed` is needed for somebody else's bytes, and may be sent and cleared with them: what the continuation
        that is being called has appended to it moves to a buffer of its own until it returns.
        """
        parked: Parked = self.current
        response: Response
        own: ResponseBuffer
        if parked is None or parked.response is None:
            return 0
        response = parked.response
        if response.buffer is self.resumed:
            own = new_own_buffer()
            if not self.resumed.move_to(own, response.begin):
                raise MemoryError
            response.buffer = own
            response.begin = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_parked(self, parked: Parked, data: object) -> cython.int:
        """Parked.write; the engine, which answers, says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_parked(self, parked: Parked) -> cython.int:
        """Parked.finish; likewise."""
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


def _gone() -> BodyError:
    return BodyError(400, "the client went away before its content was whole")


class _Return:
    """Brings the outcome of offloaded work back to the worker's thread."""

    def __init__(self, loop: Loop, parked: Parked, continuation: object) -> None:
        self._loop = loop
        self._parked = parked
        self._continuation = continuation

    def __call__(self, future: object) -> None:
        if not self._loop.has_ended():
            self._loop.post(self._parked.resume, (self._continuation, future))


def _check_seconds(seconds: float) -> None:
    """Refuse a delay that cannot be, before anything is registered."""
    if not 0 <= seconds <= TIMER_SECONDS_MAX:
        raise ValueError(f"seconds {seconds!r}: give a number of seconds from 0 to {TIMER_SECONDS_MAX:.0f}")


def _due_ms(timer: Timer) -> int:
    return timer.node.due_ms


def _refusal(fd: int, error: int) -> str:
    """Why a descriptor cannot be watched."""
    if error == EPERM:
        return f"fd {fd}: a regular file is always ready and cannot be watched; read it, or use worker.offload"
    if error == EBADF:
        return f"fd {fd}: not open; give a descriptor that is, and keep it open while it is watched"
    return f"fd {fd}: {os.strerror(error)}"
