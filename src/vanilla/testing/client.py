"""Plays many scripts at once against one address, TCP or unix socket, under one deadline per call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from vanilla.testing.connection import Address, Connection
from vanilla.testing.loop import Loop
from vanilla.testing.scripts import Predicate, Result, Round, Script, ask

DEADLINE_SECONDS = 20.0
BARRIER = b"GET / HTTP/1.1\r\nHost: barrier\r\nConnection: close\r\n\r\n"
SHOWN_CONNECTIONS_MAX = 5


class DeadlineExceededError(TimeoutError):
    """The scripts were not played to their ends in time.

    Attributes:
        results: what every connection had received by then.
    """

    def __init__(self, message: str, results: list[Result]) -> None:
        super().__init__(message)
        self.results = results


class Group(tuple[Connection, ...]):
    """The connections of one `fire`, in the order of its scripts; open until either side closes them."""

    __slots__ = ()

    @property
    def results(self) -> list[Result]:
        """What became of each so far, in order."""
        return [connection.result for connection in self]


class Client:
    """Plays scripts against a server that somebody else started; `Session` starts its own.

    Args:
        address: (host, port), or the path of a unix socket.
        deadline: seconds that each call may take before it raises DeadlineExceededError.
        barrier: the request whose answer proves that what was sent before has been received; see `Round.send`.
    """

    def __init__(self, address: Address, *, deadline: float = DEADLINE_SECONDS, barrier: bytes = BARRIER) -> None:
        self.address = address
        self.deadline = deadline
        self._barrier = ask(barrier)
        self._loop = Loop()
        self._connections: set[Connection] = set()
        self._held: list[Callable[[], None]] = []  # wait for the next barrier
        self._covered: list[Callable[[], None]] = []  # wait for the one under way

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._loop.close()

    def fire(self, scripts: Sequence[Script]) -> Group:
        """Open one connection per script and play them all at once; connections stay open if the server lets them.

        Returns: the connections; their `.results` are in the order of the scripts.
        Raises: DeadlineExceededError with everything received so far.
        """
        group = Group(self._open(script, _nothing) for script in scripts)
        self._play(group)
        return group

    def go_on(self, group: Sequence[Connection], *rounds: Round) -> list[Result]:
        """Play more rounds on connections that are still open.

        Returns: the results over the whole life of each.
        Raises: DeadlineExceededError with everything received so far.
        """
        for connection in group:
            connection.extend(rounds)
        self._play(group)
        return [connection.result for connection in group]

    def wait(self, group: Sequence[Connection], until: Predicate) -> list[Result]:
        """Await more on connections that are still open: all subscribe, one publishes, then all receive."""
        return self.go_on(group, Round(until=until))

    def close(self, group: Sequence[Connection] | None = None, *, reset: bool = False) -> None:
        """Close the connections of a group, or all of them; `reset` sends RST, as a client that crashed does."""
        for connection in list(self._connections if group is None else group):
            connection.close(reset=reset)
            self._connections.discard(connection)

    def _open(self, script: Script, on_done: Callable[[Connection], None]) -> Connection:
        connection = Connection(self._loop, self.address, script, self._hold, on_done)
        self._connections.add(connection)
        connection.connect()
        return connection

    def _play(self, group: Sequence[Connection]) -> None:
        end = time.monotonic() + self.deadline
        while unfinished := [connection for connection in group if not connection.is_done]:
            if time.monotonic() >= end:
                raise self._exceeded(group, unfinished)
            self._loop.turn(end)

    def _exceeded(self, group: Sequence[Connection], unfinished: list[Connection]) -> DeadlineExceededError:
        shown = [f"connection {group.index(each)}: {each.state}" for each in unfinished[:SHOWN_CONNECTIONS_MAX]]
        message = f"{len(unfinished)} of {len(group)} scripts not done after {self.deadline:g} s"
        return DeadlineExceededError("\n".join([message, *shown]), [connection.result for connection in group])

    def _hold(self, release: Callable[[], None]) -> None:
        self._held.append(release)
        self._loop.call_later(0, self._begin_barrier)  # not at once: one barrier serves all that are held in this turn

    def _begin_barrier(self) -> None:
        # A new connection each time: the accept queue and the ready list are first in, first out (epoll(7)), so a
        # worker that has read this request has read before it all that was sent on older connections.
        if self._held and not self._covered:
            self._covered, self._held = self._held, []
            self._open(self._barrier, self._end_barrier)

    def _end_barrier(self, barrier: Connection) -> None:
        if not barrier.received.frames:
            raise ConnectionError(f"the barrier was not answered: {barrier.state}; give Client a barrier= that is")
        self.close([barrier])
        covered, self._covered = self._covered, []
        for release in covered:
            release()
        self._begin_barrier()


def _nothing(connection: Connection) -> None:
    """A script's end is seen by asking `is_done`; only the barrier must be told."""
