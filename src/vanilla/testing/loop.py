"""One poll loop on the caller's thread: descriptors and timers, no threads, no knowledge of HTTP."""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import time
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class Loop:
    """Calls what waits for a socket or for a moment."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._due: list[tuple[float, int, Callable[[], None]]] = []  # a heap; the number keeps equals in order
        self._numbers = itertools.count()

    def watch(self, fd: socket.socket, events: int, on_ready: Callable[[int], None]) -> None:
        """Call `on_ready` with what `fd` is ready for, as long as it is; no events to forget it."""
        is_known = fd in self._selector.get_map()
        if events and is_known:
            self._selector.modify(fd, events, on_ready)
        elif events:
            self._selector.register(fd, events, on_ready)
        elif is_known:
            self._selector.unregister(fd)

    def call_later(self, seconds: float, function: Callable[[], None]) -> None:
        """Call `function` once, `seconds` from now."""
        heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), function))

    def turn(self, until: float) -> None:
        """Wait for something to happen, at most to the moment `until`, and call what waits for it."""
        next_due = min(until, self._due[0][0]) if self._due else until
        for key, mask in self._selector.select(max(next_due - time.monotonic(), 0)):
            key.data(mask)
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()

    def close(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._selector.close()
