"""The buffers that io_uring receives into: slabs, offered to the kernel in a ring of their own; io_uring_register(2).

A received slab is what requests look into: nothing is copied. One that is used up goes back into the ring once nobody
looks into it; if somebody goes on looking, it is left to him, and a new one takes its place.

# Facts about offered buffers
- Since Linux 6.12 a buffer may be used up bit by bit (incremental): connections share it, one behind the other.
  Before, each receive takes a whole one: so they are small then, and there are many.
- Where none is left a receive fails with ENOBUFS and loses nothing: the bytes stay in the socket.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.vanilla.atomics import RELEASE, atomic_store_short
from cython.cimports.vanilla.buffers import is_claimed_by_others, new_slab, release
from cython.cimports.vanilla.net.platform import (
    c_assert,
)
from cython.cimports.vanilla.net.posix import (
    errno,
)
from cython.cimports.vanilla.net.uring import (
    BUFFERS_INCREMENTAL,
    MAP_ANONYMOUS,
    MAP_FAILED,
    MAP_PRIVATE,
    OUTCOME_BUFFER_MORE,
    OUTCOME_BUFFER_SHIFT,
    PROT_READ,
    PROT_WRITE,
    REGISTER_PBUF_RING,
    BufferRingRegistration,
    mmap,
    munmap,
)

SHARED_BYTES = 64 * 1024  # of a buffer that connections share: as of the slabs elsewhere
SHARED_COUNT = 16  # a mebibyte: what arrives in one wait, and stays in the cache
WHOLE_BYTES = 8 * 1024  # of a buffer that one receive takes
WHOLE_COUNT = 512
GROUP = 0


@cython.final
@cython.cclass
class OfferedBuffers:
    """Owns the ring, and a claim on each slab that is in it.

    Args:
        ring: which receives into them.
        count: how many, a power of two; 0 for the default.
        is_incremental: whether to try for buffers that are used up bit by bit.

    Raises: OSError where the kernel has no such rings (before Linux 5.19), or there is no memory.
    """

    def __cinit__(self) -> None:
        self.entries = cython.cast(cython.pointer[OfferedBuffer], MAP_FAILED)
        self.slabs = cython.NULL
        self.used = cython.NULL
        self.spent = cython.NULL
        self.count = self.spent_count = 0

    def __init__(self, ring: Ring, count: cython.int, is_incremental: bool) -> None:
        result: cython.int = -1
        if is_incremental:
            self.slab_bytes = SHARED_BYTES
            self.count = count or SHARED_COUNT
            self.map()
            result = self.register(ring, BUFFERS_INCREMENTAL)
            self.is_incremental = result >= 0
        if result < 0:
            self.unmap()
            self.slab_bytes = WHOLE_BYTES
            self.count = count or WHOLE_COUNT
            self.map()
            result = self.register(ring, 0)
        if result < 0:
            raise OSError(-result, f"io_uring_register: no rings of buffers: {os.strerror(-result)}")
        size: cython.size_t = self.count
        self.slabs = cython.cast(
            cython.pointer[cython.pointer[Slab]], calloc(size, cython.sizeof(cython.pointer[Slab]))
        )
        self.used = cython.cast(cython.pointer[cython.Py_ssize_t], calloc(size, cython.sizeof(cython.Py_ssize_t)))
        self.spent = cython.cast(cython.p_int, calloc(size, cython.sizeof(cython.int)))
        if self.slabs is cython.NULL or self.used is cython.NULL or self.spent is cython.NULL:
            raise MemoryError
        for number in range(self.count):
            self.spent[number] = number
        self.spent_count = self.count
        self.recycle()
        if self.spent_count > 0:
            raise MemoryError

    def __dealloc__(self) -> None:
        number: cython.int
        if self.slabs is not cython.NULL:
            for number in range(self.count):
                if self.slabs[number] is not cython.NULL:
                    release(self.slabs[number])
        free(self.slabs)
        free(self.used)
        free(self.spent)
        self.unmap()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def map(self) -> cython.int:
        """Memory for the ring, at the beginning of a page."""
        self.mapped_size = self.count * cython.sizeof(OfferedBuffer)
        self.entries = cython.cast(
            cython.pointer[OfferedBuffer],
            mmap(cython.NULL, self.mapped_size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0),
        )
        if self.entries == cython.cast(cython.pointer[OfferedBuffer], MAP_FAILED):
            raise OSError(errno, f"mmap: {os.strerror(errno)}")
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unmap(self) -> cython.void:
        if self.entries != cython.cast(cython.pointer[OfferedBuffer], MAP_FAILED):
            munmap(self.entries, self.mapped_size)
            self.entries = cython.cast(cython.pointer[OfferedBuffer], MAP_FAILED)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def register(self, ring: Ring, flags: cython.int) -> cython.int:
        """Tell the kernel of the ring; 0 or -errno."""
        registration: BufferRingRegistration
        registration.address = cython.cast(cython.size_t, self.entries)
        registration.entry_count = self.count
        registration.group = GROUP
        registration.flags = flags
        registration.reserved[0] = registration.reserved[1] = registration.reserved[2] = 0
        return ring.register(REGISTER_PBUF_RING, cython.address(registration), 1)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self, flags: cython.uint, length: cython.int, start: cython.p_int) -> cython.pointer[Slab]:
        """The slab that an outcome's bytes are in, and where they begin. It stays claimed until `recycle`."""
        number: cython.int = flags >> OUTCOME_BUFFER_SHIFT
        slab: cython.pointer[Slab] = self.slabs[number]
        start[0] = cython.cast(cython.int, self.used[number])
        self.used[number] += max(length, 0)
        c_assert(self.used[number] <= slab.size)
        if not (self.is_incremental and flags & OUTCOME_BUFFER_MORE):
            self.spent[self.spent_count] = number
            self.spent_count += 1
        return slab

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def recycle(self) -> cython.void:
        """Between two ticks: offer anew what was used up. Without memory for another one, that is for the next time."""
        index: cython.int
        number: cython.int
        left: cython.int = 0
        slab: cython.pointer[Slab]
        entry: cython.pointer[OfferedBuffer]
        for index in range(self.spent_count):
            number = self.spent[index]
            slab = self.slabs[number]
            if slab is not cython.NULL and is_claimed_by_others(slab):
                release(slab)
                slab = cython.NULL
            if slab is cython.NULL:
                slab = new_slab(self.slab_bytes)
            self.slabs[number] = slab
            if slab is cython.NULL:
                self.spent[left] = number
                left += 1
                continue
            self.used[number] = 0
            entry = cython.address(self.entries[self.tail & (self.count - 1)])
            entry.address = cython.cast(cython.size_t, cython.address(slab.bytes[0]))
            entry.length = cython.cast(cython.uint, self.slab_bytes)
            entry.id = cython.cast(cython.ushort, number)
            self.tail += 1
        self.spent_count = left
        atomic_store_short(cython.address(self.entries[0].tail), self.tail, RELEASE)
