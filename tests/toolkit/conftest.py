"""Requests made by hand, which every reader of the toolkit is tried on, and what a handler answers to one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest

from vanilla import Request, Response, Worker


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


def answer(handler: Callable[..., object], *lines: bytes, **request: bytes) -> Response:
    """What a handler answers to such a request, once everybody who wanted to has looked at it before it leaves."""
    asked, response, worker = make(*lines, **request), Response(), Worker()
    handler(asked, response, worker)
    for hook in reversed(response.recorded_hooks):
        hook(asked, response, worker)
    return response


@pytest.fixture
def answer_of() -> Callable[..., Response]:
    """Calls a handler, and the hooks: `answer_of(handle, b"Origin: null", method=b"POST", body=b"")`."""
    return answer


@pytest.fixture
def busy_switching() -> Iterator[None]:
    """Threads that are switched between as often as can be, so that what is not guarded is found out."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)
