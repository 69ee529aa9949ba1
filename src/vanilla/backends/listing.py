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
    if listed.count == listed.size:
        listed.size = max(listed.size * 2, ROOM_FIRST)
        listed.channels = cython.cast(
            cython.pointer[cython.pointer[Channel]],
            realloc(listed.channels, listed.size * cython.sizeof(cython.pointer[Channel])),
        )
        if listed.channels is cython.NULL:
            abort()
    listed.channels[listed.count] = channel
    listed.count += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_first(listed: cython.pointer[ChannelList], count: cython.int) -> cython.void:
    """Take off those that have had their turn; what was listed meanwhile stays, in order."""
    index: cython.int
    listed.count -= count
    for index in range(listed.count):
        listed.channels[index] = listed.channels[count + index]


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
