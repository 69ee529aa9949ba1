"""Descriptors of the user's that an io_uring polls.

# Facts that shape this
- A poll for a watched descriptor is armed again after each report: multishot polls tell edges, and the level is
  wanted.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import free
from cython.cimports.vanilla.backends.interface import EVENT_ERROR
from cython.cimports.vanilla.backends.listing import ROOM_FIRST, list_slot, make_table
from cython.cimports.vanilla.backends.ring_submissions import (
    INDEX_MASK,
    KIND_BITS,
    OF_NOTHING,
    name_watched,
)
from cython.cimports.vanilla.backends.sockets import check_watchable, events_polled, poll_mask
from cython.cimports.vanilla.net.posix import ECANCELED
from cython.cimports.vanilla.net.uring import OP_POLL_REMOVE, SUBMIT_SKIP_SUCCESS


@cython.cclass
class RingWatches(RingSends):
    """Owns the table of watches, by their slot."""

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
        watched: cython.pointer[Watched]
        result: cython.int = check_watchable(fd)
        if result < 0:
            return result
        self.watched = cython.cast(
            cython.pointer[Watched],
            make_table(self.watched, cython.address(self.watched_size), slot, ROOM_FIRST, cython.sizeof(Watched)),
        )
        watched = cython.address(self.watched[slot])
        watched.fd = fd
        watched.generation = generation
        watched.is_persistent = is_persistent
        watched.mask = poll_mask(interest)
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
        mask: cython.int = outcome.result
        if watched.generation != outcome.user_data >> 32 or watched.fd < 0 or mask == -ECANCELED:
            return
        watched.is_armed = False
        self.report_ready(slot, watched.generation, events_polled(mask) if mask >= 0 else EVENT_ERROR)
        if watched.is_persistent:
            list_slot(cython.address(self.rearmed), slot)  # it has had its turn
        else:
            watched.fd = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def rearm_watches(self) -> cython.void:
        """Poll again for persistent watches that have been told of."""
        index: cython.int
        slot: cython.uint
        for index in range(self.rearmed.count):
            slot = self.rearmed.slots[index]
            if self.watched[slot].fd >= 0 and not self.watched[slot].is_armed:
                self.arm_watch(slot)
        self.rearmed.count = 0
