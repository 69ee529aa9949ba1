"""A server and the scripts played against it, from its start to its stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

from vanilla.counters import Counters
from vanilla.net.listen import Listener
from vanilla.server import Server, ServerConfig
from vanilla.testing.client import BARRIER, DEADLINE_SECONDS, Client, DeadlineExceededError
from vanilla.testing.scripts import Result, Script

STOP_GRACE_SECONDS = 0.5
COUNTERS_EVERY_SECONDS = 0.001


class Results(list[Result]):
    """What became of each connection, in the order of the scripts.

    Attributes:
        counters: the server's, added up over its workers, once it was down: `in_flight` and `open` should be 0.
    """

    def __init__(self, results: Iterable[Result], counters: Counters) -> None:
        super().__init__(results)
        self.counters = counters


class Session(Client):
    """A `Client` with a server of its own: started by `with`, stopped at its end.

    Args:
        config: what to serve. Ports are replaced by free ones; unix sockets stay where they are. For `Round.send` in
            pieces give it `workers=1`.
        deadline: seconds that each call may take before it raises DeadlineExceededError.
        barrier: see `Client`.

    Attributes:
        server: for tests that shut it down themselves.
        address: of the first listener; `server.addresses` has them all.
    """

    def __init__(self, config: ServerConfig, *, deadline: float = DEADLINE_SECONDS, barrier: bytes = BARRIER) -> None:
        super().__init__("", deadline=deadline, barrier=barrier)
        self.server = Server(_on_free_ports(config))

    def __enter__(self) -> Self:
        try:
            self.server.start()
        except BaseException:
            self._loop.close()
            raise
        self.address = self.server.addresses[0]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self.server.shutdown(STOP_GRACE_SECONDS if error is None else 0)

    def stop(self) -> Counters:
        """Close the connections, shut the server down, and wait until it is; harmless if it is down.

        Returns: its final counters.
        """
        self.close()
        self.server.shutdown(STOP_GRACE_SECONDS)
        return self.server.counters()

    def await_counters(self, holds: Callable[[Counters], bool]) -> Counters:
        """Wait for what no client can see, such as a limit reached while nobody reads.

        Returns: the counters of which it held.
        Raises: DeadlineExceededError with the counters of which it did not.
        """
        end = time.monotonic() + self.deadline
        while not holds(counters := self.server.counters()):
            if time.monotonic() >= end:
                raise DeadlineExceededError(f"counters after {self.deadline:g} s: {counters}", [])
            self._loop.turn(time.monotonic() + COUNTERS_EVERY_SECONDS)
        return counters


def drive(config: ServerConfig, scripts: Sequence[Script], *, deadline: float = DEADLINE_SECONDS) -> Results:
    """Start a server on a free port, play every script on a connection of its own, all at once, and stop the server.

    Args:
        config: what to serve; see `Session`.
        scripts: one for each connection.
        deadline: seconds for the scripts.

    Returns: what became of each, and the server's counters after the end.
    Raises: DeadlineExceededError with everything received so far.
    """
    with Session(config, deadline=deadline) as session:
        group = session.fire(scripts)
        return Results(group.results, session.stop())


def _on_free_ports(config: ServerConfig) -> ServerConfig:
    listeners = [_on_free_port(listener) for listener in config.listeners]
    return dataclasses.replace(config, listeners=listeners, host=None, port=None, uds=None, fd=None)


def _on_free_port(listener: Listener) -> Listener:
    return listener if listener.port is None else dataclasses.replace(listener, port=0)
