"""What coroutines need of the engine: their steps run inside the tick, and what they append waits until it is flushed.

`coroutines` calls this from a worker's asyncio loop; nothing here imports asyncio. Work on other threads is here, too.
"""

from __future__ import annotations

import cython
from cython.cimports.vanilla.buffers import ResponseBuffer, new_own_buffer
from cython.cimports.vanilla.contract.response import BODYLESS
from cython.cimports.vanilla.engine.connections import count_unsent
from cython.cimports.vanilla.engine.judging import begin, fail
from cython.cimports.vanilla.engine.state import read_clock_ns
from cython.cimports.vanilla.engine.takeover import Takeovers

from vanilla.awaitables import READY, YIELDING
from vanilla.steps import Step

FLUSH_FREE_BYTES = 4096  # that a coroutine may flush once a tick without waiting for them to be taken

_SUSPEND = Step.SUSPEND


@cython.cclass
class Awaiting(Takeovers):
    """The part of the engine that runs coroutines, as far as it does not need asyncio."""

    # What a worker and a response offer.

    def wait_drained(self) -> object:
        """`await worker.draining`."""
        return self.reach_runner("await worker.draining", "use worker.on_drain").wait_drained()

    def wait_fd(self, fd: int, interest: int) -> object:
        """Worker.readable and Worker.writable."""
        return self.reach_runner("await a descriptor", "use worker.watch_fd").wait_fd(fd, interest)

    def sleep(self, seconds: float) -> object:
        """Worker.sleep."""
        return self.reach_runner("sleep", "use worker.call_later").sleep(seconds)

    def offload(self, function: object, arguments: tuple, continuation: object) -> object:
        """Worker.offload."""
        parked: Parked
        self.check_open()
        if not callable(function):
            raise TypeError(f"function {function!r}: cannot be called")
        if continuation is None:
            self.reach_runner("await worker.offload(...)", "give then=continuation")
        elif not callable(continuation):
            raise TypeError(f"then {continuation!r}: give a function of (request, response, worker, payload, event)")
        if self.offloads is None:
            self.offloads = self.make_offloads()
        if continuation is None:
            return self.runner.wrap(self.offloads.submit(function, arguments))
        if self.calling is cython.NULL:
            raise RuntimeError("offload with `then` outside a request: only a handler or its continuation has one")
        future = self.offloads.submit(function, arguments)
        parked = self.park()
        parked.has_handle = True
        future.add_done_callback(_Return(self, parked, continuation))
        return None

    def reach_runner(self, what: str, instead: str) -> object:
        """What runs coroutines, on a server that has them."""
        self.check_open()
        if self.runner is None:
            raise RuntimeError(f"{what}: this server's handler is no `async def`; {instead}")
        return self.runner

    def flush_answer(self, response: Response) -> object:
        """Response.flush."""
        parked: Parked = response.parked
        request: Request
        length: cython.Py_ssize_t
        future: object
        waiting: list = []
        if self.runner is None or (self.calling is cython.NULL if parked is None else parked.task is None):
            raise RuntimeError("flush is for `async def` handlers; others return Step.SUSPEND after on_drained()")
        if parked is not None and not parked.is_active:
            response.buffer.drop()  # the client is gone, and its coroutine was let go on
            return YIELDING
        if parked is None:
            parked = self.park()
            request = self.request if parked.request is None else parked.request
            length = response.buffer.length - response.begin
            if not response.has_begun and length > response.informed:
                if begin(self, request, response, response.buffer, response.begin) < 0:
                    raise RuntimeError("flush: what was appended is no head of a response")
            parked.connection.wants_drained = True
        else:
            length = response.buffer.count_bytes(0)
            parked.connection.wants_drained = True  # before anything is sent: it may be taken at once
            if not self.send_own(parked):
                raise RuntimeError("flush: what was appended is no head of a response")
            if parked.flushed_tick != self.counts.ticks and length < FLUSH_FREE_BYTES:
                if count_unsent(parked.connection) == 0:
                    parked.flushed_tick = self.counts.ticks
                    parked.connection.wants_drained = False
                    return READY
        future = self.runner.new_future()
        if parked.drained is not None and parked.drained[0] is None:
            waiting = [other for other in parked.drained[1] if not other.done()]  # several tasks may write one answer
        waiting.append(future)
        parked.drained = (None, waiting)
        return future

    # Steps.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wake(self, future: object, result: object) -> cython.int:
        """Have a coroutine go on with what it waits for, in this tick."""
        self.counts.handler_since_ns = read_clock_ns()
        self.starter.wake(future, result)
        self.counts.handler_since_ns = 0
        return 0

    @cython.cfunc
    def run_coroutine(self, result: object) -> object:
        """Run the first step of a coroutine that a handler returned; anything else is the handler's step.

        What the coroutine returned if that was its last step, and what it raised; else Step.SUSPEND.
        """
        parked: Parked
        response: Response
        if not PyCoro_CheckExact(result) and not self.runner.is_coroutine(result):
            return result
        task: object = self.starter.start(result)
        if task.done():
            return task.result()
        parked = self.park()
        response = self.response if parked.response is None else parked.response
        parked.task = task
        response.parked = parked
        self.runner.take_over(task, response)
        return _SUSPEND

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def suspend_coroutine(self, response: Response, start: cython.Py_ssize_t) -> cython.int:
        """What a coroutine has appended and not flushed waits in a buffer of its own: it may still fail."""
        parked: Parked = response.parked
        shared: ResponseBuffer = response.buffer
        own: ResponseBuffer = new_own_buffer()
        if not response.has_begun:
            if parked.drained is not None and shared.length - start == response.informed:
                response.informed = 0  # interim answers alone, and flushed: they leave
            elif not shared.move_to(own, start):
                raise MemoryError
        response.buffer = own
        response.begin = 0
        response.is_open = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_own(self, parked: Parked) -> cython.bint:
        """Send what the coroutine of a request has appended; False, with the reason logged, where it is no head."""
        response: Response = parked.response
        start: cython.Py_ssize_t
        self.make_way()
        if response.encoder is not None:
            response.sync_content()
        start = self.resumed.length
        if not response.buffer.move_to(self.resumed, 0):
            raise MemoryError
        response.buffer.drop()
        if not self.send_more(parked, start):
            return False
        response.informed = 0
        return True

    def conclude_coroutine(self, response: Response, result: object, error: object) -> None:
        """A coroutine that has waited is over: answer with what it appended."""
        parked: Parked = response.parked
        start: cython.Py_ssize_t = self.resumed.length
        status: cython.int = 0
        own: ResponseBuffer = response.buffer
        parked.task = None
        if not parked.is_active:
            response.is_open = False
            response.parked = response.loop = None
            own.drop()
            self.orphan_count -= parked.is_orphan
            return
        if error is not None:
            status = fail(self, parked.request, "the handler raised; answered 500, or cut off", error)
            response.closes = False
        if not own.move_to(self.resumed, 0):
            raise MemoryError
        own.drop()
        response.buffer = self.resumed
        response.begin = start
        if result is _SUSPEND and self.waits(parked):
            response.is_open = False
            if self.send_more(parked, start):
                self.go_on_early(parked)
                return
            start = self.resumed.length
            status = -500
        self.conclude(parked, start, status, result)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_early(self, parked: Parked) -> cython.int:
        """Catch up on what became ready, or resumed the request, while its coroutine still ran."""
        early: list = parked.early
        parked.early = None
        if early is not None:
            for continuation, payload, events in early:
                if parked.is_active:
                    self.go_on(parked, continuation, payload, events)
        return 0

    # What the runner of coroutines asks.

    def replace_task(self, response: Response, task: object) -> None:
        """Another coroutine goes on with what one that is over has left to do."""
        parked: Parked = response.parked
        parked.task = task

    def has_lost(self, response: Response) -> bool:
        """Whether the client of an answer that a coroutine writes is gone."""
        parked: Parked = response.parked
        return parked is not None and not parked.is_active

    def take_source(self, response: Response) -> object:
        """What `Response.stream` was given, once; None if nothing was, or the answer has no content."""
        source: object = response.source
        if source is None or response.coding != BODYLESS:
            response.source = None
            return source
        self.drop_source(response)
        return None


class _Return:
    """Brings the outcome of offloaded work back to the worker's thread."""

    def __init__(self, loop: Calls, parked: Parked, continuation: object) -> None:
        self._loop = loop
        self._parked = parked
        self._continuation = continuation

    def __call__(self, future: object) -> None:
        if not self._loop.has_ended():
            self._loop.post(self._parked.resume, (self._continuation, future))
