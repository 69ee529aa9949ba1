"""What a handler may answer the engine, and what it may wait for."""

from __future__ import annotations

import enum


class Step(enum.Enum):
    """What becomes of the connection once a handler has returned."""

    DONE = "done"
    """The answer is complete; the connection goes on. Returning `None` means the same."""

    SUSPEND = "suspend"
    """The request waits for what the handler registered; without a registration it is an error, answered 500."""

    CLOSE = "close"
    """The answer is complete; the connection closes once the client has taken it."""


class Event(enum.IntFlag):
    """Why a continuation is called: one bit or several. Source: epoll_ctl(2)."""

    READABLE = 1
    WRITABLE = 2
    HANGUP = 4
    """The other end closed, or shut its writing side; what it wrote before may still be there to read."""
    ERROR = 8
    """The descriptor is broken; reading or writing it raises why."""
    TIMEOUT = 16
    """The watch's time was up first."""
    RESUMED = 32
    """`Parked.resume` was called."""


class Interest(enum.IntFlag):
    """What a watched descriptor is to become. Source: epoll_ctl(2), EPOLLIN and EPOLLOUT."""

    READABLE = 1
    WRITABLE = 2
