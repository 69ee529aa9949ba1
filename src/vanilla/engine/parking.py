"""Requests that wait, since their handler returned Step.SUSPEND or their coroutine awaits something.

Their connections are not read, and the requests behind them wait in order; nobody else does.
"""

from __future__ import annotations

import collections

import cython
from cython.cimports.cpython.ref import Py_XDECREF
from cython.cimports.vanilla.buffers import new_own_buffer
from cython.cimports.vanilla.engine.answers import FLUSH_AFTER_NS, flush, flush_written, is_full
from cython.cimports.vanilla.engine.connections import count_unsent
from cython.cimports.vanilla.engine.state import read_clock_ns


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

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def waits(self, parked: Parked) -> cython.bint:
        """Whether something will go on with the request."""
        if bool(parked.watches) or parked.has_handle or parked.early is not None:
            return True
        return parked.drained is not None or parked.body is not None or parked.task is not None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_source(self, response: Response) -> cython.bint:
        """Let go of what `Response.stream` was given: a generator is closed."""
        source: object = response.source
        response.source = None
        if source is not None and hasattr(source, "close"):
            self.call(source.close, ())
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush_resumed(self) -> cython.int:
        """Send early when resumed requests have appended much, or for long."""
        now_ns: cython.longlong = read_clock_ns()
        if now_ns - self.flushed_ns > FLUSH_AFTER_NS or is_full(self.resumed):
            self.now_ms = now_ns // 1_000_000
            with cython.nogil:
                flush(self, self.finished_count)  # what the same connections were answered before comes first
                flush_written(self)
                self.settle_sends()
            self.flushed_ns = read_clock_ns()
        return 0

    # What the part of the engine that goes on with them says how.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self, parked: Parked, continuation: object, payload: object, events: cython.int) -> cython.int:
        """Call a parked request's continuation; `Resuming` says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_more(self, parked: Parked, start: cython.Py_ssize_t) -> cython.bint:
        """Send what it has appended; likewise."""
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def conclude(self, parked: Parked, start: cython.Py_ssize_t, status: cython.int, result: object) -> cython.int:
        """End the wait; likewise."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_parked(self, parked: Parked, data: object) -> cython.int:
        """Parked.write; likewise."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_parked(self, parked: Parked) -> cython.int:
        """Parked.finish; likewise."""
        return 0
