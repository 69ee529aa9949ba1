"""Content that a handler takes piece by piece: received no faster than it is asked for; and what becomes of the rest.

A piece is received into an object that its handler gets, chunked content decoded in place there: no byte is copied.
RFC 9112 sections 6.3 and 7.1.
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.engine.connections import ANSWERING, count_unsent

PIECE_BYTES_MIN = 16 * 1024  # first room for a piece: many slow uploads cost little
PIECE_BYTES_MAX = 256 * 1024  # what it grows to while it is filled: fewer turns of the loop for a fast one
WARM_BYTES = 1024 * 1024  # twice this is what malloc(3) may keep at the end of its heap
DROP_BYTES_MAX = 256 * 1024  # of unread content that are read over for the sake of the next request, as Go does


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def keep_pieces_warm() -> cython.void:
    """Have malloc(3) keep the memory of pieces: it would else return each to the system, and fault it in again for the
    next, at the cost of half of the receiving. Freeing a block that was mapped raises M_TRIM_THRESHOLD: mallopt(3).
    """
    block: cython.pointer[Slab] = new_slab(WARM_BYTES)
    if block is not cython.NULL:
        release(block)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_intake(state: State, connection: cython.pointer[Connection], received: cython.Py_ssize_t) -> cython.bint:
    """Begin with the content of the head just parsed, of which `received` bytes came along; False without memory."""
    intake: cython.pointer[Intake] = cython.cast(cython.pointer[Intake], calloc(1, cython.sizeof(Intake)))
    if intake is cython.NULL:
        return False
    intake.size = PIECE_BYTES_MIN if received < PIECE_BYTES_MIN else PIECE_BYTES_MIN * 4
    intake.received = received
    intake.is_chunked = state.head.is_chunked
    if intake.is_chunked:
        save_decoder(state, intake)
    else:
        intake.missing = state.head.content_length - received
    connection.intake = intake
    state.backend.pause(cython.address(connection.channel))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def save_decoder(state: State, intake: cython.pointer[Intake]) -> cython.void:
    """Remember how far the chunked content is decoded."""
    intake.chunk_state = state.chunked.state
    intake.missing = state.chunked.unread
    intake.extension_bytes = cython.cast(cython.int, state.chunked.extension_bytes)
    intake.trailer_bytes = cython.cast(cython.int, state.chunked.trailer_bytes)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def consume(
    state: State,
    connection: cython.pointer[Connection],
    data: cython.p_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Take content from data[at:end]: where the message ends, -1 while it goes on, or the negated status.

    The content stands in data[at:at + filled] then.
    """
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[connection.listener])
    intake: cython.pointer[Intake] = connection.intake
    result: cython.Py_ssize_t = -1
    if intake.is_chunked:
        begin_chunked(
            state.chunked,
            at,
            bounds.content_bytes - intake.received,
            bounds.extension_bytes,
            bounds.header_bytes,
        )
        state.chunked.state = intake.chunk_state
        state.chunked.unread = intake.missing
        state.chunked.extension_bytes = intake.extension_bytes
        state.chunked.trailer_bytes = intake.trailer_bytes
        result = decode_chunked(state.chunked, data, at, end)
        save_decoder(state, intake)
        intake.filled = cython.cast(cython.int, state.chunked.decoded_end - at)
    else:
        intake.filled = cython.cast(cython.int, min(end - at, intake.missing))
        intake.missing -= intake.filled
        if intake.missing == 0:
            result = at + intake.filled
    intake.received += intake.filled
    intake.is_whole = result >= 0
    return result


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def receive_content(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """Receive more content, for a handler that waits for it or to be dropped, within its time."""
    if connection.channel.is_paused:
        connection.intake.began_ms = state.now_ms - connection.intake.waited_ms
        state.backend.resume(cython.address(connection.channel))
    state.await_content(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def stop_receiving(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """A piece is there, or none will be: leave the rest in the kernel until the handler asks again."""
    connection.intake.is_wanted = False
    connection.intake.waited_ms = state.now_ms - connection.intake.began_ms
    connection.channel.target_room = 0
    state.backend.pause(cython.address(connection.channel))
    if count_unsent(connection) == 0:
        connection.deadline = ANSWERING
        connection.due_ms = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_piece(intake: cython.pointer[Intake]) -> cython.bint:
    """Whether a handler that asks for a piece, the end or the error has it at once."""
    return intake.filled > 0 or intake.is_whole or intake.status != 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def grow_or_shrink(intake: cython.pointer[Intake], filled: cython.Py_ssize_t) -> cython.void:
    """Keep to the client's pace: more room once a piece was full, less once half of it was left over."""
    if filled >= intake.size:
        intake.size = min(intake.size * 4, PIECE_BYTES_MAX)
    elif filled < intake.size // 2:
        intake.size = max(intake.size // 2, PIECE_BYTES_MIN)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_size(intake: cython.pointer[Intake]) -> cython.int:
    """Room for the next piece: at most what is missing, so that sized content never brings another message along."""
    if intake.is_chunked or intake.missing > intake.size:
        return intake.size
    return cython.cast(cython.int, intake.missing)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def leave_content(state: State, connection: cython.pointer[Connection], framed: cython.pointer[Framed]) -> cython.bint:
    """The handler is done. True if so much of the content is unread, or what is wrong with it, that the connection
    has to close; otherwise the rest is dropped once the answer is sent.

    A client that waits for 100 Continue will never know whether to send its content: RFC 9110 section 10.1.1.
    """
    intake: cython.pointer[Intake] = connection.intake
    if intake is cython.NULL:
        return True  # the handler cut the connection off
    intake.is_wanted = False
    connection.channel.target_room = 0
    if intake.is_whole:
        return False
    framed.lingers = True
    if intake.status or intake.expects_continue or connection.is_ended:
        return True
    if not intake.is_chunked and intake.missing > DROP_BYTES_MAX:
        return True
    intake.is_dropped = True
    intake.filled = 0
    intake.waited_ms = 0
    intake.began_ms = state.now_ms
    intake.moved = 0
    return False
