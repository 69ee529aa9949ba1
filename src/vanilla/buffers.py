"""Who owns which bytes: slabs that requests are received into, and the buffer that a worker's answers are appended to.

A slab has a count of claims. The pool, or the connection whose request has not fully arrived, holds one; a request that
its handler kept, and every memoryview, hold one more. The last release frees it, on whatever thread that happens.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo

SLAB_BYTES = 64 * 1024  # one receive fills at most this much: stays in the second-level cache from tick to tick
SLABS_SPARE_MAX = 32  # 2 MiB a worker keeps after a burst; what was taken above it is freed
WARM_BYTES_MAX = 16 * 1024 * 1024  # of blocks for whole bodies a worker keeps: fresh ones cost a page fault every 4 KiB
RESPONSE_BYTES = 64 * 1024
OWN_RESPONSE_BYTES = 512  # first room of a waiting coroutine's buffer: thousands may exist, most for a short answer
RESPONSE_BYTES_KEPT = 1024 * 1024  # a larger buffer is given back to the system once it is empty
FILES_FIRST = 8  # room for files that a buffer gets with its first one


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
    """The slabs of one worker. `current` is filled up to `filled`; full ones wait in `used` until the tick is over.

    Beside these `warm` ones, of any size, which whole bodies were received into.
    """

    def __cinit__(self) -> None:
        self.current = self.used = self.spare = self.warm = cython.NULL
        self.spare_count = 0
        self.warm_bytes = 0
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
        while self.warm is not cython.NULL:
            slab = self.warm
            self.warm = slab.next
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
    def take(self, size: cython.Py_ssize_t) -> cython.pointer[Slab]:
        """A slab of `size` bytes or more with one claim, the caller's, warm if there is one; NULL without memory."""
        slab: cython.pointer[Slab] = self.warm if size >= SLAB_BYTES else cython.NULL
        link: cython.pointer[cython.pointer[Slab]] = cython.address(self.warm)
        while slab is not cython.NULL:
            if slab.size >= size:
                link[0] = slab.next
                slab.next = cython.NULL
                self.warm_bytes -= slab.size
                return slab
            link = cython.address(slab.next)
            slab = slab.next
        return new_slab(size)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def give_back(self, slab: cython.pointer[Slab]) -> cython.void:
        """Give up one claim on a slab; a large one that nobody else claims is kept for the next body."""
        if slab.size < SLAB_BYTES or slab.size + self.warm_bytes > WARM_BYTES_MAX or is_claimed_by_others(slab):
            release(slab)
            return
        slab.next = self.warm
        self.warm = slab
        self.warm_bytes += slab.size

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
    """Bytes that only grow until they are sent, and ranges of files between them. One for each worker, one for each
    Response made by hand.

    One byte of the buffer holds the place of each file, so that a range [start, end) says whose a file is that stands
    where one answer ends and the next begins. It is never sent.
    """

    def __cinit__(self) -> None:
        self.length = self.size = 0
        self.first_size = RESPONSE_BYTES
        self.bytes = cython.NULL
        self.files = cython.NULL
        self.file_count = self.file_size = 0

    def __dealloc__(self) -> None:
        self.drop()

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
    def reserve_files(self, count: cython.int) -> cython.bint:
        """Have room for `count` more files; False when there is no memory."""
        size: cython.int
        grown: cython.pointer[FilePart]
        if self.file_size - self.file_count >= count:
            return True
        size = max(self.file_size * 2, self.file_count + count, FILES_FIRST)
        grown = cython.cast(cython.pointer[FilePart], realloc(self.files, size * cython.sizeof(FilePart)))
        if grown is cython.NULL:
            return False
        self.files = grown
        self.file_size = size
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def append_file(
        self, file: cython.pointer[HeldFile], offset: cython.longlong, count: cython.longlong
    ) -> cython.bint:
        """Put `count` bytes of a file behind what is there, and take over a claim on it; False without memory."""
        part: cython.pointer[FilePart]
        if not self.reserve(1) or not self.reserve_files(1):
            return False
        part = cython.address(self.files[self.file_count])
        self.file_count += 1
        part.at = self.length
        part.file = file
        part.offset = offset
        part.count = count
        self.bytes[self.length] = 0
        self.length += 1
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_files(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
        """Whether a file stands in [start, end)."""
        index: cython.int
        for index in range(self.file_count):
            if start <= self.files[index].at < end:
                return True
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def count_bytes(self, start: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Bytes that are to be sent of what stands from `start` on, those of files with them."""
        count: cython.Py_ssize_t = self.length - start
        index: cython.int = self.file_count
        while index > 0 and self.files[index - 1].at >= start:
            index -= 1
            count += self.files[index].count - 1
        return count

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def truncate(self, length: cython.Py_ssize_t) -> cython.void:
        """Forget what stands behind the first `length` bytes."""
        part: cython.pointer[FilePart]
        while self.file_count > 0 and self.files[self.file_count - 1].at >= length:
            self.file_count -= 1
            part = cython.address(self.files[self.file_count])
            if part.file is not cython.NULL:
                release_file(part.file)
        self.length = length

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def move_files(self, start: cython.Py_ssize_t, distance: cython.Py_ssize_t) -> cython.void:
        """The bytes from `start` on have been moved: so have the files among them."""
        index: cython.int = self.file_count
        while index > 0 and self.files[index - 1].at >= start:
            index -= 1
            self.files[index].at += distance

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def insert(self, at: cython.Py_ssize_t, source: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.bint:
        """Copy `length` bytes to `at`, in front of what stands there; False when there is no memory."""
        if not self.reserve(length):
            return False
        memmove(self.bytes + at + length, self.bytes + at, self.length - at)
        memcpy(self.bytes + at, source, length)
        self.move_files(at, length)
        self.length += length
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def move_to(self, target: ResponseBuffer, start: cython.Py_ssize_t) -> cython.bint:
        """Hand what stands from `start` on to another buffer; False, and nothing moved, when there is no memory."""
        first: cython.int = self.file_count
        index: cython.int
        distance: cython.Py_ssize_t = target.length - start
        while first > 0 and self.files[first - 1].at >= start:
            first -= 1
        if not target.reserve_files(self.file_count - first):
            return False
        if self.length > start and not target.append(self.bytes + start, self.length - start):
            return False
        for index in range(first, self.file_count):
            target.files[target.file_count] = self.files[index]
            target.files[target.file_count].at += distance
            target.file_count += 1
        self.file_count = first
        self.length = start
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_outsized(self) -> cython.bint:
        """Whether its block is larger than one worth keeping."""
        return self.size > RESPONSE_BYTES_KEPT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def clear(self) -> cython.void:
        """Forget the bytes and files; give back an outsized block."""
        self.truncate(0)
        if self.is_outsized():
            self.drop()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop(self) -> cython.void:
        """Forget the bytes and files, and give back their blocks."""
        self.truncate(0)
        free(self.bytes)
        free(self.files)
        self.bytes = cython.NULL
        self.files = cython.NULL
        self.size = self.file_size = 0


@cython.cfunc
def new_own_buffer() -> ResponseBuffer:
    """A buffer for one answer alone, small at first."""
    buffer: ResponseBuffer = ResponseBuffer()
    buffer.first_size = OWN_RESPONSE_BYTES
    return buffer
