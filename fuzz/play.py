"""One connection as a fuzzer's input scripts it: what its client does, and what became of each request there.

The client makes its moves on the server's thread, between two of its ticks. Where the server has no limit in seconds, a
script is played the same way each time.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import socket
from collections.abc import Callable
from typing import NamedTuple, Self

from vanilla import Request, Worker
from vanilla.testing.responses import ResponseReader

ENDS_NEXT, LEAVES, READS_LATE, BEGINS_FIRST, PADS, ENDS_WITH = 4, 8, 16, 32, 64, 128  # the flags of an input
FILL = b"".join(b"%07d\n" % number for number in range(32_768))  # 256 KiB, in which every swap shows
CUTS_MAX = 200  # then all that is left is sent: a tick for each byte of a long input would find nothing new
IDLE_TICKS_MAX = 6  # in which nothing is done: nothing more will be then
BUFFER = bytearray(1024 * 1024)  # for what is received: a new one each time would cost more than all else


class Script(NamedTuple):
    """What a client sends and how, and what handlers do with it.

    Attributes:
        wire: what is sent.
        taker: which handler it is for, 0 to 3.
        ends_with: the client shuts its writing side with the last byte ...
        ends_next: ... or in the tick after it; else once nothing goes on any more.
        leaves: it closes behind the last byte, its answers perhaps unread.
        reads_late: it leaves its answers in the socket as long as anything else goes on.
        begins_first: handlers begin their answers before they ask for content.
        pads: their answers are larger than what the socket holds.
        cuts: bytes to send in each tick, in turn; none is as many as the socket takes.
        whims: what handlers do next, in turn.
    """

    wire: bytes
    taker: int = 0
    ends_with: bool = False
    ends_next: bool = True
    leaves: bool = False
    reads_late: bool = False
    begins_first: bool = False
    pads: bool = False
    cuts: tuple[int, ...] = ()
    whims: bytes = b"\0"

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Two octets: the taker and flags; how many cuts, and whims. Cuts: none, or 1 to 192 bytes, or 1 to 32 KiB.
        Whims. The wire, in which 0xff and an octet stand for so many KiB.
        """
        flags, counts = data[:2].ljust(2, b"\0")
        cuts_end = 2 + counts % 16
        whims_end = cuts_end + counts // 16
        return cls(
            re.sub(rb"\xff(.)", lambda match: FILL[: match[1][0] * 1024], data[whims_end:], flags=re.DOTALL),
            flags % 4,
            bool(flags & ENDS_WITH),
            bool(flags & ENDS_NEXT),
            bool(flags & LEAVES),
            bool(flags & READS_LATE),
            bool(flags & BEGINS_FIRST),
            bool(flags & PADS),
            tuple(0 if cut < 32 else cut - 31 if cut < 224 else (cut - 223) * 1024 for cut in data[2:cuts_end]),
            data[cuts_end:whims_end] or b"\0",
        )


class Taking:
    """What became of one request.

    Attributes:
        is_running: it has a coroutine that has not come to its end.
        pieces: of its content, as the handler got them.
        outcome: "whole", "answered" before that, "raised", "aborted", the status of a BodyError; None while it waits.
        has_lost_patience: it was waiting for a piece too long.
    """

    def __init__(self, request: Request) -> None:
        self.line = b"%b %b\n" % (request.method, request.target)
        self.is_head = request.method == b"HEAD"
        self.is_running = False
        self.pieces: list[bytes] = []
        self.outcome: str | int | None = None
        self.has_lost_patience = False


class Answer(NamedTuple):
    """What is compared of a final answer."""

    status: int
    body: bytes
    closes: bool


class Play:
    """A script as it is played; handlers find it as `worker.state`.

    Attributes:
        takings: of the requests that a handler has got.
        raw: what the client has received.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.takings: list[Taking] = []
        self.raw = bytearray()
        self._whims = itertools.cycle(script.whims)
        self._cuts = itertools.islice(itertools.cycle(script.cuts), CUTS_MAX)
        self._unsent = memoryview(script.wire)
        self._has_shut = self._has_ended = False  # the client has, the server has
        self._later: list[tuple[int, Callable[[], object]]] = []
        self._ticks = self._idle_ticks = 0
        self._seen = (0, 0, 0)

    async def run(self, worker: Worker, address: str) -> None:
        """Play it on the worker's asyncio loop, each turn of which is a tick.

        Raises: AssertionError if the server comes to a standstill, or leaves something behind.
        """
        worker.state = self
        with socket.socket(socket.AF_UNIX) as self._client:
            self._client.connect(address)
            self._client.setblocking(False)
            await asyncio.sleep(0)  # it is accepted: what it sends now is received in the next tick
            while not self._move(worker):
                await asyncio.sleep(0)

    def next_whim(self) -> int:
        """What the handler that asks for it does next."""
        return next(self._whims)

    def call_later(self, ticks: int, function: Callable[[], object]) -> None:
        """Call `function` so many ticks from now."""
        self._later.append((self._ticks + ticks, function))

    def read_answers(self) -> tuple[list[Answer], int, bytes]:
        """The final answers, how many interim ones there were, and what came behind the last whole one."""
        reader = ResponseReader(lambda number: number < len(self.takings) and self.takings[number].is_head)
        reader.read(self.raw, True)
        rest = bytes(self.raw[reader.start :])
        assert reader.is_http, rest
        answers = [Answer(frame.status, frame.body, frame.closes) for frame in reader.frames if frame.status >= 200]
        return answers, len(reader.frames) - len(answers), rest

    def _move(self, worker: Worker) -> bool:
        """What is to be done between two ticks; whether all is over."""
        self._ticks += 1
        due = [function for tick, function in self._later if tick <= self._ticks]
        self._later = [(tick, function) for tick, function in self._later if tick > self._ticks]
        for function in due:
            function()
        counters = worker.counters()
        seen = (counters.bytes_received, counters.bytes_sent, sum(len(taking.pieces) for taking in self.takings))
        self._idle_ticks = 0 if due or self._later or seen != self._seen else self._idle_ticks + 1
        self._seen = seen
        if self._client.fileno() < 0:
            is_over = (counters.open, counters.in_flight, counters.parked) == (0, 0, 0)
            is_over &= not self._later and not any(taking.is_running for taking in self.takings)
            assert is_over or self._idle_ticks < IDLE_TICKS_MAX, f"something was left behind: {counters}"
            return is_over
        assert self._idle_ticks < 2 * IDLE_TICKS_MAX, f"nothing goes on: {counters}"
        if not self.script.reads_late or self._idle_ticks >= IDLE_TICKS_MAX // 2:
            self._receive()
        if self._has_ended:
            self._client.close()
        elif self._unsent:
            self._send()
        elif self.script.leaves:
            self._client.close()
        elif not self._has_shut and (self.script.ends_next or self._idle_ticks >= IDLE_TICKS_MAX):
            self._shut()
        return False

    def _send(self) -> None:
        length = next(self._cuts, len(self._unsent))
        if length == 0:
            self._idle_ticks = 0  # it was this client's turn
            return
        try:
            self._unsent = self._unsent[self._client.send(self._unsent[:length]) :]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            self._unsent = self._unsent[:0]
        if self.script.ends_with and not self._unsent:
            self._shut()

    def _shut(self) -> None:
        self._client.shutdown(socket.SHUT_WR)
        self._has_shut = True
        self._idle_ticks = 0

    def _receive(self) -> None:
        try:
            while length := self._client.recv_into(BUFFER):
                assert self._may_be_answered(), f"only the end brought {BUFFER[:length]!r}"
                self.raw += memoryview(BUFFER)[:length]
        except BlockingIOError:
            return
        except ConnectionResetError:
            assert any(taking.outcome == "aborted" for taking in self.takings), "the server reset the connection"
        self._has_ended = True

    def _may_be_answered(self) -> bool:
        """Whether it may be just now; an end of one side that came when nothing went on has nothing to bring forth."""
        return not self._has_shut or self.script.ends_with or self.script.ends_next
