"""Listeners of an io_uring: one accept is armed for many connections.

# Facts that shape this
- An armed accept goes on when its listener is full: those connections are kept here as if in the backlog,
  until there is a place for them, here or at another worker.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.backends.interface import ACCEPTED, LISTENERS_MAX
from cython.cimports.vanilla.backends.listing import ROOM_FIRST
from cython.cimports.vanilla.backends.ring_submissions import (
    INDEX_MASK,
    KIND_BITS,
    OF_NOTHING,
    name_accept,
)
from cython.cimports.vanilla.backends.sockets import note_peer
from cython.cimports.vanilla.net.linux import SOCK_CLOEXEC, SOCK_NONBLOCK
from cython.cimports.vanilla.net.platform import EAGAIN, c_assert
from cython.cimports.vanilla.net.posix import (
    ECANCELED,
    EINVAL,
    close,
    getpeername,
    sockaddr,
    sockaddr_in6,
    socklen_t,
)
from cython.cimports.vanilla.net.uring import ACCEPT_MULTISHOT, OP_ACCEPT, OUTCOME_MORE


@cython.cclass
class RingListeners(RingSubmissions):
    """Owns the connections that were accepted and cannot be reported yet."""

    def __cinit__(self, *_: object) -> None:
        number: cython.int
        self.waiting = cython.NULL
        self.waiting_size = 0
        for number in range(LISTENERS_MAX):
            self.is_accepting[number] = self.is_unaccepting[number] = False

    def __dealloc__(self) -> None:
        index: cython.int
        for index in range(self.kept_count):
            close(self.waiting[index].fd)
        free(self.waiting)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_listener(self, fd: cython.int, number: cython.int) -> cython.int:
        c_assert(0 <= number < LISTENERS_MAX and self.listener_fds[number] < 0)
        self.listener_fds[number] = fd
        self.resume_listener(number)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause_listener(self, number: cython.int) -> cython.void:
        self.has_listener_armed[number] = False
        if self.is_accepting[number] and not self.is_unaccepting[number]:
            self.is_unaccepting[number] = True
            self.cancel(name_accept(number))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        if self.listener_fds[number] >= 0:
            self.has_listener_armed[number] = True
            self.arm_listener(number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_listener(self, number: cython.int) -> cython.void:
        """Accept from a listener, if nothing of that is under way."""
        entry: cython.pointer[Submission]
        if self.is_accepting[number] or not self.has_listener_armed[number]:
            return
        self.is_accepting[number] = True
        entry = self.ring.submission(OP_ACCEPT, self.listener_fds[number], name_accept(number))
        entry.operation_flags = SOCK_NONBLOCK | SOCK_CLOEXEC
        if self.accepts_many:
            entry.priority = ACCEPT_MULTISHOT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_next(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        index: cython.int
        fd: cython.int
        outcome: cython.pointer[Outcome]
        self.ring.reap_all()
        for index in range(self.ring.reaped_count):
            outcome = cython.address(self.ring.reaped[index])
            if outcome.user_data == name_accept(number):
                self.take_accepted(cython.address(outcome[0]), True)
                outcome.user_data = OF_NOTHING
        fd = self.take_unplaced(number, peer)
        return self.accept(number, peer) if fd < 0 else fd

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_unplaced(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        index: cython.int
        fd: cython.int
        for index in range(self.kept_count):
            if self.waiting[index].listener == number:
                fd = self.waiting[index].fd
                self.drop_waiting(index)
                ask_peer(fd, peer)
                return fd
        return -EAGAIN

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        index: cython.int = 0
        if self.listener_fds[number] < 0:
            return
        while index < self.kept_count:
            if self.waiting[index].listener == number:
                close(self.waiting[index].fd)
                self.drop_waiting(index)
            else:
                index += 1
        self.pause_listener(number)
        self.close_fd(self.listener_fds[number])
        self.finish()  # who tries to connect next is to be refused
        self.listener_fds[number] = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_accepted(self, outcome: cython.pointer[Outcome], is_kept: cython.bint) -> cython.void:
        """A connection came in, or could not; `is_kept` has it wait with those that there is no place for."""
        number: cython.int = cython.cast(cython.int, (outcome.user_data >> KIND_BITS) & INDEX_MASK)
        result: cython.int = outcome.result
        completion: cython.pointer[Completion]
        if not outcome.flags & OUTCOME_MORE:
            self.is_accepting[number] = self.is_unaccepting[number] = False
            self.has_listener_listed = True
        if result == -ECANCELED or result == -EAGAIN:
            return
        if result == -EINVAL and self.accepts_many:
            self.accepts_many = False  # before Linux 5.19
            return
        if result >= 0 and self.listener_fds[number] < 0:
            close(result)
            return
        if result >= 0 and (is_kept or self.allowances[number] <= 0):
            self.keep_waiting(number, result)
            return
        completion = self.complete(ACCEPTED, cython.NULL, result)
        completion.start = number
        if result >= 0:
            self.allowances[number] -= 1
            ask_peer(result, cython.address(completion.peer))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def keep_waiting(self, number: cython.int, fd: cython.int) -> cython.void:
        """Keep a connection until there is a place for it."""
        if self.kept_count == self.waiting_size:
            self.waiting_size = max(self.waiting_size * 2, ROOM_FIRST)
            self.waiting = cython.cast(
                cython.pointer[Accepted], realloc(self.waiting, self.waiting_size * cython.sizeof(Accepted))
            )
            if self.waiting is cython.NULL:
                abort()
        self.waiting[self.kept_count].fd = fd
        self.waiting[self.kept_count].listener = number
        self.kept_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop_waiting(self, index: cython.int) -> cython.void:
        """Take a connection off the list, and keep the others in order."""
        self.kept_count -= 1
        while index < self.kept_count:
            self.waiting[index] = self.waiting[index + 1]
            index += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def let_in(self) -> cython.void:
        """Report connections that waited, as far as there are places now, and accept further ones."""
        index: cython.int = 0
        number: cython.int
        completion: cython.pointer[Completion]
        while index < self.kept_count:
            number = self.waiting[index].listener
            if self.allowances[number] > 0 and self.has_listener_armed[number]:
                self.allowances[number] -= 1
                completion = self.complete(ACCEPTED, cython.NULL, self.waiting[index].fd)
                completion.start = number
                ask_peer(self.waiting[index].fd, cython.address(completion.peer))
                self.drop_waiting(index)
            else:
                index += 1
        if self.has_listener_listed:
            self.has_listener_listed = False
            for number in range(LISTENERS_MAX):
                self.arm_listener(number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ask_peer(fd: cython.int, peer: cython.pointer[PeerAddress]) -> cython.void:
    """The address of an accepted connection: one accept for many has no room for it."""
    address: sockaddr_in6
    length: socklen_t = cython.sizeof(sockaddr_in6)
    address.sin6_family = 0
    getpeername(fd, cython.cast(cython.pointer[sockaddr], cython.address(address)), cython.address(length))
    note_peer(peer, cython.address(address))
