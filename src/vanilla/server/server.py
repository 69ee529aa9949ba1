"""`Server`: from a config to running workers, and back to nothing.

# Facts about waiting
# A shutdown may be asked for by a signal handler, by a handler on a worker's own thread, or by any other thread. So the
# request itself never blocks and takes no lock that is ever held: it sets flags, wakes the engines and rings the bell.
# Whoever waits (wait, shutdown, run) hears the bell, and does what becomes due: ends the drain delay, reports a worker
# that does not return, and has a worker that is held up in a handler relieved. No thread exists for that alone.
"""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vanilla.backends.choose import choose_backend
from vanilla.contract import Worker
from vanilla.counters import Counters
from vanilla.net.listen import Listener
from vanilla.net.sockets import Address
from vanilla.server.bell import Bell, hear
from vanilla.server.config import ServerConfig, check_seconds
from vanilla.server.crew import Crew
from vanilla.server.log import LOG, listening_line
from vanilla.server.signals import caught
from vanilla.server.totals import added
from vanilla.server.trial import exchange
from vanilla.server.workers import WorkerError, WorkerThread

RELIEVE_EVERY_SECONDS = 0.2  # a few system calls each time, and an idle server is woken by nothing else
STUCK_AFTER_SECONDS = 1.0  # past the grace: an engine returns at once then, unless a handler on its thread does not
CLEAN_UP_SECONDS_MAX = 15.0  # before that, for coroutines, asynchronous generators and the last hook, 5 each


class Server:
    """One server: its listeners and its workers, started once, shut down once. Any number of them fit in a process.

    `Server(config).run()` is the whole program. In a program of its own: `with Server(config) as server:` serves while
    the block runs; `start()`, `wait()` and `shutdown()` are its parts.
    """

    def __init__(self, config: ServerConfig) -> None:
        """Nothing is opened yet; `config` was checked when it was made."""
        self.config = config
        self._backend = choose_backend(config.backend)
        self._crew = Crew(config, self._backend, self._on_worker_end, self._on_down)
        self._bell = Bell()
        # Both are taken once, never waited for and never released: whoever takes one is the first.
        self._start_begun = threading.Lock()
        self._shutdown_begun = threading.Lock()
        self._preparing_on: int | None = None  # the thread inside start() until the workers run
        self._was_launched = False  # a failure before that is raised by start() itself
        self._is_down = True
        self._grace = config.graceful_timeout
        self._drain_at: float | None = None  # monotonic: the end of the drain delay
        self._stuck_at: float | None = None  # monotonic: by then every engine has returned, or never will
        self._signals_caught = 0
        self._signals_unlogged: list[signal.Signals] = []

    def start(self) -> None:
        """Open the listeners, start the workers, and return once all of them serve.

        Raises: BindError if an address cannot be listened on; ConfigError if a host name stands for more addresses
            than `max_connections` has places; whatever make_state, on_worker_start or after_server_start raised;
            RuntimeError if this server was started or shut down before. Nothing is left open then.
        """
        self._prepare()
        self._launch()

    def run(self) -> None:
        """Start, serve until a SIGTERM, a SIGINT or a shutdown(), and return once everything is down.

        The first signal is a shutdown() with the config's drain_delay and graceful_timeout; a second one cuts what is
        left at once. Signals are only caught if this is the main thread; the previous handlers are put back.

        Raises: what start() raises; WorkerError if a worker died or is stuck in a handler.
        """
        self._prepare()
        with caught(self._on_signal):
            self._launch()
            self.wait()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is down.

        Args:
            timeout: seconds; None, the default, waits for as long as it takes.

        Returns: whether it is down; always, without a timeout.
        Raises: WorkerError if a worker died, which takes the server down, or if one has not returned from a handler
            1 second after the grace, 16 where coroutines are to clean up: its thread is left behind, and ends with the
            process or with that handler.
            RuntimeError in a handler: a worker cannot wait for itself.
        """
        if self._is_on_worker():
            raise RuntimeError("wait() inside a handler: the worker would wait for itself; call it on another thread")
        give_up_at = None if timeout is None else time.monotonic() + timeout
        with self._bell.listening() as ear:
            while not self._is_down:
                now = time.monotonic()
                self._do_what_is_due(now)
                if give_up_at is not None and now >= give_up_at:
                    return False
                relieve_at = now + RELIEVE_EVERY_SECONDS if self.config.workers > 1 else None
                due = [at for at in (give_up_at, self._drain_at, self._stuck_at, relieve_at) if at is not None]
                hear(ear, min(max(min(due) - now, 0.0), threading.TIMEOUT_MAX) if due else None)
        self._log_signals()  # the last of it may have come to pass before the first look
        for thread in self._crew.threads:
            thread.join()
        for thread in self._crew.threads:
            if thread.failure is not None and self._was_launched:
                raise WorkerError(f"worker {thread.index} died: {thread.failure!r}") from thread.failure
        return True

    def shutdown(self, grace: float | None = None) -> None:
        """Stop accepting, finish what is in flight, close everything; return when all is down.

        Idle connections close at once, answers still owed carry `Connection: close`. The config's drain_delay comes
        first, in which everything is still served. Any thread may call it, and a signal handler; calling it again
        waits for the same end. In a handler, and in a signal that interrupts start(), it only begins the shutdown and
        returns, as these cannot wait for themselves; a drain_delay then ends for whoever is in wait() or run().

        Args:
            grace: seconds for requests in flight; default: the config's graceful_timeout. 0 cuts everything at once,
                without the drain delay, also in a shutdown that is under way.

        Raises: ValueError if `grace` is negative or not finite; WorkerError as wait() does.
        """
        if grace is not None:
            check_seconds("grace", grace)
        grace = self.config.graceful_timeout if grace is None else grace
        self._begin_shutdown(grace, self.config.drain_delay)
        if not self._is_on_worker() and self._preparing_on != threading.get_ident():
            self.wait()

    @property
    def draining(self) -> bool:
        """Whether a shutdown has begun; a readiness probe answers 503 from then on."""
        return self._shutdown_begun.locked()

    @property
    def workers(self) -> Sequence[Worker]:
        """The workers in the order of their index; empty before start()."""
        return self._crew.workers

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, in the listeners' order: (host, port) with the real port, or a unix socket's path."""
        return list(self._crew.addresses)

    @property
    def port(self) -> int:
        """The first TCP listener's real port. Raises: RuntimeError before start(), or if there is none."""
        for address in self._crew.addresses:
            if not isinstance(address, str):
                return address[1]
        raise RuntimeError("port: this server has no TCP port, or was not started; see `addresses`")

    @property
    def backend(self) -> str:
        """The event mechanism in use, such as "epoll": what "auto" stands for on this machine."""
        return self._backend

    def counters(self) -> Counters:
        """The workers' counters, added up: from any thread, without a lock, also after the end.

        `handler_since_ns` is the earliest of those inside a handler: the one that has been there longest.
        """
        return added([worker.counters() for worker in self._crew.workers])

    def test(self, requests: Sequence[bytes], timeout: float = 10.0) -> list[bytes]:
        """The raw answers to raw requests: serves on a free port of 127.0.0.1 with one worker, asks, and stops again.

        This server itself is not started: its config is served by another one. Each request has a connection of its
        own, one after another, and is half-closed behind its last byte: so the answer ends where the server closes.

        Args:
            requests: bytes as they go over the wire; one item may hold several pipelined requests.
            timeout: seconds that one connection may be silent.

        Returns: everything the server sent on each connection.
        Raises: TimeoutError if a connection stays silent; what start() raises.
        """
        listener = Listener("127.0.0.1", 0, limits=self.config.listeners[0].limits)
        config = dataclasses.replace(self.config, listeners=(listener,), workers=1, drain_delay=0.0)
        with Server(config) as server:
            return [exchange(("127.0.0.1", server.port), request, timeout) for request in requests]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Shut down; left by an exception, at once."""
        self.shutdown(None if error is None else 0)

    def _prepare(self) -> None:
        """Everything that may fail, up to workers that only wait to be let go."""
        if self.draining or not self._start_begun.acquire(blocking=False):
            raise RuntimeError("start(): this server was started or shut down before; make another Server(config)")
        self._is_down = False
        self._preparing_on = threading.get_ident()
        try:
            self._bell.open()
            self._crew.prepare()
        except BaseException:
            self._shutdown_begun.acquire(blocking=False)
            self._on_down()
            raise
        finally:
            self._preparing_on = None

    def _launch(self) -> None:
        """Let the workers serve, and say so."""
        self._was_launched = True
        self._crew.run()
        LOG.info("%s", listening_line(self.addresses, self.config.workers, self._backend))
        if self.draining:  # asked for while the workers were being made: not all of them have heard it
            if self._drain_at is not None:
                self._announce_drain()
            elif self._stuck_at is not None:  # else whoever asks has not got so far, and tells them all
                self._drain(self._grace)
        elif self.config.after_server_start is not None:
            try:
                self.config.after_server_start(self)
            except BaseException:
                self.shutdown(0)
                raise

    def _begin_shutdown(self, grace: float, delay: float) -> None:
        """Ask for a shutdown: reentrant, never blocks. The first decides the grace; a later one matters if it is 0."""
        is_first = self._shutdown_begun.acquire(blocking=False)
        if is_first or grace == 0:
            self._grace = grace
        if grace == 0 or (is_first and delay == 0):
            self._drain(grace)
        elif is_first:
            self._drain_at = time.monotonic() + delay
            self._announce_drain()
        self._bell.ring()

    def _announce_drain(self) -> None:
        """Tell every engine that the drain delay has begun."""
        for engine in self._crew.engines():
            engine.announce_drain()

    def _drain(self, grace: float) -> None:
        """Tell every engine to come to its end; 0 cuts."""
        self._drain_at = None
        patience = CLEAN_UP_SECONDS_MAX + STUCK_AFTER_SECONDS if self.config.is_async else STUCK_AFTER_SECONDS
        self._stuck_at = time.monotonic() + grace + patience
        for engine in self._crew.engines():
            if grace == 0:
                engine.stop()
            else:
                engine.drain(grace)

    def _do_what_is_due(self, now: float) -> None:
        """What is left to whoever waits: relief for a worker that is held up, what takes time in a shutdown."""
        self._log_signals()
        self._crew.relieve()
        if self._drain_at is not None and now >= self._drain_at:
            self._drain(self._grace)
        if self._stuck_at is not None and now >= self._stuck_at:
            stuck = [str(thread.index) for thread in self._crew.threads if not thread.has_ended]
            if stuck:
                raise WorkerError(f"worker {', '.join(stuck)} does not return: a handler has not returned to it")

    def _log_signals(self) -> None:
        while self._signals_unlogged:
            number = self._signals_unlogged.pop(0)
            LOG.info("%s: draining for up to %g s; once more stops at once", number.name, self.config.graceful_timeout)

    def _on_signal(self, number: signal.Signals) -> None:
        """Between two bytecodes of the main thread: flags only."""
        self._signals_caught += 1
        if self._signals_caught == 1:
            self._signals_unlogged.append(number)
            self._begin_shutdown(self.config.graceful_timeout, self.config.drain_delay)
        else:
            self._begin_shutdown(0, 0)

    def _on_worker_end(self, thread: WorkerThread) -> None:
        """On a worker's thread: one that ends without having been told to takes the others down, drained."""
        if self.draining:
            return
        if thread.failure is None:
            thread.failure = RuntimeError("its engine returned without having been told to")
        self._begin_shutdown(self.config.graceful_timeout, 0)

    def _on_down(self) -> None:
        self._is_down = True
        self._bell.ring()
        self._bell.close()

    def _is_on_worker(self) -> bool:
        return any(thread.is_current() for thread in self._crew.threads)
