"""epoll(7): the mechanism of Linux since 2.6.

# Facts about epoll
- Connections are edge-triggered: level-triggered ones are polled once more at each wait after they were served. An edge
  comes once, so what is not received now must be remembered: see `readiness`.
- EPOLLRDHUP says that the peer has sent its last byte, EPOLLHUP and EPOLLERR that the connection is over.
- Listeners and the wake-up are level-triggered: what one wait leaves, the next one reports.
- A watched descriptor is level-triggered; watched once, it is one-shot and stays in the set disarmed, so that watching
  it again is a change, and closing it needs no call. A regular file cannot be watched: EPERM.
- EPOLLOUT is armed at the first short send and then left: on an edge-triggered descriptor it costs nothing.
- close(2) removes a descriptor from the set only with its last duplicate: a handler that forks leaves one in the child,
  and its events still come. So an event names a channel by index and generation, and a stale one finds nobody.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.vanilla.backends.interface import (
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
    EVENTS_MAX,
    LISTENERS_MAX,
)
from cython.cimports.vanilla.backends.sockets import WATCHES_FROM, name_of, name_of_watch
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
    epoll_create1,
    epoll_ctl,
    epoll_wait,
    eventfd,
)
from cython.cimports.vanilla.net.platform import (
    EEXIST,
    EINTR,
    c_assert,
)
from cython.cimports.vanilla.net.posix import (
    close,
    errno,
    read,
    write,
)

TIMEOUT_MS_MAX = 2**31 - 1  # what epoll_wait(2) takes: 24 days


@cython.final
@cython.cclass
class Epoll(Readiness):
    """Owns its epoll and wake-up descriptors."""

    def __cinit__(self, pool: SlabPool) -> None:
        self.epoll_fd = self.wake_fd = -1  # before anything that can raise: __dealloc__ runs all the same
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
        if self.wake_fd >= 0:
            close(self.wake_fd)
        if self.epoll_fd >= 0:
            close(self.epoll_fd)
        free(self.events)

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
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        self.keep_channel(channel)
        return self.control(EPOLL_CTL_ADD, channel.fd, EPOLLIN | EPOLLRDHUP | EPOLLET, name_of(channel))

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
    def watch(
        self,
        fd: cython.int,
        slot: cython.uint,
        generation: cython.uint,
        interest: cython.int,
        is_persistent: cython.bint,
    ) -> cython.int:
        mask: cython.uint = 0 if is_persistent else EPOLLONESHOT
        name: cython.ulonglong = name_of_watch(slot, generation)
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
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        self.control(EPOLL_CTL_DEL, fd, 0, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_watch(self, mask: cython.uint, name: cython.ulonglong) -> cython.void:
        """Turn one event of a watched descriptor into a completion."""
        events: cython.int = 0
        if mask & EPOLLIN:
            events |= EVENT_READABLE
        if mask & EPOLLOUT:
            events |= EVENT_WRITABLE
        if mask & (EPOLLHUP | EPOLLRDHUP):
            events |= EVENT_HANGUP
        if mask & EPOLLERR:
            events |= EVENT_ERROR
        self.report_ready(cython.cast(cython.uint, name) - WATCHES_FROM, cython.cast(cython.uint, name >> 32), events)

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
        again_count: cython.int = self.again.count
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
                self.accept_waiting(cython.cast(cython.int, data))
                continue
            if data == cython.cast(cython.ulonglong, LISTENERS_MAX):
                read(self.wake_fd, cython.address(wakes), 8)
                continue
            if cython.cast(cython.uint, data) >= WATCHES_FROM:
                self.report_watch(mask, data)
                continue
            channel = self.channel_named(data)
            if channel is not cython.NULL:
                self.take_ready(
                    channel,
                    mask & EPOLLIN != 0,
                    mask & EPOLLOUT != 0,
                    mask & EPOLLRDHUP != 0,
                    mask & (EPOLLHUP | EPOLLERR) != 0,
                )
        self.receive_again(again_count)
        return 0
