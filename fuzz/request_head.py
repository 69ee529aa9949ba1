"""http1/head.py: compiled and uncompiled agree on any bytes, and a split changes nothing."""

from __future__ import annotations

from run import load_uncompiled, main

import vanilla.http1.head as compiled

uncompiled = load_uncompiled("head")

INCOMPLETE = -1
FIELDS = ("start", "method_end", "target_start", "target_end", "fields_start", "fields_end", "field_count")
SENSES = ("content_length", "version", "is_head", "is_chunked", "keeps_alive", "expects_continue")


def check(data: bytes) -> None:
    """The compiled parser against its own source as Python runs it."""
    end, head = compiled.parse(data, 0, 200, 400, 9)
    twin_end, twin = uncompiled.parse(data, 0, 200, 400, 9)
    assert end == twin_end, (data, end, twin_end)
    if end >= 0:
        for name in FIELDS + SENSES:
            assert getattr(head, name) == getattr(twin, name), (data, name)
        assert head.start < head.method_end < head.target_start < head.target_end < head.fields_start
        assert head.fields_start <= head.fields_end == end - 2
        assert data[head.fields_end : end] == b"\r\n"
    split = data[0] * len(data) // 256 if data else 0
    part = compiled.parse(data[:split], 0, 200, 400, 9)[0]
    if 0 <= end <= split:
        assert part == end, (data, split, part)  # what follows a head is none of its business
    elif part != INCOMPLETE:
        assert part == end or end < INCOMPLETE, (data, split, part, end)
        assert part < INCOMPLETE, (data, split, part)


if __name__ == "__main__":
    main("request_head", check)
