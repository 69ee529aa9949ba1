"""Where the content of a form's part ends: at the boundary that stands behind it, RFC 2046 section 5.1.1.

# Facts about the search
- CPython's own, in bytes, costs 40 to 460 µs for a mebibyte, the more the shorter the boundary, and 100 with that of a
  browser. Going from CR to CR with memchr(3) costs 35 where bytes are as random as those of compressed files, and more
  than CPython's where every other byte is a CR, which a client is free to send. So the first is given up for the
  second where CRs are many.
"""

from __future__ import annotations

import cython

CR, LF = 13, 10
FEW_EVERY = 64  # bytes for each CR that is worth its look


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_next(
    source: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    wanted: cython.p_const_uchar,
    wanted_length: cython.Py_ssize_t,
    few: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Where what is wanted begins in source[start:end], or the part of it that is at the end; `end` where neither is.

    -1 - at where `few` CRs before `at` have been in vain.
    """
    at: cython.Py_ssize_t = find_cr(source, start, end)
    while at < end:
        if at + 1 == end or source[at + 1] == LF:
            if begins_with(source, at, end, wanted, wanted_length):
                break
        at += 1
        few -= 1
        if few < 0:
            return -1 - at
        at = find_cr(source, at, end)
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_cr(source: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the first CR in source[at:end], else `end`."""
    if cython.compiled:
        found: cython.p_const_uchar = cython.cast(cython.p_const_uchar, memchr(source + at, CR, end - at))
        at = end if found is cython.NULL else found - source
    else:
        while at < end and source[at] != CR:
            at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def begins_with(
    source: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    wanted: cython.p_const_uchar,
    length: cython.Py_ssize_t,
) -> cython.bint:
    """Whether source[at:end] begins with what is wanted, or is the beginning of it."""
    index: cython.Py_ssize_t
    for index in range(min(length, end - at)):
        if source[at + index] != wanted[index]:
            return False
    return True


def find_content_end(data: bytes, delimiter: bytes, start: cython.Py_ssize_t = 0) -> int:
    """Where `delimiter` begins in data[start:], or the part of it that `data` ends with; len(data) where neither is.

    Args:
        data: content, and what follows it.
        delimiter: CRLF, two hyphens and the boundary.
        start: where to begin; 0 to len(data).

    Raises: ValueError for another start or delimiter.
    """
    end: cython.Py_ssize_t = len(data)
    length: cython.Py_ssize_t = len(delimiter)
    if not 0 <= start <= end:
        raise ValueError(f"start={start}: data has offsets from 0 to {end}")
    if not delimiter.startswith(b"\r\n"):
        raise ValueError(f"delimiter={delimiter!r}: it is CRLF, two hyphens and the boundary")
    at: cython.Py_ssize_t = find_next(data, start, end, delimiter, length, (end - start) // FEW_EVERY)
    if at >= 0:
        return at
    start = -1 - at
    at = data.find(delimiter, start)
    return at if at >= 0 else find_next(data, max(start, end - length + 1), end, delimiter, length, length)
