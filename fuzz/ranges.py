"""toolkit/ranges.py: any Range asks for what a second implementation says, and for no byte twice."""

from __future__ import annotations

import re

from run import main

from vanilla.toolkit.ranges import frame_parts, parse_range

FIELD = re.compile(rb"bytes=(?:[ \t,]*(?:[0-9]+-[0-9]*|-[0-9]+)[ \t]*(?=,|\Z))+[ \t,]*", re.IGNORECASE)
SPECIFIED = re.compile(rb"([0-9]*)-([0-9]*)")
RANGES_MAX = 8


def read(field: bytes, size: int) -> set[int] | None:
    """The bytes that are asked for; None where the field is to be ignored."""
    if FIELD.fullmatch(field) is None:
        return None
    wanted: set[int] = set()
    specified = SPECIFIED.findall(field.partition(b"=")[2])
    if len(specified) > RANGES_MAX:
        return None
    for first, last in specified:
        if not first:
            wanted |= set(range(max(size - int(last), 0), size))
        elif last and int(last) < int(first):
            return None
        else:
            wanted |= set(range(min(int(first), size), min(int(last) + 1, size) if last else size))
    return wanted


def check(data: bytes) -> None:
    """The size is the first byte; numbers of more than 18 digits are all the same to the parser, and left out."""
    if re.search(rb"[0-9]{19}", data[1:]):
        parse_range(data[1:], 100)
        return
    size = data[0] if data else 0
    wanted = read(data[1:], size)
    ranges = parse_range(data[1:], size, max_ranges=RANGES_MAX)
    if ranges is None:
        assert wanted is None or (size == 0 and not wanted), data
        return
    sent = [at for part in ranges for at in range(part.start, part.end)]
    assert wanted is not None, data
    assert set(sent) == wanted, data
    assert len(sent) == len(wanted), data
    if ranges:
        parts = frame_parts(ranges, size, b"text/plain")
        content = b"".join(head + bytes(part.length) for head, part in zip(parts.heads, ranges, strict=True))
        assert len(content + parts.tail) == parts.length


if __name__ == "__main__":
    main("ranges", check)
