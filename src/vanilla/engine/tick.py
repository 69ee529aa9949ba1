"""The tick: three phases over one worker's connections, with one hand-over of the GIL.

    1. poll, no GIL     wait; accept; receive; frame and validate every complete request; expire deadlines
    2. handle, GIL      call the handler for each framed request, in order, all into one response buffer
    3. flush, no GIL    one send for each connection; what the kernel does not take is kept until it is writable

A tick without a framed request never takes the GIL: refusals and timeouts are answered from canned bytes. A connection
brings at most one burst a tick; while it has unsent answers nothing is read from it, so a client that does not read
holds back nobody but itself. RFC 9112 section 9.3 (persistence), 9.6 (closing).
"""

from __future__ import annotations

import logging
import os

import cython
from cython.cimports.vanilla.backends.epoll import Epoll
from cython.cimports.vanilla.backends.interface import ACCEPTED, RECEIVED
from cython.cimports.vanilla.contract import LIMIT_PENDING
from cython.cimports.vanilla.engine.accepting import (
    STARVED_RETRY_MS,
    add_listener,
    keep_house,
    on_accepted,
    stop_accepting,
    to_ms,
)
from cython.cimports.vanilla.engine.answers import finish_burst, flush, go_on_listed, on_writable, send_burst
from cython.cimports.vanilla.engine.arrivals import on_due, on_received
from cython.cimports.vanilla.engine.connections import FIRST_BYTE, IDLE, Waiting, count_unsent, new_waiting
from cython.cimports.vanilla.engine.state import connection_of, read_clock_ns
from cython.cimports.vanilla.http1.reply import (
    CLOSE,
    KEEP_ALIVE,
    append_refusal,
    check_response,
    drop_content,
    find_final_head,
    parse_status,
    set_connection,
)
from cython.cimports.vanilla.net.posix import MSG_DONTWAIT, MSG_PEEK, recv

from vanilla.counters import RequestTiming
from vanilla.http1.reply import FAULTS
from vanilla.steps import Step

log = logging.getLogger("vanilla")

FLUSH_AFTER_NS = 200_000  # of handling, after which the answers so far are sent: a slow handler holds back nobody's
FLUSH_BYTES = 256 * 1024  # of answers, likewise: they are still in the second-level cache when they are sent

ANNOUNCE, DRAIN, STOP = 1, 2, 4  # what another thread may ask: bits, so that none is lost when two ask at once

_DONE, _CLOSE, _SUSPEND = Step.DONE, Step.CLOSE, Step.SUSPEND


@cython.final
@cython.cclass
class Engine(State):
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
                    self.deliver_timings()
                with cython.nogil:
                    flush(self, self.burst_count)
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
        self.counts.handler_since_ns = 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle(self) -> cython.int:
        """Call the handler for every request framed in this tick."""
        index: cython.int
        position: cython.int
        burst: cython.pointer[Burst]
        held_since_ns: cython.longlong = read_clock_ns()
        flushed_ns: cython.longlong = held_since_ns
        now_ns: cython.longlong = held_since_ns
        self.has_notice = False
        if self.must_log_starved:
            self.must_log_starved = False
            self.report_starved()
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
                if now_ns - flushed_ns > FLUSH_AFTER_NS or self.buffer.length > FLUSH_BYTES:
                    self.counts.handler_since_ns = 0
                    self.flush_early(index, position)
                    now_ns = flushed_ns = read_clock_ns()
            finish_burst(self, burst)
        self.counts.handler_since_ns = 0
        now_ns = read_clock_ns()
        self.counts.gil_held_ns += now_ns - held_since_ns
        self.now_ms = now_ns // 1_000_000  # a handler may have taken seconds: deadlines count from its answer
        return 0

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
        """Have one request of the burst answered; False when the connection closes after this answer."""
        framed: cython.pointer[Framed] = cython.address(self.framed[burst.first + position])
        connection: cython.pointer[Connection] = burst.connection
        start: cython.Py_ssize_t = self.buffer.length
        final: cython.Py_ssize_t
        status: cython.int = 0
        fault: cython.int = 0
        result: object = None
        closes: cython.bint = framed.is_last
        lingers: cython.bint = framed.lingers
        self.request.framed = framed[0]
        self.request.client_fd = connection.channel.fd
        self.request.peer_address = connection.peer
        self.response.start = start
        self.response.closes = False
        self.response.is_open = True
        self.counts.requests += 1
        try:
            result = self.handler(self.request, self.response, self.worker)
        except BaseException as error:
            self.report("the handler raised; answered 500", error)
            fault = -1
        self.response.is_open = False
        if fault == 0:
            status = parse_status(self.buffer.bytes, start, self.buffer.length)
            if result is not None and result is not _DONE:
                if result is _CLOSE:
                    closes = lingers = True
                elif result is _SUSPEND:
                    fault = -1
                    self.report("the handler returned Step.SUSPEND but watches nothing; answered 500", None)
                else:
                    fault = -1
                    self.report(
                        f"the handler returned {result!r}: return Step.DONE, Step.CLOSE or nothing; answered 500", None
                    )
            if fault == 0 and status < 200 and status != 101:
                final = find_final_head(self.buffer.bytes, start, self.buffer.length)
                if final < 0:
                    fault = -1
                    self.report("the handler appended no response; answered 500", None)
                else:
                    status = parse_status(self.buffer.bytes, final, self.buffer.length)
            if fault == 0 and self.checks_responses:
                fault = check_response(self.buffer.bytes, start, self.buffer.length, framed.is_head)
                if fault:
                    self.report(f"the handler appended an incomplete response, {FAULTS[fault]}; answered 500", None)
        if self.response.closes or (position == burst.count - 1 and self.is_last_word(connection)):
            closes = lingers = True
        if fault:
            self.buffer.length = start
            append_refusal(self.buffer, self.date, 500)
            status = 500
            closes = lingers = True
        else:
            if framed.is_head or status == 204 or status == 304:
                drop_content(self.buffer, start)
            if closes:
                set_connection(self.buffer, start, CLOSE)
            elif framed.version == 10:
                set_connection(self.buffer, start, KEEP_ALIVE)
        if closes:
            connection.closes = True
            connection.lingers |= lingers
        self.counts.responses[status // 100] += 1
        if self.is_timed:
            self.note_timing(burst, status, self.buffer.length - start, entered_ns, read_clock_ns())
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
    def report(self, what: str, error: object) -> cython.void:
        """Log what went wrong in a handler, and with which request; the client gets a 500."""
        try:
            log.error("%r: %s", self.request, what, exc_info=error)
        except Exception:
            return  # a logging handler of the user's that fails must not end the worker

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
                self.report("on_timing raised", error)
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
                if node == cython.address(self.housekeeping):
                    keep_house(self)
                else:
                    on_due(self, cython.cast(cython.pointer[Connection], node))
            if self.framed_count > 0 or self.has_notice:
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
            if connection.channel.fd < 0 or (connection.deadline != IDLE and connection.deadline != FIRST_BYTE):
                continue
            if recv(connection.channel.fd, cython.address(octet), 1, MSG_PEEK | MSG_DONTWAIT) <= 0:
                self.close(connection)

    # Deadlines: one for each connection, for what it is waited for now.

    # Phase 3: without the GIL.
