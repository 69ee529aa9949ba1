"""Content that a handler reads piece by piece, as the handler sees it: who waits for a piece, and what they get.

`contents` receives the pieces. A piece is an object of its own from the first byte on, so that nothing is copied.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
    _PyBytes_Resize,
)
from cython.cimports.cpython.ref import Py_INCREF, Py_XDECREF
from cython.cimports.vanilla.engine.connections import Intake, count_unsent
from cython.cimports.vanilla.engine.contents import grow_or_shrink, has_piece, next_size, receive_content
from cython.cimports.vanilla.engine.state import NOTICE_CONTENT
from cython.cimports.vanilla.http1.reply import append_interim_continue

from vanilla.errors import BodyError

_REASONS = {
    408: "the content comes too slowly",
    413: "the content is longer than max_body_bytes",
    431: "the trailers are longer than max_header_bytes",
}


@cython.cclass
class Reading(Watches):
    """The part of the engine that hands out content that is still to come."""

    # What a request offers.

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
                raise content_lost()
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
        if filled < PyBytes_GET_SIZE(cython.cast(object, raw)) // 2:
            _PyBytes_Resize(cython.address(raw), filled)
        elif filled < PyBytes_GET_SIZE(cython.cast(object, raw)):
            # To cut the rest off would leave the heap in splinters: it grows by MiB in a long upload.
            PyBytes_AS_STRING(cython.cast(object, raw))[filled] = 0
            Py_SET_SIZE(cython.cast(object, raw), filled)
        piece: bytes = cython.cast(bytes, raw)
        Py_XDECREF(raw)
        return piece


def content_lost() -> BodyError:
    """What a coroutine is told that waits for content of a client that is gone."""
    return BodyError(400, "the client went away before its content was whole")
