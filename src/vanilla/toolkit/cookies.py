"""The cookies that a client sent, as a view over the Cookie field: RFC 6265 sections 4.2 and 5.4. Junk is passed over.

# Facts about the Cookie field
It is a list of `name=value` with semicolons between them. No attribute comes back, and nothing says who set a cookie:
another host of the same domain may have. Of several with one name, those of longer paths come first. Names keep their
case. What a value looks like was never agreed on: browsers send quotes, spaces and bytes above ASCII as they were set,
so a value is taken as it stands, and quotes belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator

import cython
from cython.cimports.libc.string import memcmp
from cython.cimports.vanilla.contract.request import Request
from cython.cimports.vanilla.http1.head import skip_space, trim_space

from vanilla.toolkit.fields import combined

SEMICOLON, EQUALS = 59, 61


@cython.final
@cython.cclass
class Cookies:
    """The pairs of a Cookie field, looked up where they lie.

    Names and values are `bytes` as they were sent, without the space around them. Iterating gives the pairs in their
    order; `len` counts them, and `name in cookies` tells whether there is one of that name. What has no `=`, or nothing
    in front of it, is no pair and is passed over; the pairs beside it are read.

    Args:
        value: the field's value. `read_cookies(request)` makes one of all lines of a request.

    Raises: nothing: a client's junk is no reason to refuse its request, which other hosts may have put there.
    Source: RFC 6265 section 5.4; RFC 6265bis.
    """

    def __cinit__(self) -> None:
        self.value = b""  # whoever makes one by __new__ alone gets an empty one

    def __init__(self, value: bytes = b"") -> None:
        self.value = value

    def __len__(self) -> int:
        return len(self.pairs())

    def __repr__(self) -> str:
        return f"<Cookies {', '.join([name.decode('latin-1') for name, _ in self.pairs()])}>"  # values are secrets

    def __contains__(self, name: object) -> bool:
        pair: Pair
        wanted: bytes = _to_bytes(name)
        return find_pair(self.value, 0, len(self.value), wanted, len(wanted), cython.address(pair))

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.pairs())

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Every pair in the order sent, as (name, value)."""
        source: cython.p_const_uchar = self.value
        pair: Pair
        found: list = []
        pair.end = 0
        while read_pair(source, pair.end, len(self.value), cython.address(pair)):
            found.append((source[pair.start : pair.name_end], source[pair.value_start : pair.value_end]))
        return found

    def get(self, name: str | bytes, default: object = None) -> object:
        """The value of the first cookie called `name`, in this case; `default` where there is none."""
        source: cython.p_const_uchar = self.value
        pair: Pair
        wanted: bytes = _to_bytes(name)
        if not find_pair(source, 0, len(self.value), wanted, len(wanted), cython.address(pair)):
            return default
        return source[pair.value_start : pair.value_end]

    def get_all(self, name: str | bytes) -> list[bytes]:
        """The values of every cookie called `name`, in the order sent; an empty list where there is none."""
        source: cython.p_const_uchar = self.value
        pair: Pair
        found: list = []
        wanted: bytes = _to_bytes(name)
        pair.end = 0
        while find_pair(source, pair.end, len(self.value), wanted, len(wanted), cython.address(pair)):
            found.append(source[pair.value_start : pair.value_end])
        return found


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_pair(
    source: cython.p_const_uchar, at: cython.Py_ssize_t, length: cython.Py_ssize_t, pair: cython.pointer[Pair]
) -> cython.bint:
    """Find the next pair from `at` on; False where there is none."""
    end: cython.Py_ssize_t
    equals: cython.Py_ssize_t
    while at < length:
        at = skip_space(source, at, length)
        end = at
        equals = -1
        while end < length and source[end] != SEMICOLON:
            if source[end] == EQUALS and equals < 0:
                equals = end
            end += 1
        if equals > at:
            pair.start = at
            pair.name_end = trim_space(source, at, equals)
            pair.value_start = skip_space(source, equals + 1, end)
            pair.value_end = trim_space(source, pair.value_start, end)
            pair.end = end + 1
            return True
        at = end + 1
    return False


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_pair(
    source: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    length: cython.Py_ssize_t,
    name: cython.p_const_uchar,
    name_length: cython.Py_ssize_t,
    pair: cython.pointer[Pair],
) -> cython.bint:
    """Find the next pair of that name from `at` on; False where there is none."""
    pair.end = at
    while read_pair(source, pair.end, length, pair):
        if pair.name_end - pair.start == name_length and memcmp(source + pair.start, name, name_length) == 0:
            return True
    return False


@cython.cfunc
def _to_bytes(name: object) -> bytes:
    """A name as the bytes that it is compared with."""
    return name.encode() if isinstance(name, str) else name


def read_cookies(request: Request) -> Cookies:
    """The cookies of a request, of all its Cookie lines: HTTP/2 may send each in one of its own.

    Source: RFC 6265 section 5.4, RFC 9113 section 8.2.3.
    """
    return Cookies(combined(request, b"cookie", b"; ") or b"")
