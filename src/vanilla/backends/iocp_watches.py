"""Sockets of the user's that AFD polls for a completion port.

# Facts that shape this
- Only sockets can be watched. A number that is no socket may be an open file's, which the C runtime knows.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import free
from cython.cimports.vanilla.backends.acceptex import has_failed
from cython.cimports.vanilla.backends.completions import OF_WATCH, Operation, new_operation
from cython.cimports.vanilla.backends.interface import (
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
)
from cython.cimports.vanilla.backends.listing import ROOM_FIRST, list_slot, make_table
from cython.cimports.vanilla.net.platform import EBADF, EIO, EPERM, c_assert
from cython.cimports.vanilla.net.windows import (
    INVALID_HANDLE_VALUE,
    POLL_ABORT,
    POLL_ACCEPT,
    POLL_CONNECT_FAIL,
    POLL_DISCONNECT,
    POLL_LOCAL_CLOSE,
    POLL_RECEIVE,
    POLL_SEND,
    SO_TYPE,
    SOL_SOCKET,
    WSAENOTSOCK,
    WSAGetLastError,
    base_socket,
    find_handle,
    getsockopt,
    last_errno,
)


@cython.cclass
class IocpWatches(IocpSends):
    """Owns the polls of watched sockets, by slot."""

    def __cinit__(self, *_: object) -> None:
        self.watched = cython.NULL
        self.watched_size = 0
        self.rearmed.slots = cython.NULL
        self.rearmed.count = self.rearmed.size = 0

    def __dealloc__(self) -> None:
        free(self.watched)
        free(self.rearmed.slots)

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
        polling: cython.pointer[Polling]
        kind: cython.int = 0
        room: cython.int = cython.sizeof(cython.int)
        if getsockopt(fd, SOL_SOCKET, SO_TYPE, cython.cast(cython.p_char, cython.address(kind)), cython.address(room)):
            if WSAGetLastError() != WSAENOTSOCK:
                return -last_errno()
            return -EBADF if find_handle(fd) == INVALID_HANDLE_VALUE else -EPERM
        self.watched = cython.cast(
            cython.pointer[cython.pointer[Polling]],
            make_table(
                self.watched,
                cython.address(self.watched_size),
                slot,
                ROOM_FIRST,
                cython.sizeof(cython.pointer[Polling]),
            ),
        )
        c_assert(self.watched[slot] is cython.NULL)
        polling = cython.cast(cython.pointer[Polling], new_operation(cython.sizeof(Polling), OF_WATCH, cython.NULL))
        polling.fd = cython.cast(cython.int, base_socket(fd))
        polling.slot = slot
        polling.generation = generation
        polling.interest = interest
        polling.is_persistent = is_persistent
        polling.events = POLL_ABORT | POLL_CONNECT_FAIL
        if interest & EVENT_READABLE:
            polling.events |= POLL_RECEIVE | POLL_ACCEPT | POLL_DISCONNECT
        if interest & EVENT_WRITABLE:
            polling.events |= POLL_SEND
        if not self.outcomes.poll(polling):
            self.outcomes.drop(cython.address(polling.operation))
            return -EIO
        self.watched[slot] = polling
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        polling: cython.pointer[Polling]
        if slot >= self.watched_size:
            return
        polling = self.watched[slot]
        if polling is not cython.NULL and polling.generation == generation:
            self.watched[slot] = cython.NULL
            self.outcomes.give_up(-1, cython.address(polling.operation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def give_up_watches(self) -> cython.void:
        """Want no outcome any more."""
        index: cython.uint
        for index in range(self.watched_size):
            self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], self.watched[index]))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_watched(self, polling: cython.pointer[Polling]) -> cython.void:
        """A watched socket is ready, or was closed, which is nobody's news: as with epoll it is watched no more."""
        found: cython.uint = polling.poll.events
        events: cython.int = 0
        if has_failed(cython.address(polling.operation)) or found & POLL_LOCAL_CLOSE:
            self.watched[polling.slot] = cython.NULL
            self.outcomes.drop(cython.address(polling.operation))
            return
        if found & (POLL_RECEIVE | POLL_ACCEPT | POLL_DISCONNECT | POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_READABLE & polling.interest
        if found & (POLL_SEND | POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_WRITABLE & polling.interest
        if found & (POLL_DISCONNECT | POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_HANGUP
        if found & (POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_ERROR
        self.report_ready(polling.slot, polling.generation, events)
        if polling.is_persistent:
            list_slot(cython.address(self.rearmed), polling.slot)  # it has had its turn
        else:
            self.watched[polling.slot] = cython.NULL
            self.outcomes.drop(cython.address(polling.operation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def rearm_watches(self) -> cython.void:
        """Poll again for persistent watches that have been told of."""
        index: cython.int
        polling: cython.pointer[Polling]
        for index in range(self.rearmed.count):
            polling = self.watched[self.rearmed.slots[index]]
            if polling is not cython.NULL and not polling.operation.is_pending and not self.outcomes.poll(polling):
                self.watched[polling.slot] = cython.NULL
                self.outcomes.drop(cython.address(polling.operation))
        self.rearmed.count = 0
