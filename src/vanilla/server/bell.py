"""One signal to many waiting threads that a signal handler may give too."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator


class Bell:
    """Wakes every thread that listens.

    threading.Event will not do: its lock is not reentrant, so a signal handler that sets it while the main thread is
    inside wait() may stop there for ever. SimpleQueue.put is reentrant by promise.
    """

    def __init__(self) -> None:
        self._ears: list[queue.SimpleQueue[None]] = []

    def ring(self) -> None:
        """Wake all who listen now; each will notice, even if it was not waiting at this instant."""
        for ear in tuple(self._ears):
            ear.put(None)

    @contextlib.contextmanager
    def listening(self) -> Iterator[queue.SimpleQueue[None]]:
        """Hear every ring from here on: look at the state first, then wait with hear()."""
        ear: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._ears.append(ear)
        try:
            yield ear
        finally:
            self._ears.remove(ear)


def hear(ear: queue.SimpleQueue[None], timeout: float | None) -> None:
    """Wait for the next ring, or `timeout` seconds."""
    with contextlib.suppress(queue.Empty):
        ear.get(timeout=timeout)
