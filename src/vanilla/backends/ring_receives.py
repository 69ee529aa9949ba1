"""How an io_uring receives: into offered buffers until told otherwise, or where the engine wants the bytes.

# Facts that shape this
- A pause is only noted. Most end before anything arrives; what does arrive is kept, and ends the receiving, so that
  the peer is held back. A channel that is not received from is watched for a hang-up: by an epoll descriptor, which
  the ring polls, for the ring's own polls always tell of a half-close, too, and at once.
- Bytes for a place of the engine's own (large content) are received by recv(2) once there are some: the kernel must
  not write to memory that may be gone when it does.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.vanilla.backends.interface import RECEIVED
from cython.cimports.vanilla.backends.listing import drop_first, listed_at
from cython.cimports.vanilla.backends.ring_deliveries import drop_kept
from cython.cimports.vanilla.backends.ring_submissions import (
    OF_HANGUPS,
    OF_INPUT,
    OF_OUTPUT,
    OF_RECEIVE,
    find_channel,
    name_operation,
)
from cython.cimports.vanilla.backends.sockets import Sockets
from cython.cimports.vanilla.net.linux import (
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLET,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
)
from cython.cimports.vanilla.net.platform import EAGAIN, ECONNRESET, EINTR, ENOBUFS
from cython.cimports.vanilla.net.posix import (
    ECANCELED,
    EINVAL,
    MSG_DONTWAIT,
    POLLIN,
    POLLRDHUP,
    close,
    errno,
    recv,
)
from cython.cimports.vanilla.net.uring import (
    OP_POLL_ADD,
    OP_RECV,
    OUTCOME_BUFFER,
    OUTCOME_MORE,
    POLL_MULTISHOT,
    RECEIVE_MULTISHOT,
    SUBMIT_BUFFER_SELECT,
)

HANGUPS_MAX = 64


@cython.cclass
class RingReceives(RingDeliveries):
    """Owns the epoll descriptor that tells of hang-ups."""

    def __cinit__(self, *_: object) -> None:
        self.hangups_fd = -1

    def __dealloc__(self) -> None:
        if self.hangups_fd >= 0:
            close(self.hangups_fd)

    # Channels.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        self.arm(channel, self.keep_port(channel))
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = True
        if not self.ports[channel.index].is_receiving:
            self.look_later(channel)  # to be watched for a hang-up

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        channel.is_paused = False
        if not port.is_receiving or port.first is not cython.NULL or channel.target_room > 0:
            self.look_later(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        drop_kept(cython.address(port.first))
        if port.is_receiving and not port.is_stopping:
            self.cancel(name_operation(OF_RECEIVE, channel))
        if port.is_polling:
            self.cancel(name_operation(OF_INPUT, channel))
        if channel.has_writable_armed:
            self.cancel(name_operation(OF_OUTPUT, channel))
        self.close_fd(channel.fd)
        channel.fd = -1
        channel.is_queued = False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_unread(self, channel: cython.pointer[Channel]) -> cython.bint:
        index: cython.int
        received: cython.ulonglong = name_operation(OF_RECEIVE, channel)
        if self.ports[channel.index].first is not cython.NULL or Sockets.has_unread(self, channel):
            return True
        self.ring.reap_all()  # what the kernel has received already stands in no socket any more
        for index in range(self.ring.reaped_count):
            if self.ring.reaped[index].user_data == received and self.ring.reaped[index].result > 0:
                return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def look_at_listed(self) -> cython.void:
        """Deliver what was kept for those that are not paused any more, and arm what is to be armed."""
        index: cython.int
        count: cython.int = self.listed.count
        channel: cython.pointer[Channel]
        port: cython.pointer[Port]
        for index in range(count):
            channel = listed_at(cython.address(self.listed), index)
            if channel is cython.NULL:
                continue
            port = cython.address(self.ports[channel.index])
            port.is_listed = False
            if channel.is_paused or port.has_told_end:
                self.watch_hangup(channel, port)
            elif port.first is not cython.NULL:
                self.deliver_kept(channel, port)
            elif port.error:
                self.complete(RECEIVED, channel, -port.error)
            elif port.has_ended:
                self.tell_end(channel, port)
                self.look_later(channel)
            else:
                self.arm(channel, port)
        drop_first(cython.address(self.listed), count)

    # Receiving.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Have more received, in whatever way is right now."""
        entry: cython.pointer[Submission]
        if port.is_receiving:
            if channel.target_room > 0:
                self.stop_receiving(channel, port)
            return
        if channel.target_room > 0:
            if port.is_full:
                self.receive_now(channel, port)
            elif not port.is_polling:
                port.is_polling = True
                self.add_poll(channel.fd, POLLIN | POLLRDHUP, name_operation(OF_INPUT, channel))
            return
        port.is_receiving = True
        entry = self.ring.submission(OP_RECV, channel.fd, name_operation(OF_RECEIVE, channel))
        entry.flags = SUBMIT_BUFFER_SELECT
        if self.receives_many:
            entry.priority = RECEIVE_MULTISHOT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def receive_now(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """One recv(2), into the place that the engine has for the bytes."""
        received: cython.Py_ssize_t
        completion: cython.pointer[Completion]
        port.is_full = False
        while True:
            received = recv(channel.fd, channel.target, channel.target_room, MSG_DONTWAIT)
            if received >= 0 or errno != EINTR:
                break
        if received > 0:
            completion = self.complete_received(channel, port)
            completion.result = cython.cast(cython.int, received)
            port.is_full = received == channel.target_room
            self.look_later(channel)
        elif received == 0:
            self.end(channel, port)
        elif errno == EAGAIN:
            self.arm(channel, port)
        else:
            self.fail(channel, port, errno)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_received(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """Bytes, the end, or an error of one channel, or of one that is gone."""
        start: cython.int = 0
        result: cython.int = outcome.result
        slab: cython.pointer[Slab] = cython.NULL
        channel: cython.pointer[Channel] = find_channel(self.channels, outcome.user_data)
        port: cython.pointer[Port]
        if outcome.flags & OUTCOME_BUFFER:
            slab = self.offered.take(outcome.flags, result, cython.address(start))
        if channel is cython.NULL:
            return
        port = cython.address(self.ports[channel.index])
        if not outcome.flags & OUTCOME_MORE:
            port.is_receiving = port.is_stopping = False
            self.look_later(channel)
        if result > 0:
            self.deliver(channel, port, slab, start, result)
        elif result == 0:
            self.end(channel, port)
        elif result == -EINVAL and self.receives_many:
            self.receives_many = False  # before Linux 6.0
        elif result != -ENOBUFS and result != -ECANCELED and result != -EAGAIN and result != -EINTR:
            self.fail(channel, port, -result)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_input(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """A channel has become readable, or broken."""
        channel: cython.pointer[Channel] = find_channel(self.channels, outcome.user_data)
        port: cython.pointer[Port]
        if channel is cython.NULL:
            return
        port = cython.address(self.ports[channel.index])
        port.is_polling = False
        port.is_full = True
        if channel.is_paused or channel.target_room == 0 or port.is_receiving or port.first is not cython.NULL:
            self.look_later(channel)
        elif port.wait_number != self.wait_number:
            self.receive_now(channel, port)

    # Hang-ups.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open_hangups(self) -> cython.int:
        """Have hang-ups told. Raises: OSError."""
        self.hangups_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.hangups_fd < 0:
            raise OSError(errno, f"epoll_create1: {os.strerror(errno)}")
        self.arm_hangups()
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def watch_hangup(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Be told, from now on, if the connection of a channel breaks that is not received from."""
        event: epoll_event
        if not port.is_receiving and not port.is_watched:
            port.is_watched = True
            event.events = EPOLLET  # of EPOLLHUP and EPOLLERR alone, which need not be asked for
            event.data.u64 = name_operation(OF_HANGUPS, channel)
            epoll_ctl(self.hangups_fd, EPOLL_CTL_ADD, channel.fd, cython.address(event))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_hangups(self) -> cython.void:
        """Complete whenever a watched connection has broken."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_POLL_ADD, self.hangups_fd, OF_HANGUPS)
        entry.operation_flags = POLLIN
        entry.length = POLL_MULTISHOT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_hangups(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """Connections have broken. Those that are received from will say so themselves."""
        index: cython.int
        count: cython.int = HANGUPS_MAX
        events: epoll_event[64]
        channel: cython.pointer[Channel]
        port: cython.pointer[Port]
        if not outcome.flags & OUTCOME_MORE:
            self.arm_hangups()
        while count == HANGUPS_MAX:
            count = epoll_wait(self.hangups_fd, events, HANGUPS_MAX, 0)
            for index in range(count):
                channel = find_channel(self.channels, events[index].data.u64)
                if channel is cython.NULL:
                    continue
                port = cython.address(self.ports[channel.index])
                if channel.is_paused or port.has_told_end:
                    self.fail(channel, port, ECONNRESET)
