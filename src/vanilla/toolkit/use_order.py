"""In which order what is kept was used, so that what was used longest ago goes first. No object, no allocation."""

from __future__ import annotations

import cython


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def link(order: cython.pointer[UseOrder], used: cython.pointer[Used]) -> cython.void:
    """Put it at the end: it was used last."""
    used.newer = cython.NULL
    used.older = order.newest
    if order.newest is cython.NULL:
        order.oldest = used
    else:
        order.newest.newer = used
    order.newest = used


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unlink(order: cython.pointer[UseOrder], used: cython.pointer[Used]) -> cython.void:
    """Take it out."""
    if used.newer is cython.NULL:
        order.newest = used.older
    else:
        used.newer.older = used.older
    if used.older is cython.NULL:
        order.oldest = used.newer
    else:
        used.older.newer = used.newer
    used.newer = used.older = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_use(order: cython.pointer[UseOrder], used: cython.pointer[Used]) -> cython.void:
    """It was used last."""
    if order.newest != used:
        unlink(order, used)
        link(order, used)
