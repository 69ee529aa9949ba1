"""The tick: three phases over one worker's connections, with one hand-over of the GIL.

    1. poll, no GIL     wait; accept; receive; frame and validate every complete request; expire deadlines
    2. handle, GIL      call the handler for each framed request, in order, all into one response buffer
    3. flush, no GIL    one send for each connection; what the kernel does not take is kept until it is writable

A tick without a framed request never takes the GIL: refusals and timeouts are answered from canned bytes. Nor does one
whose requests a compiled handler answers from bytes that it keeps. A connection brings at most one burst a tick; while
it has unsent answers nothing is read from it, so a client that does not read holds back nobody but itself. RFC 9112
section 9.3 (persistence), 9.6 (closing).
"""

from __future__ import annotations

import functools
import importlib
import math

import cython
from cython.cimports.vanilla.backends.interface import ACCEPTED, READY, RECEIVED
from cython.cimports.vanilla.contract.worker import LIMIT_PENDING
from cython.cimports.vanilla.engine.accepting import (
    STARVED_RETRY_MS,
    add_listener,
    drop_handed,
    has_backlog,
    keep_house,
    look_around,
    on_accepted,
    pass_on,
    stop_accepting,
    take_handed,
    to_ms,
)
from cython.cimports.vanilla.engine.answers import (
    FLUSH_AFTER_NS,
    finish_burst,
    flush,
    flush_written,
    is_full,
    on_writable,
    send_burst,
)
from cython.cimports.vanilla.engine.arrivals import go_on_listed, on_due, on_received
from cython.cimports.vanilla.engine.connections import FIRST_BYTE, IDLE, Waiting, count_unsent, new_waiting
from cython.cimports.vanilla.engine.contents import keep_pieces_warm
from cython.cimports.vanilla.engine.state import connection_of, read_clock_ns
from cython.cimports.vanilla.engine.timings import deliver_timings
from cython.cimports.vanilla.net.platform import ECONNABORTED

from vanilla.backends.choose import new_backend
from vanilla.engine.calls import log
from vanilla.engine.neighbours import Neighbours
from vanilla.engine.offload import Offload
from vanilla.net.descriptors import explain
from vanilla.recording import EndedLoop

ANNOUNCE, DRAIN, STOP = 1, 2, 4  # what another thread may ask: bits, so that none is lost when two ask at once


@cython.final
@cython.cclass
class Engine(Handling):
    """One worker: its backend, its connections, and the loop that serves them on the thread that calls `run`.

    Args:
        handler: called as handler(request, response, worker).
        worker: what handlers see of this thread.
        listeners: (descriptor, limits, most connections or 0, networks of proxies) each; listening and non-blocking.
            The engine owns the descriptors.
        backend: the event mechanism's name, as choose_backend gives it.
        check_responses: whether what a handler appended is checked to be one whole response.
        is_streaming: whether the handler is called as soon as a head is in, with its content still to come.
        on_timing: called with a RequestTiming once the kernel has taken the last byte of an answer.
        is_async: whether the handler may return coroutines: an asyncio loop is made for them.
        ignores_disconnect: whether these go on when their client is gone.
        offload_threads, offload_queue: for `Worker.offload`.

    Raises: OSError if the mechanism cannot be had.
    """

    def __init__(
        self,
        handler: object,
        worker: Worker,
        listeners: object,
        *,
        backend: str = "epoll",
        check_responses: bool = False,
        is_streaming: bool = False,
        on_timing: object = None,
        is_async: bool = False,
        ignores_disconnect: bool = False,
        offload_threads: int = 4,
        offload_queue: int = 64,
    ) -> None:
        self.handler = handler
        self.compiled = handler if isinstance(handler, CompiledHandler) else None
        self.ignores_disconnect = ignores_disconnect
        self.make_offloads = functools.partial(
            Offload, offload_threads, offload_queue, f"vanilla-worker-{worker.index}-offload"
        )
        self.turn_ms = -1
        self.worker = worker
        worker.loop = self
        self.counts = cython.address(worker.counts)
        self.checks_responses = check_responses
        self.is_streaming = is_streaming
        if is_streaming:
            keep_pieces_warm()
        self.on_timing = on_timing
        self.is_timed = on_timing is not None
        self.may_answer_at_once = self.compiled is not None and not self.is_timed
        self.timings = []
        self.request = self.new_request()
        self.response = self.new_response()
        self.backend = new_backend(backend, self.pool)
        self.allowances = self.backend.allowances
        self.now_ms = read_clock_ns() // 1_000_000
        self.wheel.now_ms = self.now_ms
        self.meet(Neighbours(1))
        try:
            for number, (fd, limits, connections_max, proxies) in enumerate(listeners):
                add_listener(self, number, fd, limits, connections_max, proxies)
            if is_async:
                # Only here, so that a server without coroutines never imports asyncio.
                self.runner = importlib.import_module("vanilla.engine.coroutines").Runner(
                    self, f"vanilla-worker-{worker.index}"
                )
                self.starter = self.runner.starter
        except BaseException:
            self.backend.disown_listeners()  # the caller closes what it still owns
            raise

    def meet(self, neighbours: Neighbours) -> None:
        """Be one of the workers of a server, all with the same listeners. Before any of them runs."""
        self.seat = neighbours.seat(self.backend, self.worker)
        self.neighbours = neighbours
        self.backend.is_alone = self.neighbours.size == 1

    # What other threads may call.

    def announce_drain(self) -> None:
        """Go on accepting and serving, but have every answer close its connection. Any thread."""
        self.ask(ANNOUNCE)

    def drain(self, grace: float) -> None:
        """Stop accepting, close idle connections, finish what is in flight, for `grace` seconds; `run` returns then."""
        self.grace_ms = to_ms(grace)
        self.ask(DRAIN)

    def stop(self) -> None:
        """Have `run` return at once; what is in flight is cut. Any thread."""
        self.ask(STOP)

    def ask(self, command: int) -> None:
        """Leave a command for the worker and wake it."""
        atomic_or(cython.address(self.command), command, RELEASE)
        self.backend.wake()

    # Phase 2: with the GIL.

    def run(self) -> None:
        """Serve until told to drain or stop, on the calling thread. Once only.

        Raises: OSError if the event mechanism itself fails.
        """
        if self.has_run:
            raise RuntimeError("this engine has run; make another")
        self.has_run = True
        try:
            if self.runner is not None:
                self.runner.run()
            else:
                with cython.nogil:
                    self.poll()
                while not self.is_over():
                    self.tick()
                    with cython.nogil:
                        self.poll()
            if self.wait_errno:
                raise OSError(self.wait_errno, f"{self.backend.name}: {explain(self.wait_errno)}")
        finally:
            self.shut()

    def turn(self, timeout: float | None) -> None:
        """What asyncio does instead of waiting: tick until it has something to do, `timeout` seconds at most.

        First what its coroutines have written since is sent.
        """
        now_ns: cython.longlong = read_clock_ns()
        self.counts.handler_since_ns = 0
        if self.left_ns:
            self.counts.gil_held_ns += now_ns - self.left_ns
        self.now_ms = now_ns // 1_000_000
        self.turn_ms = -1 if timeout is None else self.now_ms + (0 if timeout <= 0 else math.ceil(timeout * 1000))
        if self.is_timed:
            self.send_timed()
        with cython.nogil:
            flush_written(self)
            self.end_tick()
        while True:
            with cython.nogil:
                self.poll()
            if self.is_over():
                self.runner.stop()
                break
            self.tick()
            if self.has_coroutine_due():
                with cython.nogil:
                    self.settle_sends()  # coroutines append before the next wait
                break
        self.turn_ms = -1
        self.left_ns = self.counts.handler_since_ns = self.flushed_ns = read_clock_ns()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def has_coroutine_due(self) -> cython.bint:
        """Whether asyncio has something to do."""
        if self.runner.ready or self.runner.selected:
            return True
        return self.turn_ms >= 0 and self.now_ms >= self.turn_ms

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tick(self) -> cython.int:
        """Phases 2 and 3."""
        self.handle()
        if self.is_timed:
            self.send_timed()
        with cython.nogil:
            flush(self, self.burst_count)
            flush_written(self)
            self.end_tick()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def send_timed(self) -> cython.int:
        """Send what was answered, and hand out the times of what was taken."""
        with cython.nogil:
            flush(self, self.burst_count)
            flush_written(self)
            self.settle_sends()
        return deliver_timings(self)

    def prepare(self, hook: object) -> object:
        """What a hook returned that runs before the engine does, awaited if need be: nothing is accepted meanwhile."""
        index: cython.int
        if self.runner is None:
            return hook
        for index in range(self.listener_count):
            self.backend.pause_listener(index)
        try:
            return self.runner.run_hook(hook)
        finally:
            for index in range(self.listener_count):
                self.backend.resume_listener(index)

    def shut(self) -> None:
        """Close every descriptor: the last thing that the worker's thread does."""
        index: cython.int
        connection: cython.pointer[Connection]
        for index in range(self.flushed_count, self.burst_count):
            self.counts.in_flight -= self.bursts[index].count
        for index in range(self.listener_count):
            self.neighbours.close_listener(self.seat, index)
        drop_handed(self)
        for index in range(self.table.size()):
            connection = self.table.at(index)
            if connection.channel.fd >= 0:
                connection.error = ECONNABORTED
                self.close(connection)
        self.end_tick()
        self.backend.finish()
        if self.cut_count > 0:
            self.report_cut()
        self.run_gone()
        self.run_notices()
        self.is_cleaning = True
        self.finish_coroutines()
        self.run_last_mail()
        for timer in list(self.timers):
            timer.cancel()
        for watch in self.watches:
            if watch is not None:
                watch.cancel()
        self.resumptions.clear()
        if self.offloads is not None:
            self.offloads.close()
        with cython.critical_section(self.worker):
            self.worker.loop = EndedLoop()
        # None of them keeps the engine: the backend's descriptors close with it.
        self.request.loop = self.response.loop = None
        self.runner = None
        self.counts.handler_since_ns = 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def finish_coroutines(self) -> cython.int:
        """Give coroutines and the last hook a bounded time to clean up."""
        runner: object = self.runner
        if runner is not None:
            self.call(runner.finish, ())
        if self.on_stop is not None:
            try:
                result = self.on_stop(self.worker)
                if runner is not None:
                    runner.run_last(result)
            except BaseException as error:
                self.report(self.worker, "on_worker_stop raised", error)
        if runner is not None:
            self.call(runner.close, ())
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def handle(self) -> cython.int:
        """Call the handler for every request framed in this tick."""
        index: cython.int
        position: cython.int
        burst: cython.pointer[Burst]
        held_since_ns: cython.longlong = read_clock_ns()
        now_ns: cython.longlong = held_since_ns
        self.has_notice = False
        if self.must_log_starved:
            self.must_log_starved = False
            self.report_starved()
        if self.cut_count > 0:
            self.report_cut()
        self.flushed_ns = held_since_ns
        self.finished_count = self.answered_count
        self.run_waiting()
        for index in range(self.answered_count, self.burst_count):
            burst = cython.address(self.bursts[index])
            position = self.answered_position
            self.answered_position = 0
            if position == 0:
                burst.start = self.buffer.length
            while position < burst.count and burst.connection.channel.generation == burst.generation:
                self.counts.handler_since_ns = now_ns
                if not self.handle_request(burst, position, now_ns):
                    burst.trailing = 0
                    position = burst.count
                    break
                position += 1
                now_ns = read_clock_ns()
                if now_ns - self.flushed_ns > FLUSH_AFTER_NS or is_full(self.buffer):
                    self.counts.handler_since_ns = 0
                    self.flush_early(index, position)
                    now_ns = self.flushed_ns = read_clock_ns()
            finish_burst(self, burst)
        self.finished_count = self.burst_count
        self.run_resumptions()
        self.has_notice = self.gone_count > 0 or self.notice_count > 0
        self.counts.handler_since_ns = 0
        now_ns = read_clock_ns()
        self.counts.gil_held_ns += now_ns - held_since_ns
        self.now_ms = now_ns // 1_000_000  # a handler may have taken seconds: deadlines count from its answer
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def run_waiting(self) -> cython.int:
        """Run what came due, became ready, or was posted, before the new requests: it has waited longer."""
        came_due: list = self.hold_due() if self.due_count > 0 else None
        if self.gone_count > 0:
            self.run_gone()
        if self.has_told_streams and self.has_drain_calls:
            self.tell_streams()
        if self.has_told_streams and not self.has_told_takeovers:
            self.tell_takeovers()
        self.run_mail()
        if self.notice_count > 0:
            self.run_notices()
        if self.ready_count > 0:
            self.run_ready()  # before the timers: what came in time is not late because its worker was busy
        if came_due is not None:
            self.run_due(came_due)
        return self.run_resumptions()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def flush_early(self, index: cython.int, handled: cython.int) -> cython.int:
        """Send what has been answered so far, in the midst of burst `index`, and go on with an empty buffer.

        A client that does not take its answers has the rest of its burst wait until it does.
        """
        burst: cython.pointer[Burst] = cython.address(self.bursts[index])
        connection: cython.pointer[Connection] = burst.connection
        waiting: cython.pointer[Waiting]
        burst.end = self.buffer.length
        self.now_ms = read_clock_ns() // 1_000_000
        with cython.nogil:
            flush(self, index)
            flush_written(self)
            send_burst(self, burst)
            self.settle_sends()
            self.buffer.clear()
        burst.start = burst.end = 0
        if connection.channel.generation != burst.generation or handled == burst.count:
            return 0
        if count_unsent(connection) > self.bounds[connection.listener].pending_bytes:
            waiting = new_waiting(
                burst.slab,
                cython.address(self.framed[burst.first + handled]),
                burst.count - handled,
                burst.trailing,
            )
            if waiting is cython.NULL:
                self.close(connection)
                return 0
            connection.waiting = waiting
            burst.count = handled
            burst.trailing = 0
            self.reached(LIMIT_PENDING)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def report_starved(self) -> cython.void:
        """Log that there are no descriptors left."""
        wait_ms: int = STARVED_RETRY_MS
        try:
            log.error(
                "accept: out of descriptors or memory; new connections wait, tried every %d ms; raise `ulimit -n`",
                wait_ms,
            )
        except Exception:
            return

    # Phase 1: without the GIL.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def poll(self) -> cython.void:
        """Turn until requests are framed, something is to be logged, or the worker is over."""
        index: cython.int
        result: cython.int
        completion: cython.pointer[Completion]
        node: cython.pointer[TimerNode]
        while True:
            self.obey()
            take_handed(self)
            if self.is_over():
                return
            self.counts.ticks += 1
            go_on_listed(self)
            result = self.backend.wait(
                0 if self.burst_count + self.listed_count > 0 or self.has_notice else self.find_timeout_ms()
            )
            if result < 0:
                self.wait_errno = -result
                return
            self.received_ns = read_clock_ns()
            self.now_ms = self.received_ns // 1_000_000
            if self.backend.untaken_count > 0:
                self.take_back()
            self.wheel.advance(self.now_ms)
            if self.now_ms >= self.looks_around_ms:
                look_around(self)
            for index in range(self.backend.completion_count):
                completion = cython.address(self.backend.completions[index])
                if completion.kind == ACCEPTED:
                    on_accepted(self, completion.start, completion.result, cython.address(completion.peer))
                elif completion.kind == READY:
                    self.on_ready(completion)
                elif completion.channel.fd < 0:
                    continue
                elif completion.kind == RECEIVED:
                    on_received(self, completion)
                else:
                    on_writable(self, connection_of(completion.channel), completion.result)
            if self.backend.kept_count > 0 or self.backend.has_unplaced:
                pass_on(self)
            while True:
                node = self.wheel.take_due()
                if node is cython.NULL:
                    break
                if node.owner is not cython.NULL:
                    self.on_timer(node.owner)
                elif node == cython.address(self.housekeeping):
                    keep_house(self)
                else:
                    on_due(self, cython.cast(cython.pointer[Connection], node))
            if self.has_stopped_accepting and not (self.has_told_streams or self.is_cleaning):
                self.look_at_streams()
            if self.has_notice or atomic_load(cython.address(self.has_mail), ACQUIRE):
                return
            if self.framed_count > 0 and not self.answer_at_once():
                return
            if 0 <= self.turn_ms <= self.now_ms:
                return  # asyncio has something to do
            for index in range(self.answered_count, self.burst_count):
                self.bursts[index].start = self.buffer.length
                finish_burst(self, cython.address(self.bursts[index]))
            flush(self, self.burst_count)
            self.end_tick()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def answer_at_once(self) -> cython.bint:
        """Have a compiled handler answer the requests of this tick, in order, as far as it needs no Python for that;
        False where the rest of them is for phase 2.
        """
        burst: cython.pointer[Burst]
        framed: cython.pointer[Framed]
        status: cython.int
        if not self.may_answer_at_once or atomic_load(cython.address(self.command), ACQUIRE) != 0:
            return False
        while self.answered_count < self.burst_count:
            burst = cython.address(self.bursts[self.answered_count])
            if self.answered_position == 0:
                burst.start = self.buffer.length
            while self.answered_position < burst.count and burst.connection.channel.generation == burst.generation:
                framed = cython.address(self.framed[burst.first + self.answered_position])
                if framed.version != 11 or framed.is_last or framed.is_partial or is_full(self.buffer):
                    return False
                status = self.compiled.answer_at_once(self.worker, framed, self.buffer, self.date)
                if status == 0:
                    return False
                self.counts.requests += 1
                self.counts.responses[status // 100] += 1
                self.answered_position += 1
            finish_burst(self, burst)
            self.answered_count += 1
            self.answered_position = 0
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_over(self) -> cython.bint:
        """Whether the loop ends: told to stop, drained, out of grace, or without an event mechanism."""
        if self.is_cleaning:
            return self.wait_errno != 0
        if self.wait_errno or atomic_load(cython.address(self.command), ACQUIRE) & STOP:
            return True
        if not self.has_stopped_accepting:
            return False
        if self.now_ms >= self.cut_ms:
            return True
        if self.counts.open > 0 or self.orphan_count > 0 or self.handed is not cython.NULL:
            return False
        return not self.has_drain_calls and not has_backlog(self)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def look_at_streams(self) -> cython.void:
        """While the server drains: once all other answers are finished, or half of the grace is over, it is for the
        streams to end.
        """
        if self.counts.in_flight <= self.stream_count + self.taken_count or self.now_ms >= self.tell_ms:
            self.has_told_streams = self.has_notice = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_timeout_ms(self) -> cython.longlong:
        """How long the wait may be: until the next deadline, or the end of the grace; -1 for ever."""
        due_ms: cython.longlong = self.wheel.next_ms()
        if (
            self.has_stopped_accepting
            and not (self.has_told_streams or self.is_cleaning)
            and (due_ms < 0 or self.tell_ms < due_ms)
        ):
            due_ms = self.tell_ms
        if self.has_stopped_accepting and not self.is_cleaning and (due_ms < 0 or self.cut_ms < due_ms):
            due_ms = self.cut_ms
        if self.turn_ms >= 0 and (due_ms < 0 or self.turn_ms < due_ms):
            due_ms = self.turn_ms
        return -1 if due_ms < 0 else max(due_ms - self.now_ms, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def obey(self) -> cython.void:
        """Between two ticks: begin what another thread asked for."""
        command: cython.int = atomic_load(cython.address(self.command), ACQUIRE)
        if command == 0 or self.is_cleaning:
            return
        self.worker.is_draining = True
        if command & DRAIN:
            if not self.has_stopped_accepting:
                stop_accepting(self)
                self.tell_ms = self.cut_ms - self.grace_ms // 2
            else:
                self.close_idle()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_idle(self) -> cython.void:
        """Close every connection on which nothing is under way, unless its next request arrived this instant."""
        index: cython.int
        connection: cython.pointer[Connection]
        for index in range(self.table.size()):
            connection = self.table.at(index)
            if connection.channel.fd >= 0 and connection.has_shut:
                self.hasten_end(connection)
            if connection.channel.fd < 0 or (connection.deadline != IDLE and connection.deadline != FIRST_BYTE):
                continue
            if not self.backend.has_unread(cython.address(connection.channel)):
                self.close(connection)
