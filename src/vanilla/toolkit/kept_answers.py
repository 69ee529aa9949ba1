"""What a response cache keeps in one worker: found by target, dropped in the order of its last use. RFC 9111 section 4.

A worker's own thread alone looks into it.
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.buffers import ResponseBuffer
from cython.cimports.vanilla.contract.request import Framed, Request
from cython.cimports.vanilla.contract.response import Response
from cython.cimports.vanilla.http1.head import equals, find_line_end

from vanilla.toolkit.fields import combined
from vanilla.toolkit.seen_heads import SeenHeads


@cython.final
@cython.cclass
class Entry:
    """An answer that is kept, or that none can be."""

    def __cinit__(self) -> None:
        self.kept.used.owner = cython.cast(cython.p_void, self)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def show(self, head: bytes, content: bytes) -> cython.int:
        """Have these bytes be the answer."""
        self.head = head
        self.content = content
        self.kept.head = head
        self.kept.head_length = len(head)
        self.kept.content = content
        self.kept.content_length = len(content)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hide(self) -> cython.int:
        """There is no answer any more: what has seen it finds none."""
        self.kept.head = self.kept.content = cython.NULL
        self.head = self.content = None
        return 0


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
class Counts:
    """What one worker has counted. It stays when the worker is gone."""


@cython.final
@cython.cclass
class Store:
    """What one worker keeps: found by target, and in the order of its last use."""

    def __cinit__(self) -> None:
        self.order.newest = self.order.oldest = cython.NULL

    def __init__(self, worker: object, max_bytes: int) -> None:
        self.worker = worker
        self.max_bytes = max_bytes
        self.counts = Counts()
        self.groups = {}
        self.flights = {}
        self.seen = SeenHeads()

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
        link(cython.address(self.order), cython.address(entry.kept.used))
        self.stored_bytes += entry.size
        while self.stored_bytes > self.max_bytes:
            oldest = cython.cast(Entry, self.order.oldest.owner)  # a reference of its own: what is dropped is freed
            self.drop(oldest)
            self.counts.evictions += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop(self, entry: Entry) -> cython.int:
        """Keep an entry no more."""
        group: Group = entry.group
        unlink(cython.address(self.order), cython.address(entry.kept.used))
        self.stored_bytes -= entry.size
        del group.entries[entry.key]
        if not group.entries:
            self.groups.pop(group.target, None)
        entry.hide()
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
def give_at_once(
    store: Store, framed: cython.pointer[cython.const[Framed]], answers: ResponseBuffer, now_s: cython.longlong
) -> cython.int:
    """Append what a head was answered before, as long as that holds; its status, or 0 where it has to be looked at."""
    start: cython.Py_ssize_t = answers.length
    found: cython.p_void = store.seen.find(framed.slab.bytes + framed.start, framed.content_start - framed.start)
    kept: cython.pointer[Kept] = cython.cast(cython.pointer[Kept], found)
    if kept is cython.NULL or kept.head is cython.NULL or kept.calm_s != now_s or framed.is_head:
        return 0
    if not answers.append(kept.head, kept.head_length) or not answers.append(kept.content, kept.content_length):
        answers.truncate(start)
        return 0
    note_use(cython.address(store.order), cython.address(kept.used))
    store.counts.hits += 1
    return kept.status


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
    kept: cython.pointer[Kept] = cython.address(entry.kept)
    response.check_open()
    if not response.buffer.append(kept.head, kept.head_length - (entry.joined if is_head else 0)):
        raise MemoryError
    if not is_head and not response.buffer.append(kept.content, kept.content_length):
        raise MemoryError
    return 0
