"""Phase 2, one request at a time: its handler is called, and its answer judged, or its request parked."""

from __future__ import annotations

import cython
from cython.cimports.vanilla.contract.response import RAW
from cython.cimports.vanilla.engine.connections import Waiting, new_waiting
from cython.cimports.vanilla.engine.contents import leave_content
from cython.cimports.vanilla.engine.judging import begin, fail, judge, run_hooks, settle
from cython.cimports.vanilla.engine.resuming import Resuming
from cython.cimports.vanilla.engine.timings import note_timing
from cython.cimports.vanilla.engine.watches import Watch

from vanilla.engine.calls import log
from vanilla.net.descriptors import explain, name_file
from vanilla.steps import Step

_CLOSE, _SUSPEND = Step.CLOSE, Step.SUSPEND


@cython.cclass
class Handling(Resuming):
    """The part of the engine where handlers are called. One at a time: they share its buffers."""

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
            if self.compiled is not None:
                result = self.compiled.answer(self.request, self.response, self.worker)
            else:
                result = self.handler(self.request, self.response, self.worker)
            if result is not None and self.runner is not None:
                result = self.run_coroutine(result)
            if self.response.source is not None and result is not _SUSPEND:
                result = self.begin_source(self.request, self.response, result)
        except BaseException as error:
            status = fail(self, self.request, "the handler raised; answered 500", error)
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
            status = judge(self, self.request, self.response, self.buffer, start, result)
        if self.response.begun_status < 0:
            status = self.response.begun_status
        if self.response.hooks is not None:
            status = run_hooks(self, self.request, self.response, status)
            framed.lingers |= self.request.framed.lingers
        if framed.is_partial and leave_content(self, connection, framed):
            self.response.closes = True
        closes = settle(
            self, self.buffer, start, framed, self.response, connection, position == burst.count - 1, status
        )
        if self.is_timed:
            connection.taken_ns = 0
            note_timing(self, connection, self.request, abs(status), self.buffer.count_bytes(start), entered_ns)
        result = None
        if self.response.coding != RAW or self.response.informed or self.response.begun_status:
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
        elif self.buffer.length > start and begin(self, self.request, self.response, self.buffer, start) < 0:
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
    def drop_current(self, connection: cython.pointer[Connection]) -> cython.int:
        """A handler registered watches and then answered at once: they would fire for nobody."""
        watch: Watch
        self.current.is_open = False
        connection.wants_drained = False
        if self.response.has_begun:  # a flush that was not awaited: it begins with its end
            self.response.has_begun = False
            self.stream_count -= 1
            self.counts.responses[self.response.begun_status // 100] -= 1
        for watch in list(self.current.watches):
            watch.cancel()
        self.current = None
        return 0

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
    @cython.exceptval(check=False)
    def report_cut(self) -> cython.void:
        """Log that files became shorter while they were sent, or could not be read."""
        whose: Request = Request.__new__(Request)
        try:
            whose.peer_address = self.cut_peer
            log.warning(
                "send_file: %s: %s, %d bytes before the end of an answer; closed the connection of %s (and %d more)",
                name_file(self.cut_file.fd),
                explain(self.cut_errno) if self.cut_errno else "the file became shorter while it was sent",
                self.cut_bytes,
                whose.peer or "a unix socket",
                self.cut_count - 1,
            )
        except Exception:
            return  # as in report()
        finally:
            self.drop_cut()
