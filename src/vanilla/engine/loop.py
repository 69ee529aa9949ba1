"""What goes on with requests that wait: what they are resumed with, what has become of their connections, and what
other threads and coroutines do for them.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.vanilla.contract.request import IGNORE
from cython.cimports.vanilla.engine.connections import count_unsent
from cython.cimports.vanilla.engine.contents import has_piece
from cython.cimports.vanilla.engine.parking import Parked
from cython.cimports.vanilla.engine.state import NOTICE_CONTENT, Notice
from cython.cimports.vanilla.engine.watches import Watch
from cython.cimports.vanilla.net.posix import ECONNRESET

from vanilla.engine.reading import content_lost
from vanilla.errors import BodyError
from vanilla.steps import Event

EVENT_WRITABLE_AGAIN, EVENT_RESUMED = int(Event.WRITABLE), int(Event.RESUMED)
EVENT_PIECE, EVENT_BAD = int(Event.READABLE), int(Event.ERROR)


@cython.cclass
class Loop(Reading):
    """The part of the engine that goes on with what waits."""

    # What a worker offers to coroutines, and for work on other threads.

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

    # Phase 2: running.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_gone(self) -> cython.int:
        """Let go of requests whose clients are gone: their one-shot descriptors close, persistent ones stay."""
        index: cython.int
        parked: Parked
        gone: list = [cython.cast(Parked, self.gone[index]) for index in range(self.gone_count)]
        self.gone_count = 0
        for parked in gone:
            self.abandon(parked)
        return 0

    def abandon(self, parked: Parked) -> None:
        """End a request that nobody waits for any more."""
        watch: Watch
        parked.is_open = False
        self.parked.discard(parked)
        self.counts.parked -= 1
        self.stream_count -= parked.response.has_begun
        parked.request.leave()
        flushes = parked.drained[1] if parked.drained is not None and parked.drained[0] is None else ()
        parked.drained = None
        body = parked.body
        parked.body = None
        for watch in list(parked.watches):
            watch.cancel()
            if watch.on_disconnect is not None:
                self.call(watch.on_disconnect, (watch.payload,))
            try:
                os.close(watch.fd)
            except OSError:
                continue  # on_disconnect closed it
        if parked.on_disconnect is not None:
            self.call(parked.on_disconnect, ())
        self.drop_source(parked.response)
        if parked.response.taking is not None:
            self.drop_takeover(parked.response, ConnectionResetError(ECONNRESET, os.strerror(ECONNRESET)))
        if parked.task is None:
            parked.response.loop = None
        elif parked.request.after_disconnect == IGNORE or (
            parked.request.after_disconnect == 0 and self.ignores_disconnect
        ):
            parked.is_orphan = True
            self.orphan_count += 1
            for future in flushes:
                if not future.done():
                    future.set_result(None)  # nobody else would: it goes on, unheard
        else:
            parked.task.cancel()
        if body is not None and body[1] is not None and not body[1].done():
            body[1].set_exception(content_lost())

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
    def run_resumptions(self) -> cython.int:
        """Go on with requests that somebody resumed, those among them too."""
        parked: Parked
        while self.resumptions:
            parked, continuation, payload = self.resumptions.popleft()
            if parked.is_active:
                self.go_on(parked, continuation, payload, EVENT_RESUMED)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_notices(self) -> cython.int:
        """Act on what phases 1 and 3 have noted about connections."""
        index: cython.int
        notice: Notice
        count: cython.int = self.notice_count
        for index in range(count):
            notice = self.notices[index]
            if notice.takeover is not cython.NULL:
                self.tell_protocol(cython.address(notice))
            elif notice.connection.channel.generation == notice.generation:
                if notice.connection.parked is not cython.NULL:
                    if notice.kind == NOTICE_CONTENT:
                        self.go_on_content(cython.cast(Parked, notice.connection.parked))
                    else:
                        self.go_on_drained(cython.cast(Parked, notice.connection.parked))
        self.notice_count -= count
        for index in range(self.notice_count):
            self.notices[index] = self.notices[count + index]
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_protocol(self, notice: cython.pointer[Notice]) -> cython.int:
        """Tell the protocol that has taken a connection over; the part of the engine that knows it says how."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_takeover(self, response: Response, reason: object) -> cython.int:
        """The answer with which a protocol would have taken a connection over does not come about; likewise."""
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_drained(self, parked: Parked) -> cython.int:
        """The client has taken most of what was written: more may be."""
        drained: object = parked.drained
        if drained is None:
            return 0
        if count_unsent(parked.connection) > self.bounds[parked.connection.listener].low_water:
            parked.connection.wants_drained = True  # more was written since
            return 0
        parked.drained = None
        continuation, payload = drained
        if continuation is not None:
            return self.go_on(parked, continuation, payload, EVENT_WRITABLE_AGAIN)
        for future in payload:
            self.wake(future, None)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on_content(self, parked: Parked) -> cython.int:
        """A piece of the content is there, or its end, or what is wrong with it: hand it to whoever waits."""
        connection: cython.pointer[Connection] = parked.connection
        body: object = parked.body
        if body is None:
            return 0  # it stays for the one who asks next
        if parked.request.framed.is_partial and not has_piece(connection.intake):
            if connection.is_ended:
                self.close(connection)  # what is missing will never come
            return 0
        parked.body = None
        continuation, future = body
        if future is not None and future.done():
            return 0  # whoever waited was cancelled
        try:
            piece = self.take_piece(parked)
        except BodyError as error:
            if continuation is not None:
                return self.go_on(parked, continuation, error, EVENT_BAD)
            return self.wake(future, error)
        if continuation is not None:
            return self.go_on(parked, continuation, piece, EVENT_PIECE)
        return self.wake(future, piece)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wake(self, future: object, result: object) -> cython.int:
        """Have a coroutine go on with what it waits for; the part of the engine that runs them says how."""
        return 0


class _Return:
    """Brings the outcome of offloaded work back to the worker's thread."""

    def __init__(self, loop: Loop, parked: Parked, continuation: object) -> None:
        self._loop = loop
        self._parked = parked
        self._continuation = continuation

    def __call__(self, future: object) -> None:
        if not self._loop.has_ended():
            self._loop.post(self._parked.resume, (self._continuation, future))
