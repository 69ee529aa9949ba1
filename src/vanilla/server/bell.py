"""One signal to many waiting threads that a signal handler may give too.

# Facts about waiting for a signal
Python runs a signal's handler between two bytecodes. One that arrives after the last look for it and before a lock is
waited for is not handled until that wait ends; a wait on a descriptor that signals write to (signal.set_wakeup_fd)
ends at once. And threading.Event will not do for another reason: its lock is not reentrant, so a handler that sets it
while the main thread is inside wait() may stop there for ever.
"""

from __future__ import annotations

import collections
import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

RINGS_BYTES_MAX = 4096  # taken at once: however often it rang, one look at the state answers it


class Bell:
    """Wakes every thread that listens. The first to listen takes no new descriptor: none may be left by then."""

    def __init__(self) -> None:
        self._ringers: list[socket.socket] = []
        self._spare: collections.deque[tuple[socket.socket, socket.socket]] = collections.deque()
        self._is_closed = True

    def open(self) -> None:
        """Set aside what the first to listen needs. Raises: OSError if there are no descriptors."""
        self._is_closed = False
        self._spare.append(socket.socketpair())

    def close(self) -> None:
        """Close what is set aside; those who listen now are not disturbed."""
        self._is_closed = True
        with contextlib.suppress(IndexError):
            while True:
                _close(self._spare.pop())

    def ring(self) -> None:
        """Wake all who listen now; each will notice, even if it was not waiting at this instant."""
        for ringer in tuple(self._ringers):
            with contextlib.suppress(OSError):  # full, so it will be heard; or closed, so nobody listens
                ringer.send(b"\0")

    @contextlib.contextmanager
    def listening(self) -> Iterator[socket.socket]:
        """Hear every ring from here on, on the main thread every signal too: look at the state first, then hear()."""
        try:
            ear, ringer = self._spare.pop()
        except IndexError:
            ear, ringer = socket.socketpair()
        ringer.setblocking(False)
        self._ringers.append(ringer)
        try:
            with _woken_by_signals(ringer):
                yield ear
        finally:
            self._ringers.remove(ringer)
            self._spare.append((ear, ringer))
            if self._is_closed:  # also while this one was listening
                self.close()


def _close(pair: tuple[socket.socket, socket.socket]) -> None:
    for end in pair:
        end.close()


@contextlib.contextmanager
def _woken_by_signals(ringer: socket.socket) -> Iterator[None]:
    """Have signals ring, on the one thread that handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.set_wakeup_fd(ringer.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)


def hear(ear: socket.socket, timeout: float | None) -> None:
    """Wait for the next ring, or `timeout` seconds."""
    ear.settimeout(timeout)
    with contextlib.suppress(TimeoutError, BlockingIOError):
        ear.recv(RINGS_BYTES_MAX)
