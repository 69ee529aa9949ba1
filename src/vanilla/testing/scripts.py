"""What a scripted connection sends, what it awaits, and what became of it: data only, no sockets."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Sequence

from vanilla.testing.responses import Frame, ResponseReader

RECEIVE_BYTES = 256 * 1024  # per recv(2), unless the script says less


class Received:
    """All that one connection has received so far; what a predicate is asked about.

    Attributes:
        raw: the bytes, from the first.
        eof: the server has closed, or reset, the connection.
        reset: it was a reset: the server closed with input unread, or an answer may have been lost.
    """

    def __init__(self, heads: Container[int] = ()) -> None:
        self.raw = bytearray()
        self.eof = False
        self.reset = False
        self._reader = ResponseReader(heads.__contains__)

    @property
    def frames(self) -> list[Frame]:
        """The whole responses so far, interim ones included."""
        return self._reader.frames

    @property
    def rest(self) -> bytes:
        """What follows the last whole response: one that has not fully arrived, or another protocol."""
        return bytes(self.raw[self._reader.start :])

    def append(self, data: bytes) -> None:
        """Take what arrived."""
        self.raw += data
        self._reader.read(self.raw, self.eof)

    def end(self, *, reset: bool) -> None:
        """Nothing more will arrive."""
        self.eof = True
        self.reset = self.reset or reset
        self._reader.read(self.raw, self.eof)


Predicate = Callable[[Received], bool]
"""Whether a round has received what it awaits; asked after every arrival."""


def _named(name: str, predicate: Predicate) -> Predicate:
    predicate.__name__ = name  # a lambda here; a DeadlineExceededError shows it
    return predicate


def frames(n: int) -> Predicate:
    """At least `n` whole responses since the connection opened, interim ones (1xx) included."""
    return _named(f"frames({n})", lambda received: len(received.frames) >= n)


def count(needle: bytes, n: int) -> Predicate:
    """`needle` was received at least `n` times: for streams, which have no frames."""
    return _named(f"count({needle!r}, {n})", lambda received: received.raw.count(needle) >= n)


def headers_seen(received: Received) -> bool:
    """The head of a response has arrived whole, its body perhaps not."""
    return b"\r\n\r\n" in received.raw


def eof(received: Received) -> bool:
    """The server has closed the connection; a reset counts, and `Result.reset` tells it apart."""
    return received.eof


def sent(received: Received) -> bool:
    """Nothing is awaited: the round is over once its bytes are with the kernel."""
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Send, then await. The next round begins once this one's bytes have left and what it awaits holds.

    Attributes:
        send: the bytes; or pieces of them, each a write of its own that begins only after the server has received the
            piece before: a request on a connection of its own, opened after that piece, has been answered. That proves
            the split for a server with one worker. A last piece of `b""` proves that all before was received.
        until: what must hold of everything received on this connection; None awaits one response more than before.
        every: seconds between two pieces, in place of that proof: for peers that are slow on purpose.
        reads: False leaves what arrives in the kernel: the peer that does not read. Such a round awaits nothing.
        half_close: send FIN right after the bytes, before the answer.
    """

    send: bytes | Sequence[bytes] = b""
    until: Predicate | None = None
    every: float | None = None
    reads: bool = True
    half_close: bool = False

    def __post_init__(self) -> None:
        if not self.reads and self.until is not None:
            raise ValueError("until=...: a round that does not read cannot await anything; give it reads=True")

    @property
    def pieces(self) -> list[bytes]:
        """The bytes to send, one item per write."""
        return [self.send] if isinstance(self.send, bytes) else list(self.send)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """The whole life of one connection.

    Attributes:
        rounds: played in order; the connection then stays open until it is closed, by either side.
        heads: positions, from 0, of the final responses that answer HEAD and so have no body.
        receive_buffer: SO_RCVBUF in bytes, set before connecting; None leaves it to the kernel.
        receive_bytes: most bytes that one recv(2) takes: little for a slow reader.
    """

    rounds: Sequence[Round]
    heads: Container[int] = ()
    receive_buffer: int | None = None
    receive_bytes: int = RECEIVE_BYTES


def ask(send: bytes | Sequence[bytes], until: Predicate | None = None, *, heads: Container[int] = ()) -> Script:
    """A script of one round: send these bytes, until one response has arrived or `until` holds."""
    return Script(rounds=[Round(send=send, until=until)], heads=heads)


def repeat(n: int, script: Script) -> list[Script]:
    """The same script for `n` connections."""
    return [script] * n


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one connection.

    Attributes:
        frames: the whole responses, in order.
        raw: every byte received.
        rest: the bytes after the last whole response.
        eof: the server closed it. Only a script that awaits `eof` can say that the server did not.
        reset: it ended by a reset rather than in order.
        unmet: the round, from 0, whose expectation did not hold when the connection ended; None if all held.
        connect_error: why there was no connection at all.
    """

    frames: tuple[Frame, ...]
    raw: bytes
    rest: bytes
    eof: bool
    reset: bool
    unmet: int | None
    connect_error: OSError | None

    @property
    def statuses(self) -> list[int]:
        """The status of each response, in order."""
        return [frame.status for frame in self.frames]

    @property
    def bodies(self) -> list[bytes]:
        """The content of each response, in order."""
        return [frame.body for frame in self.frames]
