"""One poll loop on the caller's thread: descriptors and timers, no threads, no knowledge of HTTP."""

from __future__ import annotations

import heapq
import itertools
import select
import selectors
import socket
import sys
import time
from collections.abc import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


SELECTED_MAX = 512  # what select() takes in Windows, where it cannot wait for nothing either
PAUSE_SECONDS = 0.001  # between two looks at more than that


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
        for key, mask in self._ready(max(next_due - time.monotonic(), 0)):
            key.data(mask)
        while self._due and self._due[0][0] <= time.monotonic():
            heapq.heappop(self._due)[2]()

    def _ready(self, seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
        if sys.platform != "win32":
            return self._selector.select(seconds)
        return _select_many(list(self._selector.get_map().values()), time.monotonic() + seconds)

    def close(self) -> None:
        """Forget everything."""
        self._due.clear()
        self._selector.close()


def _select_many(keys: list[selectors.SelectorKey], until: float) -> list[tuple[selectors.SelectorKey, int]]:
    """Those that are ready, as soon as some are; by turns, where they are too many for one select()."""
    while True:
        patience = max(until - time.monotonic(), 0)
        if 0 < len(keys) <= SELECTED_MAX:
            return _select(keys, patience)
        ready = [
            found
            for first in range(0, len(keys), SELECTED_MAX)
            for found in _select(keys[first : first + SELECTED_MAX], 0)
        ]
        if ready or patience == 0:
            return ready
        time.sleep(min(patience, PAUSE_SECONDS) if keys else patience)


def _select(keys: list[selectors.SelectorKey], seconds: float) -> list[tuple[selectors.SelectorKey, int]]:
    """select(). In Windows a connection that could not be made is in its third set."""
    readers = [key.fd for key in keys if key.events & READ]
    writers = [key.fd for key in keys if key.events & WRITE]
    readable, writable, failed = map(set, select.select(readers, writers, writers, seconds))
    masks = ((key, READ * (key.fd in readable) | WRITE * (key.fd in writable | failed)) for key in keys)
    return [(key, mask) for key, mask in masks if mask]
