"""epoll(7): the mechanism of Linux since 2.6.

# Facts about epoll
- Connections are edge-triggered: level-triggered ones are polled once more at each wait after they were served. An edge
  comes once, so what is not received now must be remembered: a full receive puts the channel on the `again` list.
- A receive that returns fewer bytes than it had room for has emptied the socket; a second one to see EAGAIN costs as
  much as the first. Only EPOLLRDHUP says that the end is already queued behind those bytes: no further edge tells it.
  EPOLLHUP and EPOLLERR likewise: a channel that pauses over those bytes is looked at once more, and reported broken.
- Listeners and the wake-up are level-triggered: what one wait leaves, the next one reports.
- A watched descriptor is level-triggered; watched once, it is one-shot and stays in the set disarmed, so that watching
  it again is a change, and closing it needs no call. A regular file cannot be watched: EPERM.
- sendfile(2) may take less than it was given for no reason: only EAGAIN says that the socket is full. It knows no
  MSG_NOSIGNAL, and relies on SIGPIPE being ignored, as Python has it from the start.
- EPOLLOUT is armed at the first short send and then left: on an edge-triggered descriptor it costs nothing.
- close(2) removes a descriptor from the set only with its last duplicate: a handler that forks leaves one in the child,
  and its events still come. So an event names a channel by index and generation, and a stale one finds nobody.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import abort, calloc, free, realloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.vanilla.backends.interface import (
    ACCEPTED,
    ACCEPTS_MAX,
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
    EVENTS_MAX,
    LISTENERS_MAX,
    READY,
    RECEIVE_BYTES_MIN,
    RECEIVED,
    WRITABLE,
)
from cython.cimports.vanilla.buffers import SlabPool
from cython.cimports.vanilla.net.linux import (
    EFD_CLOEXEC,
    EFD_NONBLOCK,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLL_CTL_DEL,
    EPOLL_CTL_MOD,
    EPOLLERR,
    EPOLLET,
    EPOLLHUP,
    EPOLLIN,
    EPOLLONESHOT,
    EPOLLOUT,
    EPOLLRDHUP,
    MSG_MORE,
    SIOCOUTQ,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    accept4,
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    eventfd,
    ioctl,
    sendfile,
)
from cython.cimports.vanilla.net.platform import EAGAIN, ECONNRESET, EEXIST, EINTR, ENOMEM, c_assert
from cython.cimports.vanilla.net.posix import (
    AF_INET,
    AF_INET6,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    SHUT_WR,
    close,
    errno,
    ntohs,
    off_t,
    read,
    recv,
    send,
    shutdown,
    sockaddr,
    sockaddr_in,
    sockaddr_in6,
    socklen_t,
    write,
)

TIMEOUT_MS_MAX = 2**31 - 1  # what epoll_wait(2) takes: 24 days
NAMES_FROM = 128  # channels are named from here on, listeners and the wake-up below
WATCHES_FROM = 2**31  # watches are named from here on


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def name_of(channel: cython.pointer[Channel]) -> cython.ulonglong:
    """What an event carries: generation and index, never the same for two connections of one batch."""
    return (cython.cast(cython.ulonglong, channel.generation) << 32) | (channel.index + NAMES_FROM)


@cython.final
@cython.cclass
class Epoll(Backend):
    """Owns its epoll and wake-up descriptors, and the listeners that it was given."""

    def __cinit__(self, pool: SlabPool) -> None:
        number: cython.int
        self.epoll_fd = self.wake_fd = -1  # before anything that can raise: __dealloc__ runs all the same
        for number in range(LISTENERS_MAX):
            self.listener_fds[number] = -1
            self.has_listener_armed[number] = False
        self.channels = cython.NULL
        self.channel_size = 0
        self.again = cython.NULL
        self.again_count = self.again_size = 0
        self.name = "epoll"
        self.pool = pool
        self.events = cython.cast(cython.pointer[epoll_event], calloc(EVENTS_MAX, cython.sizeof(epoll_event)))
        if self.events is cython.NULL:
            raise MemoryError
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll_fd < 0:
            raise OSError(errno, f"epoll_create1: {os.strerror(errno)}")
        self.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.wake_fd < 0 or self.control(EPOLL_CTL_ADD, self.wake_fd, EPOLLIN, LISTENERS_MAX) < 0:
            raise OSError(errno, f"eventfd: {os.strerror(errno)}")

    def __dealloc__(self) -> None:
        number: cython.int
        for number in range(LISTENERS_MAX):
            if self.listener_fds[number] >= 0:
                close(self.listener_fds[number])
        if self.wake_fd >= 0:
            close(self.wake_fd)
        if self.epoll_fd >= 0:
            close(self.epoll_fd)
        free(self.events)
        free(self.again)
        free(self.channels)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def control(self, operation: cython.int, fd: cython.int, events: cython.uint, data: cython.ulonglong) -> cython.int:
        """epoll_ctl(2). data is a channel's name, or a small number: a listener's, or LISTENERS_MAX for the wake-up."""
        event: epoll_event
        event.events = events
        event.data.u64 = data
        return 0 if epoll_ctl(self.epoll_fd, operation, fd, cython.address(event)) == 0 else -errno

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_listener(self, fd: cython.int, number: cython.int) -> cython.int:
        c_assert(0 <= number < LISTENERS_MAX and self.listener_fds[number] < 0)
        self.listener_fds[number] = fd
        self.has_listener_armed[number] = True
        return self.control(EPOLL_CTL_ADD, fd, EPOLLIN, number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause_listener(self, number: cython.int) -> cython.void:
        if self.has_listener_armed[number]:
            self.has_listener_armed[number] = False
            self.control(EPOLL_CTL_MOD, self.listener_fds[number], 0, number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        if not self.has_listener_armed[number] and self.listener_fds[number] >= 0:
            self.has_listener_armed[number] = True
            self.control(EPOLL_CTL_MOD, self.listener_fds[number], EPOLLIN, number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        address: sockaddr_in6
        length: socklen_t = cython.sizeof(sockaddr_in6)
        four: cython.pointer[sockaddr_in] = cython.cast(cython.pointer[sockaddr_in], cython.address(address))
        fd: cython.int = accept4(
            self.listener_fds[number],
            cython.cast(cython.pointer[sockaddr], cython.address(address)),
            cython.address(length),
            SOCK_NONBLOCK | SOCK_CLOEXEC,
        )
        if fd < 0:
            return -errno
        memset(peer, 0, cython.sizeof(PeerAddress))
        if address.sin6_family == AF_INET:
            peer.family = AF_INET
            peer.port = ntohs(four.sin_port)
            memcpy(peer.host, cython.address(four.sin_addr), 4)
        elif address.sin6_family == AF_INET6:
            peer.family = AF_INET6
            peer.port = ntohs(address.sin6_port)
            memcpy(peer.host, cython.address(address.sin6_addr), 16)
        return fd

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        if self.listener_fds[number] >= 0:
            close(self.listener_fds[number])
            self.listener_fds[number] = -1
            self.has_listener_armed[number] = False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def disown_listeners(self) -> cython.void:
        number: cython.int
        for number in range(LISTENERS_MAX):
            self.listener_fds[number] = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        size: cython.uint
        if channel.index >= self.channel_size:
            size = max(self.channel_size * 2, channel.index + 1, EVENTS_MAX)
            self.channels = cython.cast(
                cython.pointer[cython.pointer[Channel]],
                realloc(self.channels, size * cython.sizeof(cython.pointer[Channel])),
            )
            if self.channels is cython.NULL:
                abort()
            self.channel_size = size
        self.channels[channel.index] = channel
        return self.control(EPOLL_CTL_ADD, channel.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, name_of(channel))

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
    def send_ahead(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        return self.send_with(channel, source, length, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE)

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
        """send(2); where it takes less than it was given, wait for room."""
        sent: cython.Py_ssize_t
        while True:
            sent = send(channel.fd, source, length, flags)
            if sent >= 0 or errno != EINTR:
                break
        if sent < 0:
            if errno != EAGAIN:
                return -errno
            sent = 0
        if sent < length:
            self.await_writable(channel)
        return sent

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_file(
        self, channel: cython.pointer[Channel], fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        at: off_t = offset
        sent: cython.Py_ssize_t
        while True:
            sent = sendfile(channel.fd, fd, cython.address(at), count)
            if sent >= 0 or errno != EINTR:
                break
        if sent >= 0:
            return sent
        if errno == EAGAIN:
            self.await_writable(channel)
            return -EAGAIN
        return -errno

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_writable(self, channel: cython.pointer[Channel]) -> cython.void:
        """Report when there is room for more."""
        channel.wants_writable = True
        if not channel.has_writable_armed:
            channel.has_writable_armed = True
            self.control(
                EPOLL_CTL_MOD,
                channel.fd,
                EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                name_of(channel),
            )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def count_queued(self, channel: cython.pointer[Channel]) -> cython.int:
        count: cython.int = 0
        return count if ioctl(channel.fd, SIOCOUTQ, cython.address(count)) == 0 else 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def shut_writing(self, channel: cython.pointer[Channel]) -> cython.void:
        shutdown(channel.fd, SHUT_WR)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        close(channel.fd)
        channel.fd = -1
        channel.is_again = False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def watch(
        self,
        fd: cython.int,
        slot: cython.uint,
        generation: cython.uint,
        interest: cython.int,
        is_persistent: cython.bint,
    ) -> cython.int:
        mask: cython.uint = 0 if is_persistent else EPOLLONESHOT
        name: cython.ulonglong = (cython.cast(cython.ulonglong, generation) << 32) | (slot + WATCHES_FROM)
        result: cython.int
        if interest & EVENT_READABLE:
            mask |= EPOLLIN | EPOLLRDHUP
        if interest & EVENT_WRITABLE:
            mask |= EPOLLOUT
        result = self.control(EPOLL_CTL_ADD, fd, mask, name)
        return self.control(EPOLL_CTL_MOD, fd, mask, name) if result == -EEXIST else result

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int) -> cython.void:
        self.control(EPOLL_CTL_DEL, fd, 0, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_watch(self, mask: cython.uint, name: cython.ulonglong) -> cython.void:
        """Turn one event of a watched descriptor into a completion."""
        events: cython.int = 0
        completion: cython.pointer[Completion]
        if mask & EPOLLIN:
            events |= EVENT_READABLE
        if mask & EPOLLOUT:
            events |= EVENT_WRITABLE
        if mask & (EPOLLHUP | EPOLLRDHUP):
            events |= EVENT_HANGUP
        if mask & EPOLLERR:
            events |= EVENT_ERROR
        completion = self.complete(READY, cython.NULL, events)
        completion.start = cython.cast(cython.int, cython.cast(cython.uint, name) - WATCHES_FROM)
        completion.generation = cython.cast(cython.uint, name >> 32)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        one: cython.ulonglong = 1
        write(self.wake_fd, cython.address(one), 8)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        again_count: cython.int = self.again_count
        count: cython.int
        index: cython.int
        mask: cython.uint
        data: cython.ulonglong
        channel: cython.pointer[Channel]
        wakes: cython.ulonglong
        self.completion_count = 0
        if again_count > 0:
            timeout_ms = 0
        count = epoll_wait(
            self.epoll_fd, self.events, EVENTS_MAX, cython.cast(cython.int, min(timeout_ms, TIMEOUT_MS_MAX))
        )
        if count < 0:
            return 0 if errno == EINTR else -errno
        c_assert(count <= EVENTS_MAX)
        for index in range(count):
            mask = self.events[index].events
            data = self.events[index].data.u64
            if data < cython.cast(cython.ulonglong, LISTENERS_MAX):
                self.accept_ready(cython.cast(cython.int, data))
                continue
            if data == cython.cast(cython.ulonglong, LISTENERS_MAX):
                read(self.wake_fd, cython.address(wakes), 8)
                continue
            if cython.cast(cython.uint, data) >= WATCHES_FROM:
                self.report_watch(mask, data)
                continue
            channel = self.channels[cython.cast(cython.uint, data) - NAMES_FROM]
            if channel.fd < 0 or channel.generation != data >> 32:
                continue
            if mask & EPOLLOUT and channel.wants_writable:
                channel.wants_writable = False
                self.complete(WRITABLE, channel, 0)
            if mask & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                channel.is_ending = True
                if mask & (EPOLLHUP | EPOLLERR):
                    channel.is_broken = True
                    if channel.is_paused:
                        self.complete(RECEIVED, channel, -ECONNRESET)
            if mask & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not (channel.is_paused or channel.is_again):
                self.receive(channel)
        for index in range(again_count):
            channel = self.again[index]
            if channel.is_again:
                channel.is_again = False
                if not channel.is_paused:
                    self.receive(channel)
                elif channel.is_broken:
                    self.complete(RECEIVED, channel, -ECONNRESET)
        self.again_count -= again_count
        for index in range(self.again_count):
            self.again[index] = self.again[again_count + index]
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_ready(self, number: cython.int) -> cython.void:
        """Take what waits in one listener's backlog, up to a bound; the rest is reported again."""
        accepted: cython.int
        fd: cython.int
        peer: PeerAddress
        completion: cython.pointer[Completion]
        for accepted in range(min(ACCEPTS_MAX, self.allowances[number])):
            fd = self.accept(number, cython.address(peer))
            if fd == -EAGAIN:
                return
            completion = self.complete(ACCEPTED, cython.NULL, fd)
            completion.start = number
            completion.peer = peer
            if fd < 0:
                return
            self.allowances[number] -= 1

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
        size: cython.int
        if channel.is_again:
            return
        if self.again_count == self.again_size:
            size = max(self.again_size * 2, 64)
            self.again = cython.cast(
                cython.pointer[cython.pointer[Channel]],
                realloc(self.again, size * cython.sizeof(cython.pointer[Channel])),
            )
            if self.again is cython.NULL:
                abort()
            self.again_size = size
        channel.is_again = True
        self.again[self.again_count] = channel
        self.again_count += 1
