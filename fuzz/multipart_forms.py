"""toolkit/multipart_forms.py: any bytes are the same form, or the same refusal, however they are cut.

A form that is read is the one that the package `multipart` reads by itself, out of the whole content. And where content
ends is where `bytes.find` says.
"""

from __future__ import annotations

import os
import re

import multipart
from run import main

from vanilla.toolkit.content_ends import Delimiter
from vanilla.toolkit.multipart_forms import MultipartLimits, MultipartReader, safe_file_name
from vanilla.toolkit.refusals import MalformedError, TooLargeError

BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
LIMITS = MultipartLimits(
    max_bytes=3000, max_parts=5, max_field_bytes=200, max_file_bytes=400, max_header_bytes=120, memory_bytes=300
)


def read(pieces: list[bytes]) -> list[tuple[str, str | None, str | None, bytes]] | type[Exception]:
    """What becomes of content in these pieces: its parts, or why there are none."""
    reader = MultipartReader(b"XX", LIMITS)
    try:
        for piece in pieces:
            reader.feed(piece)
        with reader.finish() as form:
            return [(part.name, part.file_name, part.content_type, part.read()) for part in form]
    except (MalformedError, TooLargeError) as refused:
        return type(refused)


def read_by_package(content: bytes) -> list[tuple[str, str | None, str | None, bytes]]:
    """The parts as the package finds them."""
    parts: list[tuple[str, str | None, str | None, bytes]] = []
    parser = multipart.PushMultipartParser(b"XX", max_header_size=LIMITS.max_header_bytes)
    for event in parser.parse(content):
        if isinstance(event, multipart.MultipartSegment):
            parts.append((event.name, event.filename, event.header("Content-Type"), b""))
        elif event:
            parts[-1] = (*parts[-1][:3], parts[-1][3] + event)
    parser.close()
    return parts


def check_search(choice: bytes, content: bytes) -> None:
    """A delimiter of those bytes, before a part of it and more of them."""
    delimiter = b"\r\n--" + (content[-1 - sum(choice[:1]) % 70 :] or b"X")[:70]
    data = content + delimiter[: sum(choice[1:2]) % (len(delimiter) + 1)] + content[: sum(choice[2:3])]
    start = sum(choice[3:]) % (len(data) + 1)
    tails = (
        at for at in range(max(start, len(data) - len(delimiter) + 1), len(data)) if delimiter.startswith(data[at:])
    )
    at = data.find(delimiter, start)
    expected = at if at >= 0 else next(tails, len(data))
    assert Delimiter(delimiter).find_in(data, start) == expected, (delimiter, data, start)


def check(data: bytes) -> None:
    """Whole, byte by byte, and in pieces that the first bytes choose."""
    choice, content = data[:4], data[4:]
    check_search(choice, content)
    whole = read([content])
    at = sorted({octet * len(content) // 256 for octet in choice})
    chosen = [content[start:end] for start, end in zip([0, *at], [*at, len(content)], strict=True)]
    bytewise = [content[start : start + 1] for start in range(len(content))]
    for pieces in (chosen, bytewise):
        parts = read(pieces)
        # Which of two faults comes first may depend on the cut, since the parser looks at what arrived together. So may
        # whether it sees a bare CR or LF among the fields of a part, or minds a line that is just as long as it may be.
        is_refused = isinstance(parts, type) + isinstance(whole, type)
        is_close = BARE.search(content) or LIMITS.max_header_bytes in map(len, content.split(b"\r\n"))
        assert parts == whole or is_refused == 2 or (is_refused and is_close), (data, parts, whole)
    if isinstance(whole, list):
        assert whole == read_by_package(content), data
        for name, file_name, _, value in whole:
            assert name
            assert value in content
            safe = safe_file_name(file_name)
            assert safe == os.path.basename(safe) == safe_file_name(safe)
            assert safe not in ("", ".", "..")
            assert len(os.fsencode(safe)) <= 150


if __name__ == "__main__":
    main("multipart_forms", check)
