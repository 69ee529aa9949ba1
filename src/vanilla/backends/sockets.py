"""The calls on sockets that every mechanism of a POSIX system makes: accept(2), send(2), sendfile(2), shutdown(2).

# Facts about them
- sendfile(2) may take less than it was given for no reason: only EAGAIN says that the socket is full. It knows no
  MSG_NOSIGNAL, and relies on SIGPIPE being ignored, as Python has it from the start.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.vanilla.backends.interface import (
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
    EVENTS_MAX,
    LISTENERS_MAX,
)
from cython.cimports.vanilla.backends.listing import make_table
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    EINTR,
    EPERM,
)
from cython.cimports.vanilla.net.posix import (
    AF_INET,
    AF_INET6,
    MSG_DONTWAIT,
    MSG_MORE,
    MSG_NOSIGNAL,
    MSG_PEEK,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLNVAL,
    POLLOUT,
    POLLRDHUP,
    S_ISDIR,
    S_ISFIFO,
    S_ISREG,
    SHUT_WR,
    accept_nonblocking,
    close,
    count_unacknowledged,
    errno,
    file_status,
    fstat,
    ntohs,
    recv,
    send,
    send_file_range,
    shutdown,
    sockaddr,
    sockaddr_in,
    socklen_t,
)

WATCHES_FROM = 2**31  # watches are named from here on


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_peer(peer: cython.pointer[PeerAddress], address: cython.pointer[sockaddr_in6]) -> cython.void:
    """Keep what matters of a client's address; family 0 on a unix socket."""
    four: cython.pointer[sockaddr_in] = cython.cast(cython.pointer[sockaddr_in], address)
    memset(peer, 0, cython.sizeof(PeerAddress))
    if address.sin6_family == AF_INET:
        peer.family = AF_INET
        peer.port = ntohs(four.sin_port)
        memcpy(peer.host, cython.address(four.sin_addr), 4)
    elif address.sin6_family == AF_INET6:
        peer.family = AF_INET6
        peer.port = ntohs(address.sin6_port)
        memcpy(peer.host, cython.address(address.sin6_addr), 16)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_watchable(fd: cython.int) -> cython.int:
    """0 if waiting for the descriptor makes sense, A_PIPE if it is one; else -errno, as epoll_ctl(2) has it."""
    status: file_status
    if fstat(fd, cython.address(status)) < 0:
        return -errno
    if S_ISREG(status.st_mode) or S_ISDIR(status.st_mode):
        return -EPERM
    return A_PIPE if S_ISFIFO(status.st_mode) else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def poll_mask(interest: cython.int) -> cython.int:
    """What poll(2), or io_uring's poll, is asked for a watched descriptor."""
    mask: cython.int = 0
    if interest & EVENT_READABLE:
        mask |= POLLIN | POLLRDHUP
    if interest & EVENT_WRITABLE:
        mask |= POLLOUT
    return mask


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def events_polled(mask: cython.int) -> cython.int:
    """What it told, as EVENT bits."""
    events: cython.int = 0
    if mask & POLLIN:
        events |= EVENT_READABLE
    if mask & POLLOUT:
        events |= EVENT_WRITABLE
    if mask & (POLLHUP | POLLRDHUP):
        events |= EVENT_HANGUP
    if mask & (POLLERR | POLLNVAL):
        events |= EVENT_ERROR
    return events


@cython.cclass
class Sockets(Backend):
    """Owns the listeners that it was given, and knows the channels that were added by their index."""

    def __cinit__(self, *_: object) -> None:
        number: cython.int
        for number in range(LISTENERS_MAX):
            self.listener_fds[number] = -1
            self.has_listener_armed[number] = False
        self.channels = cython.NULL
        self.channel_size = 0

    def __dealloc__(self) -> None:
        number: cython.int
        for number in range(LISTENERS_MAX):
            if self.listener_fds[number] >= 0:
                close(self.listener_fds[number])
        free(self.channels)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def keep_channel(self, channel: cython.pointer[Channel]) -> cython.void:
        """Find the channel by its index from now on."""
        self.channels = cython.cast(
            cython.pointer[cython.pointer[Channel]],
            make_table(
                self.channels,
                cython.address(self.channel_size),
                channel.index,
                EVENTS_MAX,
                cython.sizeof(cython.pointer[Channel]),
            ),
        )
        self.channels[channel.index] = channel

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def channel_named(self, name: cython.ulonglong) -> cython.pointer[Channel]:
        """The open channel that an event is about; NULL for an event of one that is closed."""
        channel: cython.pointer[Channel] = self.channels[cython.cast(cython.uint, name) - NAMES_FROM]
        return channel if channel.fd >= 0 and channel.generation == name >> 32 else cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        address: sockaddr_in6
        length: socklen_t = cython.sizeof(sockaddr_in6)
        fd: cython.int = accept_nonblocking(
            self.listener_fds[number],
            cython.cast(cython.pointer[sockaddr], cython.address(address)),
            cython.address(length),
        )
        if fd < 0:
            return -errno
        note_peer(peer, cython.address(address))
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
    def send_now(
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
    def await_writable(self, channel: cython.pointer[Channel]) -> cython.void:
        """Report WRITABLE when there is room for more."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_file(
        self, channel: cython.pointer[Channel], fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        sent: cython.Py_ssize_t
        while True:
            sent = send_file_range(channel.fd, fd, offset, count)
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
    def count_queued(self, channel: cython.pointer[Channel]) -> cython.int:
        return count_unacknowledged(channel.fd)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_unread(self, channel: cython.pointer[Channel]) -> cython.bint:
        octet: cython.uchar
        received: cython.Py_ssize_t
        while True:
            received = recv(channel.fd, cython.address(octet), 1, MSG_PEEK | MSG_DONTWAIT)
            if received >= 0 or errno != EINTR:
                return received > 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def shut_writing(self, channel: cython.pointer[Channel]) -> cython.void:
        shutdown(channel.fd, SHUT_WR)
