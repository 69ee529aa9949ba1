"""Heads of requests that were answered before, found by all of their bytes, without the GIL and without reading them.

One worker's own thread alone looks into it. What an answer is knows who remembers it.
"""

from __future__ import annotations

import cython

SEEN_COUNT = 256  # heads that are remembered
SEEN_BYTES_MAX = 2048  # of one


@cython.final
@cython.cclass
class SeenHeads:
    """What one worker remembers for one handler."""

    def __cinit__(self) -> None:
        self.seen = cython.cast(cython.pointer[Seen], calloc(SEEN_COUNT, cython.sizeof(Seen)))
        if self.seen is cython.NULL:
            raise MemoryError

    def __init__(self) -> None:
        self.owners = [None] * SEEN_COUNT

    def __dealloc__(self) -> None:
        free(self.seen)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find(self, head: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.p_void:
        """What a head was answered; NULL where it is not remembered."""
        seen: cython.pointer[Seen]
        if length > SEEN_BYTES_MAX:
            return cython.NULL
        seen = cython.address(self.seen[find_slot(head, length)])
        if seen.length != length or memcmp(seen.head, head, length) != 0:
            return cython.NULL
        return seen.answer

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def remember(self, head: bytes, answer: cython.p_void, owner: object) -> cython.int:
        """Remember what a head was answered. The answer lives as long as its owner does, which is held."""
        slot: cython.int
        length: cython.Py_ssize_t = len(head)
        if length > SEEN_BYTES_MAX:
            return 0
        slot = find_slot(head, length)
        self.seen[slot].length = 0
        self.owners[slot] = (head, owner)
        self.seen[slot].head = head
        self.seen[slot].answer = answer
        self.seen[slot].length = length
        return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_slot(head: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.int:
    """Where a head is remembered, by all of its bytes: heads that share a slot only take turns in it."""
    factor: uint64_t = 0x9E3779B97F4A7C15
    first: uint64_t = cython.cast(uint64_t, length)
    second: uint64_t = factor
    third: uint64_t = 1
    fourth: uint64_t = 2
    words: uint64_t[4]
    at: cython.Py_ssize_t = 0
    if length < 32:
        return cython.cast(cython.int, length)
    while at < length:
        at = min(at, length - 32)  # the last 32 bytes may be counted twice, in part
        memcpy(words, head + at, 32)
        first = (first ^ words[0]) * factor
        second = (second ^ words[1]) * factor
        third = (third ^ words[2]) * factor
        fourth = (fourth ^ words[3]) * factor
        at += 32
    first = (first ^ (first >> 32) ^ (second >> 29)) * factor + (third ^ (third >> 31) ^ (fourth >> 27)) * factor
    return cython.cast(cython.int, first >> 56)
