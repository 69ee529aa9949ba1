"""Requests made by hand, which every reader of the toolkit is tried on."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vanilla import Request


def make(*lines: bytes, method: bytes = b"GET", body: bytes = b"") -> Request:
    """A request with these field lines, and a length if it has content."""
    if body:
        lines = (*lines, b"Content-Length: %d" % len(body))
    return Request(
        method + b" / HTTP/1.1\r\nHost: here\r\n" + b"".join(b"%b\r\n" % line for line in lines) + b"\r\n" + body
    )


@pytest.fixture
def request_with() -> Callable[..., Request]:
    """Makes a request of field lines: `request_with(b"Range: bytes=0-1", method=b"GET", body=b"")`."""
    return make
