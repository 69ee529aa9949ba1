"""The tick: three phases over one worker's connections, with one hand-over of the GIL.

    1. poll, no GIL     wait; accept; receive; frame and validate every complete request; expire deadlines
    2. handle, GIL      call the handler for each framed request, in order, all into one response buffer
    3. flush, no GIL    one send for each connection; what the kernel does not take is kept until it is writable

A tick without a framed request never takes the GIL: refusals and timeouts are answered from canned bytes. A connection
brings at most one burst a tick; while it has unsent answers nothing is read from it, so a client that does not read
holds back nobody but itself. RFC 9112 section 9.3 (persistence), 9.6 (closing).
"""

from __future__ import annotations

import os

import cython
from cython.cimports.vanilla.backends.epoll import Epoll
from cython.cimports.vanilla.backends.interface import ACCEPTED, READY, RECEIVED
from cython.cimports.vanilla.contract import LIMIT_PENDING
from cython.cimports.vanilla.engine.accepting import (
    STARVED_RETRY_MS,
    add_listener,
    keep_house,
    on_accepted,
    stop_accepting,
    to_ms,
)
from cython.cimports.vanilla.engine.answers import (
    finish_burst,
    flush,
    flush_written,
    go_on_listed,
    on_writable,
    send_burst,
)
from cython.cimports.vanilla.engine.arrivals import on_due, on_received
from cython.cimports.vanilla.engine.connections import FIRST_BYTE, IDLE, Waiting, count_unsent, new_waiting
from cython.cimports.vanilla.engine.loop import ACQUIRE, Parked, Watch, atomic_load
from cython.cimports.vanilla.engine.state import connection_of, read_clock_ns
from cython.cimports.vanilla.http1.reply import (
    CLOSE,
    KEEP_ALIVE,
    append_refusal,
    check_response,
    drop_content,
    find_final_head,
    find_head_end,
    parse_status,
    set_connection,
)
from cython.cimports.vanilla.net.posix import MSG_DONTWAIT, MSG_PEEK, recv

from vanilla.counters import RequestTiming
from vanilla.engine.loop import EVENTS, log
from vanilla.http1.reply import FAULTS
from vanilla.recording import EndedLoop
from vanilla.steps import Step

FLUSH_AFTER_NS = 200_000  # of handling, after which the answers so far are sent: a slow handler holds back nobody's
FLUSH_BYTES = 256 * 1024  # of answers, likewise: they are still in the second-level cache when they are sent

ANNOUNCE, DRAIN, STOP = 1, 2, 4  # what another thread may ask: bits, so that none is lost when two ask at once

_DONE, _CLOSE, _SUSPEND = Step.DONE, Step.CLOSE, Step.SUSPEND


@cython.final
@cython.cclass
class Engine(Loop):
    """One worker: its backend, its connections, and the loop that serves them on the thread that calls `run`.

    Args:
        handler: called as handler(request, response, worker).
        worker: what handlers see of this thread.
        listeners: (descriptor, limits, most connections or 0) each; listening and non-blocking. The engine owns them.
        backend: the event mechanism's name, as choose_backend gives it.
        check_responses: whether what a handler appended is checked to be one whole response.
        on_timing: called with a RequestTiming once the kernel has taken the last byte of an answer.

    Raises: OSError if the mechanism cannot be had.
    """

    def __init__(
        self,
        handler: object,
        worker: Worker,
        listeners: object,
        *,
        backend: str = "epoll",
        check_responses: bool = False,
        on_timing: object = None,
    ) -> None:
        self.handler = handler
        self.worker = worker
        worker.loop = self
        self.counts = cython.address(worker.counts)
        self.checks_responses = check_responses
        self.on_timing = on_timing
        self.is_timed = on_timing is not None
        self.timings = []
        self.request = Request.__new__(Request)
        self.response = self.new_response()
        self.backend = Epoll(self.pool)
        self.allowances = self.backend.allowances
        self.now_ms = read_clock_ns() // 1_000_000
        self.wheel.now_ms = self.now_ms
        try:
            for number, (fd, limits, connections_max) in enumerate(listeners):
                add_listener(self, number, fd, limits, connections_max)
        except BaseException:
            self.backend.disown_listeners()  # the caller closes what it still owns
            raise

    # What other threads may call.

    def announce_drain(self) -> None:
        """Go on accepting and serving, but have every answer close its connection. Any thread."""
        self.ask(ANNOUNCE)

    def drain(self, grace: float) -> None:
        """Stop accepting, close idle connections, finish what is in flight, for `grace` seconds; `run` returns then."""
        self.grace_ms = to_ms(grace)
        self.ask(DRAIN)

    def stop(self) -> None:
        """Have `run` return at once; what is in flight is cut. Any thread."""
        self.ask(STOP)

    def ask(self, command: int) -> None:
        """Leave a command for the worker and wake it."""
        atomic_or(cython.address(self.command), command, RELEASE)
        self.backend.wake()

    # Phase 2: with the GIL.

    def run(self) -> None:
        """Serve until told to drain or stop, on the calling thread. Once only.

        Raises: OSError if the event mechanism itself fails.
        """
        if self.has_run:
            raise RuntimeError("this engine has run; make another")
        self.has_run = True
        try:
            with cython.nogil:
                self.poll()
            while not self.is_over():
                self.handle()
                if self.is_timed:
                    with cython.nogil:
                        flush(self, self.burst_count)
                        flush_written(self)
                    self.deliver_timings()
                with cython.nogil:
                    flush(self, self.burst_count)
                    flush_written(self)
                    self.end_tick()
                    self.poll()
            if self.wait_errno:
                raise OSError(self.wait_errno, f"{self.backend.name}: {os.strerror(self.wait_errno)}")
        finally:
            self.shut()

    def shut(self) -> None:
        """Close every descriptor: the last thing that the worker's thread does."""
        index: cython.int
        connection: cython.pointer[Connection]
        for index in range(self.flushed_count, self.burst_count):
            self.counts.in_flight -= self.bursts[index].count
        for index in range(self.listener_count):
            self.backend.close_listener(index)
        for index in range(self.table.size()):
            connection = self.table.at(index)
            if connection.channel.fd >= 0:
                self.close(connection)
        self.end_tick()
        self.is_shut = True
        self.run_gone()
        for timer in list(self.timers):
            timer.cancel()
        for watch in self.watches:
            if watch is not None:
                watch.cancel()
        self.resumptions.clear()
        self.worker.loop = EndedLoop()
        self.counts.handler_since_ns = 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle(self) -> cython.int:
        """Call the handler for every request framed in this tick."""
        index: cython.int
        position: cython.int
        burst: cython.pointer[Burst]
        held_since_ns: cython.longlong = read_clock_ns()
        now_ns: cython.longlong = held_since_ns
        self.has_notice = False
        if self.must_log_starved:
            self.must_log_starved = False
            self.report_starved()
        self.flushed_ns = held_since_ns
        self.finished_count = 0
        self.run_waiting()
        for index in range(self.burst_count):
            burst = cython.address(self.bursts[index])
            burst.start = self.buffer.length
            position = 0
            while position < burst.count and burst.connection.channel.generation == burst.generation:
                self.counts.handler_since_ns = now_ns
                if not self.handle_request(burst, position, now_ns):
                    burst.trailing = 0
                    position = burst.count
                    break
                position += 1
                now_ns = read_clock_ns()
                if now_ns - self.flushed_ns > FLUSH_AFTER_NS or self.buffer.length > FLUSH_BYTES:
                    self.counts.handler_since_ns = 0
                    self.flush_early(index, position)
                    now_ns = self.flushed_ns = read_clock_ns()
            finish_burst(self, burst)
        self.finished_count = self.burst_count
        self.run_resumptions()
        self.counts.handler_since_ns = 0
        now_ns = read_clock_ns()
        self.counts.gil_held_ns += now_ns - held_since_ns
        self.now_ms = now_ns // 1_000_000  # a handler may have taken seconds: deadlines count from its answer
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_waiting(self) -> cython.int:
        """Run what came due, became ready, or was posted, before the new requests: it has waited longer."""
        if self.gone_count > 0:
            self.run_gone()
        self.run_mail()
        if self.due_count > 0:
            self.run_due()
        if self.ready_count > 0:
            self.run_ready()
        return self.run_resumptions()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush_early(self, index: cython.int, handled: cython.int) -> cython.int:
        """Send what has been answered so far, in the midst of burst `index`, and go on with an empty buffer.

        A client that does not take its answers has the rest of its burst wait until it does.
        """
        burst: cython.pointer[Burst] = cython.address(self.bursts[index])
        connection: cython.pointer[Connection] = burst.connection
        waiting: cython.pointer[Waiting]
        burst.end = self.buffer.length
        self.now_ms = read_clock_ns() // 1_000_000
        with cython.nogil:
            flush(self, index)
            flush_written(self)
            send_burst(self, burst)
            self.buffer.clear()
        burst.start = burst.end = 0
        if connection.channel.generation != burst.generation or handled == burst.count:
            return 0
        if count_unsent(connection) > self.bounds[connection.listener].pending_bytes:
            waiting = new_waiting(
                burst.slab,
                cython.address(self.framed[burst.first + handled]),
                burst.count - handled,
                burst.trailing,
            )
            if waiting is cython.NULL:
                self.close(connection)
                return 0
            connection.waiting = waiting
            burst.count = handled
            burst.trailing = 0
            self.reached(LIMIT_PENDING)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle_request(
        self, burst: cython.pointer[Burst], position: cython.int, entered_ns: cython.longlong
    ) -> cython.bint:
        """Have one request of the burst answered; False when nothing after it is to be handled now."""
        framed: cython.pointer[Framed] = cython.address(self.framed[burst.first + position])
        connection: cython.pointer[Connection] = burst.connection
        start: cython.Py_ssize_t = self.buffer.length
        status: cython.int = 0
        result: object = None
        closes: cython.bint
        self.request.framed = framed[0]
        self.request.client_fd = connection.channel.fd
        self.request.peer_address = connection.peer
        self.response.start = start
        self.response.closes = framed.is_last
        self.response.is_open = True
        self.calling = connection
        self.counts.requests += 1
        try:
            result = self.handler(self.request, self.response, self.worker)
        except BaseException as error:
            self.report(self.request, "the handler raised; answered 500", error)
            status = -1
        self.response.is_open = False
        self.calling = cython.NULL
        if result is _SUSPEND and self.current is not None:
            if self.suspend(burst, position, start):
                return False
            status = -1
        if self.current is not None:
            self.drop_current()
        if status == 0:
            if result is _CLOSE:
                self.response.closes = framed.lingers = True
            status = self.judge(self.request, self.buffer, start, result, self.checks_responses)
        closes = self.settle(
            self.buffer, start, framed, self.response, connection, position == burst.count - 1, status < 0
        )
        if self.is_timed:
            self.note_timing(burst, max(status, 0) or 500, self.buffer.length - start, entered_ns, read_clock_ns())
        result = None
        if count_references(cython.cast(cython.p_void, self.request)) > 1:
            self.request.keep()
            self.request = Request.__new__(Request)
        elif self.request.is_read:
            self.request.forget()
        if count_references(cython.cast(cython.p_void, self.response)) > 1:
            self.response = self.new_response()
        return not closes

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def judge(
        self, request: Request, answer: ResponseBuffer, start: cython.Py_ssize_t, result: object, checks: cython.bint
    ) -> cython.int:
        """The status of what a handler appended, or -1, with the reason logged, where it is no answer."""
        fault: cython.int
        final: cython.Py_ssize_t = start
        status: cython.int = parse_status(answer.bytes, start, answer.length)
        if result is _SUSPEND:
            self.report(request, "the handler returned Step.SUSPEND but watches nothing; answered 500", None)
            return -1
        if result is not None and result is not _DONE and result is not _CLOSE:
            what = f"the handler returned {result!r}: return Step.DONE, Step.CLOSE or nothing; answered 500"
            self.report(request, what, None)
            return -1
        if status < 200 and status != 101:
            final = find_final_head(answer.bytes, start, answer.length)
            if final < 0:
                self.report(request, "the handler appended no response; answered 500", None)
                return -1
            status = parse_status(answer.bytes, final, answer.length)
        if checks:
            fault = check_response(answer.bytes, start, answer.length, request.framed.is_head)
            if fault:
                what = f"the handler appended an incomplete response, {FAULTS[fault]}; answered 500"
                self.report(request, what, None)
                return -1
        return status

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def settle(
        self,
        answer: ResponseBuffer,
        start: cython.Py_ssize_t,
        framed: cython.pointer[Framed],
        response: Response,
        connection: cython.pointer[Connection],
        is_final: cython.bint,
        fails: cython.bint,
    ) -> cython.bint:
        """Make a judged answer what HTTP wants of it, and count it; True when the connection closes after it.

        An answer that fails is replaced by a 500, and closes.
        """
        status: cython.int
        final: cython.Py_ssize_t
        closes: cython.bint = response.closes or fails
        if is_final and self.is_last_word(connection):
            closes = framed.lingers = True
        if fails:
            answer.length = start
            append_refusal(answer, self.date, 500)
            framed.lingers = True
        final = find_final_head(answer.bytes, start, answer.length)
        status = parse_status(answer.bytes, final, answer.length)
        self.counts.responses[status // 100] += 1
        if framed.is_head or status == 204 or status == 304:
            drop_content(answer, start)
        if closes:
            set_connection(answer, start, CLOSE)
            connection.closes = True
            connection.lingers |= framed.lingers
        elif framed.version == 10:
            set_connection(answer, start, KEEP_ALIVE)
        return closes

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def suspend(self, burst: cython.pointer[Burst], position: cython.int, start: cython.Py_ssize_t) -> cython.bint:
        """The handler waits: park its request, and the rest of the burst behind it; False if it waits for nothing.

        What it has appended so far is sent with this tick.
        """
        parked: Parked = self.current
        connection: cython.pointer[Connection] = burst.connection
        rest: cython.int = burst.count - position - 1
        waiting: cython.pointer[Waiting]
        if not parked.watches and not parked.has_handle:
            return False
        if self.buffer.length > start and not self.begin(parked, self.request, self.buffer, start):
            return False
        if rest > 0 or burst.trailing:
            waiting = new_waiting(
                burst.slab, cython.address(self.framed[burst.first + position + 1]), rest, burst.trailing
            )
            if waiting is cython.NULL:
                raise MemoryError
            connection.waiting = waiting
            burst.count = position + 1
        self.current = None
        parked.request = self.request
        parked.response = self.response
        self.request.keep()
        self.request.client_fd = connection.channel.fd
        self.request = Request.__new__(Request)
        self.response = self.new_response()
        self.parked.add(parked)
        self.counts.parked += 1
        connection.parked = cython.cast(cython.p_void, parked)
        self.backend.pause(cython.address(connection.channel))
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self, parked: Parked, request: Request, answer: ResponseBuffer, start: cython.Py_ssize_t) -> cython.bint:
        """A suspended request has appended the beginning of its answer: the head leaves now, so it is mended now.

        False, with the reason logged, where it is no head.
        """
        framed: cython.pointer[Framed] = cython.address(request.framed)
        status: cython.int = self.judge(request, answer, start, None, False)
        if status < 0:
            return False
        if find_head_end(answer.bytes, find_final_head(answer.bytes, start, answer.length), answer.length) < 0:
            self.report(request, "the handler suspended in the middle of a head; answered 500", None)
            return False
        parked.has_begun = True
        self.counts.responses[status // 100] += 1
        if framed.is_head or status == 204 or status == 304:
            drop_content(answer, start)
        if framed.is_last:
            set_connection(answer, start, CLOSE)
        elif framed.version == 10:
            set_connection(answer, start, KEEP_ALIVE)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self, parked: Parked, continuation: object, payload: object, events: cython.int) -> cython.int:
        """Call a parked request's continuation, and send what it appends; any step but SUSPEND ends the wait."""
        connection: cython.pointer[Connection] = parked.connection
        framed: cython.pointer[Framed] = cython.address(parked.request.framed)
        start: cython.Py_ssize_t = self.resumed.length
        response: Response = parked.response
        result: object = None
        status: cython.int = 0
        had_begun: cython.bint = parked.has_begun
        response.buffer = self.resumed
        response.start = start
        response.closes = framed.is_last
        response.is_open = True
        self.calling = connection
        self.current = parked
        self.counts.handler_since_ns = read_clock_ns()
        try:
            result = continuation(parked.request, response, self.worker, payload, EVENTS[events])
        except BaseException as error:
            self.report(parked.request, "a continuation raised", error)
            status = -1
        response.is_open = False
        self.calling = cython.NULL
        self.current = None
        self.counts.handler_since_ns = 0
        if status == 0 and result is _SUSPEND and (parked.watches or parked.has_handle):
            if had_begun and framed.is_head:
                self.resumed.length = start  # what would follow the head of an answer to HEAD is its content
            if self.resumed.length == start or had_begun or self.begin(parked, parked.request, self.resumed, start):
                self.push_written(connection, start)
                return self.flush_resumed()
            status = -1
        self.unpark(parked)
        if result is _CLOSE:
            response.closes = framed.lingers = True
        if not had_begun:
            if status == 0:
                status = self.judge(parked.request, self.resumed, start, result, self.checks_responses)
            is_final: cython.bint = connection.waiting is cython.NULL
            if self.settle(self.resumed, start, framed, response, connection, is_final, status < 0):
                self.drop_waiting(connection)
        else:
            if status == 0 and result is not None and result is not _DONE and result is not _CLOSE:
                self.report(parked.request, f"a continuation returned {result!r}; the answer is cut off", None)
                status = -1
            if status < 0 or framed.is_head:
                self.resumed.length = start
            if status < 0 or response.closes:
                connection.closes = True
                connection.lingers |= framed.lingers or status < 0
                self.drop_waiting(connection)
        self.push_written(connection, start)
        return self.flush_resumed()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush_resumed(self) -> cython.int:
        """Send early when resumed requests have appended much, or for long."""
        now_ns: cython.longlong = read_clock_ns()
        if now_ns - self.flushed_ns > FLUSH_AFTER_NS or self.resumed.length > FLUSH_BYTES:
            self.now_ms = now_ns // 1_000_000
            with cython.nogil:
                flush(self, self.finished_count)  # what the same connections were answered before comes first
                flush_written(self)
            self.flushed_ns = read_clock_ns()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unpark(self, parked: Parked) -> cython.int:
        """The wait is over: what the request still watches is watched no more, and its connection goes on."""
        watch: Watch
        parked.is_open = False
        self.parked.discard(parked)
        self.counts.parked -= 1
        parked.connection.parked = cython.NULL
        for watch in list(parked.watches):
            watch.cancel()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_current(self) -> cython.int:
        """A handler registered watches and then answered at once: they would fire for nobody."""
        watch: Watch
        self.current.is_open = False
        for watch in list(self.current.watches):
            watch.cancel()
        self.current = None
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_last_word(self, connection: cython.pointer[Connection]) -> cython.bint:
        """Whether the server drains, and nothing more has begun to arrive here: this answer closes."""
        return atomic_load(cython.address(self.command), ACQUIRE) != 0 and connection.held is cython.NULL

    @cython.cfunc
    def new_response(self) -> Response:
        """A response over the worker's buffer, closed until a handler gets it."""
        response: Response = Response.__new__(Response)
        response.buffer = self.buffer
        response.date = self.date
        response.is_open = False
        return response

    @cython.cfunc
    @cython.exceptval(check=False)
    def report_starved(self) -> cython.void:
        """Log that there are no descriptors left."""
        wait_ms: int = STARVED_RETRY_MS
        try:
            log.error(
                "accept: out of descriptors or memory; new connections wait, tried every %d ms; raise `ulimit -n`",
                wait_ms,
            )
        except Exception:
            return

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_timing(
        self,
        burst: cython.pointer[Burst],
        status: cython.int,
        length: cython.Py_ssize_t,
        entered_ns: cython.longlong,
        returned_ns: cython.longlong,
    ) -> cython.int:
        """Keep the times of the request just handled until its answer is taken."""
        framed: cython.pointer[Framed] = cython.address(self.request.framed)
        burst.connection.taken_ns = 0
        timing = RequestTiming(
            self.request.method,
            self.request.target,
            status,
            framed.content_end - framed.start,
            length,
            framed.received_ns,
            entered_ns,
            returned_ns,
            0,
        )
        self.timings.append((burst.connection.channel.index, burst.generation, timing))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def deliver_timings(self) -> cython.int:
        """Hand out the times of every answer that has been taken; those cut off have a sent_ns of 0."""
        connection: cython.pointer[Connection]
        kept: list = []
        for index, generation, timing in self.timings:
            connection = self.table.at(index)
            if connection.taken_ns == 0 and connection.channel.generation == generation:
                kept.append((index, generation, timing))
                continue
            try:
                self.on_timing(timing._replace(sent_ns=connection.taken_ns))
            except BaseException as error:
                self.report(self.worker, "on_timing raised", error)
        self.timings = kept
        return 0

    # Phase 1: without the GIL.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def poll(self) -> cython.void:
        """Turn until requests are framed, something is to be logged, or the worker is over."""
        index: cython.int
        result: cython.int
        completion: cython.pointer[Completion]
        node: cython.pointer[TimerNode]
        while True:
            self.obey()
            if self.is_over():
                return
            self.counts.ticks += 1
            go_on_listed(self)
            result = self.backend.wait(0 if self.burst_count > 0 else self.find_timeout_ms())
            if result < 0:
                self.wait_errno = -result
                return
            self.received_ns = read_clock_ns()
            self.now_ms = self.received_ns // 1_000_000
            self.wheel.advance(self.now_ms)
            for index in range(self.backend.completion_count):
                completion = cython.address(self.backend.completions[index])
                if completion.kind == ACCEPTED:
                    on_accepted(self, completion.start, completion.result, cython.address(completion.peer))
                elif completion.kind == READY:
                    self.on_ready(completion)
                elif completion.channel.fd < 0:
                    continue
                elif completion.kind == RECEIVED:
                    on_received(self, completion)
                else:
                    on_writable(self, connection_of(completion.channel))
            while True:
                node = self.wheel.take_due()
                if node is cython.NULL:
                    break
                if node.owner is not cython.NULL:
                    self.on_timer(node.owner)
                elif node == cython.address(self.housekeeping):
                    keep_house(self)
                else:
                    on_due(self, cython.cast(cython.pointer[Connection], node))
            if self.framed_count > 0 or self.has_notice or atomic_load(cython.address(self.has_mail), ACQUIRE):
                return
            for index in range(self.burst_count):
                self.bursts[index].start = self.buffer.length
                finish_burst(self, cython.address(self.bursts[index]))
            flush(self, self.burst_count)
            self.end_tick()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_over(self) -> cython.bint:
        """Whether the loop ends: told to stop, drained, out of grace, or without an event mechanism."""
        if self.wait_errno or atomic_load(cython.address(self.command), ACQUIRE) & STOP:
            return True
        return self.has_stopped_accepting and (self.counts.open == 0 or self.now_ms >= self.cut_ms)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_timeout_ms(self) -> cython.longlong:
        """How long the wait may be: until the next deadline, or the end of the grace; -1 for ever."""
        due_ms: cython.longlong = self.wheel.next_ms()
        if self.has_stopped_accepting and (due_ms < 0 or self.cut_ms < due_ms):
            due_ms = self.cut_ms
        return -1 if due_ms < 0 else max(due_ms - self.now_ms, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def obey(self) -> cython.void:
        """Between two ticks: begin what another thread asked for."""
        command: cython.int = atomic_load(cython.address(self.command), ACQUIRE)
        if command == 0:
            return
        self.worker.is_draining = True
        if command & DRAIN:
            if not self.has_stopped_accepting:
                stop_accepting(self)
            else:
                self.close_idle()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_idle(self) -> cython.void:
        """Close every connection on which nothing is under way, unless its next request arrived this instant."""
        index: cython.int
        connection: cython.pointer[Connection]
        octet: cython.uchar
        for index in range(self.table.size()):
            connection = self.table.at(index)
            if connection.channel.fd >= 0 and connection.has_shut:
                self.hasten_end(connection)
            if connection.channel.fd < 0 or (connection.deadline != IDLE and connection.deadline != FIRST_BYTE):
                continue
            if recv(connection.channel.fd, cython.address(octet), 1, MSG_PEEK | MSG_DONTWAIT) <= 0:
                self.close(connection)

    # Deadlines: one for each connection, for what it is waited for now.

    # Phase 3: without the GIL.
