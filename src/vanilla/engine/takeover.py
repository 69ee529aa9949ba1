"""Connections that have left HTTP: a protocol of the user's speaks on them. RFC 9110 sections 7.8 and 9.3.6.

Phases 1 and 3 leave notices of what befell such a connection; phase 2 tells its protocol. A protocol that raises loses
its connection, and nobody else notices.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.vanilla.contract.response import RAW
from cython.cimports.vanilla.engine.calls import Timer
from cython.cimports.vanilla.engine.connections import ANSWERING, count_unsent, drop_rest
from cython.cimports.vanilla.engine.parking import Parked
from cython.cimports.vanilla.engine.state import (
    NOTICE_CLOSED,
    NOTICE_DRAINED,
    NOTICE_RECEIVED,
    NOTICE_TAKEN,
    read_clock_ns,
)
from cython.cimports.vanilla.net.platform import ECONNRESET

from vanilla.net.descriptors import explain


@cython.final
@cython.cclass
class Takeover:
    """A connection that a protocol has taken over: what `Response.takeover` returns. For the worker's own thread."""

    def __cinit__(self) -> None:
        self.connection = cython.NULL
        self.stage = ASKED

    def __repr__(self) -> str:
        return f"<Takeover by {self.protocol!r}>"

    @property
    def is_open(self) -> bool:
        """Whether the client is there and `close` has not been called: what is sent now leaves."""
        return not self.is_closing and (self.stage == ASKED or self.speaks())

    @property
    def unsent(self) -> int:
        """Bytes that were sent and that the kernel has not taken yet."""
        if self.stage == ASKED:
            return sum(map(len, self.outbox))
        if not self.speaks():
            return 0
        return count_unsent(self.connection) + (self.written if self.connection.written_count > 0 else 0)

    def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes, at the end of this tick, behind what was sent before; what the client does not take is queued.

        There is no bound: look at `unsent`, or wait for `drained()`. To a client that is gone it is nothing.
        Raises: TypeError for what is no bytes; RuntimeError after `close` and `abort`; MemoryError.
        """
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if self.is_closing:
            raise RuntimeError("send: this connection was closed")
        if self.stage == ASKED:
            self.outbox.append(data)
        elif self.speaks():
            self.write(data)

    def close(self) -> None:
        """Close in order once everything that was sent has been taken. What still arrives is dropped."""
        if self.is_closing:
            return
        self.is_closing = True
        if self.stage != ASKED and self.speaks():
            self.connection.closes = self.connection.lingers = True
            self.write(b"")

    def abort(self) -> None:
        """Close now; what is unsent is lost."""
        self.is_closing = self.is_cut = True
        if self.stage != ASKED and self.speaks():
            self.loop.close(self.connection)

    def pause(self) -> None:
        """Receive nothing more until `resume`: the client is held back once the kernel's buffers are full."""
        self.is_paused = True
        if self.stage != ASKED and self.speaks():
            self.loop.backend.pause(cython.address(self.connection.channel))

    def resume(self) -> None:
        """Receive again."""
        if not self.is_paused:
            return
        self.is_paused = False
        if self.stage != ASKED and self.speaks():
            self.loop.backend.resume(cython.address(self.connection.channel))
            if self.kept or self.has_kept_end:
                self.loop.tell(NOTICE_TAKEN, self.connection, cython.NULL, 0, 0)

    def call_later(self, seconds: float, function: object, *args: object) -> Timer:
        """`Worker.call_later`, forgotten when the connection is gone; what `function` raises closes the connection.

        Raises: as `Worker.call_later`; RuntimeError once the connection is gone.
        """
        timer: Timer
        if self.stage == OVER:
            raise RuntimeError("call_later: this connection is gone")
        if not callable(function):
            raise TypeError(f"function {function!r}: cannot be called")
        timer = self.loop.call_later(seconds, self.loop.run_timer, (self, function, args))
        timer.siblings = self.timers
        self.timers.add(timer)
        return timer

    @cython.cfunc
    @cython.exceptval(check=False)
    def speaks(self) -> cython.bint:
        """Whether the connection is still there, and this one's."""
        connection: cython.pointer[Connection] = self.connection
        return (
            self.stage == BEGUN
            and connection.channel.generation == self.generation
            and connection.takeover == cython.cast(cython.p_void, self)
        )

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write(self, data: bytes) -> cython.int:
        """Queue bytes for the end of this tick; none, to have the connection looked at then."""
        loop: Takeovers = self.loop
        start: cython.Py_ssize_t
        length: cython.Py_ssize_t = PyBytes_GET_SIZE(data)
        is_copied: cython.bint
        loop.make_way()
        start = loop.resumed.length
        is_copied = loop.resumed.append(cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data)), length)
        if not is_copied:
            raise MemoryError
        self.written = length + (self.written if self.connection.written_count > 0 else 0)
        loop.push_written(self.connection, start)
        loop.flush_resumed()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self) -> cython.int:
        """Tell what could not be told before: the protocol begins, or has resumed."""
        outbox: list = self.outbox
        kept: list = self.kept
        self.outbox = []
        if outbox:
            self.write(b"".join(outbox))
        if self.is_closing:
            self.is_closing = False
            if self.is_cut:
                self.abort()
            else:
                self.close()
            return 0
        if self.is_paused:
            return 0
        if kept:
            self.kept = []
            self.call("received", self.on_received, (b"".join(kept),))
        if self.has_kept_end and not self.is_paused:
            self.has_kept_end = False
            self.end()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end(self) -> cython.int:
        """The client sends nothing more. A protocol that does not care has nothing more to say either."""
        if self.has_ended or self.is_closing or not self.speaks():
            return 0
        self.has_ended = True
        if self.on_ended is None:
            self.close()
            return 0
        return self.call("ended", self.on_ended, ())

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def call(self, name: str, function: object, arguments: tuple) -> cython.int:
        """Tell the protocol; its connection closes if it raises."""
        try:
            function(*arguments)
        except BaseException as error:
            self.loop.report(self, f"{name}() raised; its connection closes", error)
            self.reason = error
            self.abort()
        return 0


@cython.cclass
class Takeovers(Reading):
    """The part of the engine that hands connections to other protocols, and tells those what becomes of them."""

    def __cinit__(self, *_: object, **__: object) -> None:
        self.takeovers = set()

    def take_over(self, response: Response, protocol: object) -> Takeover:
        """Response.takeover."""
        parked: Parked = response.parked if response.parked is not None else self.current
        request: Request = self.request
        takeover: Takeover
        self.check_open()
        if parked is not None and parked.request is not None:
            request = parked.request
            if not parked.is_active:
                raise ConnectionResetError(ECONNRESET, explain(ECONNRESET))
        if response.taking is not None:
            raise RuntimeError("takeover: this connection is taken over already")
        if response.has_begun or response.coding != RAW:
            raise RuntimeError("takeover: the answer has begun; append the head that switches as it stands")
        for name in ("received", "drained", "closed"):
            if not callable(getattr(protocol, name, None)):
                raise TypeError(
                    f"protocol {protocol!r}: has no {name}(); give it received(data), drained() and closed(reason)"
                )
        if not request.framed.may_switch:
            raise ValueError(
                "takeover: the client asked for no other protocol: neither by CONNECT nor by `Connection: upgrade`"
            )
        if request.framed.is_partial:
            raise ValueError("takeover: the content of this request is streamed; its connection stays with HTTP")
        takeover = Takeover()
        takeover.loop = self
        takeover.worker = self.worker
        takeover.peer = request.peer
        takeover.protocol = protocol
        takeover.on_received = protocol.received
        takeover.on_drained = protocol.drained
        takeover.on_closed = protocol.closed
        takeover.on_ended = getattr(protocol, "ended", None)
        takeover.on_draining = getattr(protocol, "draining", None)
        takeover.outbox = []
        takeover.kept = []
        takeover.timers = set()
        response.taking = takeover
        return takeover

    @cython.cfunc
    @cython.exceptval(1, check=False)
    def judge_takeover(
        self, request: Request, response: Response, status: cython.int, closes: cython.bint
    ) -> cython.int:
        """The status of the answer that hands the connection over, or -500, the reason logged, if it cannot."""
        what: str
        if closes:
            what = "the handler took its connection over and returned Step.CLOSE: return Step.DONE or nothing"
        elif response.coding != RAW:
            what = "the handler took its connection over and called start(): append the head that switches as it stands"
        elif status == 101 or (200 <= status < 300 and request.method == b"CONNECT"):
            return status
        else:
            what = (
                f"the handler took its connection over with a {status}: only 101, and 2xx to CONNECT, switch protocols"
            )
        self.report(request, f"{what}; answered 500", None)
        return -500

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin_takeover(self, response: Response, connection: cython.pointer[Connection]) -> cython.int:
        """The switching answer is complete: HTTP ends here. The protocol is told in the next tick, behind it."""
        takeover: Takeover = response.taking
        if connection.channel.fd < 0:
            return self.drop_takeover(response, ConnectionResetError(ECONNRESET, explain(ECONNRESET)))
        response.taking = None
        takeover.stage = BEGUN
        takeover.connection = connection
        takeover.generation = connection.channel.generation
        takeover.has_kept_end = connection.is_ended
        connection.takeover = cython.cast(cython.p_void, takeover)
        connection.closes = connection.lingers = connection.wants_drained = False
        connection.deadline = ANSWERING
        connection.due_ms = 0
        if connection.rest is not cython.NULL:
            takeover.kept.append(
                PyBytes_FromStringAndSize(
                    cython.cast(cython.p_const_char, connection.rest.bytes) + connection.rest_start,
                    connection.rest_end - connection.rest_start,
                )
            )
            drop_rest(connection)
        if takeover.is_paused:
            self.backend.pause(cython.address(connection.channel))
        elif connection.channel.is_paused:
            self.backend.resume(cython.address(connection.channel))
        self.takeovers.add(takeover)
        self.taken_count += 1
        self.note_busy(connection)
        self.tell(NOTICE_TAKEN, connection, cython.NULL, 0, 0)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_takeover(self, response: Response, reason: object) -> cython.int:
        """The answer that was to hand the connection over does not come about: all that its protocol hears is why."""
        takeover: Takeover = response.taking
        response.taking = None
        takeover.reason = reason
        takeover.stage = OVER
        self.takeovers.add(takeover)
        self.notify(NOTICE_CLOSED, cython.NULL).takeover = cython.cast(cython.p_void, takeover)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_protocol(self, notice: cython.pointer[Notice]) -> cython.int:
        """Tell a protocol what phases 1 and 3 have noted of its connection."""
        takeover: Takeover = cython.cast(Takeover, notice.takeover)
        data: bytes
        if notice.kind == NOTICE_CLOSED:
            return self.end_takeover(takeover, notice.length)
        if not takeover.speaks():
            return 0
        self.counts.handler_since_ns = read_clock_ns()
        if notice.kind == NOTICE_TAKEN:
            takeover.go_on()
            if takeover.on_draining is not None and self.has_told_takeovers and not takeover.has_begun:
                if takeover.is_open:
                    takeover.call("draining", takeover.on_draining, ())
            takeover.has_begun = True
        elif not takeover.is_closing:
            if notice.kind == NOTICE_RECEIVED:
                data = PyBytes_FromStringAndSize(
                    cython.cast(cython.p_const_char, notice.slab.bytes) + notice.start, notice.length
                )
                if takeover.is_paused or takeover.kept:
                    takeover.kept.append(data)
                else:
                    takeover.call("received", takeover.on_received, (data,))
            elif notice.kind == NOTICE_DRAINED:
                takeover.call("drained", takeover.on_drained, ())
            elif takeover.is_paused or takeover.kept:
                takeover.has_kept_end = True
            else:
                takeover.end()
        self.counts.handler_since_ns = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_takeover(self, takeover: Takeover, error: cython.int) -> cython.int:
        """The connection is gone: the last that its protocol hears."""
        reason: object = takeover.reason
        closed: object = takeover.on_closed
        timer: Timer
        if reason is None and error:
            reason = OSError(error, explain(error))
        takeover.stage = OVER
        self.takeovers.discard(takeover)
        for timer in list(takeover.timers):
            timer.cancel()
        takeover.kept = []
        takeover.on_received = takeover.on_drained = takeover.on_closed = None
        takeover.on_ended = takeover.on_draining = None
        try:
            closed(reason)
        except BaseException as failure:
            self.report(takeover, "closed() raised", failure)
        takeover.protocol = takeover.loop = None  # nor keep the worker's descriptors open
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_takeovers(self) -> cython.int:
        """The shutdown has come to the streams: let protocols say their last words."""
        takeover: Takeover
        self.has_told_takeovers = True
        for takeover in list(self.takeovers):
            if takeover.has_begun and takeover.on_draining is not None and takeover.is_open:
                takeover.call("draining", takeover.on_draining, ())
        return 0

    def run_timer(self, takeover: Takeover, function: object, arguments: tuple) -> None:
        """One of Takeover.call_later has come due."""
        if takeover.stage == ASKED or takeover.speaks():
            takeover.call(f"{function!r}", function, arguments)
