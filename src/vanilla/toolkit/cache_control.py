"""What Cache-Control says, in a request or in an answer, and for how long a cache may keep that. RFC 9111.

# Facts about freshness
s-maxage goes before max-age, and that before Expires; a cache that is not one client's own heeds all three. Of a
directive that comes twice the first counts; a number that is none makes the answer stale (RFC 9111 section 4.2.1).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from vanilla.toolkit.dates import parse_date
from vanilla.toolkit.grammar import split_list, unquote

SECONDS_MAX = 2**31  # more is as much, RFC 9111 section 1.2.2

# What may be kept although it says nothing of its lifetime, but parts: RFC 9110 section 15.1.
STATUSES = frozenset((200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501))

_EXPLICIT_STATUSES = frozenset((302, 307))  # kept where they say for how long
_FOR_ALL = frozenset((b"public", b"s-maxage", b"must-revalidate"))  # RFC 9111 section 3.5
_NEVER_STALE = frozenset((b"must-revalidate", b"proxy-revalidate", b"s-maxage"))  # sections 5.2.2.2, .8 and .10
_NUMBER = re.compile(rb"[0-9]+")

Directives = Mapping[bytes, bytes | None]


def parse_cache_control(value: bytes | None) -> dict[bytes, bytes | None]:
    """The directives of Cache-Control, names in lower case, each with its argument or None; empty without the field.

    Args:
        value: of all lines of the field, joined by commas.

    Source: RFC 9111 section 5.2.
    """
    directives: dict[bytes, bytes | None] = {}
    for element in split_list(value or b""):
        name, has_argument, argument = element.partition(b"=")
        directives.setdefault(name.strip().lower(), unquote(argument.strip()) if has_argument else None)
    return directives


def seconds_of(directives: Directives, name: bytes) -> int | None:
    """The seconds that a directive gives; 0 where they are malformed, None where there is no such directive."""
    if name not in directives:
        return None
    argument = directives[name]
    if argument is None or _NUMBER.fullmatch(argument) is None:
        return 0
    return SECONDS_MAX if len(argument) > 10 else min(int(argument), SECONDS_MAX)


def lifetime_of(field: Callable[[bytes], bytes | None], directives: Directives, now: float) -> float | None:
    """Seconds for which a shared cache may take an answer for fresh, counted from its Date; None where it says nothing.

    Args:
        field: the value of a field of the answer, by its name in lower case; None where there is none.
        directives: its Cache-Control.
        now: seconds since the epoch, where it has no Date.

    Source: RFC 9111 section 4.2.1.
    """
    for name in (b"s-maxage", b"max-age"):
        seconds = seconds_of(directives, name)
        if seconds is not None:
            return seconds
    expires = field(b"expires")
    if expires is None:
        return None
    at = parse_date(expires)
    if at is None:
        return 0
    date = parse_date(field(b"date") or b"")
    return max(at - (now if date is None else date), 0)


class Term(NamedTuple):
    """For how long an answer may be kept, and for whom."""

    fresh: float  # seconds from now
    stale: float | None  # seconds after that, if it says so itself
    age: float  # seconds that it was kept by others before
    is_public: bool  # also an answer to a request with Authorization, and for one
    varies: list[bytes]  # the names in its Vary, in lower case


def judge(
    status: int,
    fields: Iterable[tuple[bytes, bytes]],
    ttl: float,
    statuses: Collection[int],
    is_authorized: bool,
    now: float,
) -> Term | None:
    """Whether a shared cache may keep an answer to GET or HEAD; None where it may not.

    Args:
        status: of the answer.
        fields: of the answer, names in any case.
        ttl: seconds where it says nothing.
        statuses: that may be kept; 302 and 307 are where the answer says for how long.
        is_authorized: whether the request has Authorization.
        now: seconds since the epoch.

    Source: RFC 9111 sections 3 and 4.2; for Set-Cookie section 7.3, which leaves it to caches.
    """
    values: dict[bytes, bytes] = {}
    for name, value in fields:
        lower = name.lower()
        values[lower] = values[lower] + b", " + value if lower in values else value
    directives = parse_cache_control(values.get(b"cache-control"))
    lifetime = lifetime_of(values.get, directives, now)
    if status not in statuses and (lifetime is None or status not in _EXPLICIT_STATUSES):
        return None
    if b"no-store" in directives or b"private" in directives or b"no-cache" in directives:
        return None
    if b"set-cookie" in values and b"public" not in directives:
        return None
    is_public = not _FOR_ALL.isdisjoint(directives)
    if is_authorized and not is_public:
        return None
    varies = list(dict.fromkeys(name.lower() for name in split_list(values.get(b"vary", b""))))
    age = float(seconds_of(values, b"age") or 0)
    fresh = (ttl if lifetime is None else lifetime) - age
    if b"*" in varies or fresh <= 0:
        return None
    stale = 0 if not _NEVER_STALE.isdisjoint(directives) else seconds_of(directives, b"stale-while-revalidate")
    return Term(fresh, stale, age, is_public, varies)
