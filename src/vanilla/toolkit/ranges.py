"""Range requests for bytes: Range, Content-Range, multipart/byteranges. RFC 9110 section 14.

# Facts about ranges
A Range that is malformed, or of another unit, is ignored: the answer is the whole, 200 (section 14.2). One of which no
part lies within the content is answered 416 with the length in Content-Range (15.5.17). Range means something for GET
alone, and only once preconditions let it (13.2.2). Many small or overlapping ranges are how a client makes a server
send more than it has: overlapping ones are sent as one here, so that no byte is sent twice, and too many are ignored.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import NamedTuple

RANGES_MAX = 16  # PDF viewers ask for a handful; nobody needs more in one request
_DIGITS_MAX = 18  # a longer number is beyond any content

_HEAD = re.compile(rb"bytes=", re.IGNORECASE)
_RANGE = re.compile(rb"([0-9]+)-([0-9]*)|-([0-9]+)")


class ByteRange(NamedTuple):
    """A part of a content: [start, end), so that `content[start:end]` is it."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes it has, never 0."""
        return self.end - self.start


class Parts(NamedTuple):
    """What frames several ranges as one content of type multipart/byteranges."""

    content_type: bytes  # with the boundary
    heads: list[bytes]  # what stands in front of each range, in their order
    tail: bytes  # what stands behind the last
    length: int  # of all of it, ranges included: Content-Length


def parse_range(value: bytes | None, size: int, *, max_ranges: int = RANGES_MAX) -> list[ByteRange] | None:
    """The parts of a content of `size` bytes that a Range field asks for.

    Args:
        value: the field's value, of all its lines: `combined(request, "range")`; None if it is missing.
        size: of the content, 0 or more.
        max_ranges: a field with more ranges is ignored.

    Returns: None to send the whole content with 200; an empty list where no range can be satisfied: answer 416 with
        `Content-Range: unsatisfied_range(size)`; else the ranges for 206, one or more, in the order asked for.
        Overlapping ones, and such as touch, are one.
    Source: RFC 9110 sections 14.1.2 and 14.2.
    """
    if value is None or (head := _HEAD.match(value)) is None:
        return None
    specified = [text for piece in value[head.end() :].split(b",") if (text := piece.strip(b" \t"))]
    if not 0 < len(specified) <= max_ranges:
        return None
    found: list[ByteRange] = []
    is_empty_suffix = False
    for text in specified:
        match = _RANGE.fullmatch(text)
        if match is None:
            return None
        first, last, suffix = match.groups()
        if first is None:
            length = min(_number(suffix), size)
            is_empty_suffix = is_empty_suffix or (size == 0 and _number(suffix) > 0)
            start, end = size - length, size
        else:
            start = _number(first)
            if last and _number(last) < start:
                return None
            end = min(_number(last) + 1, size) if last else size
        if start < end:
            found = _add(found, ByteRange(start, end))
    if is_empty_suffix and not found:
        return None  # satisfied by nothing at all, which Content-Range cannot say
    return found


def content_range(part: ByteRange, size: int) -> bytes:
    """The value of Content-Range for a 206 with one range: `b"bytes 0-4/100"`. RFC 9110 section 14.4."""
    return b"bytes %d-%d/%d" % (part.start, part.end - 1, size)


def unsatisfied_range(size: int) -> bytes:
    """The value of Content-Range for a 416: `b"bytes */100"`. RFC 9110 sections 14.4 and 15.5.17."""
    return b"bytes */%d" % size


def frame_parts(
    ranges: Sequence[ByteRange], size: int, content_type: str | bytes | None, *, boundary: bytes | None = None
) -> Parts:
    """What stands around each of several ranges in a 206, whose Content-Type then is `parts.content_type`.

    Write each head, then its range, then the tail. A single range is not framed: send it with `content_range`.

    Args:
        ranges: what `parse_range` returned.
        size: of the whole content.
        content_type: that of the content, repeated for each range; None leaves it out.
        boundary: 1 to 70 letters and digits; by default a random one, which no content holds.

    Raises: ValueError without a range, or for another boundary.
    Source: RFC 9110 sections 14.6 and 15.3.7.2, RFC 2046 section 5.1.
    """
    mark = secrets.token_hex(16).encode() if boundary is None else boundary
    if not ranges:
        raise ValueError("no range: answer 416, or send the whole")
    if not (mark.isalnum() and len(mark) <= 70):
        raise ValueError(f"boundary={boundary!r}: give 1 to 70 letters and digits")
    kind = content_type.encode("ascii") if isinstance(content_type, str) else content_type
    kind_line = b"" if kind is None else b"Content-Type: " + kind + b"\r\n"
    heads = [
        b"\r\n--" + mark + b"\r\n" + kind_line + b"Content-Range: " + content_range(part, size) + b"\r\n\r\n"
        for part in ranges
    ]
    heads[0] = heads[0].removeprefix(b"\r\n")
    tail = b"\r\n--" + mark + b"--\r\n"
    length = sum(map(len, heads)) + sum(part.length for part in ranges) + len(tail)
    return Parts(b"multipart/byteranges; boundary=" + mark, heads, tail, length)


def _number(digits: bytes) -> int:
    """A number that the content's size is compared with; how far beyond it one lies makes no difference."""
    digits = digits.lstrip(b"0") or b"0"
    return int(digits[:_DIGITS_MAX]) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


def _add(found: list[ByteRange], part: ByteRange) -> list[ByteRange]:
    """`found` with one more range; it, and those that it overlaps or touches, are one in the place of the first."""
    place = None
    kept: list[ByteRange] = []
    start, end = part
    for other in found:
        if other.start <= end and start <= other.end:
            start, end = min(start, other.start), max(end, other.end)
            place = len(kept) if place is None else place
        else:
            kept.append(other)
    kept.insert(len(kept) if place is None else place, ByteRange(start, end))
    return kept
