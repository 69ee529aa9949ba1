"""Requests that wait. A handler returned Step.SUSPEND, or its coroutine awaits: its connection is not read, and the
requests behind it wait in order; nobody else does.
"""

from __future__ import annotations

import collections

import cython
from cython.cimports.cpython.ref import Py_XDECREF
from cython.cimports.vanilla.buffers import new_own_buffer
from cython.cimports.vanilla.engine.connections import count_unsent


@cython.final
@cython.cclass
class Parked:
    """A request whose handler returned Step.SUSPEND, until one of its continuations returns another step."""

    def __cinit__(self) -> None:
        self.connection = cython.NULL
        self.piece = cython.NULL
        self.is_open = True

    def __dealloc__(self) -> None:
        Py_XDECREF(self.piece)

    @property
    def is_active(self) -> bool:
        """Whether the request still waits: it was not answered, and its client is there."""
        return self.is_open and self.connection.channel.generation == self.generation

    def resume(self, continuation: object, payload: object = None) -> None:
        """Have `continuation(request, response, worker, payload, Event.RESUMED)` called in this tick.

        The worker's own thread only; elsewhere `worker.post(parked.resume, continuation)`. One that is answered or
        whose client is gone by then is not called.
        """
        self.loop.resumptions.append((self, continuation, payload))
        self.loop.has_notice = True

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet."""
        return count_unsent(self.connection) if self.is_active else 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send one more piece of the content of an answer that has begun with `start`, at the end of this tick.

        On the worker's own thread only, as are `finish` and `abort`. To somebody who is gone it is nothing.
        Raises: RuntimeError if the answer has not begun; ValueError for more than the length that was given.
        """
        if self.is_active:
            self.loop.write_parked(self, data)

    def finish(self) -> None:
        """End the answer, as a handler that returns `Step.DONE`: the connection goes on with the next request."""
        if self.is_active:
            self.loop.finish_parked(self)

    def abort(self) -> None:
        """Cut the answer off: the connection closes now. One that does not wait any more stays as it is."""
        if self.is_active and self.connection.parked is not cython.NULL:
            self.on_disconnect = None
            self.loop.close(self.connection)


@cython.cclass
class Parking(Calls):
    """The part of the engine that has requests wait, and hands out what goes on with them."""

    def __cinit__(self, *_: object, **__: object) -> None:
        self.calling = cython.NULL
        self.parked = set()
        self.resumptions = collections.deque()

    # What a worker and a response offer.

    def park_current(self, on_disconnect: object) -> Parked:
        """Worker.park."""
        parked: Parked
        self.check_open()
        if self.calling is cython.NULL:
            raise RuntimeError("park outside a request: only a handler or its continuation can park its request")
        parked = self.park()
        parked.has_handle = True
        parked.on_disconnect = on_disconnect
        return parked

    def park_answer(self, response: Response, on_disconnect: object) -> Parked:
        """Response.park."""
        parked: Parked = response.parked
        if parked is None:
            return self.park_current(on_disconnect)
        parked.has_handle = True
        parked.on_disconnect = on_disconnect
        return parked

    def go_on_drained_with(self, response: Response, continuation: object, payload: object) -> None:
        """Response.on_drained."""
        parked: Parked
        self.check_open()
        if self.calling is cython.NULL:
            raise RuntimeError("on_drained in a coroutine: await response.flush() instead")
        parked = self.park()
        parked.drained = (continuation, payload)
        self.calling.wants_drained = True

    def count_unsent_of(self, response: Response) -> int:
        """Response.unsent."""
        parked: Parked = response.parked
        if parked is not None:
            return parked.unsent
        return count_unsent(self.calling) if self.calling is not cython.NULL and response.is_open else 0

    @cython.cfunc
    def park(self) -> Parked:
        """The request that is being handled, as something that can wait."""
        parked: Parked
        if self.current is None:
            parked = Parked()
            parked.loop = self
            parked.connection = self.calling
            parked.generation = self.calling.channel.generation
            parked.watches = []
            self.current = parked
        return self.current

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def make_way(self) -> cython.int:
        """`resumed` is needed for somebody else's bytes, and may be sent and cleared with them: what the continuation
        that is being called has appended to it moves to a buffer of its own until it returns.
        """
        parked: Parked = self.current
        response: Response
        own: ResponseBuffer
        if parked is None or parked.response is None:
            return 0
        response = parked.response
        if response.buffer is self.resumed:
            own = new_own_buffer()
            if not self.resumed.move_to(own, response.begin):
                raise MemoryError
            response.buffer = own
            response.begin = 0
        return 0

    # What the part of the engine that answers says how.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self, parked: Parked, continuation: object, payload: object, events: cython.int) -> cython.int:
        """Call a parked request's continuation; the engine, which answers, says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_parked(self, parked: Parked, data: object) -> cython.int:
        """Parked.write; the engine, which answers, says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_parked(self, parked: Parked) -> cython.int:
        """Parked.finish; likewise."""
        return 0
