"""SIGTERM and SIGINT while a server runs: caught on the main thread, the previous handlers put back afterwards.

In Windows Ctrl-C is SIGINT, and Ctrl-Break is SIGBREAK, which is caught as well; nobody else can send a signal there.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

SIGNALS = tuple(one for one in signal.Signals if one.name in ("SIGTERM", "SIGINT", "SIGBREAK"))


@contextlib.contextmanager
def caught(function: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Call `function` for every one of SIGNALS inside the block; on any other thread than the main one do nothing.

    It runs between two bytecodes of the main thread, so it may only do what is reentrant: no lock that the main thread
    might hold, no logging. Source: the library reference's signal module, "Execution of Python signal handlers".
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {}
    try:
        for number in SIGNALS:
            previous[number] = signal.signal(number, lambda number, _: function(signal.Signals(number)))
        yield
    finally:
        for number, handler in previous.items():
            # None stands for one that C code installed, which Python cannot name.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
