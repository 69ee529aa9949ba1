"""Where the content of a form's part ends: at the delimiter that stands behind it, RFC 2046 section 5.1.1.

# Facts about the search
- A delimiter is long: browsers' have 42 bytes, those of other clients 36 and more. Where the last two bytes of those
  that it would take stand nowhere in it, it does not begin at any of them: all but one are passed over (Horspool's
  search, by pairs of bytes). With 42 bytes a mebibyte of content costs 17 µs; going from CR to CR with memchr(3) costs
  31, CPython's own search 100.
- A client is free to send content in which every pair is one of the delimiter's. CPython's search, which takes 40 to
  460 µs for any mebibyte, does the rest where too little is passed over.
"""

from __future__ import annotations

import cython

CR = 13
BUCKETS = 4096  # of pairs of bytes, 16 of which share each
FEW_EVERY = 64  # bytes for each look that may pass over less than all


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def bucket(source: cython.p_const_uchar, at: cython.Py_ssize_t) -> cython.uint:
    """Of the pair of bytes that begins there."""
    return source[at] ^ (source[at + 1] << 4)


@cython.final
@cython.cclass
class Delimiter:
    """What stands between the parts of a form: CRLF, two hyphens and the boundary.

    Args:
        delimiter: those bytes, 5 to 250 of them.

    Raises: ValueError for others.
    """

    def __init__(self, delimiter: bytes) -> None:
        if not delimiter.startswith(b"\r\n--") or not 5 <= len(delimiter) <= 250:
            raise ValueError(f"delimiter={delimiter!r}: it is CRLF, two hyphens and a boundary, 5 to 250 bytes")
        last: cython.Py_ssize_t = len(delimiter) - 2
        shifts = bytearray([last + 1]) * BUCKETS
        at: cython.Py_ssize_t
        for at in range(last + 1):
            shifts[bucket(delimiter, at)] = last - at
        self.delimiter = delimiter
        self.shifts = bytes(shifts)

    def find_in(self, data: bytes, start: cython.Py_ssize_t = 0) -> int:
        """Where it begins in data[start:], or the part of it that `data` ends with; len(data) where neither is.

        Args:
            data: content, and what follows it.
            start: where to begin; 0 to len(data).

        Raises: ValueError for another start.
        """
        end: cython.Py_ssize_t = len(data)
        if not 0 <= start <= end:
            raise ValueError(f"start={start}: data has offsets from 0 to {end}")
        length: cython.Py_ssize_t = len(self.delimiter)
        at: cython.Py_ssize_t = find_whole(
            data, start, end, self.delimiter, length, self.shifts, (end - start) // FEW_EVERY
        )
        if at < 0:
            start = -1 - at
            at = data.find(self.delimiter, start)
            if at < 0:
                at = max(start, end - length + 1)
        return find_begun(data, at, end, self.delimiter, length)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_whole(
    source: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    delimiter: cython.p_const_uchar,
    length: cython.Py_ssize_t,
    shifts: cython.p_const_uchar,
    few: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Where the delimiter begins in source[start:end]; where only a part of it could, if it does not.

    -1 - at where it does not begin before `at`, and more than `few` looks have passed over less than all.
    """
    last: cython.Py_ssize_t = length - 2
    all_of_it: cython.Py_ssize_t = length - 1
    at: cython.Py_ssize_t = start
    pair: cython.Py_ssize_t
    shift: cython.Py_ssize_t
    while at <= end - length:
        pair = at + last
        # None of four pairs is in it, as nearly always: their looks do not wait for each other.
        if (
            at <= end - length - 3 * all_of_it
            and shifts[bucket(source, pair)] == all_of_it
            and shifts[bucket(source, pair + all_of_it)] == all_of_it
            and shifts[bucket(source, pair + 2 * all_of_it)] == all_of_it
            and shifts[bucket(source, pair + 3 * all_of_it)] == all_of_it
        ):
            at += 4 * all_of_it
            continue
        shift = shifts[bucket(source, pair)]
        if shift == 0 and begins_with(source, at, end, delimiter, length):
            break
        at += max(shift, 1)
        if shift < all_of_it:
            few -= 1
            if few < 0:
                return -1 - at
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_begun(
    source: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    delimiter: cython.p_const_uchar,
    length: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Where the delimiter begins in source[at:end], or the part of it that is at the end; `end` where neither is."""
    while at < end:
        if source[at] == CR and begins_with(source, at, end, delimiter, length):
            return at
        at += 1
    return end


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
