"""What mechanisms keep of channels and watches: lists of those that the next wait looks at, and tables by number.

They grow and never shrink. Out of memory ends the process: nothing can be told to anybody then.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, realloc
from cython.cimports.libc.string import memset

ROOM_FIRST = 64


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def list_channel(listed: cython.pointer[ChannelList], channel: cython.pointer[Channel]) -> cython.void:
    """Add to the end. That none is listed twice is up to the caller, who knows by a flag of the channel's."""
    entry: cython.pointer[Listed]
    if listed.count == listed.size:
        listed.size = max(listed.size * 2, ROOM_FIRST)
        listed.entries = cython.cast(
            cython.pointer[Listed], realloc(listed.entries, listed.size * cython.sizeof(Listed))
        )
        if listed.entries is cython.NULL:
            abort()
    entry = cython.address(listed.entries[listed.count])
    entry.channel = channel
    entry.generation = channel.generation
    listed.count += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def listed_at(listed: cython.pointer[ChannelList], index: cython.int) -> cython.pointer[Channel]:
    """The channel of an entry; NULL where it has closed since. A connection that was given by another worker may have
    its place already, and be listed itself.
    """
    entry: cython.pointer[Listed] = cython.address(listed.entries[index])
    return entry.channel if entry.channel.fd >= 0 and entry.channel.generation == entry.generation else cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_first(listed: cython.pointer[ChannelList], count: cython.int) -> cython.void:
    """Take off those that have had their turn; what was listed meanwhile stays, in order."""
    index: cython.int
    listed.count -= count
    for index in range(listed.count):
        listed.entries[index] = listed.entries[count + index]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def list_slot(listed: cython.pointer[SlotList], slot: cython.uint) -> cython.void:
    """Add to the end."""
    if listed.count == listed.size:
        listed.size = max(listed.size * 2, ROOM_FIRST)
        listed.slots = cython.cast(
            cython.pointer[cython.uint], realloc(listed.slots, listed.size * cython.sizeof(cython.uint))
        )
        if listed.slots is cython.NULL:
            abort()
    listed.slots[listed.count] = slot
    listed.count += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def make_table(
    items: cython.p_void,
    size: cython.pointer[cython.uint],
    index: cython.uint,
    first: cython.int,
    item_bytes: cython.size_t,
) -> cython.p_void:
    """A table with an item at `index`: where it is now. Items that are new are blank.

    Args:
        size: of the table, in items; it is changed.
        first: how many there are to be at least.
    """
    before: cython.uint = size[0]
    if index < before:
        return items
    size[0] = max(before * 2, index + 1, first)
    items = realloc(items, size[0] * item_bytes)
    if items is cython.NULL:
        abort()
    memset(cython.cast(cython.p_char, items) + before * item_bytes, 0, (size[0] - before) * item_bytes)
    return items
