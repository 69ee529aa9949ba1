"""How an io_uring sends: what is answered in a tick is noted, and submitted together.

# Facts that shape this
- A send is tried when it is submitted, at the latest with the next wait, and not later (MSG_DONTWAIT). One that is
  taken whole is silent; of any other the engine learns before it looks at anything else.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.backends.interface import EVENTS_MAX, WRITABLE
from cython.cimports.vanilla.backends.ring_submissions import (
    KIND_BITS,
    KIND_MASK,
    OF_NOTHING,
    OF_OUTPUT,
    OF_SEND,
    find_channel,
    name_operation,
)
from cython.cimports.vanilla.backends.sockets import Sockets
from cython.cimports.vanilla.net.platform import EAGAIN, EINTR
from cython.cimports.vanilla.net.posix import ECANCELED, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_WAITALL, POLLOUT
from cython.cimports.vanilla.net.uring import OP_SEND, SUBMIT_SKIP_SUCCESS

QUEUED_BYTES_MAX = 128 * 1024  # of one send that is noted; a larger one is likely to be short, and sent at once


@cython.cclass
class RingSends(RingReceives):
    """Owns the list of sends that were noted, in the order of their submission."""

    def __cinit__(self, *_: object) -> None:
        self.sends = cython.NULL
        self.send_count = self.send_size = 0

    def __dealloc__(self) -> None:
        free(self.sends)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        entry: cython.pointer[Submission]
        noted: cython.pointer[Noted]
        if length > QUEUED_BYTES_MAX or channel.is_queued:
            return self.send_now(channel, source, length)
        if self.send_count == self.send_size:
            self.send_size = max(self.send_size * 2, EVENTS_MAX)
            self.sends = cython.cast(cython.pointer[Noted], realloc(self.sends, self.send_size * cython.sizeof(Noted)))
            if self.sends is cython.NULL:
                abort()
        noted = cython.address(self.sends[self.send_count])
        noted.channel = channel
        noted.generation = channel.generation
        noted.source = source
        noted.length = length
        entry = self.ring.submission(
            OP_SEND, channel.fd, OF_SEND | (cython.cast(cython.ulonglong, self.send_count) << KIND_BITS)
        )
        entry.flags = SUBMIT_SKIP_SUCCESS
        entry.address = cython.cast(cython.size_t, source)
        entry.length = cython.cast(cython.uint, length)
        # A short one is a failure for MSG_WAITALL, and so completes aloud: io_uring_enter(2) on CQE_SKIP_SUCCESS.
        entry.operation_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL
        self.send_count += 1
        channel.is_queued = True
        return length

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_with(
        self,
        channel: cython.pointer[Channel],
        source: cython.p_const_uchar,
        length: cython.Py_ssize_t,
        flags: cython.int,
    ) -> cython.Py_ssize_t:
        if self.is_behind(channel):
            return 0
        return Sockets.send_with(self, channel, source, length, flags)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_file(
        self, channel: cython.pointer[Channel], fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        if self.is_behind(channel):
            return -EAGAIN
        return Sockets.send_file(self, channel, fd, offset, count)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_behind(self, channel: cython.pointer[Channel]) -> cython.bint:
        """Whether something that was sent to the channel before is untaken, now that it has been tried."""
        if not channel.is_queued:
            return False
        self.settle()
        return channel.wants_writable or channel.has_failed

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_writable(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.wants_writable = True
        if not channel.has_writable_armed:
            channel.has_writable_armed = True
            self.add_poll(channel.fd, POLLOUT, name_operation(OF_OUTPUT, channel))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_writable(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """A channel has become writable, or broken."""
        channel: cython.pointer[Channel] = find_channel(self.channels, outcome.user_data)
        if channel is cython.NULL:
            return
        channel.has_writable_armed = False
        if channel.wants_writable and outcome.result != -ECANCELED:
            channel.wants_writable = False
            self.complete(WRITABLE, channel, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def settle(self) -> cython.void:
        index: cython.int
        outcome: cython.pointer[Outcome]
        self.ring.submit()
        if self.send_count == 0:
            return
        self.ring.reap_all()
        for index in range(self.ring.reaped_count):
            outcome = cython.address(self.ring.reaped[index])
            if outcome.user_data & KIND_MASK == OF_SEND:
                self.take_sent(outcome)
                outcome.user_data = OF_NOTHING
        self.forget_sends()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_sent(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """A send was short, or failed."""
        noted: cython.pointer[Noted] = cython.address(self.sends[outcome.user_data >> KIND_BITS])
        sent: cython.int = max(outcome.result, 0)
        channel: cython.pointer[Channel] = noted.channel
        if channel.fd < 0 or channel.generation != noted.generation or sent == noted.length:
            return
        if outcome.result < 0 and outcome.result != -EAGAIN and outcome.result != -EINTR:
            channel.has_failed = True
            self.report_untaken(channel, noted.source, noted.length, -outcome.result)
        else:
            self.await_writable(channel)
            self.report_untaken(channel, noted.source + sent, noted.length - sent, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def forget_sends(self) -> cython.void:
        """All that was noted has been tried."""
        index: cython.int
        for index in range(self.send_count):
            if self.sends[index].channel.generation == self.sends[index].generation:
                self.sends[index].channel.is_queued = False
        self.send_count = 0
