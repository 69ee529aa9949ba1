"""Phase 3: sending what was answered, keeping what the kernel does not take, and what becomes of the connection then.

RFC 9112 sections 9.3 (persistence) and 9.6 (closing).
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.buffers import release
from cython.cimports.vanilla.engine.connections import (
    ANSWERING,
    UnsentFile,
    append_unsent,
    append_unsent_answers,
    count_unsent,
    drop_file,
    drop_intake,
    drop_unsent,
)
from cython.cimports.vanilla.engine.contents import receive_content
from cython.cimports.vanilla.engine.state import read_clock_ns
from cython.cimports.vanilla.http1.reply import append_interim_continue, append_refusal
from cython.cimports.vanilla.net.platform import EAGAIN, ENOMEM

# Of files that all connections are sent in one tick, in equal shares: others wait for no more than that, and the kernel
# still has in its cache what it goes on with. To 64 readers 1 MiB in shares of 256 KiB costs 15 % less than as a whole;
# to 4 readers as a whole 3 % less than in two shares. A head is held back for a file that goes whole with it, in its
# packets: 3 % more. For a part of one it measured dearer.
FILE_TICK_BYTES = 4 * 1024 * 1024
FILE_SHARE_MIN = 256 * 1024
FILE_SHARE_MAX = 1024 * 1024
FILE_SHARE_STEP = 64 * 1024  # a share ends where a page does

FLUSH_AFTER_NS = 200_000  # of handling, after which the answers so far are sent: a slow handler holds back nobody's
FLUSH_BYTES = 256 * 1024  # of answers, likewise: they are still in the second-level cache when they are sent
FLUSH_FILES = 32  # likewise: each holds a descriptor until it is sent


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
def is_full(answers: ResponseBuffer) -> cython.bint:
    """Whether so much was answered that it is sent before the next handler is called."""
    return answers.length > FLUSH_BYTES or answers.file_count >= FLUSH_FILES


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
    settle_leaving(state)


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
        send_answers(state, burst.connection, state.resumed, burst.start, burst.end)
        if burst.connection.channel.generation == burst.generation:
            state.note_drained(burst.connection)
            if count_unsent(burst.connection) == 0:
                after_answers(state, burst.connection)
    settle_leaving(state)
    state.written_count = 0
    if state.resumed.is_outsized():
        state.settle_sends()  # its block goes
    state.resumed.clear()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def settle_leaving(state: State) -> cython.void:
    """Close those whose last bytes the kernel has taken; the others go on when it has."""
    index: cython.int
    connection: cython.pointer[Connection]
    if state.leaving_count == 0:
        return
    state.settle_sends()
    for index in range(state.leaving_count):
        connection = state.leaving[index]
        if connection.channel.fd >= 0 and count_unsent(connection) == 0:
            after_answers(state, connection)
    state.leaving_count = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_burst(state: State, burst: cython.pointer[Burst]) -> cython.void:
    """Send one burst's answers."""
    if burst.connection.channel.generation == burst.generation:
        send_answers(state, burst.connection, state.buffer, burst.start, burst.end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_answers(
    state: State,
    connection: cython.pointer[Connection],
    answers: ResponseBuffer,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
) -> cython.void:
    """Send [start, end) of the answers behind what is unsent already, their files with them."""
    is_behind: cython.bint = count_unsent(connection) > 0
    if not answers.has_files(start, end):
        send_bytes(state, connection, answers.bytes + start, end - start)
        return
    if not append_unsent_answers(connection, answers, start, end):
        connection.error = ENOMEM
        state.close(connection)
        return
    if not is_behind:
        send_unsent(state, connection)
        if connection.channel.fd < 0:
            return
        if count_unsent(connection) == 0:
            if state.is_timed:
                connection.taken_ns = read_clock_ns()
            return
        state.backend.pause(cython.address(connection.channel))
    state.await_drained(connection)
    state.note_busy(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_turn(state: State) -> cython.Py_ssize_t:
    """How much of its files one more connection may be sent in this tick, given how many there were in the last."""
    if state.file_tick != state.counts.ticks:
        state.file_tick = state.counts.ticks
        state.file_turns_before = state.file_turns
        state.file_turns = 0
    state.file_turns += 1
    return find_share(max(state.file_turns, state.file_turns_before))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_share(count: cython.int) -> cython.Py_ssize_t:
    """What each of so many connections, 1 or more, is sent of its files."""
    share: cython.Py_ssize_t = FILE_TICK_BYTES // count
    return max(FILE_SHARE_MIN, min(FILE_SHARE_MAX, share - share % FILE_SHARE_STEP))


def share_of(count: int) -> int:
    """find_share for tests."""
    return find_share(count)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_unsent(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """Send what is unsent, in order, until the kernel takes no more, or files have had their share of this tick: then
    the connection goes on in the next one, without an event.
    """
    share: cython.Py_ssize_t = 0 if connection.files is cython.NULL else take_turn(state)
    length: cython.Py_ssize_t
    sent: cython.Py_ssize_t
    file: cython.pointer[UnsentFile]
    channel: cython.pointer[Channel] = cython.address(connection.channel)
    while count_unsent(connection) > 0:
        file = connection.files
        length = (connection.unsent_end if file is cython.NULL else file.at) - connection.unsent_start
        if length > 0:
            if file is cython.NULL or file.count > share:
                sent = state.backend.send_now(channel, connection.unsent + connection.unsent_start, length)
            else:
                sent = state.backend.send_ahead(channel, connection.unsent + connection.unsent_start, length)
            if sent < 0:
                connection.error = cython.cast(cython.int, -sent)
                state.close(connection)
                return
        elif share == 0:
            state.list_connection(connection)
            return
        else:
            length = 0
            sent = state.backend.send_file(channel, file.file.fd, file.offset, min(file.count, share))
            if sent == -EAGAIN:
                return
            if sent <= 0:
                state.cut_off(connection, cython.cast(cython.int, -sent))
                return
            share -= sent
        note_taken(state, connection, sent)
        if sent < length:
            return
    drop_unsent(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_taken(state: State, connection: cython.pointer[Connection], taken: cython.Py_ssize_t) -> cython.void:
    """The kernel has taken so much of the unsent bytes, or of the first unsent file where that comes before them."""
    file: cython.pointer[UnsentFile] = connection.files
    if file is cython.NULL or file.at > connection.unsent_start:
        connection.unsent_start += taken
    else:
        file.offset += taken
        file.count -= taken
        connection.file_bytes -= taken
        if file.count == 0:
            drop_file(connection)
    connection.moved += taken
    state.counts.bytes_sent += taken


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
def on_writable(state: State, connection: cython.pointer[Connection], taken: cython.int) -> cython.void:
    """There is room for what is unsent, of which the kernel has taken some meanwhile, or it is its turn again."""
    if count_unsent(connection) == 0:
        return
    if taken > 0:
        note_taken(state, connection, taken)
    send_unsent(state, connection)
    if connection.channel.fd < 0:
        return
    state.note_drained(connection)
    if count_unsent(connection) > 0:
        state.await_drained(connection)
        return
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
            close_settled(state, connection)
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
        close_settled(state, connection)
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
        close_settled(state, connection)
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
def close_settled(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """All was sent: close, once the kernel has taken it."""
    if connection.channel.is_queued:
        state.list_leaving(connection)
    else:
        finish_close(state, connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def finish_close(state: State, connection: cython.pointer[Connection]) -> cython.void:
    """All was sent. Where the client may still be sending, shut our side and drop its bytes for a while: closing
    with input unread resets the connection, and the client may lose the answer (RFC 9112 section 9.6).
    """
    drop_intake(connection)
    if connection.held is not cython.NULL:
        connection.lingers = True
        release(connection.held)
        connection.held = cython.NULL
    connection.lingers |= has_unread(state, connection)
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


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_unread(state: State, connection: cython.pointer[Connection]) -> cython.bint:
    """Whether the client has sent more. Only where the last receive was full, or none was wanted since, can that be."""
    if not (connection.channel.is_paused or connection.channel.is_again):
        return False
    return state.backend.has_unread(cython.address(connection.channel))
