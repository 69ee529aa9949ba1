"""Who owns which bytes: slabs that requests are received into, and the buffer that a worker's answers are appended to.

A slab has a count of claims. The pool, or the connection whose request has not fully arrived, holds one; a request that
its handler kept, and every memoryview, hold one more. The last release frees it, on whatever thread that happens.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo

SLAB_BYTES = 64 * 1024  # one receive fills at most this much: stays in the second-level cache from tick to tick
SLABS_SPARE_MAX = 32  # 2 MiB a worker keeps after a burst; what was taken above it is freed
RESPONSE_BYTES = 64 * 1024
OWN_RESPONSE_BYTES = 512  # first room of a waiting coroutine's buffer: thousands may exist, most for a short answer
RESPONSE_BYTES_KEPT = 1024 * 1024  # a larger buffer is given back to the system once it is empty


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def new_slab(size: cython.Py_ssize_t) -> cython.pointer[Slab]:
    """A slab of `size` bytes with one claim, the caller's; NULL when there is no memory."""
    slab: cython.pointer[Slab] = cython.cast(cython.pointer[Slab], malloc(cython.sizeof(Slab) + size))
    if slab is not cython.NULL:
        slab.claims = 1
        slab.size = size
        slab.next = cython.NULL
    return slab


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def grow_slab(slab: cython.pointer[Slab], size: cython.Py_ssize_t) -> cython.pointer[Slab]:
    """The slab with room for `size` bytes, perhaps moved: for its single owner only. NULL leaves it as it was."""
    c_assert(slab.claims == 1)
    grown: cython.pointer[Slab] = cython.cast(cython.pointer[Slab], realloc(slab, cython.sizeof(Slab) + size))
    if grown is not cython.NULL:
        grown.size = size
    return grown


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def claim(slab: cython.pointer[Slab]) -> cython.void:
    """One more looks into the slab."""
    atomic_add(cython.address(slab.claims), 1, ACQUIRE_RELEASE)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def release(slab: cython.pointer[Slab]) -> cython.void:
    """One fewer looks into the slab; the last one frees it. Any thread."""
    if atomic_add(cython.address(slab.claims), -1, ACQUIRE_RELEASE) == 0:
        free(slab)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_claimed_by_others(slab: cython.pointer[Slab]) -> cython.bint:
    """Whether anybody but the asking owner looks into the slab; a claim can only be copied from one that exists."""
    return atomic_load(cython.address(slab.claims), ACQUIRE) > 1


@cython.final
@cython.cclass
class SlabPool:
    """The slabs of one worker. `current` is filled up to `filled`; full ones wait in `used` until the tick is over."""

    def __cinit__(self) -> None:
        self.current = self.used = self.spare = cython.NULL
        self.spare_count = 0
        self.filled = 0
        self.current = new_slab(SLAB_BYTES)
        if self.current is cython.NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        slab: cython.pointer[Slab]
        if self.current is not cython.NULL:
            release(self.current)
        while self.used is not cython.NULL:
            slab = self.used
            self.used = slab.next
            release(slab)
        while self.spare is not cython.NULL:
            slab = self.spare
            self.spare = slab.next
            release(slab)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def make_room(self, length: cython.Py_ssize_t) -> cython.bint:
        """Have at least `length` bytes free behind `filled` in `current`; False when there is no memory."""
        slab: cython.pointer[Slab]
        c_assert(length <= SLAB_BYTES)
        if self.current.size - self.filled >= length:
            return True
        slab = self.spare
        if slab is not cython.NULL:
            self.spare = slab.next
            self.spare_count -= 1
        else:
            slab = new_slab(SLAB_BYTES)
            if slab is cython.NULL:
                return False
        self.current.next = self.used
        self.used = self.current
        self.current = slab
        self.filled = 0
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def recycle(self) -> cython.void:
        """The tick is over: reuse what nobody looks into, leave the rest to those who do."""
        slab: cython.pointer[Slab]
        while self.used is not cython.NULL:
            slab = self.used
            self.used = slab.next
            if is_claimed_by_others(slab) or self.spare_count >= SLABS_SPARE_MAX:
                release(slab)
            else:
                slab.next = self.spare
                self.spare = slab
                self.spare_count += 1
        if not is_claimed_by_others(self.current):
            self.filled = 0


@cython.final
@cython.cclass
class SlabView:
    """What a memoryview over received bytes holds on to: read-only, and its claim keeps the slab."""

    def __dealloc__(self) -> None:
        if self.slab is not cython.NULL:
            release(self.slab)

    def __getbuffer__(self, buffer: cython.pointer[Py_buffer], flags: cython.int) -> None:
        if self.slab is cython.NULL:
            raise BufferError("a view of no slab: only the server makes one")
        PyBuffer_FillInfo(buffer, self, cython.address(self.slab.bytes[self.start]), self.length, True, flags)


@cython.cfunc
def view_slab(slab: cython.pointer[Slab], start: cython.Py_ssize_t, length: cython.Py_ssize_t) -> object:
    """A read-only memoryview over slab[start:start + length] with a claim of its own."""
    view: SlabView = SlabView.__new__(SlabView)
    claim(slab)
    view.slab = slab
    view.start = start
    view.length = length
    return memoryview(view)


@cython.final
@cython.cclass
class ResponseBuffer:
    """Bytes that only grow until they are sent. One for each worker, one for each Response made by hand."""

    def __cinit__(self) -> None:
        self.length = self.size = 0
        self.first_size = RESPONSE_BYTES
        self.bytes = cython.NULL

    def __dealloc__(self) -> None:
        free(self.bytes)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reserve(self, length: cython.Py_ssize_t) -> cython.bint:
        """Have room for `length` more bytes; False when there is no memory."""
        size: cython.Py_ssize_t
        grown: cython.pointer[cython.uchar]
        if self.size - self.length >= length:
            return True
        size = max(self.size * 2, self.first_size)
        while size - self.length < length:
            size *= 2
        grown = cython.cast(cython.pointer[cython.uchar], realloc(self.bytes, size))
        if grown is cython.NULL:
            return False
        self.bytes = grown
        self.size = size
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def append(self, source: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.bint:
        """Copy `length` bytes behind what is there; False when there is no memory."""
        if length == 0:
            return True  # an empty buffer may have no block, and memcpy takes no NULL
        if not self.reserve(length):
            return False
        memcpy(self.bytes + self.length, source, length)
        self.length += length
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def clear(self) -> cython.void:
        """Forget the bytes; give back an outsized block."""
        self.length = 0
        if self.size > RESPONSE_BYTES_KEPT:
            self.drop()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop(self) -> cython.void:
        """Forget the bytes and give back their block."""
        free(self.bytes)
        self.bytes = cython.NULL
        self.length = self.size = 0


@cython.cfunc
def new_own_buffer() -> ResponseBuffer:
    """A buffer for one answer alone, small at first."""
    buffer: ResponseBuffer = ResponseBuffer()
    buffer.first_size = OWN_RESPONSE_BYTES
    return buffer
