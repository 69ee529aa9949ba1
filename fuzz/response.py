"""http1/reply.py: what the server mends in a handler's bytes, whatever they are, agrees with the same by splitting."""

from __future__ import annotations

import re

from run import main

from vanilla.http1.reply import find_fault, status_of, with_connection, without_content

CLOSE, KEEP_ALIVE = 1, 2
LINES = {CLOSE: b"Connection: close", KEEP_ALIVE: b"Connection: keep-alive"}
STATUS = re.compile(rb"HTTP/1\..[ ]([1-5][0-9][0-9])", re.DOTALL)


def find_final(data: bytes) -> tuple[int, int]:
    """Where the final response begins, and its status; -1, 0 where there is none."""
    at = 0
    while True:
        match = STATUS.match(data, at) if len(data) - at >= 15 else None
        if match is None:
            return -1, 0
        status = int(match[1])
        if status >= 200 or status == 101:
            return at, status
        at = data.find(b"\r\n\r\n", at) + 4
        if at == 3:
            return -1, 0


def check(data: bytes) -> None:
    """A second implementation of finding and mending the final response."""
    at, status = find_final(data)
    assert status_of(data) == status, data
    end = data.find(b"\r\n\r\n", at) if at >= 0 else -1
    if end < 0:
        assert with_connection(data, CLOSE) is None, data
        assert without_content(data) is None, data
        assert find_fault(data), data
        return
    assert without_content(data) == data[: end + 4], data
    if b"\r" not in data[at:end].replace(b"\r\n", b""):
        line, *fields = data[at:end].split(b"\r\n")
        kept = [field for field in fields if not field.lower().startswith(b"connection:")]
        for persistence, text in LINES.items():
            mended = data[:at] + b"\r\n".join([line, text, *kept]) + data[end:]
            assert with_connection(data, persistence) == mended, data
    assert isinstance(with_connection(data, CLOSE), bytes)
    if not find_fault(data):
        assert b"\0" not in data[at:end]
    find_fault(data, True)


if __name__ == "__main__":
    main("response", check)
