"""Descriptors of the user's that an io_uring polls.

# Facts that shape this
- A poll for a watched descriptor is armed again after each report: multishot polls tell edges, and the level is
  wanted.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.backends.interface import (
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
    READY,
)
from cython.cimports.vanilla.backends.ring_submissions import (
    INDEX_MASK,
    KIND_BITS,
    OF_NOTHING,
    SLOTS_FIRST,
    name_watched,
)
from cython.cimports.vanilla.backends.sockets import check_watchable
from cython.cimports.vanilla.net.posix import ECANCELED, POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDHUP
from cython.cimports.vanilla.net.uring import OP_POLL_REMOVE, SUBMIT_SKIP_SUCCESS


@cython.cclass
class RingWatches(RingSends):
    """Owns the table of watches, by their slot."""

    def __cinit__(self, *_: object) -> None:
        self.watched = cython.NULL
        self.watched_size = 0
        self.rearmed = cython.NULL
        self.rearmed_count = self.rearmed_size = 0

    def __dealloc__(self) -> None:
        free(self.watched)
        free(self.rearmed)

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
        watched: cython.pointer[Watched]
        result: cython.int = check_watchable(fd)
        if result < 0:
            return result
        if slot >= self.watched_size:
            self.watched_size = max(self.watched_size * 2, slot + 1, SLOTS_FIRST)
            self.watched = cython.cast(
                cython.pointer[Watched], realloc(self.watched, self.watched_size * cython.sizeof(Watched))
            )
            if self.watched is cython.NULL:
                abort()
        watched = cython.address(self.watched[slot])
        watched.fd = fd
        watched.generation = generation
        watched.is_persistent = is_persistent
        watched.mask = 0
        if interest & EVENT_READABLE:
            watched.mask |= POLLIN | POLLRDHUP
        if interest & EVENT_WRITABLE:
            watched.mask |= POLLOUT
        self.arm_watch(slot)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_watch(self, slot: cython.uint) -> cython.void:
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        watched.is_armed = True
        self.add_poll(watched.fd, watched.mask, name_watched(slot, watched.generation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        if watched.generation != generation or watched.fd < 0:
            return
        watched.fd = -1
        if watched.is_armed:
            entry: cython.pointer[Submission] = self.ring.submission(OP_POLL_REMOVE, -1, OF_NOTHING)
            entry.flags = SUBMIT_SKIP_SUCCESS
            entry.address = name_watched(slot, generation)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_watched(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """A watched descriptor is ready."""
        slot: cython.uint = cython.cast(cython.uint, (outcome.user_data >> KIND_BITS) & INDEX_MASK)
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        events: cython.int = 0
        mask: cython.int = outcome.result
        completion: cython.pointer[Completion]
        if watched.generation != outcome.user_data >> 32 or watched.fd < 0 or mask == -ECANCELED:
            return
        watched.is_armed = False
        if mask < 0:
            events = EVENT_ERROR
        else:
            if mask & POLLIN:
                events |= EVENT_READABLE
            if mask & POLLOUT:
                events |= EVENT_WRITABLE
            if mask & (POLLHUP | POLLRDHUP):
                events |= EVENT_HANGUP
            if mask & POLLERR:
                events |= EVENT_ERROR
        completion = self.complete(READY, cython.NULL, events)
        completion.start = cython.cast(cython.int, slot)
        completion.generation = watched.generation
        if watched.is_persistent:
            self.list_watch(slot)
        else:
            watched.fd = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def list_watch(self, slot: cython.uint) -> cython.void:
        """Arm a persistent watch again when the next wait begins: it has had its turn then."""
        if self.rearmed_count == self.rearmed_size:
            self.rearmed_size = max(self.rearmed_size * 2, SLOTS_FIRST)
            self.rearmed = cython.cast(
                cython.pointer[cython.uint], realloc(self.rearmed, self.rearmed_size * cython.sizeof(cython.uint))
            )
            if self.rearmed is cython.NULL:
                abort()
        self.rearmed[self.rearmed_count] = slot
        self.rearmed_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def rearm_watches(self) -> cython.void:
        """Poll again for persistent watches that have been told of."""
        index: cython.int
        slot: cython.uint
        for index in range(self.rearmed_count):
            slot = self.rearmed[index]
            if self.watched[slot].fd >= 0 and not self.watched[slot].is_armed:
                self.arm_watch(slot)
        self.rearmed_count = 0
