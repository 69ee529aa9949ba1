"""From received bytes to framed requests: each connection's part of phase 1. RFC 9112 sections 2, 6 and 9.

A connection has bytes of its own only while a message has not fully arrived: the message then stands at the start of
its `held` slab. Content of a known length is received where it belongs; chunked content is decoded in place.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdint import uint8_t, uint16_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memchr, memcpy
from cython.cimports.vanilla.buffers import claim, new_slab
from cython.cimports.vanilla.contract.worker import (
    LIMIT_BODY,
    LIMIT_EXTENSION,
    LIMIT_HEADER_BYTES,
    LIMIT_HEADERS,
    LIMIT_KEEPALIVE,
    LIMIT_LINGER,
    LIMIT_READ,
    LIMIT_RECEIVE_RATE,
    LIMIT_REQUESTS,
    LIMIT_SEND_RATE,
    LIMIT_TARGET,
    LIMIT_WRITE,
)
from cython.cimports.vanilla.engine.answers import after_answers, finish_close, on_writable
from cython.cimports.vanilla.engine.connections import (
    ANSWERING,
    CONTENT,
    CONTENT_RATE,
    DRAINED_RATE,
    FIRST_BYTE,
    HEAD,
    IDLE,
    IN_CHUNKED_CONTENT,
    IN_HEAD,
    IN_SIZED_CONTENT,
    LINGER,
    WHOLE_CHUNKED,
    Intake,
    Waiting,
    count_unsent,
    drop_intake,
)
from cython.cimports.vanilla.engine.contents import DROP_BYTES_MAX, consume, open_intake, stop_receiving
from cython.cimports.vanilla.engine.state import NOTICE_CONTENT, NOTICE_ENDED, NOTICE_RECEIVED, connection_of
from cython.cimports.vanilla.http1.body import begin_chunked, decode_chunked
from cython.cimports.vanilla.http1.head import CR, LF, parse_head
from cython.cimports.vanilla.net.platform import AF_INET, AF_INET6, ETIMEDOUT, c_assert
from cython.cimports.vanilla.proxy.header import parse_proxy_header

HELD_HEAD_BYTES = 1024  # first room for a head that arrives in pieces; it doubles as needed
HELD_CONTENT_BYTES = 64 * 1024  # first room for content: a client that only declares much gets no more
HELD_SENDER_BYTES = 1024 * 1024  # room, once the client has shown that it does send ...
HELD_SENT_BYTES = 16 * 1024  # ... this much


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def on_received(state: State, completion: cython.pointer[Completion]) -> cython.void:
    """Bytes, the end, or an error from one connection."""
    connection: cython.pointer[Connection] = connection_of(completion.channel)
    burst_count: cython.int = state.burst_count
    if completion.result < 0:
        connection.error = -completion.result
        state.close(connection)
        return
    state.counts.bytes_received += completion.result
    connection.is_ended |= completion.is_end
    if connection.has_shut:
        if completion.is_end:
            state.close(connection)
        return
    if connection.takeover is not cython.NULL:
        if completion.result > 0 and not connection.closes:
            state.tell(NOTICE_RECEIVED, connection, completion.slab, completion.start, completion.result)
        if completion.is_end:
            state.tell(NOTICE_ENDED, connection, cython.NULL, 0, 0)
        return
    if completion.result > 0 and (not connection.closes or connection.intake is not cython.NULL):
        arrive(state, connection, completion.slab, completion.start, completion.result)
    if connection.is_ended and connection.intake is not cython.NULL and can_never_be_whole(connection):
        state.close(connection)
        return
    if connection.is_ended and connection.channel.fd >= 0 and state.burst_count == burst_count:
        if count_unsent(connection) == 0 and connection.waiting is cython.NULL and connection.parked is cython.NULL:
            state.close(connection)  # nothing is owed, and what has not fully arrived never will


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def arrive(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    start: cython.int,
    length: cython.int,
) -> cython.void:
    """New bytes: frame what is complete. `slab` is NULL where they were received into the held message itself."""
    if connection.intake is not cython.NULL:
        if connection.intake.is_wanted or connection.intake.is_dropped:
            arrive_content(state, connection, slab, start, length)
    elif connection.held is cython.NULL:
        frame(state, connection, slab, start, start + length)
    else:
        arrive_held(state, connection, slab, start, length)
    state.note_busy(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def arrive_held(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    start: cython.int,
    length: cython.int,
) -> cython.void:
    """New bytes of a message that is held: frame it once it is whole, or once that is worth a try."""
    before: cython.int = connection.held_end
    result: cython.Py_ssize_t
    if slab is not cython.NULL:
        if not grow_held(state, connection, before + length):
            state.close(connection)
            return
        memcpy(connection.held.bytes + before, slab.bytes + start, length)
    connection.held_end = before + length
    connection.moved += length
    if connection.arrival == IN_HEAD and not connection.awaits_proxy:
        # Without a line end the head is not over: it is parsed again only once it is over a limit, or has doubled.
        if memchr(connection.held.bytes + before, 10, length) is cython.NULL:
            if connection.held_end < min(connection.searched * 2, find_limit(state, connection)):
                return
        connection.searched = connection.held_end
    elif connection.arrival == IN_SIZED_CONTENT:
        if connection.held_end < connection.needed:
            aim_receive(state, connection)
            state.await_arrival(connection)
            return
        connection.channel.target_room = 0
    elif connection.arrival == IN_CHUNKED_CONTENT:
        result = resume_chunked(state, connection)
        if result == -1:
            state.await_arrival(connection)
            return
        if result < 0:
            note_refused(state, cython.cast(cython.int, -result), cython.address(state.bounds[connection.listener]))
            refuse(state, connection, cython.cast(cython.int, -result))
            return
        connection.arrival = WHOLE_CHUNKED
    frame(state, connection, connection.held, 0, connection.held_end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_limit(state: State, connection: cython.pointer[Connection]) -> cython.Py_ssize_t:
    """How long the held head must at least be to be over the limit that its present line has."""
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[connection.listener])
    if connection.content_start > 0:
        return connection.content_start + bounds.header_bytes + 1
    return bounds.target_bytes + 3  # behind a method of one letter and a space


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def frame(
    state: State, connection: cython.pointer[Connection], slab: cython.pointer[Slab], at: cython.int, end: cython.int
) -> cython.void:
    """Queue every complete request in slab[at:end] as one burst; hold the message that is not complete.

    What stands behind a request that may switch protocols is left as it is, until that request is answered.
    """
    held: cython.pointer[Slab] = connection.held
    first: cython.int = state.framed_count
    trailing: cython.int = 0
    result: cython.Py_ssize_t
    while at < end and not connection.closes:
        if end - at == 2 and slab.bytes[at] == CR and connection.request_count > 0 and not connection.has_skipped_line:
            if slab.bytes[at + 1] == LF:  # old clients send it after content: the connection stays idle
                connection.has_skipped_line = True
                if state.framed_count == first:
                    state.await_request(connection)
                break
        if connection.awaits_proxy:
            result = pass_proxy_header(state, connection, slab, at, end)
            if result >= 0:
                at = cython.cast(cython.int, result)
                continue
        else:
            result = frame_message(state, connection, slab, at, end, cython.address(trailing))
        if result >= 0:
            at = cython.cast(cython.int, result)
            connection.arrival = IN_HEAD
            connection.deadline = ANSWERING
            connection.due_ms = 0
            if state.head.may_switch and at < end:
                claim(slab)
                connection.rest = slab
                connection.rest_start = at
                connection.rest_end = end
                state.backend.pause(cython.address(connection.channel))  # a tick frames that, or new bytes, never both
                break
        elif result == -1:
            if not hold(state, connection, slab, at, end):
                state.counts.in_flight -= state.framed_count - first
                state.framed_count = first
                state.close(connection)
                return
            held = cython.NULL
            break
        else:
            trailing = cython.cast(cython.int, -result)
            note_refused(state, trailing, cython.address(state.bounds[connection.listener]))
            connection.closes = connection.lingers = True
            connection.deadline = ANSWERING
            connection.due_ms = 0
    if held is not cython.NULL:
        state.borrow(held)
        connection.held = cython.NULL
        connection.channel.target_room = 0
    if connection.closes:
        connection.lingers |= at < end
    if state.framed_count > first or trailing:
        state.push_burst(connection, slab, first, trailing)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pass_proxy_header(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Take the client's address from the PROXY header at `at`: its end, -1 while it is not complete, or -400."""
    index: cython.int
    result: cython.Py_ssize_t = parse_proxy_header(state.origin, slab.bytes, at, end)
    state.chunked.extension_bytes = 0  # note_refused reads it
    if result < 0:
        return result
    connection.awaits_proxy = False
    if not state.origin.is_proxied:
        return result
    connection.peer.port = cython.cast(uint16_t, state.origin.port)
    connection.peer.family = AF_INET if state.origin.family == 4 else AF_INET6 if state.origin.family == 6 else 0
    if state.origin.family == 4:
        for index in range(4):
            connection.peer.host[index] = state.origin.low >> (24 - 8 * index) & 255
    else:
        for index in range(8):
            connection.peer.host[index] = state.origin.high >> (56 - 8 * index) & 255
            connection.peer.host[index + 8] = state.origin.low >> (56 - 8 * index) & 255
    return result


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def frame_message(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    at: cython.int,
    end: cython.int,
    trailing: cython.p_int,
) -> cython.Py_ssize_t:
    """Frame the message at `at`: the offset one past it, -1 while it is not complete, or the negated status.

    `trailing` becomes 100 when the client waits to be asked for its content (RFC 9110 section 10.1.1).
    """
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[connection.listener])
    content_end: cython.Py_ssize_t
    message_end: cython.Py_ssize_t
    state.chunked.extension_bytes = 0  # note_refused reads it, whatever it is that is refused
    content_start: cython.Py_ssize_t = parse_head(
        state.head, slab.bytes, at, end, bounds.target_bytes, bounds.header_bytes, bounds.header_count
    )
    if content_start >= 0 or content_start == -1:
        if connection.has_skipped_line and slab.bytes[at] == CR:
            return -400
    if content_start < 0:
        return content_start
    connection.has_skipped_line = False
    message_end = content_end = content_start
    if connection.arrival == WHOLE_CHUNKED:
        c_assert(state.head.is_chunked)
        content_end = connection.decoded_end
        message_end = connection.chunk_at
    elif state.head.is_chunked:
        begin_chunked(state.chunked, content_start, bounds.content_bytes, bounds.extension_bytes, bounds.header_bytes)
        message_end = decode_chunked(state.chunked, slab.bytes, content_start, end)
        if message_end == -1 and state.is_streaming:
            return push_partial(state, connection, slab, content_start, state.chunked.decoded_end, end)
        if message_end == -1:
            connection.arrival = IN_CHUNKED_CONTENT
            save_chunked(state, connection, at)
            if state.head.expects_continue and content_start == end:
                trailing[0] = 100
        if message_end < 0:
            return message_end
        content_end = state.chunked.decoded_end
    elif state.head.content_length > 0:
        if state.head.content_length > bounds.content_bytes:
            return -413
        if end - content_start < state.head.content_length:
            if state.is_streaming:
                return push_partial(state, connection, slab, content_start, end, end)
            connection.arrival = IN_SIZED_CONTENT
            connection.needed = content_start - at + state.head.content_length
            connection.content_start = cython.cast(cython.int, content_start - at)
            if state.head.expects_continue and content_start == end:
                trailing[0] = 100
            return -1
        message_end = content_end = content_start + state.head.content_length
    push_framed(state, connection, slab, content_start, content_end)
    return message_end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def push_partial(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    content_start: cython.Py_ssize_t,
    content_end: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Queue a message of which only the beginning came, for a handler that takes content piece by piece: `end`.

    It is the last of its burst, and nothing more is received until the handler asks, or is done.
    """
    if not open_intake(state, connection, content_end - content_start):
        return -503
    connection.intake.expects_continue = state.head.expects_continue and content_start == end
    push_framed(state, connection, slab, content_start, content_end)
    state.framed[state.framed_count - 1].is_partial = True
    return end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def push_framed(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    content_start: cython.Py_ssize_t,
    content_end: cython.Py_ssize_t,
) -> cython.void:
    """Queue the message whose head was just parsed, and decide whether it is the connection's last."""
    framed: cython.pointer[Framed] = state.reserve_framed(1)
    state.framed_count += 1
    framed.slab = slab
    framed.start = cython.cast(cython.int, state.head.start)
    framed.method_end = cython.cast(cython.int, state.head.method_end)
    framed.target_start = cython.cast(cython.int, state.head.target_start)
    framed.target_end = cython.cast(cython.int, state.head.target_end)
    framed.fields_start = cython.cast(cython.int, state.head.fields_start)
    framed.fields_end = cython.cast(cython.int, state.head.fields_end)
    framed.content_start = cython.cast(cython.int, content_start)
    framed.content_end = cython.cast(cython.int, content_end)
    framed.version = cython.cast(uint8_t, state.head.version)
    framed.may_switch = state.head.may_switch
    framed.is_head = state.head.is_head
    framed.received_ns = state.received_ns
    framed.is_last = not state.head.keeps_alive
    framed.lingers = framed.is_partial = False
    state.counts.in_flight += 1
    connection.request_count += 1
    if state.head.keeps_alive and connection.request_count >= state.bounds[connection.listener].requests_max:
        state.reached(LIMIT_REQUESTS)
        framed.is_last = framed.lingers = True
    if framed.is_last:
        connection.closes = True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def hold(
    state: State, connection: cython.pointer[Connection], slab: cython.pointer[Slab], at: cython.int, end: cython.int
) -> cython.bint:
    """Keep slab[at:end], the beginning of a message, until the rest arrives; False when there is no memory.

    Where it begins the slab that is held already, it stays there.
    """
    length: cython.Py_ssize_t = end - at
    held: cython.pointer[Slab]
    if connection.arrival == IN_CHUNKED_CONTENT:
        length = connection.decoded_end
    if slab != connection.held or at > 0:
        held = state.pool.take(find_room(connection, length))
        if held is cython.NULL:
            return False
        memcpy(held.bytes, slab.bytes + at, length)
        if connection.held is not cython.NULL:
            state.borrow(connection.held)
        connection.held = held
    connection.held_end = connection.searched = cython.cast(cython.int, length)
    if connection.arrival == IN_HEAD:
        connection.content_start = cython.cast(cython.int, max(state.head.fields_start - at, 0))
    aim_receive(state, connection)
    state.await_arrival(connection)
    return connection.held is not cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_room(connection: cython.pointer[Connection], length: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """How much room a message of which `length` bytes are there is worth: as much as has come, and a step more."""
    if connection.arrival == IN_HEAD:
        return max(length * 2, HELD_HEAD_BYTES)
    size: cython.Py_ssize_t = max(length * 2, HELD_SENDER_BYTES if length >= HELD_SENT_BYTES else HELD_CONTENT_BYTES)
    if connection.arrival != IN_SIZED_CONTENT:
        return size
    if length < HELD_SENT_BYTES and connection.needed > HELD_CONTENT_BYTES:
        return HELD_SENT_BYTES  # little, since it is copied once the client has shown that it sends
    return min(size, connection.needed)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def grow_held(state: State, connection: cython.pointer[Connection], size: cython.Py_ssize_t) -> cython.bint:
    """Have room for `size` bytes in the held slab, which no request looks into yet; False when there is no memory."""
    grown: cython.pointer[Slab]
    if connection.held.size < size:
        grown = state.pool.take(max(size, find_room(connection, size)))
        if grown is cython.NULL:
            return False
        memcpy(grown.bytes, connection.held.bytes, connection.held_end)
        state.pool.give_back(connection.held)
        connection.held = grown
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def aim_receive(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """Have content of a known length received where it belongs; anything else comes through the shared slabs."""
    connection.channel.target_room = 0
    if connection.arrival != IN_SIZED_CONTENT:
        return
    if connection.held_end == connection.held.size and connection.held_end < connection.needed:
        if not grow_held(state, connection, connection.held_end + 1):
            return  # the shared slabs serve, and arrive_held tries again
    connection.channel.target = connection.held.bytes + connection.held_end
    connection.channel.target_room = min(connection.needed, connection.held.size) - connection.held_end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def save_chunked(state: State, connection: cython.pointer[Connection], at: cython.int) -> cython.void:
    """Remember how far the chunked content of the message at `at` is decoded; all that came has been consumed."""
    connection.chunk_state = state.chunked.state
    connection.needed = state.chunked.unread
    connection.content_start = cython.cast(cython.int, state.chunked.content_start - at)
    connection.decoded_end = cython.cast(cython.int, state.chunked.decoded_end - at)
    connection.extension_bytes = cython.cast(cython.int, state.chunked.extension_bytes)
    connection.trailer_bytes = cython.cast(cython.int, state.chunked.trailer_bytes)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def resume_chunked(state: State, connection: cython.pointer[Connection]) -> cython.Py_ssize_t:
    """Decode what was appended to the held message: decode_chunked's result."""
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[connection.listener])
    result: cython.Py_ssize_t
    begin_chunked(
        state.chunked,
        connection.content_start,
        bounds.content_bytes,
        bounds.extension_bytes,
        bounds.header_bytes,
    )
    state.chunked.state = connection.chunk_state
    state.chunked.unread = connection.needed
    state.chunked.decoded_end = connection.decoded_end
    state.chunked.extension_bytes = connection.extension_bytes
    state.chunked.trailer_bytes = connection.trailer_bytes
    result = decode_chunked(state.chunked, connection.held.bytes, connection.decoded_end, connection.held_end)
    save_chunked(state, connection, 0)
    if result == -1:
        connection.held_end = connection.decoded_end
    else:
        connection.chunk_at = cython.cast(cython.int, result)
    return result


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_refused(state: State, status: cython.int, bounds: cython.pointer[Bounds]) -> cython.void:
    """Count which limit a refusal stands for, if any."""
    if status == 414:
        state.reached(LIMIT_TARGET)
    elif status == 413:
        state.reached(LIMIT_BODY)
    elif status == 431:
        state.reached(LIMIT_HEADERS if state.head.field_count > bounds.header_count else LIMIT_HEADER_BYTES)
    elif status == 400 and state.chunked.extension_bytes > bounds.extension_bytes:
        state.reached(LIMIT_EXTENSION)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def refuse(state: State, connection: cython.pointer[Connection], status: cython.int) -> cython.void:
    """Give up on the message that is held: answer `status` after what is owed, then close."""
    connection.closes = connection.lingers = True
    connection.channel.target_room = 0
    if connection.held is not cython.NULL:
        state.borrow(connection.held)
        connection.held = cython.NULL
    connection.due_ms = 0
    connection.deadline = ANSWERING
    state.push_burst(connection, cython.NULL, state.framed_count, status)
    state.note_busy(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def on_due(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """A connection's timer came due; its deadline may have moved since it was set."""
    deadline: cython.int = connection.deadline
    if connection.due_ms == 0:
        return
    if connection.due_ms > state.now_ms:
        state.wheel.add(cython.address(connection.timer), connection.due_ms)
        return
    if deadline == HEAD or deadline == CONTENT or deadline == CONTENT_RATE:
        state.reached(LIMIT_RECEIVE_RATE if deadline == CONTENT_RATE else LIMIT_READ)
        if connection.intake is not cython.NULL:
            on_content_due(state, connection)
            return
        refuse(state, connection, 408)
        return
    if deadline == IDLE:
        state.reached(LIMIT_KEEPALIVE)
    elif deadline == FIRST_BYTE:
        state.reached(LIMIT_READ)
    elif deadline == LINGER:
        if state.lingers_on(connection):
            return
        state.reached(LIMIT_LINGER)
    elif deadline == DRAINED_RATE:
        if state.drains_on(connection):
            return
        state.reached(LIMIT_SEND_RATE)
    else:
        state.reached(LIMIT_WRITE)
    connection.error = ETIMEDOUT
    state.close(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def go_on_listed(state: State) -> cython.void:
    """Go on with connections that no event will announce: send more of their files, or frame and queue the requests of
    those whose earlier answers have been taken.
    """
    index: cython.int
    count: cython.int = state.listed_count
    position: cython.int
    first: cython.int
    connection: cython.pointer[Connection]
    waiting: cython.pointer[Waiting]
    for index in range(count):
        connection = state.listed[index]
        if not connection.is_listed or connection.channel.fd < 0:
            continue
        connection.is_listed = False
        waiting = connection.waiting
        if count_unsent(connection) > 0:
            on_writable(state, connection, 0)
        elif waiting is not cython.NULL:
            connection.waiting = cython.NULL
            first = state.framed_count
            state.reserve_framed(waiting.count)
            for position in range(waiting.count):
                state.framed[first + position] = waiting.framed[position]
            state.framed_count += waiting.count
            state.push_burst(connection, waiting.slab, first, waiting.trailing)
            state.borrow(waiting.slab)
            free(waiting)
        elif connection.rest is not cython.NULL:
            frame_rest(state, connection)
        elif connection.held is not cython.NULL:
            frame_held(state, connection)
    state.listed_count -= count
    for index in range(state.listed_count):
        state.listed[index] = state.listed[count + index]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def frame_rest(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """Frame what came behind a request that might have switched protocols, and has not."""
    burst_count: cython.int = state.burst_count
    rest: cython.pointer[Slab] = connection.rest
    c_assert(connection.held is cython.NULL)
    connection.rest = cython.NULL
    state.borrow(rest)
    frame(state, connection, rest, connection.rest_start, connection.rest_end)
    if connection.channel.fd < 0:
        return
    state.note_busy(connection)
    if state.burst_count == burst_count:
        after_answers(state, connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def frame_held(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """Frame what came behind content that was taken piece by piece."""
    burst_count: cython.int = state.burst_count
    frame(state, connection, connection.held, 0, connection.held_end)
    if connection.channel.fd < 0:
        return
    if state.burst_count == burst_count:
        if connection.is_ended:
            state.close(connection)
            return
        if connection.channel.is_paused:
            state.backend.resume(cython.address(connection.channel))
    state.note_busy(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def arrive_content(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    start: cython.int,
    length: cython.int,
) -> cython.void:
    """New bytes of content that is taken piece by piece. `slab` is NULL where they were received into the piece."""
    intake: cython.pointer[Intake] = connection.intake
    end: cython.int = start + length
    result: cython.Py_ssize_t
    if intake.is_dropped:
        c_assert(slab is not cython.NULL)
        drop_content(state, connection, slab, start, end)
        return
    c_assert(slab is cython.NULL and start == 0 and intake.is_wanted)
    intake.moved += length
    result = consume(state, connection, intake.piece, 0, length)
    if result == -1 and intake.filled == 0:
        state.await_content(connection)  # nothing but framing came: the piece is still empty
        return
    if result < -1:
        intake.status = cython.cast(cython.int, -result)
        note_refused(state, intake.status, cython.address(state.bounds[connection.listener]))
    elif 0 <= result < end and not hold_rest(connection, intake.piece + result, end - result):
        state.close(connection)
        return
    stop_receiving(state, connection)
    state.notify(NOTICE_CONTENT, connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def hold_rest(
    connection: cython.pointer[Connection], source: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.bint:
    """Keep the beginning of the next message until this one is answered; False when there is no memory."""
    held: cython.pointer[Slab] = new_slab(max(length, HELD_HEAD_BYTES))
    if held is cython.NULL:
        return False
    memcpy(held.bytes, source, length)
    connection.held = held
    connection.held_end = cython.cast(cython.int, length)
    connection.arrival = IN_HEAD
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_content(
    state: State,
    connection: cython.pointer[Connection],
    slab: cython.pointer[Slab],
    start: cython.int,
    end: cython.int,
) -> cython.void:
    """The request is answered: read over the rest of its content, up to a bound, for the sake of the next one."""
    intake: cython.pointer[Intake] = connection.intake
    result: cython.Py_ssize_t = consume(state, connection, slab.bytes, start, end)
    intake.moved += end - start
    intake.dropped += end - start
    if result == -1 and intake.dropped <= DROP_BYTES_MAX:
        state.await_content(connection)
    elif result < 0:
        give_up_content(state, connection)
    else:
        drop_intake(connection)
        if result < end:
            frame(state, connection, slab, cython.cast(cython.int, result), end)
        else:
            state.await_request(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def give_up_content(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """The request is answered, and the rest of its content is not worth reading over."""
    connection.closes = connection.lingers = True
    finish_close(state, connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def on_content_due(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """Content that is taken piece by piece comes too slowly."""
    if connection.intake.is_dropped:
        give_up_content(state, connection)
        return
    connection.intake.status = 408
    stop_receiving(state, connection)
    state.notify(NOTICE_CONTENT, connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def can_never_be_whole(connection: cython.pointer[Connection]) -> cython.bint:
    """Whether somebody waits for content whose sender has come to its end."""
    intake: cython.pointer[Intake] = connection.intake
    if intake.is_whole or intake.status:
        return False
    return connection.parked is not cython.NULL or intake.is_dropped
