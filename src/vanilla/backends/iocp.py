"""Completion ports, the mechanism of Windows: what is begun is told of when it is done, and nothing else is.

The mechanism is a chain of classes, each with what one concern needs, and the facts that shape it:

    AcceptsAhead  acceptex       connections that come
    IocpReceives  iocp_receives  channels, and how they are received from
    IocpSends     iocp_sends     what is sent
    IocpWatches   iocp_watches   sockets of the user's
    Iocp          iocp           waiting
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.backends.completions import (
    OF_ACCEPT,
    OF_LISTENER,
    OF_RECEIVE,
    OF_SEND,
    OF_WATCH,
)
from cython.cimports.vanilla.backends.interface import LISTENERS_MAX
from cython.cimports.vanilla.buffers import SlabPool


@cython.final
@cython.no_gc_clear  # what is under way needs the port until the end
@cython.cclass
class Iocp(IocpWatches):
    """Waits, and has each outcome done by the part that it is for."""

    def __cinit__(self, pool: SlabPool) -> None:
        self.name = "iocp"
        self.pool = pool

    def __dealloc__(self) -> None:
        number: cython.int
        if self.outcomes is not None:  # else there is no port
            for number in range(LISTENERS_MAX):
                self.close_listener(number)
            self.give_up_channels()
            self.give_up_watches()
            self.outcomes.drain()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        self.outcomes.wake()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        index: cython.int
        result: cython.int
        operation: cython.pointer[Operation]
        self.completion_count = 0
        if self.listed.count > 0:
            self.look_at_listed()
        if self.rearmed.count > 0:
            self.rearm_watches()
        if self.has_listener_listed:
            self.begin_accepts()
        if self.completion_count > 0 or self.outcomes.reaped_count > 0 or self.listed.count > 0:
            timeout_ms = 0
        result = self.outcomes.reap(timeout_ms)
        if result < 0:
            return result
        for index in range(self.outcomes.reaped_count):
            operation = self.outcomes.take(index)
            if operation is not cython.NULL:
                self.take(operation)
        self.outcomes.reaped_count = 0
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self, operation: cython.pointer[Operation]) -> cython.void:
        """Do what one outcome is for."""
        if operation.kind == OF_RECEIVE:
            self.take_input(operation)
        elif operation.kind == OF_SEND:
            self.take_sent(cython.cast(cython.pointer[Sending], operation))
        elif operation.kind == OF_ACCEPT:
            self.take_accepted(cython.cast(cython.pointer[Accepting], operation), False)
        elif operation.kind == OF_LISTENER:
            self.accept_ready(cython.cast(cython.int, cython.cast(cython.pointer[Polling], operation).slot))
        elif operation.kind == OF_WATCH:
            self.take_watched(cython.cast(cython.pointer[Polling], operation))
        else:
            self.take_hangup(cython.cast(cython.pointer[Polling], operation))


def find_fault() -> str | None:
    """Why there is no completion port here, or none that serves; None if there is."""
    try:
        Iocp(SlabPool())
    except OSError as error:
        return f"iocp cannot be had here: {error}"
    return None
