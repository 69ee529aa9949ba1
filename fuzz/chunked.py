"""http1/body.py: compiled and uncompiled agree on any bytes, however they are split."""

from __future__ import annotations

from run import load_uncompiled, main

import vanilla.http1.body as compiled

load_uncompiled("head")
uncompiled = load_uncompiled("body")

LIMITS = (300, 20, 60)


def check(data: bytes) -> None:
    """The compiled decoder against its own source, whole and in pieces that the first bytes choose."""
    choice, wire = data[:4], data[4:]
    result, content = compiled.decode(bytearray(wire), [], *LIMITS)
    assert (result, content) == uncompiled.decode(bytearray(wire), [], *LIMITS), data
    splits = sorted(octet * len(wire) // 256 for octet in choice)
    for pieces in (splits, list(range(len(wire)))):
        in_pieces = compiled.decode(bytearray(wire), pieces, *LIMITS)
        assert in_pieces == (result, content), (data, pieces, in_pieces)
    assert len(content) <= LIMITS[0]
    if result >= 0:
        assert wire[result - 2 : result] == b"\r\n"
        assert compiled.decode(bytearray(wire[:result] + b"GET"), [], *LIMITS) == (result, content)
        assert compiled.decode(bytearray(wire[: result - 1]), [], *LIMITS)[0] == -1


if __name__ == "__main__":
    main("chunked", check)
