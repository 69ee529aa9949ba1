"""Phase 2, one request at a time: calling its handler, parking what waits, going on with it, and judging what either
appended before it is sent.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from http import HTTPStatus

import cython
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.vanilla.atomics import ACQUIRE, atomic_load
from cython.cimports.vanilla.buffers import new_own_buffer
from cython.cimports.vanilla.contract.response import BODYLESS, CHUNKED, RAW, UNTIL_CLOSE
from cython.cimports.vanilla.engine.answers import flush, flush_written, send_bytes
from cython.cimports.vanilla.engine.connections import Waiting, count_unsent, new_waiting
from cython.cimports.vanilla.engine.contents import leave_content
from cython.cimports.vanilla.engine.parking import Parked
from cython.cimports.vanilla.engine.state import read_clock_ns
from cython.cimports.vanilla.engine.takeover import Takeovers
from cython.cimports.vanilla.engine.watches import Watch
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

from vanilla.awaitables import READY, YIELDING
from vanilla.counters import RequestTiming
from vanilla.engine.calls import log
from vanilla.engine.watches import EVENTS
from vanilla.errors import RefusedError
from vanilla.http1.reply import FAULTS
from vanilla.steps import Step

FLUSH_AFTER_NS = 200_000  # of handling, after which the answers so far are sent: a slow handler holds back nobody's
FLUSH_FREE_BYTES = 4096  # that a coroutine may flush once a tick without waiting for them to be taken
FLUSH_BYTES = 256 * 1024  # of answers, likewise: they are still in the second-level cache when they are sent
FLUSH_FILES = 32  # likewise: each holds a descriptor until it is sent

_DONE, _CLOSE, _SUSPEND = Step.DONE, Step.CLOSE, Step.SUSPEND


def describe_result(result: object) -> str:
    """What a handler returned that is no step, and what to do instead; a coroutine is closed, since nobody runs it."""
    if not isinstance(result, Coroutine):
        return f"{result!r}: return Step.DONE, Step.CLOSE or nothing"
    result.close()
    return (
        f"the coroutine {result!r}: make the handler an `async def`, or give it a true attribute `is_async`; "
        "continuations are plain functions"
    )


@cython.cclass
class Handling(Takeovers):
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
        self.response.begin = start
        self.response.closes = framed.is_last
        self.response.framed = framed
        self.response.is_open = True
        self.calling = connection
        self.counts.requests += 1
        try:
            result = self.handler(self.request, self.response, self.worker)
            if result is not None and self.runner is not None:
                result = self.run_coroutine(result)
            if self.response.source is not None and result is not _SUSPEND:
                result = self.begin_source(self.request, self.response, result)
        except BaseException as error:
            status = self.fail(self.request, "the handler raised; answered 500", error)
        self.response.is_open = False
        self.calling = cython.NULL
        if result is _SUSPEND and self.current is not None and self.waits(self.current):
            if self.suspend(burst, position, start, entered_ns):
                return False
            status = -500
        if self.current is not None:
            self.drop_current(connection)
        if status == 0:
            if result is _CLOSE:
                self.response.closes = framed.lingers = True
            status = self.judge(self.request, self.response, self.buffer, start, result)
        if framed.is_partial and leave_content(self, connection, framed):
            self.response.closes = True
        closes = self.settle(self.buffer, start, framed, self.response, connection, position == burst.count - 1, status)
        if self.is_timed:
            connection.taken_ns = 0
            self.note_timing(connection, self.request, abs(status), self.buffer.count_bytes(start), entered_ns)
        result = None
        if self.response.coding != RAW or self.response.informed:
            self.drop_source(self.response)
            self.response.forget()
        if count_references(cython.cast(cython.p_void, self.request)) > 1:
            self.request.keep()
            self.request.loop = None
            self.request = self.new_request()
        elif self.request.is_read:
            self.request.forget()
        if count_references(cython.cast(cython.p_void, self.response)) > 1:
            self.response.loop = None  # whoever kept it must not keep the engine and its descriptors
            self.response = self.new_response()
        return not closes

    @cython.cfunc
    @cython.exceptval(1, check=False)
    def fail(self, request: Request, what: str, error: object) -> cython.int:
        """Log what a handler raised; the negated status to answer with."""
        status: object
        if isinstance(error, RefusedError):
            status = error.status
            if type(status) is int and status in HTTPStatus._value2member_map_ and status >= 400:
                log.info("%r: refused with %d: %s", request, status, error)
                return -status
            what = f"{what}; its status {status!r} is none of 400 to 599"
        self.report(request, what, error)
        return -500

    @cython.cfunc
    @cython.exceptval(1, check=False)
    def judge(
        self,
        request: Request,
        response: Response,
        answer: ResponseBuffer,
        start: cython.Py_ssize_t,
        result: object,
    ) -> cython.int:
        """End an answer that a handler says is complete: its status, or the negated one, the reason logged, to answer
        with instead.
        """
        fault: cython.int
        status: cython.int
        if result is _SUSPEND:
            self.report(request, "the handler returned Step.SUSPEND but watches nothing; answered 500", None)
            return -500
        if result is not None and result is not _DONE and result is not _CLOSE:
            self.report(request, f"the handler returned {describe_result(result)}; answered 500", None)
            return -500
        if response.coding != RAW and not response.end_content():
            what = f"the content lacks {response.unwritten} bytes of the length that start() was given; answered 500"
            self.report(request, what, None)
            return -500
        status = self.find_status(request, answer, start)
        if status > 0 and self.checks_responses:
            more: cython.Py_ssize_t = answer.count_bytes(start) - (answer.length - start)
            fault = check_response(answer.bytes, start, answer.length, request.framed.is_head, more)
            if fault:
                what = f"the handler appended an incomplete response, {FAULTS[fault]}; answered 500"
                self.report(request, what, None)
                return -500
        if status > 0 and response.taking is not None:
            return self.judge_takeover(request, response, status, result is _CLOSE)
        return status

    @cython.cfunc
    @cython.exceptval(1, check=False)
    def find_status(self, request: Request, answer: ResponseBuffer, start: cython.Py_ssize_t) -> cython.int:
        """The status of the final answer that begins behind interim ones, or -500, the reason logged, if none does."""
        final: cython.Py_ssize_t
        status: cython.int = parse_status(answer.bytes, start, answer.length)
        if status >= 200 or status == 101:
            return status
        final = find_final_head(answer.bytes, start, answer.length)
        if final >= 0:
            return parse_status(answer.bytes, final, answer.length)
        self.report(request, "the handler appended no response; answered 500", None)
        return -500

    @cython.cfunc
    def begin_source(self, request: Request, response: Response, result: object) -> object:
        """The handler has left its content to an iterable: pull the first pieces."""
        if result is _CLOSE:
            response.closes = True
        elif result is not None and result is not _DONE:
            return result
        if not hasattr(response.source, "__aiter__"):
            return self.pull(request, response, self.worker, None, None)
        if self.runner is None:
            raise TypeError("stream: an asynchronous iterable needs an `async def` handler, and an event loop with it")
        return self.run_coroutine(self.runner.pull(response))

    def pull(self, request: Request, response: Response, worker: object, payload: object, event: object) -> object:
        """A continuation: append the next pieces of what `Response.stream` was given, as many as there is room for."""
        until_ns: cython.longlong = read_clock_ns() + FLUSH_AFTER_NS
        high_water: cython.Py_ssize_t = self.bounds[self.calling.listener].high_water
        if response.coding != BODYLESS:
            for piece in response.source:
                response.append(piece)
                if response.buffer.length - response.begin >= high_water or read_clock_ns() >= until_ns:
                    self.go_on_drained_with(response, self.pull, None)
                    return _SUSPEND
        self.drop_source(response)
        return _CLOSE if response.closes and not request.framed.is_last else _DONE

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
        status: cython.int,
    ) -> cython.bint:
        """Make a judged answer what HTTP wants of it, and count it; True when the connection closes after it.

        A negative status replaces it by a refusal, and closes.
        """
        final: cython.Py_ssize_t
        closes: cython.bint = response.closes or status < 0
        if response.taking is not None:
            if status > 0:
                self.counts.responses[status // 100] += 1
                self.begin_takeover(response, connection)
                return False
            self.drop_takeover(response, RuntimeError("the answer that was to switch protocols failed"))
        if is_final and self.is_last_word(connection):
            closes = framed.lingers = True
        if status < 0:
            answer.truncate(start)
            append_refusal(answer, self.date, -status)
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
        """The handler waits: park its request, and the rest of the burst behind it; False if what it sent is no head.

        What it has appended so far is sent with this tick.
        """
        parked: Parked = self.current
        connection: cython.pointer[Connection] = burst.connection
        rest: cython.int = burst.count - position - 1
        waiting: cython.pointer[Waiting]
        if parked.task is not None:
            self.suspend_coroutine(self.response, start)
        elif self.buffer.length > start and not self.begin(self.request, self.response, self.buffer, start):
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
        parked.parked_tick = self.counts.ticks
        parked.appended = self.buffer.count_bytes(start)
        parked.request = self.request
        parked.response = self.response
        if self.request.framed.is_partial:
            self.keep_first(parked)
        self.request.keep()
        self.request.client_fd = connection.channel.fd
        self.request.parked = cython.cast(cython.p_void, parked)
        self.response.framed = cython.address(self.request.framed)
        self.request = self.new_request()
        self.response = self.new_response()
        self.parked.add(parked)
        self.counts.parked += 1
        connection.parked = cython.cast(cython.p_void, parked)
        self.backend.pause(cython.address(connection.channel))
        if parked.body is not None:
            self.ask_content(parked)
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def waits(self, parked: Parked) -> cython.bint:
        """Whether something will go on with the request."""
        if bool(parked.watches) or parked.has_handle or parked.early is not None:
            return True
        return parked.drained is not None or parked.body is not None or parked.task is not None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(
        self, request: Request, response: Response, answer: ResponseBuffer, start: cython.Py_ssize_t
    ) -> cython.bint:
        """A suspended request has appended the beginning of its answer: the head leaves now, so it is mended now.

        One that says neither how long its content is nor that it is chunked ends with the connection: RFC 9112
        section 6.3. False, with the reason logged, where it is no head. Interim answers alone begin nothing.
        """
        head: cython.Py_ssize_t
        head_end: cython.Py_ssize_t
        status: cython.int
        framed: cython.pointer[Framed] = cython.address(request.framed)
        if response.coding == RAW and answer.length - start == response.informed:
            response.informed = 0
            return True
        if response.taking is not None:
            what = "the answer that switches protocols leaves when the handler is done: suspend or flush before it"
            self.report(request, what, None)
            return False
        status = self.find_status(request, answer, start)
        if status < 0:
            return False
        head = find_final_head(answer.bytes, start, answer.length)
        head_end = find_head_end(answer.bytes, head, answer.length)
        if head_end < 0:
            self.report(request, "the handler suspended in the middle of a head; answered 500", None)
            return False
        response.has_begun = True
        response.status = status
        self.stream_count += 1
        self.counts.responses[status // 100] += 1
        if framed.is_head or status == 204 or status == 304:
            drop_content(answer, start)
        elif not has_framing(answer.bytes, head, head_end):
            framed.is_last = True
        framed.is_last |= response.closes
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
        start: cython.Py_ssize_t = self.resumed.length
        response: Response = parked.response
        result: object = None
        status: cython.int = 0
        if parked.task is not None:  # its coroutine writes to the answer until it is over
            if parked.early is None:
                parked.early = []
            parked.early.append((continuation, payload, events))
            return 0
        self.aim(parked, start)
        self.calling = connection
        self.current = parked
        self.counts.handler_since_ns = read_clock_ns()
        try:
            result = continuation(parked.request, response, self.worker, payload, EVENTS[events])
            if response.source is not None and result is not _SUSPEND:
                result = self.begin_source(parked.request, response, result)
        except BaseException as error:
            status = self.fail(parked.request, "a continuation raised", error)
        response.is_open = False
        self.calling = cython.NULL
        self.current = None
        self.counts.handler_since_ns = 0
        if not parked.is_active:
            return 0  # it cut itself off: abandon() comes
        if response.buffer is not self.resumed:  # it made way for what was written to others meanwhile
            start = self.resumed.length
            if not response.buffer.move_to(self.resumed, 0):
                raise MemoryError
            response.buffer = self.resumed
            response.begin = start
        if status == 0 and result is _SUSPEND and self.waits(parked):
            if parked.task is not None:
                self.suspend_coroutine(response, start)
            if self.send_more(parked, start):
                if parked.body is not None:
                    self.ask_content(parked)
                return 0
            status = -500
        return self.conclude(parked, start, status, result)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def aim(self, parked: Parked, start: cython.Py_ssize_t) -> cython.int:
        """Have a parked request's response append to the buffer of those that were resumed."""
        response: Response = parked.response
        response.buffer = self.resumed
        response.begin = start
        response.informed = 0
        response.closes = parked.request.framed.is_last
        response.is_open = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_more(self, parked: Parked, start: cython.Py_ssize_t) -> cython.bint:
        """Send what a request that goes on waiting has appended; False, with the reason logged, where it is no head."""
        response: Response = parked.response
        if response.has_begun:
            if parked.request.framed.is_head:
                self.resumed.truncate(start)  # what would follow the head of an answer to HEAD is its content
        elif self.resumed.length > start and not self.begin(parked.request, response, self.resumed, start):
            return False
        parked.appended += self.resumed.count_bytes(start)
        self.push_written(parked.connection, start)
        self.flush_resumed()
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def conclude(self, parked: Parked, start: cython.Py_ssize_t, status: cython.int, result: object) -> cython.int:
        """End a wait: send what the request appended last, from `start` in the buffer of those that were resumed."""
        connection: cython.pointer[Connection] = parked.connection
        framed: cython.pointer[Framed] = cython.address(parked.request.framed)
        response: Response = parked.response
        is_final: cython.bint
        self.unpark(parked)
        self.drop_source(response)
        if result is _CLOSE:
            response.closes = framed.lingers = True
        if framed.is_partial and leave_content(self, connection, framed):
            response.closes = True
        if not response.has_begun:
            if status == 0:
                status = self.judge(parked.request, response, self.resumed, start, result)
            is_final = connection.waiting is cython.NULL
            if self.settle(self.resumed, start, framed, response, connection, is_final, status):
                self.drop_waiting(connection)
            response.status = abs(status)
        else:
            if status == 0 and not self.is_whole(parked, result):
                status = -500
            if status < 0 or framed.is_head:
                self.resumed.truncate(start)
            if status < 0 or response.closes:
                connection.closes = True
                connection.lingers |= framed.lingers or status < 0
                self.drop_waiting(connection)
        response.is_open = False
        response.parked = response.loop = None
        if self.is_timed:
            if self.resumed.length > start:
                connection.taken_ns = 0  # else the last byte has been taken already, and that time stands
            parked.appended += self.resumed.count_bytes(start)
            self.note_timing(connection, parked.request, response.status, parked.appended, parked.entered_ns)
        self.push_written(connection, start)
        return self.flush_resumed()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def is_whole(self, parked: Parked, result: object) -> cython.bint:
        """End an answer whose head has left; False, with the reason logged, where it has to be cut off."""
        response: Response = parked.response
        if result is not None and result is not _DONE and result is not _CLOSE:
            self.report(parked.request, f"it returned {describe_result(result)}; the answer is cut off", None)
            return False
        if response.coding != RAW and not response.end_content():
            what = f"the content lacks {response.unwritten} bytes of the length that start() was given; it is cut off"
            self.report(parked.request, what, None)
            return False
        return True

    # What handles and coroutines do outside of a call.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_parked(self, parked: Parked, data: object) -> cython.int:
        """Parked.write."""
        response: Response = parked.response if parked.response is not None else self.response
        start: cython.Py_ssize_t
        if response.coding == RAW:
            raise RuntimeError("write: the answer has not begun; call response.start() first")
        if response.is_open:  # from within the call of its own handler or continuation, or beside its coroutine
            response.append(data)
            if parked.task is not None and parked.response is not None and not self.send_own(parked):
                raise RuntimeError("write: what was appended is no head of a response")
            return 0
        self.make_way()
        start = self.resumed.length
        self.aim(parked, start)
        try:
            response.append(data)
        finally:
            response.is_open = False
        self.send_more(parked, start)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_parked(self, parked: Parked) -> cython.int:
        """Parked.finish."""
        start: cython.Py_ssize_t
        if parked.response is None or parked.response.is_open:
            raise RuntimeError("finish in the request's own call, or while its coroutine runs: return Step.DONE there")
        self.make_way()
        start = self.resumed.length
        self.aim(parked, start)
        return self.conclude(parked, start, 0, None)

    def write_each(self, handles: list, data: bytes, unsent_max: int) -> list:
        """Worker.write_each."""
        parked: Parked
        response: Response
        connection: cython.pointer[Connection]
        left: list = []
        failure: object = None
        count: cython.Py_ssize_t = 0
        index: cython.Py_ssize_t
        chunk: bytes = b"%x\r\n%b\r\n" % (len(data), data)
        plain: cython.p_const_uchar = data
        framed: cython.p_const_uchar = chunk
        plain_length: cython.Py_ssize_t = len(data)
        framed_length: cython.Py_ssize_t = len(chunk)
        targets: cython.pointer[cython.pointer[Connection]]
        codings: cython.pointer[cython.bint]
        if plain_length == 0:
            return left
        targets = cython.cast(
            cython.pointer[cython.pointer[Connection]],
            malloc(max(len(handles), 1) * (cython.sizeof(cython.pointer[Connection]) + cython.sizeof(cython.bint))),
        )
        if targets is cython.NULL:
            raise MemoryError
        codings = cython.cast(cython.pointer[cython.bint], targets + len(handles))
        try:
            for parked in handles:
                if not parked.is_active or count_unsent(parked.connection) > unsent_max:
                    left.append(parked)
                    continue
                connection = parked.connection
                response = parked.response
                if (
                    response is None
                    or parked.task is not None
                    or response.is_open
                    or connection.written_count > 0
                    or parked.parked_tick == self.counts.ticks
                    or (response.coding != CHUNKED and response.coding != UNTIL_CLOSE)
                ):
                    try:
                        self.write_parked(parked, data)  # behind what this tick has still to send
                    except (RuntimeError, ValueError) as error:
                        failure = failure or error  # the others are no part of it
                    continue
                targets[count] = connection
                codings[count] = response.coding == CHUNKED
                parked.appended += framed_length if codings[count] else plain_length
                count += 1
            with cython.nogil:
                for index in range(count):
                    if targets[index].channel.fd < 0:
                        continue  # found gone since: by what was sent before, or by its first time in the list
                    if codings[index]:
                        send_bytes(self, targets[index], framed, framed_length)
                    else:
                        send_bytes(self, targets[index], plain, plain_length)
        finally:
            free(targets)
        if failure is not None:
            raise failure
        return left

    # What coroutines need.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wake(self, future: object, result: object) -> cython.int:
        """Have a coroutine go on with what it waits for, in this tick."""
        self.counts.handler_since_ns = read_clock_ns()
        self.starter.wake(future, result)
        self.counts.handler_since_ns = 0
        return 0

    @cython.cfunc
    def run_coroutine(self, result: object) -> object:
        """Run the first step of a coroutine that a handler returned; anything else is the handler's step.

        What the coroutine returned if that was its last step, and what it raised; else Step.SUSPEND.
        """
        parked: Parked
        response: Response
        if not PyCoro_CheckExact(result) and not self.runner.is_coroutine(result):
            return result
        task: object = self.starter.start(result)
        if task.done():
            return task.result()
        parked = self.park()
        response = self.response if parked.response is None else parked.response
        parked.task = task
        response.parked = parked
        self.runner.take_over(task, response)
        return _SUSPEND

    def replace_task(self, response: Response, task: object) -> None:
        """Another coroutine goes on with what one that is over has left to do."""
        parked: Parked = response.parked
        parked.task = task

    def has_lost(self, response: Response) -> bool:
        """Whether the client of an answer that a coroutine writes is gone."""
        parked: Parked = response.parked
        return parked is not None and not parked.is_active

    def take_source(self, response: Response) -> object:
        """What `Response.stream` was given, once; None if nothing was, or the answer has no content."""
        source: object = response.source
        if source is None or response.coding != BODYLESS:
            response.source = None
            return source
        self.drop_source(response)
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def suspend_coroutine(self, response: Response, start: cython.Py_ssize_t) -> cython.int:
        """What a coroutine has appended and not flushed waits in a buffer of its own: it may still fail."""
        parked: Parked = response.parked
        shared: ResponseBuffer = response.buffer
        own: ResponseBuffer = new_own_buffer()
        if not response.has_begun:
            if parked.drained is not None and shared.length - start == response.informed:
                response.informed = 0  # interim answers alone, and flushed: they leave
            elif not shared.move_to(own, start):
                raise MemoryError
        response.buffer = own
        response.begin = 0
        response.is_open = True
        return 0

    def flush_answer(self, response: Response) -> object:
        """Response.flush."""
        parked: Parked = response.parked
        request: Request
        length: cython.Py_ssize_t
        future: object
        waiting: list = []
        if self.runner is None or (self.calling is cython.NULL if parked is None else parked.task is None):
            raise RuntimeError("flush is for `async def` handlers; others return Step.SUSPEND after on_drained()")
        if parked is not None and not parked.is_active:
            response.buffer.drop()  # the client is gone, and its coroutine was let go on
            return YIELDING
        if parked is None:
            parked = self.park()
            request = self.request if parked.request is None else parked.request
            length = response.buffer.length - response.begin
            if not response.has_begun and length > response.informed:
                if not self.begin(request, response, response.buffer, response.begin):
                    raise RuntimeError("flush: what was appended is no head of a response")
            parked.connection.wants_drained = True
        else:
            length = response.buffer.count_bytes(0)
            parked.connection.wants_drained = True  # before anything is sent: it may be taken at once
            if not self.send_own(parked):
                raise RuntimeError("flush: what was appended is no head of a response")
            if parked.flushed_tick != self.counts.ticks and length < FLUSH_FREE_BYTES:
                if count_unsent(parked.connection) == 0:
                    parked.flushed_tick = self.counts.ticks
                    parked.connection.wants_drained = False
                    return READY
        future = self.runner.new_future()
        if parked.drained is not None and parked.drained[0] is None:
            waiting = [other for other in parked.drained[1] if not other.done()]  # several tasks may write one answer
        waiting.append(future)
        parked.drained = (None, waiting)
        return future

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_own(self, parked: Parked) -> cython.bint:
        """Send what the coroutine of a request has appended; False, with the reason logged, where it is no head."""
        response: Response = parked.response
        start: cython.Py_ssize_t
        self.make_way()
        start = self.resumed.length
        if not response.buffer.move_to(self.resumed, 0):
            raise MemoryError
        response.buffer.drop()
        if not self.send_more(parked, start):
            self.resumed.truncate(start)
            return False
        response.informed = 0
        return True

    def conclude_coroutine(self, response: Response, result: object, error: object) -> None:
        """A coroutine that has waited is over: answer with what it appended."""
        parked: Parked = response.parked
        start: cython.Py_ssize_t = self.resumed.length
        status: cython.int = 0
        own: ResponseBuffer = response.buffer
        parked.task = None
        if not parked.is_active:
            response.is_open = False
            response.parked = response.loop = None
            own.drop()
            self.orphan_count -= parked.is_orphan
            return
        if error is not None:
            status = self.fail(parked.request, "the handler raised; answered 500, or cut off", error)
            response.closes = False
        if not own.move_to(self.resumed, 0):
            raise MemoryError
        own.drop()
        response.buffer = self.resumed
        response.begin = start
        if result is _SUSPEND and self.waits(parked):
            response.is_open = False
            if self.send_more(parked, start):
                self.go_on_early(parked)
                return
            status = -500
        self.conclude(parked, start, status, result)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_early(self, parked: Parked) -> cython.int:
        """Catch up on what became ready, or resumed the request, while its coroutine still ran."""
        early: list = parked.early
        parked.early = None
        if early is not None:
            for continuation, payload, events in early:
                if parked.is_active:
                    self.go_on(parked, continuation, payload, events)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush_resumed(self) -> cython.int:
        """Send early when resumed requests have appended much, or for long."""
        now_ns: cython.longlong = read_clock_ns()
        if now_ns - self.flushed_ns > FLUSH_AFTER_NS or self.is_full(self.resumed):
            self.now_ms = now_ns // 1_000_000
            with cython.nogil:
                flush(self, self.finished_count)  # what the same connections were answered before comes first
                flush_written(self)
            self.flushed_ns = read_clock_ns()
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_full(self, answers: ResponseBuffer) -> cython.bint:
        """Whether so much was answered that it is sent before the next handler is called."""
        return answers.length > FLUSH_BYTES or answers.file_count >= FLUSH_FILES

    @cython.cfunc
    @cython.exceptval(check=False)
    def report_cut(self) -> cython.void:
        """Log that files became shorter while they were sent, or could not be read."""
        whose: Request = Request.__new__(Request)
        try:
            whose.peer_address = self.cut_peer
            log.warning(
                "send_file: %s: %s, %d bytes before the end of an answer; closed the connection of %s (and %d more)",
                os.readlink(f"/proc/self/fd/{self.cut_file.fd}"),
                os.strerror(self.cut_errno) if self.cut_errno else "the file became shorter while it was sent",
                self.cut_bytes,
                whose.peer or "a unix socket",
                self.cut_count - 1,
            )
        except Exception:
            return  # as in report()
        finally:
            self.drop_cut()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unpark(self, parked: Parked) -> cython.int:
        """The wait is over: what the request still watches is watched no more, and its connection goes on."""
        watch: Watch
        parked.is_open = False
        parked.request.client_fd = -1
        self.parked.discard(parked)
        self.counts.parked -= 1
        self.stream_count -= parked.response.has_begun
        parked.connection.parked = cython.NULL
        parked.connection.wants_drained = False
        parked.request.parked = cython.NULL
        parked.request.loop = None
        parked.drained = None
        if parked.body is not None and parked.body[1] is not None:
            parked.body[1].cancel()
        parked.body = None
        for watch in list(parked.watches):
            watch.cancel()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_current(self, connection: cython.pointer[Connection]) -> cython.int:
        """A handler registered watches and then answered at once: they would fire for nobody."""
        watch: Watch
        self.current.is_open = False
        connection.wants_drained = False
        if self.response.has_begun:  # a flush that was not awaited: it begins with its end
            self.response.has_begun = False
            self.stream_count -= 1
            self.counts.responses[self.response.status // 100] -= 1
        for watch in list(self.current.watches):
            watch.cancel()
        self.current = None
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_last_word(self, connection: cython.pointer[Connection]) -> cython.bint:
        """Whether the server drains, and nothing more has begun to arrive here: this answer closes."""
        return atomic_load(cython.address(self.command), ACQUIRE) != 0 and (
            connection.held is cython.NULL and connection.rest is cython.NULL
        )

    @cython.cfunc
    def new_request(self) -> Request:
        """A request that finds its way back here while it is being handled."""
        request: Request = Request.__new__(Request)
        request.loop = self
        return request

    @cython.cfunc
    def new_response(self) -> Response:
        """A response over the worker's buffer, closed until a handler gets it."""
        response: Response = Response.__new__(Response)
        response.buffer = self.buffer
        response.date = self.date
        response.loop = self
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
