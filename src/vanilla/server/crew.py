"""The workers of one server and the sockets shared out among them: prepared together, run together, gone together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable

from vanilla.contract import Worker
from vanilla.engine.neighbours import Neighbours
from vanilla.engine.tick import Engine
from vanilla.limits import Limits
from vanilla.net.sockets import Address, OpenListener, open_listener
from vanilla.server.config import ServerConfig, check_addresses, connection_shares
from vanilla.server.cpus import allowed_cpus
from vanilla.server.workers import WorkerThread


class Crew:
    """All or nothing: either every listener listens and every worker is ready, or nothing is left open.

    Attributes:
        threads: one for each worker, in the order of their index.
        addresses: where it listens, ports as they really are.
    """

    def __init__(
        self, config: ServerConfig, backend: str, on_end: Callable[[WorkerThread], None], on_down: Callable[[], None]
    ) -> None:
        """on_end: called on each worker's thread when it has ended; on_down: on the last one's, once files are gone."""
        self._config = config
        self._open: list[OpenListener] = []
        self._on_end = on_end
        self._on_down = on_down
        self._counting = threading.Lock()  # held by threads that end, for a moment, and by nobody else
        self._running_count = 0
        self._was_launched = False
        self._neighbours: Neighbours | None = None  # while they run: it keeps descriptors
        cpus = allowed_cpus() if config.pin else []
        self.addresses: list[Address] = []
        self.threads = [
            WorkerThread(index, config, backend, cpus[index % len(cpus)] if cpus else None, self._take, self._ended)
            for index in range(config.workers)
        ]

    @property
    def workers(self) -> list[Worker]:
        """The workers that have been made."""
        return [thread.worker for thread in self.threads if thread.worker is not None]

    def prepare(self) -> None:
        """Open the listeners, and have each worker make its state and its engine on its own thread.

        Raises: what the first of these raised; the rest is undone.
        """
        try:
            for listener in self._config.listeners:
                self._open.append(open_listener(listener, self._config.workers, self._config.backlog))
            self.addresses = [address for one in self._open for address in one.addresses]
            check_addresses(len(self.addresses))
            self._shares = [self._shares_of(one) for one in self._open]
            reports: queue.SimpleQueue[WorkerThread] = queue.SimpleQueue()
            for thread in self.threads:
                thread.start(reports)
            for _ in self.threads:
                failure = reports.get().failure
                if failure is not None:
                    raise failure
        except BaseException:
            self._abandon()
            raise

    def run(self) -> None:
        """Let every worker serve, knowing of the others."""
        neighbours = Neighbours(len(self.threads))
        for engine in self.engines():
            engine.meet(neighbours)
        self._neighbours = neighbours
        self._was_launched = True
        self._running_count = len(self.threads)
        for thread in self.threads:
            thread.run()

    def relieve(self) -> None:
        """Have another worker take the new connections of one that is held up in a handler."""
        neighbours = self._neighbours
        if neighbours is not None:
            neighbours.relieve()

    def engines(self) -> list[Engine]:
        """Those that have been made and have not returned; a copy."""
        return [engine for thread in self.threads if (engine := thread.engine) is not None]

    def _take(self, index: int) -> list[tuple[int, Limits, int, Iterable[str]]]:
        """What the engine of worker `index` listens on: descriptor, limits, most connections, proxies' networks."""
        taken = []
        for one, shares in zip(self._open, self._shares, strict=True):
            fds = one.take(index)
            mine = shares[index * len(fds) : (index + 1) * len(fds)]
            limits = self._config.limits_of(one.listener)
            taken += [(fd, limits, share, one.listener.proxy_protocol) for fd, share in zip(fds, mine, strict=True)]
        return taken

    def _shares_of(self, one: OpenListener) -> list[int]:
        sockets = self._config.workers * len(one.addresses)
        return connection_shares(one.listener.address, self._config.limits_of(one.listener).max_connections, sockets)

    def _abandon(self) -> None:
        for thread in self.threads:
            thread.abandon()
        self._close()
        self.addresses = []

    def _ended(self, thread: WorkerThread) -> None:
        if not self._was_launched:
            return  # abandoned
        self._on_end(thread)
        with self._counting:
            self._running_count -= 1
            is_last = self._running_count == 0
        if is_last:
            self._neighbours = None
            self._close()
            self._on_down()

    def _close(self) -> None:
        for one in self._open:
            one.remove_files()
            one.close()
