"""What the mechanisms that only tell readiness share: they receive and send inside `wait` and `send`, and so look as if
they completed things.

# Facts about readiness
- A receive that returns fewer bytes than it had room for has emptied the socket; a second one to see EAGAIN costs as
  much as the first. A full receive puts the channel on the `again` list: an edge comes once.
- Only the flag of the end says that the end is already queued behind those bytes: no further edge tells it. Likewise
  that of an error: a channel that pauses over those bytes is looked at once more, and reported broken.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import free
from cython.cimports.vanilla.backends.interface import (
    RECEIVE_BYTES_MIN,
    RECEIVED,
    WRITABLE,
)
from cython.cimports.vanilla.backends.listing import drop_first, list_channel, listed_at
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    ECONNRESET,
    EINTR,
    ENOMEM,
)
from cython.cimports.vanilla.net.posix import (
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    close,
    errno,
    recv,
)


@cython.cclass
class Readiness(Sockets):
    """What becomes of a channel that is ready; the mechanism says which one is."""

    def __cinit__(self, *_: object) -> None:
        self.again.entries = cython.NULL
        self.again.count = self.again.size = 0

    def __dealloc__(self) -> None:
        free(self.again.entries)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = False
        self.push_again(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        return self.send_with(channel, source, length, MSG_NOSIGNAL | MSG_DONTWAIT)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        close(channel.fd)
        channel.fd = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_ready(
        self,
        channel: cython.pointer[Channel],
        is_readable: cython.bint,
        is_writable: cython.bint,
        is_ending: cython.bint,
        is_broken: cython.bint,
    ) -> cython.void:
        """Do what a channel is ready for.

        Args:
            is_ending: the peer has sent its last byte.
            is_broken: the connection is reset, or closed by both sides.
        """
        if is_writable and channel.wants_writable:
            channel.wants_writable = False
            self.complete(WRITABLE, channel, 0)
        if is_ending or is_broken:
            channel.is_ending = True
            if is_broken:
                channel.is_broken = True
                if channel.is_paused:
                    self.complete(RECEIVED, channel, -ECONNRESET)
        if (is_readable or is_ending or is_broken) and not (channel.is_paused or channel.is_again):
            self.receive(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def receive(self, channel: cython.pointer[Channel]) -> cython.void:
        """One recv(2): into the connection's own slab where it has one for a large body, else behind the others."""
        target: cython.pointer[cython.uchar] = channel.target
        room: cython.Py_ssize_t = channel.target_room
        received: cython.Py_ssize_t
        completion: cython.pointer[Completion]
        start: cython.int = 0
        if room == 0:
            if not self.pool.make_room(RECEIVE_BYTES_MIN):
                self.complete(RECEIVED, channel, -ENOMEM)
                return
            start = cython.cast(cython.int, self.pool.filled)
            target = self.pool.current.bytes + self.pool.filled
            room = self.pool.current.size - self.pool.filled
        while True:
            received = recv(channel.fd, target, room, MSG_DONTWAIT)
            if received >= 0 or errno != EINTR:
                break
        if received < 0:
            if errno != EAGAIN:
                self.complete(RECEIVED, channel, -errno)
            return
        completion = self.complete(RECEIVED, channel, cython.cast(cython.int, received))
        completion.start = start
        completion.is_end = received == 0
        if channel.target_room == 0:
            completion.slab = self.pool.current
            self.pool.filled += received
        if received == room or (channel.is_broken and received > 0):
            self.push_again(channel)
        elif channel.is_ending:
            completion.is_end = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def push_again(self, channel: cython.pointer[Channel]) -> cython.void:
        """Receive from the channel at the next wait, which then does not block."""
        if not channel.is_again:
            channel.is_again = True
            list_channel(cython.address(self.again), channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def receive_again(self, count: cython.int) -> cython.void:
        """Receive from those that were on the list when the wait began, and take them off it."""
        index: cython.int
        channel: cython.pointer[Channel]
        for index in range(count):
            channel = listed_at(cython.address(self.again), index)
            if channel is not cython.NULL:
                channel.is_again = False
                if not channel.is_paused:
                    self.receive(channel)
                elif channel.is_broken:
                    self.complete(RECEIVED, channel, -ECONNRESET)
        drop_first(cython.address(self.again), count)
