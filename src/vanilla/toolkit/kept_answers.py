"""What a response cache keeps in one worker: found by target, dropped in the order of its last use. RFC 9111 section 4.

A worker's own thread alone looks into it.
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.contract.request import Request
from cython.cimports.vanilla.contract.response import Response
from cython.cimports.vanilla.http1.head import equals, find_line_end

from vanilla.toolkit.fields import combined

SEEN_COUNT = 256  # heads of requests that a worker remembers


@cython.final
@cython.cclass
class Entry:
    """An answer that is kept, or that none can be."""


@cython.final
@cython.cclass
class Group:
    """What is kept for one target, in as many variants as its Vary makes."""

    def __init__(self, target: bytes, names: tuple[bytes, ...]) -> None:
        self.target = target
        self.names = names
        self.entries = {}


@cython.final
@cython.cclass
class Seen:
    """The head of a request, and what it was answered."""


@cython.final
@cython.cclass
class Counts:
    """What one worker has counted. It stays when the worker is gone."""


@cython.final
@cython.cclass
class Store:
    """What one worker keeps: found by target, and in the order of its last use."""

    def __cinit__(self) -> None:
        self.newest = self.oldest = cython.NULL

    def __init__(self, worker: object, max_bytes: int) -> None:
        self.worker = worker
        self.max_bytes = max_bytes
        self.counts = Counts()
        self.groups = {}
        self.flights = {}
        self.seen = [None] * SEEN_COUNT

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, entry: Entry) -> cython.int:
        """Keep an entry in the place of what there was, and drop those used last until there is room."""
        replaced: Entry = entry.group.entries.get(entry.key)
        oldest: Entry
        if replaced is not None:
            self.drop(replaced)
        self.groups[entry.group.target] = entry.group
        entry.group.entries[entry.key] = entry
        entry.newer = cython.NULL
        entry.older = self.newest
        if self.newest is not cython.NULL:
            cython.cast(Entry, self.newest).newer = cython.cast(cython.p_void, entry)
        self.newest = cython.cast(cython.p_void, entry)
        if self.oldest is cython.NULL:
            self.oldest = self.newest
        self.stored_bytes += entry.size
        while self.stored_bytes > self.max_bytes:
            oldest = cython.cast(Entry, self.oldest)  # a reference of its own: what is dropped is freed
            self.drop(oldest)
            self.counts.evictions += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop(self, entry: Entry) -> cython.int:
        """Keep an entry no more. What has seen it finds it without a head."""
        group: Group = entry.group
        self.unlink(entry)
        self.stored_bytes -= entry.size
        del group.entries[entry.key]
        if not group.entries:
            self.groups.pop(group.target, None)
        entry.head = entry.content = None
        entry.group = None
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_target(self, target: bytes) -> cython.int:
        """Drop every answer of a target; what is being answered now is not kept."""
        group: Group = self.groups.get(target)
        if group is not None:
            for entry in list(group.entries.values()):
                self.drop(entry)
        for place in [place for place in self.flights if place[0] == target]:
            self.flights.pop(place).disown()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unlink(self, entry: Entry) -> cython.int:
        """Take an entry out of the order of use."""
        if entry.newer is cython.NULL:
            self.newest = entry.older
        else:
            cython.cast(Entry, entry.newer).older = entry.older
        if entry.older is cython.NULL:
            self.oldest = entry.newer
        else:
            cython.cast(Entry, entry.older).newer = entry.newer
        entry.newer = entry.older = cython.NULL
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_use(self, entry: Entry) -> cython.int:
        """It was used last."""
        if self.newest == cython.cast(cython.p_void, entry):
            return 0
        self.unlink(entry)
        entry.older = self.newest
        cython.cast(Entry, self.newest).newer = cython.cast(cython.p_void, entry)
        self.newest = cython.cast(cython.p_void, entry)
        return 0

    def forget(self, target: bytes | None) -> None:
        """`drop_target`, posted by another worker; None for all."""
        for known in list(self.groups) + [place[0] for place in self.flights] if target is None else (target,):
            self.drop_target(known)

    def forget_everywhere(self, path: bytes) -> None:
        """The same for a target of whatever host."""
        for known in [*self.groups, *[place[0] for place in self.flights]]:
            if known.endswith(b" " + path):
                self.drop_target(known)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_slot(head: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where a head is remembered, by all of its bytes: heads that share a slot only take turns in it."""
    factor: uint64_t = 0x9E3779B97F4A7C15
    first: uint64_t = cython.cast(uint64_t, length)
    second: uint64_t = factor
    third: uint64_t = 1
    fourth: uint64_t = 2
    words: uint64_t[4]
    at: cython.Py_ssize_t = 0
    if length < 32:
        return length
    while at < length:
        at = min(at, length - 32)  # the last 32 bytes may be counted twice, in part
        memcpy(words, head + at, 32)
        first = (first ^ words[0]) * factor
        second = (second ^ words[1]) * factor
        third = (third ^ words[2]) * factor
        fourth = (fourth ^ words[3]) * factor
        at += 32
    first = (first ^ (first >> 32) ^ (second >> 29)) * factor + (third ^ (third >> 31) ^ (fourth >> 27)) * factor
    return cython.cast(cython.Py_ssize_t, first >> 56)


@cython.cfunc
@cython.exceptval(check=False)
def is_special(request: Request) -> cython.bint:
    """Whether the request may have a field that its answer from a cache depends on beside Vary: conditions,
    Cache-Control, Pragma, Authorization.
    """
    data: cython.p_const_uchar = request.framed.slab.bytes
    at: cython.Py_ssize_t = request.framed.fields_start
    end: cython.Py_ssize_t = request.framed.fields_end
    first: cython.int
    while at < end:
        first = data[at] | 32
        if first == 105:  # i
            if data[at + 2] == 45:
                return True  # If-
        elif first == 99:  # c
            if equals(data, at, at + 13, b"cache-control", 13):
                return True
        elif first == 112:  # p
            if equals(data, at, at + 6, b"pragma", 6):
                return True
        elif first == 97 and equals(data, at, at + 13, b"authorization", 13):  # a
            return True
        at = find_line_end(data, at, end) + 2
    return False


@cython.cfunc
def find_key(request: Request, names: tuple, is_head: cython.bint) -> bytes:
    """What tells the variants of a target apart: the method, and the values of the fields that Vary names."""
    key: bytes = b"H" if is_head else b"G"
    for name in names:
        value = combined(request, name)
        key = key + (b"\n-" if value is None else b"\n+" + value)
    return key


@cython.cfunc
def find_entry(store: Store, target: bytes, request: Request, is_head: cython.bint) -> Entry:
    """What is kept for a request, or None. HEAD is answered by what GET was, RFC 9110 section 9.3.2."""
    group: Group = store.groups.get(target)
    entry: Entry
    if group is None:
        return None
    entry = group.entries.get(find_key(request, group.names, False))
    if is_head and (entry is None or entry.is_pass):
        return group.entries.get(find_key(request, group.names, True))
    return entry


@cython.cfunc
@cython.exceptval(-1, check=False)
def append_entry(response: Response, entry: Entry, is_head: cython.bint) -> cython.int:
    """Append an answer that is kept."""
    head: bytes = entry.head
    content: bytes = entry.content
    response.check_open()
    if not response.buffer.append(head, len(head) - (entry.joined if is_head else 0)):
        raise MemoryError
    if len(content) > 0 and not is_head and not response.buffer.append(content, len(content)):
        raise MemoryError
    return 0
