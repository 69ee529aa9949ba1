"""Phase 3: sending what was answered, keeping what the kernel does not take, and what becomes of the connection then.

RFC 9112 sections 9.3 (persistence) and 9.6 (closing).
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import free
from cython.cimports.vanilla.buffers import release
from cython.cimports.vanilla.engine.connections import ANSWERING, append_unsent, count_unsent, drop_intake
from cython.cimports.vanilla.engine.contents import receive_content
from cython.cimports.vanilla.engine.state import read_clock_ns
from cython.cimports.vanilla.http1.reply import append_interim_continue, append_refusal
from cython.cimports.vanilla.net.posix import ENOMEM


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def finish_burst(state: State, burst: cython.pointer[Burst]) -> cython.void:
    """Add the server's own word behind the answers to the requests: a refusal, or the prompt for content."""
    if burst.connection.channel.generation != burst.generation:
        burst.trailing = 0
    if burst.trailing == 100:
        append_interim_continue(state.buffer)
        state.counts.responses[1] += 1
    elif burst.trailing:
        append_refusal(state.buffer, state.date, burst.trailing)
        state.counts.responses[burst.trailing // 100] += 1
    burst.end = state.buffer.length


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def flush(state: State, until: cython.int) -> cython.void:
    """Send what the bursts before `until` were answered, and let their connections go on."""
    burst: cython.pointer[Burst]
    while state.flushed_count < until:
        burst = cython.address(state.bursts[state.flushed_count])
        state.flushed_count += 1
        send_burst(state, burst)
        state.counts.in_flight -= burst.count
        if burst.connection.channel.generation == burst.generation:
            state.note_drained(burst.connection)
            if count_unsent(burst.connection) == 0:
                after_answers(state, burst.connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def flush_written(state: State) -> cython.void:
    """Send what resumed requests have appended, and let their connections go on."""
    index: cython.int
    burst: cython.pointer[Burst]
    for index in range(state.written_count):
        burst = cython.address(state.written[index])
        if burst.connection.channel.generation != burst.generation:
            continue
        burst.connection.written_count -= 1
        send_bytes(state, burst.connection, state.resumed.bytes + burst.start, burst.end - burst.start)
        if burst.connection.channel.generation == burst.generation:
            state.note_drained(burst.connection)
            if count_unsent(burst.connection) == 0:
                after_answers(state, burst.connection)
    state.written_count = 0
    state.resumed.clear()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_burst(state: State, burst: cython.pointer[Burst]) -> cython.void:
    """Send one burst's answers."""
    if burst.connection.channel.generation == burst.generation:
        send_bytes(state, burst.connection, state.buffer.bytes + burst.start, burst.end - burst.start)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_bytes(
    state: State, connection: cython.pointer[Connection], source: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.void:
    """Send behind what is unsent already, in one call; keep what the kernel does not take."""
    sent: cython.Py_ssize_t = 0
    if length == 0:
        return
    if count_unsent(connection) == 0:
        sent = state.backend.send(cython.address(connection.channel), source, length)
        if sent < 0:
            connection.error = cython.cast(cython.int, -sent)
            state.close(connection)
            return
        state.counts.bytes_sent += sent
        if sent == length:
            if state.is_timed:
                connection.taken_ns = read_clock_ns()
            return
        if connection.takeover is cython.NULL:  # else it is for the protocol to pause
            state.backend.pause(cython.address(connection.channel))
    if not append_unsent(connection, source + sent, length - sent):
        connection.error = ENOMEM
        state.close(connection)
        return
    if connection.takeover is not cython.NULL:
        connection.wants_drained |= count_unsent(connection) > state.bounds[connection.listener].high_water
    state.await_drained(connection)
    state.note_busy(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def on_writable(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """There is room for what is unsent."""
    sent: cython.Py_ssize_t
    if count_unsent(connection) == 0:
        return
    sent = state.backend.send(
        cython.address(connection.channel),
        connection.unsent + connection.unsent_start,
        count_unsent(connection),
    )
    if sent < 0:
        connection.error = cython.cast(cython.int, -sent)
        state.close(connection)
        return
    state.counts.bytes_sent += sent
    connection.unsent_start += sent
    connection.moved += sent
    state.note_drained(connection)
    if count_unsent(connection) > 0:
        state.await_drained(connection)
        return
    free(connection.unsent)
    connection.unsent = cython.NULL
    connection.unsent_start = connection.unsent_end = connection.unsent_size = 0
    if state.is_timed:
        connection.taken_ns = read_clock_ns()
        state.has_notice = True
    after_answers(state, connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def after_answers(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """The kernel has taken all that is owed so far: go on with what waits, close, or wait for the next request."""
    if connection.written_count > 0:
        return  # there is more to send in this tick
    if connection.takeover is not cython.NULL:
        if connection.closes:
            finish_close(state, connection)
        else:
            connection.deadline = ANSWERING
            connection.due_ms = 0
        return
    if connection.parked is not cython.NULL:
        if connection.intake is not cython.NULL and connection.intake.is_wanted:
            receive_content(state, connection)
            state.note_busy(connection)
            return
        connection.deadline = ANSWERING
        connection.due_ms = 0
        state.note_busy(connection)
        return
    if connection.waiting is not cython.NULL:
        state.list_connection(connection)
        connection.deadline = ANSWERING
        connection.due_ms = 0
        state.note_busy(connection)
        return
    if connection.closes:
        finish_close(state, connection)
        return
    if connection.rest is not cython.NULL:
        state.list_connection(connection)
        connection.deadline = ANSWERING
        connection.due_ms = 0
        return
    if connection.intake is not cython.NULL and not connection.intake.is_dropped:
        drop_intake(connection)
        if connection.held is not cython.NULL:  # the beginning of the next request came with the end of the content
            state.list_connection(connection)
            connection.deadline = ANSWERING
            connection.due_ms = 0
            state.note_busy(connection)
            return
    if connection.is_ended:
        state.close(connection)
        return
    if connection.intake is not cython.NULL:
        receive_content(state, connection)
        state.note_busy(connection)
        return
    if connection.channel.is_paused:
        state.backend.resume(cython.address(connection.channel))
    if connection.held is cython.NULL:
        state.await_request(connection)
    else:
        state.await_arrival(connection)
    state.note_busy(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def finish_close(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """All was sent. Where the client may still be sending, shut our side and drop its bytes for a while: closing
    with input unread resets the connection, and the client may lose the answer (RFC 9112 section 9.6).
    """
    drop_intake(connection)
    if connection.held is not cython.NULL:
        release(connection.held)
        connection.held = cython.NULL
    if not connection.lingers or connection.is_ended or state.bounds[connection.listener].linger_ms == 0:
        state.close(connection)
        return
    connection.has_shut = True
    state.detach(connection)
    state.backend.shut_writing(cython.address(connection.channel))
    state.await_end(connection)
    if connection.channel.is_paused:
        state.backend.resume(cython.address(connection.channel))
    state.note_busy(connection)
