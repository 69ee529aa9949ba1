"""Going on with requests that wait: calling their continuations, writing to them from outside of a call, ending them.

What they append has a buffer of its own, since they may be resumed in the midst of another's handler; it leaves in the
same tick, behind what the same connection was answered before.
"""

from __future__ import annotations

import socket

import cython
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.vanilla.contract.request import IGNORE
from cython.cimports.vanilla.contract.response import BODYLESS, CHUNKED, RAW, UNTIL_CLOSE
from cython.cimports.vanilla.engine.answers import FLUSH_AFTER_NS, send_bytes
from cython.cimports.vanilla.engine.awaiting import Awaiting
from cython.cimports.vanilla.engine.connections import count_unsent
from cython.cimports.vanilla.engine.contents import has_piece, leave_content
from cython.cimports.vanilla.engine.judging import begin, fail, is_whole, judge, run_hooks, settle
from cython.cimports.vanilla.engine.state import NOTICE_CONTENT, Notice, read_clock_ns
from cython.cimports.vanilla.engine.timings import note_timing
from cython.cimports.vanilla.engine.watches import Watch
from cython.cimports.vanilla.net.platform import ECONNRESET

from vanilla.engine.reading import content_lost
from vanilla.engine.watches import EVENTS
from vanilla.errors import BodyError
from vanilla.net.descriptors import explain
from vanilla.steps import Event, Step

EVENT_WRITABLE_AGAIN, EVENT_RESUMED = int(Event.WRITABLE), int(Event.RESUMED)
EVENT_PIECE, EVENT_BAD = int(Event.READABLE), int(Event.ERROR)

_DONE, _CLOSE, _SUSPEND = Step.DONE, Step.CLOSE, Step.SUSPEND


@cython.cclass
class Resuming(Awaiting):
    """The part of the engine that goes on with requests that wait."""

    # One continuation.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_on(self, parked: Parked, continuation: object, payload: object, events: cython.int) -> cython.int:
        """Call a parked request's continuation, and send what it appends; any step but SUSPEND ends the wait."""
        connection: cython.pointer[Connection] = parked.connection
        start: cython.Py_ssize_t = self.resumed.length
        response: Response = parked.response
        result: object = None
        status: cython.int = 0
        if parked.task is not None:  # its coroutine writes to the answer until it is over
            if parked.early is None:
                parked.early = []
            parked.early.append((continuation, payload, events))
            return 0
        self.aim(parked, start)
        self.calling = connection
        self.current = parked
        self.counts.handler_since_ns = read_clock_ns()
        try:
            result = continuation(parked.request, response, self.worker, payload, EVENTS[events])
            if response.source is not None and result is not _SUSPEND:
                result = self.begin_source(parked.request, response, result)
        except BaseException as error:
            status = fail(self, parked.request, "a continuation raised", error)
        response.is_open = False
        self.calling = cython.NULL
        self.current = None
        self.counts.handler_since_ns = 0
        if not parked.is_active:
            return 0  # it cut itself off: abandon() comes
        if response.buffer is not self.resumed:  # it made way for what was written to others meanwhile
            start = self.resumed.length
            if not response.buffer.move_to(self.resumed, 0):
                raise MemoryError
            response.buffer = self.resumed
            response.begin = start
        if status == 0 and result is _SUSPEND and self.waits(parked):
            if parked.task is not None:
                self.suspend_coroutine(response, start)
            if self.send_more(parked, start):
                if parked.body is not None:
                    self.ask_content(parked)
                return 0
            start = self.resumed.length
            status = -500
        return self.conclude(parked, start, status, result)

    @cython.cfunc
    def begin_source(self, request: Request, response: Response, result: object) -> object:
        """The handler has left its content to an iterable: pull the first pieces."""
        if result is _CLOSE:
            response.closes = True
        elif result is not None and result is not _DONE:
            return result
        if not hasattr(response.source, "__aiter__"):
            return self.pull(request, response, self.worker, None, None)
        if self.runner is None:
            raise TypeError("stream: an asynchronous iterable needs an `async def` handler, and an event loop with it")
        return self.run_coroutine(self.runner.pull(response))

    def pull(self, request: Request, response: Response, worker: object, payload: object, event: object) -> object:
        """A continuation: append the next pieces of what `Response.stream` was given, as many as there is room for."""
        until_ns: cython.longlong = read_clock_ns() + FLUSH_AFTER_NS
        high_water: cython.Py_ssize_t = self.bounds[self.calling.listener].high_water
        if response.coding != BODYLESS:
            for piece in response.source:
                response.append(piece)
                if response.buffer.length - response.begin >= high_water or read_clock_ns() >= until_ns:
                    self.go_on_drained_with(response, self.pull, None)
                    return _SUSPEND
        self.drop_source(response)
        return _CLOSE if response.closes and not request.framed.is_last else _DONE

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def aim(self, parked: Parked, start: cython.Py_ssize_t) -> cython.int:
        """Have a parked request's response append to the buffer of those that were resumed."""
        response: Response = parked.response
        response.buffer = self.resumed
        response.begin = start
        response.informed = 0
        response.closes = parked.request.framed.is_last
        response.is_open = True
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_more(self, parked: Parked, start: cython.Py_ssize_t) -> cython.bint:
        """Send what a request that goes on waiting has appended; False, with the reason logged, where it is no head."""
        response: Response = parked.response
        if response.encoder is not None and response.buffer is self.resumed:
            response.sync_content()
        if response.has_begun:
            if parked.request.framed.is_head:
                self.resumed.truncate(start)  # what would follow the head of an answer to HEAD is its content
        elif self.resumed.length > start:
            start = begin(self, parked.request, response, self.resumed, start)
            if start < 0:
                return False
        parked.appended += self.resumed.count_bytes(start)
        self.push_written(parked.connection, start)
        self.flush_resumed()
        return True

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def conclude(self, parked: Parked, start: cython.Py_ssize_t, status: cython.int, result: object) -> cython.int:
        """End a wait: send what the request appended last, from `start` in the buffer of those that were resumed."""
        connection: cython.pointer[Connection] = parked.connection
        framed: cython.pointer[Framed] = cython.address(parked.request.framed)
        response: Response = parked.response
        is_final: cython.bint
        self.unpark(parked)
        self.drop_source(response)
        if result is _CLOSE:
            response.closes = framed.lingers = True
        if framed.is_partial and leave_content(self, connection, framed):
            response.closes = True
        if not response.has_begun:
            if status == 0:
                status = judge(self, parked.request, response, self.resumed, start, result)
            if response.begun_status < 0:
                status = response.begun_status
            if response.hooks is not None:
                status = run_hooks(self, parked.request, response, status)
                start = response.begin
            is_final = connection.waiting is cython.NULL
            if settle(self, self.resumed, start, framed, response, connection, is_final, status):
                self.drop_waiting(connection)
            response.begun_status = abs(status)
        else:
            if status == 0 and not is_whole(self, parked.request, response, result):
                status = -500
            if status < 0 or framed.is_head:
                self.resumed.truncate(start)
            if status < 0 or response.closes:
                connection.closes = True
                connection.lingers |= framed.lingers or status < 0
                self.drop_waiting(connection)
        response.is_open = False
        response.parked = response.loop = None
        if self.is_timed:
            if self.resumed.length > start:
                connection.taken_ns = 0  # else the last byte has been taken already, and that time stands
            parked.appended += self.resumed.count_bytes(start)
            note_timing(self, connection, parked.request, response.begun_status, parked.appended, parked.entered_ns)
        self.push_written(connection, start)
        return self.flush_resumed()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def unpark(self, parked: Parked) -> cython.int:
        """The wait is over: what the request still watches is watched no more, and its connection goes on."""
        watch: Watch
        parked.is_open = False
        parked.request.client_fd = -1
        self.parked.discard(parked)
        self.counts.parked -= 1
        self.stream_count -= parked.response.has_begun
        parked.connection.parked = cython.NULL
        parked.connection.wants_drained = False
        parked.request.parked = cython.NULL
        parked.request.loop = None
        parked.drained = None
        if parked.body is not None and parked.body[1] is not None:
            parked.body[1].cancel()
        parked.body = None
        for watch in list(parked.watches):
            watch.cancel()
        return 0

    # What has come for them, and what has become of their connections.

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
                socket.close(watch.fd)
            except OSError:
                continue  # on_disconnect closed it
        if parked.on_disconnect is not None:
            self.call(parked.on_disconnect, ())
        self.drop_hooks(parked.response)
        self.drop_source(parked.response)
        if parked.response.taking is not None:
            self.drop_takeover(parked.response, ConnectionResetError(ECONNRESET, explain(ECONNRESET)))
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
    def drop_hooks(self, response: Response) -> cython.int:
        """Nobody is answered any more: let go of the hooks, and call what was given in their place."""
        calls: list = response.unsent_calls
        response.hooks = response.unsent_calls = None
        if calls is not None:
            for function in reversed(calls):
                self.call(function, ())
        return 0

    # What handles do outside of a call.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def write_parked(self, parked: Parked, data: object) -> cython.int:
        """Parked.write."""
        response: Response = parked.response if parked.response is not None else self.response
        start: cython.Py_ssize_t
        if response.coding == RAW:
            raise RuntimeError("write: the answer has not begun; call response.start() first")
        if response.is_open:  # from within the call of its own handler or continuation, or beside its coroutine
            response.append(data)
            if parked.task is not None and parked.response is not None and not self.send_own(parked):
                raise RuntimeError("write: what was appended is no head of a response")
            return 0
        self.make_way()
        start = self.resumed.length
        self.aim(parked, start)
        try:
            response.append(data)
        finally:
            response.is_open = False
        self.send_more(parked, start)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_parked(self, parked: Parked) -> cython.int:
        """Parked.finish."""
        start: cython.Py_ssize_t
        if parked.response is None or parked.response.is_open:
            raise RuntimeError("finish in the request's own call, or while its coroutine runs: return Step.DONE there")
        self.make_way()
        start = self.resumed.length
        self.aim(parked, start)
        return self.conclude(parked, start, 0, None)

    def write_each(self, handles: list, data: bytes, unsent_max: int) -> list:
        """Worker.write_each."""
        parked: Parked
        response: Response
        connection: cython.pointer[Connection]
        left: list = []
        failure: object = None
        count: cython.Py_ssize_t = 0
        index: cython.Py_ssize_t
        chunk: bytes = b"%x\r\n%b\r\n" % (len(data), data)
        plain: cython.p_const_uchar = data
        framed: cython.p_const_uchar = chunk
        plain_length: cython.Py_ssize_t = len(data)
        framed_length: cython.Py_ssize_t = len(chunk)
        targets: cython.pointer[cython.pointer[Connection]]
        codings: cython.pointer[cython.bint]
        if plain_length == 0:
            return left
        targets = cython.cast(
            cython.pointer[cython.pointer[Connection]],
            malloc(max(len(handles), 1) * (cython.sizeof(cython.pointer[Connection]) + cython.sizeof(cython.bint))),
        )
        if targets is cython.NULL:
            raise MemoryError
        codings = cython.cast(cython.pointer[cython.bint], targets + len(handles))
        try:
            for parked in handles:
                if not parked.is_active or count_unsent(parked.connection) > unsent_max:
                    left.append(parked)
                    continue
                connection = parked.connection
                response = parked.response
                if (
                    response is None
                    or parked.task is not None
                    or response.encoder is not None
                    or response.is_open
                    or connection.written_count > 0
                    or parked.parked_tick == self.counts.ticks
                    or (response.coding != CHUNKED and response.coding != UNTIL_CLOSE)
                ):
                    try:
                        self.write_parked(parked, data)  # behind what this tick has still to send
                    except (RuntimeError, ValueError) as error:
                        failure = failure or error  # the others are no part of it
                    continue
                targets[count] = connection
                codings[count] = response.coding == CHUNKED
                parked.appended += framed_length if codings[count] else plain_length
                count += 1
            with cython.nogil:
                for index in range(count):
                    if targets[index].channel.fd < 0:
                        continue  # found gone since: by what was sent before, or by its first time in the list
                    if codings[index]:
                        send_bytes(self, targets[index], framed, framed_length)
                    else:
                        send_bytes(self, targets[index], plain, plain_length)
                self.settle_sends()
        finally:
            free(targets)
        if failure is not None:
            raise failure
        return left
