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


class Interest(enum.IntFlag):
    """What a watched descriptor is to become. Source: epoll_ctl(2), EPOLLIN and EPOLLOUT."""

    READABLE = 1
    WRITABLE = 2
