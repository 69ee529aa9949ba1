"""What the phases of a tick share: one worker's buffers, queues, deadlines and counts.

Phases 1 and 3 are functions over a `State`, one room each: `accepting` and `arrivals` before the handler, `answers`
after it. Phase 2 is the classes above it.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.backends.interface import Untaken
from cython.cimports.vanilla.buffers import release
from cython.cimports.vanilla.engine.connections import (
    CONTENT,
    CONTENT_RATE,
    DRAINED,
    DRAINED_RATE,
    HEAD,
    IDLE,
    IN_HEAD,
    LINGER,
    Intake,
    count_unsent,
    prepend_unsent,
)
from cython.cimports.vanilla.net.platform import ECONNRESET, ENOMEM, EPIPE, c_assert, read_monotonic_ns

DRAIN_LINGER_MS = 500  # for a client to read its last answer and close, once the server shuts down


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_clock_ns() -> cython.longlong:
    """The monotonic clock, which never goes back, in nanoseconds."""
    return read_monotonic_ns()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def connection_of(channel: cython.pointer[Channel]) -> cython.pointer[Connection]:
    """The record that the channel is part of: it stands right behind the timer."""
    return cython.cast(cython.pointer[Connection], cython.cast(cython.p_char, channel) - cython.sizeof(TimerNode))


@cython.cclass
class State:
    """One worker's part of the engine. Its thread alone touches it, but for the counts and the command."""

    def __cinit__(self, *_: object, **__: object) -> None:
        self.bursts = cython.NULL
        self.framed = cython.NULL
        self.listed = cython.NULL
        self.borrowed = cython.NULL
        self.written = cython.NULL
        self.gone = cython.NULL
        self.notices = cython.NULL
        self.leaving = cython.NULL
        self.housekeeping.link = cython.NULL
        self.cut_file = cython.NULL
        self.pool = SlabPool()
        self.table = ConnectionTable()
        self.wheel = TimerWheel()
        self.buffer = ResponseBuffer()
        self.resumed = ResponseBuffer()
        self.date = DateLine()
        self.head = Head()
        self.chunked = Chunked()
        self.origin = Origin()

    def __dealloc__(self) -> None:
        number: cython.int
        free(self.bursts)
        free(self.framed)
        free(self.listed)
        free(self.borrowed)
        free(self.written)
        free(self.gone)
        free(self.notices)
        free(self.leaving)
        for number in range(self.listener_count):
            free(self.bounds[number].trusted)
        self.drop_cut()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reserve_framed(self, count: cython.int) -> cython.pointer[Framed]:
        """Room for `count` more framed requests at the end of their queue; the caller fills and counts them."""
        if self.framed_size - self.framed_count < count:
            self.framed_size = max(self.framed_size * 2, self.framed_count + count, 256)
            self.framed = cython.cast(
                cython.pointer[Framed], realloc(self.framed, self.framed_size * cython.sizeof(Framed))
            )
            if self.framed is cython.NULL:
                abort()
        return cython.address(self.framed[self.framed_count])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drains_on(self, connection: cython.pointer[Connection]) -> cython.bint:
        """Whether a client kept its rate after all: room in the socket is reported late, once a third of it is free,
        so before judging count what the client acknowledged meanwhile.
        """
        bounds: cython.pointer[Bounds] = cython.address(self.bounds[connection.listener])
        taken: cython.longlong = (
            connection.moved + connection.queued - self.backend.count_queued(cython.address(connection.channel))
        )
        due_ms: cython.longlong = connection.began_ms + bounds.rate_grace_ms + taken * 1000 // bounds.send_rate
        if due_ms <= self.now_ms:
            return False
        self.set_deadline(connection, DRAINED_RATE, due_ms)
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reached(self, limit: cython.int) -> cython.void:
        """A client has reached a limit."""
        self.counts.limits[limit] += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def push_burst(
        self,
        connection: cython.pointer[Connection],
        slab: cython.pointer[Slab],
        first: cython.int,
        trailing: cython.int,
    ) -> cython.void:
        """Queue what is to be answered on this connection in this tick."""
        burst: cython.pointer[Burst]
        if self.burst_count == self.burst_size:
            self.burst_size = max(self.burst_size * 2, 256)
            self.bursts = cython.cast(
                cython.pointer[Burst], realloc(self.bursts, self.burst_size * cython.sizeof(Burst))
            )
            if self.bursts is cython.NULL:
                abort()
        burst = cython.address(self.bursts[self.burst_count])
        self.burst_count += 1
        burst.connection = connection
        burst.generation = connection.channel.generation
        burst.slab = slab
        burst.first = first
        burst.count = self.framed_count - first
        burst.trailing = trailing
        burst.start = burst.end = 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def borrow(self, slab: cython.pointer[Slab]) -> cython.void:
        """Take over a claim on a slab that requests of this tick may look into, until the tick is over."""
        if self.borrowed_count == self.borrowed_size:
            self.borrowed_size = max(self.borrowed_size * 2, 64)
            self.borrowed = cython.cast(
                cython.pointer[cython.pointer[Slab]],
                realloc(self.borrowed, self.borrowed_size * cython.sizeof(cython.pointer[Slab])),
            )
            if self.borrowed is cython.NULL:
                abort()
        self.borrowed[self.borrowed_count] = slab
        self.borrowed_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def list_connection(self, connection: cython.pointer[Connection]) -> cython.void:
        """Go on with the connection in the next tick: with its waiting requests, or its files."""
        if connection.is_listed:
            return
        if self.listed_count == self.listed_size:
            self.listed_size = max(self.listed_size * 2, 64)
            self.listed = cython.cast(
                cython.pointer[cython.pointer[Connection]],
                realloc(self.listed, self.listed_size * cython.sizeof(cython.pointer[Connection])),
            )
            if self.listed is cython.NULL:
                abort()
        connection.is_listed = True
        self.listed[self.listed_count] = connection
        self.listed_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def note_busy(self, connection: cython.pointer[Connection]) -> cython.void:
        """Count the connection as in flight while a message is arriving or an answer is unsent."""
        is_busy: cython.bint = (
            connection.held is not cython.NULL
            or count_unsent(connection) > 0
            or connection.parked is not cython.NULL
            or connection.takeover is not cython.NULL
        )
        if connection.intake is not cython.NULL:
            is_busy |= connection.intake.is_dropped
        if is_busy != connection.is_busy:
            connection.is_busy = is_busy
            self.counts.in_flight += 1 if is_busy else -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop_waiting(self, connection: cython.pointer[Connection]) -> cython.void:
        """Leave the requests that wait behind another one unanswered: the connection closes before them."""
        if connection.waiting is not cython.NULL:
            self.counts.in_flight -= connection.waiting.count
            release(connection.waiting.slab)
            free(connection.waiting)
            connection.waiting = cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, connection: cython.pointer[Connection]) -> cython.void:
        """Close the connection now, and let another one in where its listener was full."""
        number: cython.int = connection.listener
        bounds: cython.pointer[Bounds] = cython.address(self.bounds[number])
        c_assert(connection.channel.fd >= 0)
        self.wheel.remove(cython.address(connection.timer))
        self.backend.close(cython.address(connection.channel))
        self.counts.open -= 1
        if connection.is_busy:
            connection.is_busy = False
            self.counts.in_flight -= 1
        self.drop_waiting(connection)
        if connection.parked is not cython.NULL:
            self.on_gone(connection.parked)
            connection.parked = cython.NULL
        self.detach(connection)
        connection.is_listed = False
        self.table.give_back(connection)
        self.allowances[number] += 1
        self.neighbours.note_place(self.seat, number)
        if (bounds.is_full or bounds.is_starved) and not self.has_stopped_accepting:
            bounds.is_full = bounds.is_shut = False
            self.backend.resume_listener(number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def list_leaving(self, connection: cython.pointer[Connection]) -> cython.void:
        """The connection closes once it is known that the kernel has taken its last bytes: see `settle_leaving`."""
        if self.leaving_count == self.leaving_size:
            self.leaving_size = max(self.leaving_size * 2, 64)
            self.leaving = cython.cast(
                cython.pointer[cython.pointer[Connection]],
                realloc(self.leaving, self.leaving_size * cython.sizeof(cython.pointer[Connection])),
            )
            if self.leaving is cython.NULL:
                abort()
        self.leaving[self.leaving_count] = connection
        self.leaving_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def settle_sends(self) -> cython.void:
        """Have the kernel take what was sent, now: its bytes are about to go, or somebody must know whether it has."""
        self.backend.settle()
        self.take_back()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_back(self) -> cython.void:
        """Keep what the kernel has not taken although the backend said so, as if it had never said it."""
        index: cython.int
        untaken: cython.pointer[Untaken]
        connection: cython.pointer[Connection]
        for index in range(self.backend.untaken_count):
            untaken = cython.address(self.backend.untaken[index])
            connection = connection_of(untaken.channel)
            if untaken.channel.generation != untaken.generation or untaken.channel.fd < 0:
                continue
            self.counts.bytes_sent -= untaken.length
            if untaken.error or not prepend_unsent(connection, untaken.source, untaken.length):
                connection.error = untaken.error or ENOMEM
                self.close(connection)
                continue
            if connection.takeover is cython.NULL:
                self.backend.pause(cython.address(connection.channel))
            else:
                connection.wants_drained |= count_unsent(connection) > self.bounds[connection.listener].high_water
            self.await_drained(connection)
            self.note_busy(connection)
        self.backend.untaken_count = 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def cut_off(self, connection: cython.pointer[Connection], error: cython.int) -> cython.void:
        """A file cannot be sent to its end: close, so that the client sees it, and have it logged once a tick.

        The error is 0 where the file has become shorter. A client that is gone is nobody's news.
        """
        if error != EPIPE and error != ECONNRESET:
            self.cut_count += 1
            self.has_notice = True
            if self.cut_file is cython.NULL:
                self.cut_file = connection.files.file
                connection.files.file = cython.NULL
                self.cut_errno = error
                self.cut_bytes = connection.files.count
                self.cut_peer = connection.peer
        self.close(connection)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop_cut(self) -> cython.void:
        """What was cut off has been logged."""
        if self.cut_file is not cython.NULL:
            release_file(self.cut_file)
        self.cut_file = cython.NULL
        self.cut_count = 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def end_tick(self) -> cython.void:
        """Nobody looks into this tick's bytes any more, but for those who claimed them."""
        index: cython.int
        for index in range(self.borrowed_count):
            self.pool.give_back(self.borrowed[index])
        self.borrowed_count = 0
        self.framed_count = self.burst_count = self.flushed_count = self.finished_count = self.written_count = 0
        self.answered_count = self.answered_position = 0
        if self.resumed.is_outsized() or self.buffer.is_outsized():
            self.settle_sends()  # their blocks go
        self.resumed.clear()
        self.buffer.clear()
        self.pool.recycle()
        self.table.recycle()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def set_deadline(
        self, connection: cython.pointer[Connection], deadline: cython.int, due_ms: cython.longlong
    ) -> cython.void:
        """Wait for something until `due_ms`, 0 for ever.

        A deadline that only moves later leaves the timer where it is: it looks again when it comes due. That makes one
        a request a single store.
        """
        connection.deadline = cython.cast(uint8_t, deadline)
        connection.due_ms = due_ms
        if due_ms == 0:
            return
        if connection.timer.link is cython.NULL:
            self.wheel.add(cython.address(connection.timer), due_ms)
        elif due_ms < connection.timer.due_ms:
            self.wheel.remove(cython.address(connection.timer))
            self.wheel.add(cython.address(connection.timer), due_ms)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_request(self, connection: cython.pointer[Connection]) -> cython.void:
        """Nothing is under way: the client has a time to begin another request."""
        keepalive_ms: cython.longlong = self.bounds[connection.listener].keepalive_ms
        self.set_deadline(connection, IDLE, self.now_ms + keepalive_ms if keepalive_ms else 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_end(self, connection: cython.pointer[Connection]) -> cython.void:
        """All was sent and our side is shut: the client has a time to close."""
        linger_ms: cython.longlong = self.bounds[connection.listener].linger_ms
        if self.worker.is_draining:
            linger_ms = min(linger_ms, DRAIN_LINGER_MS)
        if connection.deadline != LINGER:
            connection.began_ms = self.now_ms
        self.set_deadline(connection, LINGER, self.now_ms + linger_ms)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def hasten_end(self, connection: cython.pointer[Connection]) -> cython.void:
        """The server drains: a connection that began to linger before gets no more time than those that do now."""
        if connection.due_ms > self.now_ms + DRAIN_LINGER_MS:
            self.set_deadline(connection, LINGER, self.now_ms + DRAIN_LINGER_MS)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def lingers_on(self, connection: cython.pointer[Connection]) -> cython.bint:
        """Give a client that still takes its last answer from the kernel more time, `write_timeout` at most: closing
        now would lose it the rest if it sent anything.
        """
        write_ms: cython.longlong = self.bounds[connection.listener].write_ms
        if self.worker.is_draining or (write_ms and self.now_ms - connection.began_ms >= write_ms):
            return False
        if self.backend.count_queued(cython.address(connection.channel)) == 0:
            return False
        self.await_end(connection)
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_arrival(self, connection: cython.pointer[Connection]) -> cython.void:
        """A message has not fully arrived: head and content have a time each, which single bytes do not refresh."""
        bounds: cython.pointer[Bounds] = cython.address(self.bounds[connection.listener])
        if connection.arrival == IN_HEAD:
            if connection.deadline != HEAD:
                self.set_deadline(connection, HEAD, self.now_ms + bounds.read_ms if bounds.read_ms else 0)
        elif bounds.receive_rate:
            if connection.deadline != CONTENT_RATE:
                connection.began_ms = self.now_ms
                connection.moved = 0
            self.set_deadline(
                connection,
                CONTENT_RATE,
                connection.began_ms + bounds.rate_grace_ms + connection.moved * 1000 // bounds.receive_rate,
            )
        elif connection.deadline != CONTENT:
            self.set_deadline(connection, CONTENT, self.now_ms + bounds.read_ms if bounds.read_ms else 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_content(self, connection: cython.pointer[Connection]) -> cython.void:
        """Content that is taken piece by piece has the time that any has, or a rate to keep. It counts while somebody
        waits for a piece.
        """
        bounds: cython.pointer[Bounds] = cython.address(self.bounds[connection.listener])
        intake: cython.pointer[Intake] = connection.intake
        if bounds.receive_rate:
            self.set_deadline(
                connection,
                CONTENT_RATE,
                intake.began_ms + bounds.rate_grace_ms + intake.moved * 1000 // bounds.receive_rate,
            )
        else:
            self.set_deadline(connection, CONTENT, intake.began_ms + bounds.read_ms if bounds.read_ms else 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_drained(self, connection: cython.pointer[Connection]) -> cython.void:
        """Answers are unsent: the client has a time to take them, or a rate to keep."""
        bounds: cython.pointer[Bounds] = cython.address(self.bounds[connection.listener])
        if bounds.send_rate:
            if connection.deadline != DRAINED_RATE:
                connection.began_ms = self.now_ms
                connection.moved = 0
                connection.queued = self.backend.count_queued(cython.address(connection.channel))
                self.set_deadline(connection, DRAINED_RATE, self.now_ms + bounds.rate_grace_ms)
        elif connection.deadline != DRAINED:
            self.set_deadline(connection, DRAINED, self.now_ms + bounds.write_ms if bounds.write_ms else 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def on_gone(self, parked: cython.p_void) -> cython.void:
        """The client of a parked request is gone; the loop keeps the object alive."""
        if self.gone_count == self.gone_size:
            self.gone_size = max(self.gone_size * 2, 64)
            self.gone = cython.cast(
                cython.pointer[cython.p_void], realloc(self.gone, self.gone_size * cython.sizeof(cython.p_void))
            )
            if self.gone is cython.NULL:
                abort()
        self.gone[self.gone_count] = parked
        self.gone_count += 1
        self.has_notice = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def notify(self, kind: cython.int, connection: cython.pointer[Connection]) -> cython.pointer[Notice]:
        """Have phase 2 look at the connection, unless it is closed by then; its notice, until the next one."""
        notice: cython.pointer[Notice]
        if self.notice_count == self.notice_size:
            self.notice_size = max(self.notice_size * 2, 64)
            self.notices = cython.cast(
                cython.pointer[Notice], realloc(self.notices, self.notice_size * cython.sizeof(Notice))
            )
            if self.notices is cython.NULL:
                abort()
        notice = cython.address(self.notices[self.notice_count])
        self.notice_count += 1
        notice.kind = kind
        notice.connection = connection
        notice.generation = connection.channel.generation if connection is not cython.NULL else 0
        notice.takeover = cython.NULL
        notice.length = 0
        self.has_notice = True
        return notice

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def tell(
        self,
        kind: cython.int,
        connection: cython.pointer[Connection],
        slab: cython.pointer[Slab],
        start: cython.int,
        length: cython.int,
    ) -> cython.void:
        """Have phase 2 tell the protocol that has taken the connection over."""
        notice: cython.pointer[Notice] = self.notify(kind, connection)
        notice.takeover = connection.takeover
        notice.slab = slab
        notice.start = start
        notice.length = length

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def detach(self, connection: cython.pointer[Connection]) -> cython.void:
        """The protocol that has taken the connection over, if any, is over itself: this is the last that it is told."""
        if connection.takeover is cython.NULL:
            return
        self.tell(NOTICE_CLOSED, connection, cython.NULL, 0, connection.error)
        connection.takeover = cython.NULL
        self.taken_count -= 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def note_drained(self, connection: cython.pointer[Connection]) -> cython.void:
        """The client has taken some: whoever waits to write more goes on once little is left."""
        if connection.wants_drained and count_unsent(connection) <= self.bounds[connection.listener].low_water:
            connection.wants_drained = False
            self.tell(NOTICE_DRAINED, connection, cython.NULL, 0, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def push_written(self, connection: cython.pointer[Connection], start: cython.Py_ssize_t) -> cython.void:
        """Queue what a resumed request has appended to `resumed` from `start` on, as one with what it did before."""
        burst: cython.pointer[Burst]
        if self.written_count > 0:
            burst = cython.address(self.written[self.written_count - 1])
            if burst.connection == connection and burst.end == start:
                burst.end = self.resumed.length
                return
        if self.written_count == self.written_size:
            self.written_size = max(self.written_size * 2, 64)
            self.written = cython.cast(
                cython.pointer[Burst], realloc(self.written, self.written_size * cython.sizeof(Burst))
            )
            if self.written is cython.NULL:
                abort()
        burst = cython.address(self.written[self.written_count])
        self.written_count += 1
        burst.connection = connection
        burst.generation = connection.channel.generation
        burst.start = start
        burst.end = self.resumed.length
        connection.written_count += 1
