"""Phase 2, one request at a time: calling its handler, parking what waits, going on with it, and judging what either
appended before it is sent.
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.engine.answers import flush, flush_written
from cython.cimports.vanilla.engine.connections import Waiting, new_waiting
from cython.cimports.vanilla.engine.loop import ACQUIRE, Parked, Watch, atomic_load
from cython.cimports.vanilla.engine.state import read_clock_ns
from cython.cimports.vanilla.http1.reply import (
    CLOSE,
    KEEP_ALIVE,
    append_refusal,
    check_response,
    drop_content,
    find_final_head,
    find_head_end,
    has_framing,
    parse_status,
    set_connection,
)

from vanilla.counters import RequestTiming
from vanilla.engine.loop import EVENTS
from vanilla.http1.reply import FAULTS
from vanilla.steps import Step

FLUSH_AFTER_NS = 200_000  # of handling, after which the answers so far are sent: a slow handler holds back nobody's
FLUSH_BYTES = 256 * 1024  # of answers, likewise: they are still in the second-level cache when they are sent

_DONE, _CLOSE, _SUSPEND = Step.DONE, Step.CLOSE, Step.SUSPEND


@cython.cclass
class Handling(Loop):
    """The part of the engine where handlers and continuations are called. One at a time: they share its buffers."""

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
            if self.suspend(burst, position, start, entered_ns):
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
            connection.taken_ns = 0
            self.note_timing(
                connection, self.request, status if status > 0 else 500, self.buffer.length - start, entered_ns
            )
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
    def suspend(
        self, burst: cython.pointer[Burst], position: cython.int, start: cython.Py_ssize_t, entered_ns: cython.longlong
    ) -> cython.bint:
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
        connection.taken_ns = 0
        parked.entered_ns = entered_ns
        parked.appended = self.buffer.length - start
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

        One that says neither how long its content is nor that it is chunked ends with the connection: RFC 9112
        section 6.3. False, with the reason logged, where it is no head.
        """
        framed: cython.pointer[Framed] = cython.address(request.framed)
        status: cython.int = self.judge(request, answer, start, None, False)
        if status < 0:
            return False
        head: cython.Py_ssize_t = find_final_head(answer.bytes, start, answer.length)
        head_end: cython.Py_ssize_t = find_head_end(answer.bytes, head, answer.length)
        if head_end < 0:
            self.report(request, "the handler suspended in the middle of a head; answered 500", None)
            return False
        parked.has_begun = True
        parked.status = status
        self.counts.responses[status // 100] += 1
        if framed.is_head or status == 204 or status == 304:
            drop_content(answer, start)
        elif not has_framing(answer.bytes, head, head_end):
            framed.is_last = True
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
                parked.appended += self.resumed.length - start
                self.push_written(connection, start)
                return self.flush_resumed()
            status = -1
        self.unpark(parked)
        if result is _CLOSE:
            response.closes = framed.lingers = True
        if not had_begun:
            if status == 0:
                status = self.judge(parked.request, self.resumed, start, result, self.checks_responses)
            parked.status = status if status > 0 else 500
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
        if self.is_timed:
            if self.resumed.length > start:
                connection.taken_ns = 0  # else the last byte has been taken already, and that time stands
            parked.appended += self.resumed.length - start
            self.note_timing(connection, parked.request, parked.status, parked.appended, parked.entered_ns)
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
    @cython.exceptval(-1, check=False)
    def note_timing(
        self,
        connection: cython.pointer[Connection],
        request: Request,
        status: cython.int,
        length: cython.Py_ssize_t,
        entered_ns: cython.longlong,
    ) -> cython.int:
        """Keep the times of a request that has just been answered, until the kernel has taken its answer."""
        framed: cython.pointer[Framed] = cython.address(request.framed)
        timing = RequestTiming(
            request.method,
            request.target,
            status,
            framed.content_end - framed.start,
            length,
            framed.received_ns,
            entered_ns,
            read_clock_ns(),
            0,
        )
        self.timings.append((connection.channel.index, connection.channel.generation, timing))
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
