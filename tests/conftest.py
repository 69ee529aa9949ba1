"""What every room's tests are run over, and what a browser makes of an event stream."""

from __future__ import annotations

import codecs
import os
import re
import sys
from typing import NamedTuple

import pytest

from vanilla.backends.choose import available_backends

if sys.platform == "win32":
    collect_ignore = [
        "behaviour/coroutines/test_libraries.py",  # its servers are programs of Linux's
        "net/test_inherit.py",  # no socket is inherited by its number there
        "net/test_unix.py",  # Python has no unix sockets there
    ]

# VANILLA_TEST_BACKENDS=poll,epoll: these alone.
BACKENDS = os.environ.get("VANILLA_TEST_BACKENDS", ",".join(available_backends())).split(",")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each event mechanism that can be had here."""
    return request.param


class ServerSentEvent(NamedTuple):
    """One event as a page gets it."""

    type: str
    data: str
    last_event_id: str


class EventSource:
    """Reads an event stream piece by piece, as WHATWG HTML section 9.2.6 tells a browser to."""

    _LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r(?=.))", re.DOTALL)  # a CR at the end may be half of a CRLF

    def __init__(self) -> None:
        self.events: list[ServerSentEvent] = []
        self.comments: list[str] = []
        self.retry: int | None = None
        self.last_event_id = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._unread = ""
        self._id = self._type = self._data = ""

    @property
    def is_between_events(self) -> bool:
        """Whether nothing of a further event has arrived."""
        return not self._unread and not self._data and not self._type

    def feed(self, stream: bytes) -> None:
        """Take what has arrived."""
        self._unread += self._decoder.decode(stream)
        end = 0
        for match in self._LINE.finditer(self._unread):
            self._take_line(match[1])
            end = match.end()
        self._unread = self._unread[end:]

    def _take_line(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            self._dispatch()
        elif not name:
            self.comments.append(value)
        elif name == "event":
            self._type = value
        elif name == "data":
            self._data += value + "\n"
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            self.retry = int(value)

    def _dispatch(self) -> None:
        self.last_event_id = self._id
        if self._data:
            self.events.append(ServerSentEvent(self._type or "message", self._data[:-1], self.last_event_id))
        self._data = self._type = ""


@pytest.fixture
def event_source() -> type[EventSource]:
    """Makes readers of event streams."""
    return EventSource
