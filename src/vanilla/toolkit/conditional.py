"""Conditional requests: entity tags, and what the If- fields make of a request. RFC 9110 sections 8.8 and 13.

# Facts about preconditions
They count only where the answer without them would be a 2xx or a 412 (section 13.2.1): decide on 404, 401 and the like
first. Their order is fixed (13.2.2): If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since for
GET and HEAD; If-Range comes last. Dates are compared by the second. A date that is malformed, or one of several, is
ignored; so is a field that says something about a validator that the resource does not have, where the RFC says so.
"""

from __future__ import annotations

import enum
import hashlib
import os
import re
import time
from collections.abc import Iterable

from vanilla.contract import Request
from vanilla.toolkit.dates import parse_date
from vanilla.toolkit.fields import combined

_OPAQUE = rb'"[\x21\x23-\x7e\x80-\xff]*"'
_ETAG = re.compile(rb"(?:W/)?" + _OPAQUE)
_ETAGS = re.compile(rb"[ \t]*+(?:(\*|(?:W/)?" + _OPAQUE + rb")[ \t]*+)?(?:,|\Z)")
_DIGEST_BYTES = 16

# Methods that neither select nor change a representation: preconditions on them are ignored, section 13.2.1.
_UNCONDITIONAL = frozenset((b"CONNECT", b"OPTIONS", b"TRACE"))

# What describes the content, which a 304 does not have (section 15.4.5). All else stays: Cache-Control, ETag, Vary and
# their like because the cache needs them, others because they are not about the content.
_OF_THE_CONTENT = frozenset(
    b"content-type content-encoding content-language content-length content-range content-disposition"
    b" transfer-encoding accept-ranges trailer".split()
)


class Outcome(enum.Enum):
    """What preconditions make of a request."""

    PROCEED = 200  # answer as if there were none
    NOT_MODIFIED = 304  # what the client has is good
    PRECONDITION_FAILED = 412  # do nothing


def etag(content: bytes | bytearray | memoryview, *, weak: bool = False) -> bytes:
    """The entity tag of a representation, from its bytes: `b'"..."'`, 34 bytes; `W/` in front if it is weak.

    Args:
        content: what is sent, content coding included: each coding of a resource needs a tag of its own.
        weak: say that others which mean the same have this tag too.

    Source: RFC 9110 section 8.8.3; BLAKE2b of 16 bytes, in hexadecimal.
    """
    digest = hashlib.blake2b(content, digest_size=_DIGEST_BYTES).hexdigest().encode()
    return b'W/"%b"' % digest if weak else b'"%b"' % digest


def etag_of_file(status: os.stat_result, *, weak: bool = False) -> bytes:
    """The entity tag of a file, from what `os.stat` or `os.fstat` says of it: size, time of change, inode.

    Strong by default, for files that are replaced whole, and for file systems whose times are finer than the time
    between two changes. Where files are written in place within one tick of that clock, have it weak: ranges then are
    not resumed (section 8.8.1).

    Args:
        status: of the file whose bytes are sent; a precompressed sibling has its own.
        weak: say that the tag may stay where the bytes change.
    """
    text = b"%x-%x-%x" % (status.st_mtime_ns, status.st_size, status.st_ino)
    return b'W/"%b"' % text if weak else b'"%b"' % text


def parse_etags(value: bytes) -> list[bytes] | None:
    """The entity tags of a list, `W/` and quotes included, and `*` as it is; None where the list is malformed.

    Source: RFC 9110 sections 8.8.3 and 13.1.1. There `*` stands alone; two lines that say so are a list of two.
    """
    tags = []
    at = 0
    while at < len(value):
        match = _ETAGS.match(value, at)
        if match is None:
            return None
        if match[1] is not None:
            tags.append(match[1])
        at = match.end()
    return tags


def matches_strongly(left: bytes, right: bytes) -> bool:
    """Strong comparison: equal, and neither is weak. RFC 9110 section 8.8.3.2."""
    return left == right and not left.startswith(b"W/")


def matches_weakly(left: bytes, right: bytes) -> bool:
    """Weak comparison: equal but for `W/`. RFC 9110 section 8.8.3.2."""
    return left.removeprefix(b"W/") == right.removeprefix(b"W/")


def evaluate(
    request: Request, *, etag: bytes | None = None, last_modified: float | None = None, exists: bool = True
) -> Outcome:
    """What the preconditions of a request make of it, in the order that the RFC gives them.

    Ask once you know that the answer without them would be a 2xx, and before anything is changed. Answer NOT_MODIFIED
    with 304 and `not_modified_fields(...)`, PRECONDITION_FAILED with 412.

    Args:
        request: its method and its If- fields are read.
        etag: the tag of the representation that this request selects, quotes included; None if it has none.
        last_modified: seconds since the epoch; None if it is not known. A fraction is cut off.
        exists: whether there is a current representation, for `*`: False for a PUT that would create one.

    Raises: ValueError for an `etag` that is none.
    Source: RFC 9110 sections 13.1 and 13.2.
    """
    if etag is not None and _ETAG.fullmatch(etag) is None:
        raise ValueError(f"etag={etag!r}: give it in quotes, as etag() makes it")
    if not exists:
        etag = last_modified = None
    method = request.method
    is_read = method in (b"GET", b"HEAD")
    if method in _UNCONDITIONAL:
        return Outcome.PROCEED
    wanted = combined(request, b"if-match")
    if wanted is not None:
        if not _includes(wanted, etag, exists, is_strong=True):
            return Outcome.PRECONDITION_FAILED
    elif last_modified is not None:
        since = _date(request, b"if-unmodified-since")
        if since is not None and int(last_modified // 1) > since:
            return Outcome.PRECONDITION_FAILED
    unwanted = combined(request, b"if-none-match")
    if unwanted is not None:
        if _includes(unwanted, etag, exists, is_strong=False):
            return Outcome.NOT_MODIFIED if is_read else Outcome.PRECONDITION_FAILED
    elif is_read and last_modified is not None:
        since = _date(request, b"if-modified-since")
        if since is not None and int(last_modified // 1) <= since:
            return Outcome.NOT_MODIFIED
    return Outcome.PROCEED


def may_send_range(
    request: Request, *, etag: bytes | None = None, last_modified: float | None = None, now: float | None = None
) -> bool:
    """Whether If-Range lets the Range of a request be heeded: true where there is none. Otherwise send it all.

    Args:
        request: its If-Range is read. Ask after `evaluate`.
        etag: as for `evaluate`; a weak one never fits.
        last_modified: as for `evaluate`. It fits where If-Range says the same second, and that is over for a second
            or more: within it the file may have changed again (section 8.8.2.2).
        now: seconds since the epoch, for that; the clock by default.

    Source: RFC 9110 section 13.1.5.
    """
    value = combined(request, b"if-range")
    if value is None:
        return True
    if value.startswith((b'"', b"W/")):
        return etag is not None and matches_strongly(value, etag)
    if last_modified is None:
        return False
    second = int(last_modified // 1)
    return parse_date(value) == second and (time.time() if now is None else now) - second >= 1


def not_modified_fields(fields: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[bytes, bytes]]:
    """Those of the fields of a 200 that a 304 in its place carries: all but what describes its content.

    A 304 must have what the 200 would have of Cache-Control, Content-Location, Date, ETag, Expires and Vary (Date is
    the server's). Last-Modified stays where there is no ETag.

    Args:
        fields: (name, value) pairs; of a dict give `.items()`.

    Source: RFC 9110 section 15.4.5.
    """
    pairs = [(_to_bytes(name), _to_bytes(value)) for name, value in fields]
    dropped = _OF_THE_CONTENT
    if any(name.lower() == b"etag" for name, _ in pairs):
        dropped |= {b"last-modified"}
    return [(name, value) for name, value in pairs if name.lower() not in dropped]


def _includes(value: bytes, etag: bytes | None, exists: bool, *, is_strong: bool) -> bool:
    """Whether the list of tags in If-Match or If-None-Match includes the representation's.

    A malformed list includes nothing: that fails If-Match, and lets If-None-Match through.
    """
    matches = matches_strongly if is_strong else matches_weakly
    if value == etag:  # what most clients send
        return matches(value, etag)
    tags = parse_etags(value) or ()
    return (exists and b"*" in tags) or (etag is not None and any(matches(tag, etag) for tag in tags))


def _date(request: Request, name: bytes) -> int | None:
    """The date in a field; several lines are no date."""
    value = combined(request, name)
    return None if value is None else parse_date(value)


def _to_bytes(text: str | bytes) -> bytes:
    """Text as the bytes of a field."""
    return text.encode("ascii") if isinstance(text, str) else text
