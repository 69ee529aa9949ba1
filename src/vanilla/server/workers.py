"""One worker: a thread that makes its state and its engine, reports, waits for the others, and runs until drained.

Everything a worker owns is made, used and closed on its own thread; what other threads may do is call the engine's
announce_drain, drain and stop, which only set flags and wake it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
from collections.abc import Callable, Iterable, Sequence

from vanilla.contract import Worker
from vanilla.engine.tick import Engine
from vanilla.limits import Limits
from vanilla.server.config import ServerConfig
from vanilla.server.log import LOG


class WorkerError(RuntimeError):
    """A worker of a running server died, or did not end when told to; `__cause__` is what it raised, if it did."""


class WorkerThread:
    """The thread of one worker.

    Attributes:
        worker: what handlers get; None until the thread has made it.
        engine: what serves; None until the thread has made it, and after it has returned.
        failure: what ended the thread, if it was an exception.
        has_ended: the engine has returned and closed everything it owned.
    """

    def __init__(
        self,
        index: int,
        config: ServerConfig,
        backend: str,
        cpu: int | None,
        take: Callable[[int], Sequence[tuple[int, Limits, int, Iterable[str]]]],
        on_end: Callable[[WorkerThread], None],
    ) -> None:
        self.index = index
        self.worker: Worker | None = None
        self.engine: Engine | None = None
        self.failure: BaseException | None = None
        self.has_ended = False
        self._is_abandoned = False
        self._config = config
        self._backend = backend
        self._cpu = cpu
        self._take = take
        self._on_end = on_end
        self._may_run = threading.Event()
        # A daemon, so that a handler that never returns cannot keep a process from exiting; wait() reports it instead.
        self._thread = threading.Thread(target=self._main, name=f"vanilla-worker-{index}", daemon=True)

    def start(self, reports: queue.SimpleQueue[WorkerThread]) -> None:
        """Begin to prepare; this object is put into `reports` when that is done or has failed."""
        self._reports = reports
        self._thread.start()

    def run(self) -> None:
        """Let it serve."""
        self._may_run.set()

    def abandon(self) -> None:
        """End it before it has served: whatever it made is closed, on its own thread."""
        self._is_abandoned = True  # before the look at the engine: it may be in the making, and is stopped there then
        engine = self.engine
        if engine is not None:
            engine.stop()
        self._may_run.set()
        self.join()

    def join(self) -> None:
        """Wait until the thread is gone; at once if it was never started."""
        if self._thread.ident is not None:
            self._thread.join()

    def is_current(self) -> bool:
        """Whether the caller is this thread: a handler, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def _main(self) -> None:
        try:
            self._prepare()
        except BaseException as error:  # start() raises it on the thread that called it
            self.failure = error
            self.has_ended = True
            self._reports.put(self)
            return
        self._reports.put(self)
        self._may_run.wait()
        assert self.engine is not None
        try:
            self.engine.run()
        except BaseException as error:
            self.failure = error
            LOG.critical("worker %d died; the server shuts down", self.index, exc_info=True)
        finally:
            self.engine = None  # its last descriptors close with it, once no other thread is about to wake it
            self.has_ended = True
            self._on_end(self)

    def _prepare(self) -> None:
        config = self._config
        if self._cpu is not None:  # before anything is allocated, so that the memory is near this CPU
            self._pin(self._cpu)
        worker = Worker(None, self.index, forwarded_allow_ips=config.forwarded_allow_ips)
        with contextlib.ExitStack() as on_failure:
            listeners = self._take(self.index)
            for fd, *_ in listeners:
                on_failure.callback(socket.close, fd)
            engine = Engine(
                config.handler,
                worker,
                listeners,
                backend=self._backend,
                check_responses=config.check_responses,
                is_streaming=config.is_streaming,
                on_timing=config.on_timing,
                is_async=config.is_async,
                ignores_disconnect=config.on_disconnect == "ignore",
                offload_threads=config.offload_threads,
                offload_queue=config.offload_queue,
            )
            on_failure.pop_all()
        try:
            if config.make_state is not None:
                worker.state = engine.prepare(config.make_state())
            if config.on_worker_start is not None:
                engine.prepare(config.on_worker_start(worker))
        except BaseException:
            engine.stop()
            engine.run()  # closes the listeners that it owns by now
            del engine  # the traceback, which lives on in `failure`, would keep it
            raise
        engine.on_stop = config.on_worker_stop
        self.worker, self.engine = worker, engine
        if self._is_abandoned:
            engine.stop()

    def _pin(self, cpu: int) -> None:
        try:
            os.sched_setaffinity(0, {cpu})  # 0: this thread, sched_setaffinity(2)
        except OSError as error:
            LOG.warning("worker %d: not pinned to CPU %d: %s; it runs on any", self.index, cpu, error.strerror)
