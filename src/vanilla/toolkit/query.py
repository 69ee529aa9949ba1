"""Query strings and urlencoded forms, as a view over their bytes: WHATWG URL, application/x-www-form-urlencoded.

# Facts about urlencoded pairs
Pairs stand between `&`; an empty one (`&&`) is none. What stands before the first `=` is the name, the rest the value;
a pair without `=` has an empty value. In both `+` is a space, and escapes are decoded once. Nothing else has a meaning:
`;` separates nothing, and `a[]` is a name like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cython

from vanilla.toolkit.percent import encode
from vanilla.toolkit.refusals import MalformedError

if not cython.compiled:
    from vanilla.toolkit.percent import PERCENT, PLUS, SPACE, check, decode_checked, digit_value

AMPERSAND, EQUALS = 38, 61
PAIRS_MAX = 1000  # what Django and PHP admit: nobody fills in a form of that many fields


class TooManyPairsError(MalformedError):
    """There are more pairs than the view was told to take; answered 400."""


@cython.final
@cython.cclass
class Query:
    """The pairs of a query string, looked up where they lie: nothing is decoded before it is asked for.

    Names and values are `bytes`, decoded: `+` is a space, escapes are replaced. Iterating gives the pairs in their
    order, repeated names and all; `dict(query)` keeps the last of each name. `len` counts the pairs, and
    `name in query` tells whether there is one of that name. Names are asked for as `bytes`, or as `str`, which is
    encoded as UTF-8.

    Args:
        data: the query as it stands in the target, without the `?`: `request.query`.
        max_pairs: the most pairs to take.

    Raises: MalformedError for a `%` that two hexadecimal digits do not follow, TooManyPairsError above `max_pairs`;
        both are answered 400. What is made raises nothing any more, but for `get_text`.
    Source: WHATWG URL, application/x-www-form-urlencoded parsing; RFC 3986 section 2.1.
    """

    def __cinit__(self) -> None:
        self.data = b""  # whoever makes one by __new__ alone gets an empty one

    def __init__(self, data: bytes = b"", *, max_pairs: cython.Py_ssize_t = PAIRS_MAX) -> None:
        source: cython.p_const_uchar = data
        length: cython.Py_ssize_t = len(data)
        at: cython.Py_ssize_t
        start: cython.Py_ssize_t = 0
        has_escapes: cython.bint = False
        self.data = data
        self.count = 0
        for at in range(length):
            if source[at] == AMPERSAND:
                self.count += at > start
                start = at + 1
            elif source[at] == PERCENT:
                has_escapes = True
        self.count += length > start
        if has_escapes:
            check(data)
        if self.count > max_pairs:
            raise TooManyPairsError(f"{self.count} pairs where {max_pairs} may be")

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"<Query {self.data!r}>"

    def __contains__(self, name: object) -> bool:
        return self.find(_to_bytes(name), 0) >= 0

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.pairs())

    def pairs(self) -> list[tuple[bytes, bytes]]:
        """Every pair in the order sent, as (name, value), decoded."""
        found: list = []
        source: cython.p_const_uchar = self.data
        length: cython.Py_ssize_t = len(self.data)
        start: cython.Py_ssize_t = 0  # of the pair
        equals: cython.Py_ssize_t = -1
        at: cython.Py_ssize_t
        octet: cython.int
        is_coded: cython.bint = False
        for at in range(length + 1):
            octet = source[at] if at < length else AMPERSAND
            if octet > EQUALS:  # a letter, most likely: one comparison for most bytes
                continue
            if octet == AMPERSAND:
                if at > start:
                    equals = at if equals < 0 else equals
                    if is_coded:
                        found.append((decode_checked(self.data, start, equals, True), self.value(equals, at)))
                    else:
                        found.append((source[start:equals], source[equals + 1 : at] if equals < at else b""))
                start = at + 1
                equals = -1
                is_coded = False
            elif octet == EQUALS:
                equals = at if equals < 0 else equals
            elif octet == PERCENT or octet == PLUS:
                is_coded = True
        return found

    def get(self, name: str | bytes, default: object = None) -> object:
        """The first value of `name`, decoded; `default` where there is no such pair."""
        equals: cython.Py_ssize_t = self.find(_to_bytes(name), 0)
        if equals < 0:
            return default
        return self.value(equals, find_octet(self.data, equals, len(self.data), AMPERSAND))

    def get_all(self, name: str | bytes) -> list[bytes]:
        """Every value of `name` in the order sent; an empty list where there is none."""
        found: list = []
        wanted: bytes = _to_bytes(name)
        end: cython.Py_ssize_t
        equals: cython.Py_ssize_t = self.find(wanted, 0)
        while equals >= 0:
            end = find_octet(self.data, equals, len(self.data), AMPERSAND)
            found.append(self.value(equals, end))
            equals = self.find(wanted, end + 1)
        return found

    def get_text(self, name: str | bytes, default: object = None) -> object:
        """The first value of `name` as text, decoded from UTF-8; `default` where there is no such pair.

        Raises: MalformedError, answered 400, where the value is not UTF-8.
        """
        value = self.get(name)
        if value is None:
            return default
        try:
            return cython.cast(bytes, value).decode()
        except UnicodeDecodeError as error:
            raise MalformedError(f"value of {name!r}: {error.reason} at {error.start}; it has to be UTF-8") from error

    @cython.cfunc
    def value(self, equals: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """The value behind the `=` at `equals`, which is `end` where a pair has none."""
        return decode_checked(self.data, equals + 1, end, True) if equals < end else b""

    @cython.cfunc
    @cython.exceptval(check=False)
    def find(self, name: bytes, at: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where the name of the first pair called `name` from `at` on ends, at its `=` or behind it; -1 for none."""
        source: cython.p_const_uchar = self.data
        wanted: cython.p_const_uchar = name
        wanted_length: cython.Py_ssize_t = len(name)
        length: cython.Py_ssize_t = len(self.data)
        end: cython.Py_ssize_t
        while at < length:
            if source[at] != AMPERSAND:
                end = match_name(source, at, length, wanted, wanted_length)
                if end >= 0:
                    return end
                at = find_octet(source, at, length, AMPERSAND)
            at += 1
        return -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def match_name(
    source: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    wanted: cython.p_const_uchar,
    wanted_length: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Where the name at `at` ends if it is `wanted` once it is decoded, else -1."""
    matched: cython.Py_ssize_t = 0
    octet: cython.int
    while at < end and source[at] != AMPERSAND and source[at] != EQUALS:
        octet = source[at]
        if octet == PERCENT:
            octet = digit_value(source[at + 1]) * 16 + digit_value(source[at + 2])
            at += 2
        elif octet == PLUS:
            octet = SPACE
        if matched == wanted_length or octet != wanted[matched]:
            return -1
        matched += 1
        at += 1
    return at if matched == wanted_length else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_octet(
    source: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t, octet: cython.int
) -> cython.Py_ssize_t:
    """Offset of the first `octet` in source[at:end], else `end`."""
    if cython.compiled:
        found: cython.p_const_uchar = cython.cast(cython.p_const_uchar, memchr(source + at, octet, end - at))
        at = end if found is cython.NULL else found - source
    else:
        while at < end and source[at] != octet:
            at += 1
    return at


@cython.cfunc
def _to_bytes(name: object) -> bytes:
    """A name as the bytes that it is compared with."""
    return name.encode() if isinstance(name, str) else name


def encode_pairs(pairs: Iterable[tuple[str | bytes, str | bytes]]) -> bytes:
    """A query string, or the content of an urlencoded form, of (name, value) pairs: what `Query` takes back.

    Args:
        pairs: `str` is encoded as UTF-8. Of a dict give `.items()`.

    Source: RFC 3986 section 2.1. A space becomes `%20`, which is one in every part of a URL, not `+`.
    """
    return b"&".join([encode(_to_bytes(name)) + b"=" + encode(_to_bytes(value)) for name, value in pairs])
