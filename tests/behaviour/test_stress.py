"""Many clients at once that behave at random, from fixed seeds: every answer is right, and the counters return to 0."""

from __future__ import annotations

import collections
import logging
import os
import random
import selectors
import socket
import struct
import time
from collections.abc import Callable

import pytest

from vanilla import Limits, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Session

AT_ONCE = 48
PATTERN = bytes(range(256)) * 20_500  # 5 MiB, so that a byte out of place shows
GARBAGE = [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"\0", 400),
    (b"GET / HTTP/3.0\r\n\r\n", 505),
    (b"X" * 100 + b"\r\n", 400),
]
SECONDS_MAX = 40
SEEDS = range(
    int(os.environ.get("STRESS_FIRST", "0")), int(os.environ.get("STRESS_LAST", "6"))
)  # more to search by hand


class Handler:
    """Does what the path says, and keeps some of what it is given, as handlers do that should not."""

    def __init__(self) -> None:
        self.kept: collections.deque[object] = collections.deque(maxlen=200)
        self.expected: collections.deque[tuple[memoryview, bytes]] = collections.deque(maxlen=50)

    def __call__(self, request: Request, response: Response, worker: Worker) -> object:
        action, _, number = request.path[1:].partition(b"/")
        if action == b"size":
            response.reply(200, PATTERN[: int(number)], headers={"X-Is": request.query})
        elif action == b"keep":
            self.kept.extend((request, response, request.raw, request.body_view))
            self.expected.append((request.body_view, request.body))
            response.reply(200, request.body, headers={"X-Is": request.query})
        elif action == b"slow":
            time.sleep(0.0004)  # longer than a tick may hold back its answers
            response.reply(200, request.body_view, headers={"X-Is": request.query})
        elif action == b"raise":
            response.reply(200, b"never sent")
            raise RuntimeError("the handler's own words")
        elif action == b"nonsense":
            response.reply(200, b"never sent")
            return b"nonsense"
        elif action == b"nothing":
            return None
        elif action == b"close":
            response.reply(200, request.body, headers={"X-Is": request.query})
            return Step.CLOSE
        else:
            body = request.body
            response += b"HTTP/1.1 200 OK\r\nX-Is: %b\r\nContent-Length: %d\r\n\r\n%b" % (
                request.query,
                len(body),
                body,
            )
        return None

    def has_kept_its_bytes(self) -> bool:
        return all(bytes(view) == body for view, body in self.expected)


class Exchange:
    """What one client sends, and what it must get: (status, X-Is, content) each, then perhaps the end."""

    def __init__(self, chance: random.Random) -> None:
        self.wire = bytearray()
        self.expected: list[tuple[int, bytes, bytes]] = []
        self.is_head: list[bool] = []
        self.ends = self.is_cut = False  # is_cut: the server ends it, and the client cannot know before
        for number in range(chance.choice([1, 1, 1, 2, 3, 8, 40])):
            self.add_request(chance, b"%d" % number)
            if self.ends:
                break
        if not self.ends and chance.random() < 0.1:
            garbage, status = chance.choice(GARBAGE)
            self.wire += garbage
            self.expected.append((status, b"", b""))
            self.is_head.append(False)
            self.ends = True
        elif self.is_cut and chance.random() < 0.5:
            self.wire += b"GET /behind-the-last HTTP/1.1\r\nHost: a\r\n\r\n" * chance.choice([1, 5])

    def add_request(self, chance: random.Random, number: bytes) -> None:
        actions = [b"echo"] * 8 + [b"keep"] * 3 + [b"slow", b"close"] + [b"raise", b"nonsense", b"nothing"]
        action = chance.choice(actions)
        is_head = chance.random() < 0.1
        body = PATTERN[: chance.choice([0, 0, 0, 1, 10, 1000, 70_000, chance.randrange(300_000)])]
        answer = b"" if is_head else body
        if chance.random() < 0.25:
            size = chance.choice([0, 1, 1000, 65_536, 300_000, chance.randrange(5 * 2**20)])
            action = b"size/%d" % size
            answer = b"" if is_head else PATTERN[:size]
        version = chance.choice([b"1.1"] * 9 + [b"1.0"])
        is_last = action == b"close" or chance.random() < 0.05
        head = b"%b /%b?%b HTTP/%b\r\nHost: a\r\n" % (b"HEAD" if is_head else b"POST", action, number, version)
        head += b"X-Filler: %b\r\n" % (b"f" * chance.choice([0, 10, 500]))
        if version == b"1.0" and not is_last:
            head += b"Connection: keep-alive\r\n"
        elif is_last and version == b"1.1" and action != b"close":
            head += b"Connection: close\r\n"
        if version == b"1.1" and chance.random() < 0.3:
            head += b"Transfer-Encoding: chunked\r\n"
            pieces, at = [], 0
            while at < len(body):
                piece = body[at : at + chance.choice([1, 100, 10_000, 100_000])] if at < 3000 else body[at:]
                pieces.append(b"%x%b\r\n%b\r\n" % (len(piece), chance.choice([b"", b";x=y"]), piece))
                at += len(piece)
            body = b"".join([*pieces, b"0\r\n", chance.choice([b"", b"X-Trailer: y\r\n"]), b"\r\n"])
        elif body or chance.random() < 0.5:
            head += b"Content-Length: %d\r\n" % len(body)
        self.wire += head + b"\r\n" + body
        if action in (b"raise", b"nonsense", b"nothing"):
            self.expected.append((500, b"", b""))
            is_last = True
        else:
            self.expected.append((200, number, answer))
        self.is_head.append(is_head)
        self.is_cut = action in (b"close", b"raise", b"nonsense", b"nothing")
        self.ends = is_last


class Client:
    """One connection that plays an exchange its own way: in one write or in many, reading slowly, leaving early."""

    def __init__(self, address: tuple[str, int], chance: random.Random) -> None:
        self.exchange = Exchange(chance)
        self.chance = chance
        self.received = bytearray()
        self.sent = 0
        self.has_ended = self.is_done = False
        self.piece = chance.choice([2**30, 2**30, 2**30, 65_536, 1000, 7, 1])
        if len(self.exchange.wire) > 3000:
            self.piece = max(self.piece, len(self.exchange.wire) // 40)
        self.appetite = chance.choice([2**20, 2**20, 65_536, 20_000])
        self.half_closes = chance.random() < 0.2
        self.leaves_after = chance.randrange(len(self.exchange.wire) + 1) if chance.random() < 0.25 else None
        self.resets = chance.random() < 0.5
        self.socket = socket.socket()
        if chance.random() < 0.3:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.socket.connect_ex(address)

    def turn(self, mask: int) -> None:
        """One step of whatever is possible. An error ends it: the server may reset after its last answer."""
        try:
            if mask & selectors.EVENT_READ:
                self.read()
            if mask & selectors.EVENT_WRITE and not self.is_done and self.sent < len(self.exchange.wire):
                self.write()
        except (ConnectionResetError, BrokenPipeError):
            self.has_ended = True
        except BlockingIOError:
            pass
        count = self.count_answers()
        if self.has_ended or (count == len(self.exchange.expected) and not (self.exchange.ends or self.half_closes)):
            self.leave()

    def read(self) -> None:
        data = self.socket.recv(self.appetite)
        self.received += data
        self.has_ended = not data

    def write(self) -> None:
        end = self.sent + self.piece
        if self.leaves_after is not None:
            end = min(end, self.leaves_after)
        self.sent += self.socket.send(self.exchange.wire[self.sent : end])
        if self.leaves_after is not None and self.sent >= self.leaves_after:
            if self.resets:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.leave()
        elif self.sent == len(self.exchange.wire) and self.half_closes:
            self.socket.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        self.is_done = True
        self.socket.close()

    def count_answers(self) -> int:
        """Responses begun, cheaply: only the end of the stream needs them whole."""
        return len(self.answers()) if len(self.received) < 5000 or self.has_ended or self.is_whole() else 0

    def is_whole(self) -> bool:
        """Whether as much content has arrived as is owed; heads come on top of it."""
        return len(self.received) >= sum(len(content) for _, _, content in self.exchange.expected)

    def answers(self) -> list[tuple[int, bytes, bytes]]:
        """The whole responses received."""
        found, at = [], 0
        while (head_end := self.received.find(b"\r\n\r\n", at)) >= 0:
            lines = bytes(self.received[at:head_end]).split(b"\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines[1:])}
            length = int(fields[b"content-length"])
            if len(found) < len(self.exchange.is_head) and self.exchange.is_head[len(found)]:
                length = 0
            if head_end + 4 + length > len(self.received):
                break
            content = bytes(self.received[head_end + 4 : head_end + 4 + length])
            found.append((int(lines[0].split(b" ")[1]), fields.get(b"x-is", b""), content))
            at = head_end + 4 + length
        self.rest = bytes(self.received[at : at + 100])
        return found

    def check(self) -> None:
        """Everything owed was answered, in order, and nothing else; who left early got a beginning of that."""
        answers = self.answers()
        expected = self.exchange.expected
        assert answers == expected[: len(answers)]
        if self.leaves_after is None:
            assert len(answers) == len(expected), (len(answers), len(expected), self.rest, self.sent)
            assert self.rest == b""
            assert self.has_ended or not (self.exchange.ends or self.half_closes)


def play(address: tuple[str, int], chance: random.Random, count: int) -> None:
    """Let `count` clients come and go, AT_ONCE of them at a time."""
    waiting = [Client for _ in range(count)]
    end = time.monotonic() + SECONDS_MAX
    with selectors.DefaultSelector() as selector:
        while waiting or selector.get_map():
            while waiting and len(selector.get_map()) < AT_ONCE:
                client = waiting.pop()(address, random.Random(chance.random()))
                selector.register(client.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
            for key, mask in selector.select(timeout=1):
                client = key.data
                client.turn(mask)
                if client.is_done:
                    selector.unregister(key.fileobj)
                    client.check()
                elif client.sent == len(client.exchange.wire) and key.events & selectors.EVENT_WRITE:
                    selector.modify(client.socket, selectors.EVENT_READ, client)
            stuck = [(key.data.exchange.expected[:3], key.data.sent) for key in selector.get_map().values()]
            assert time.monotonic() < end, f"{len(stuck)} clients still wait for answers: {stuck[:3]}"


@pytest.mark.parametrize("seed", SEEDS)
def test_clients_that_do_anything_get_what_they_are_owed(
    configure: Callable[..., ServerConfig], seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="vanilla")  # some handlers raise on purpose
    chance = random.Random(seed)
    handler = Handler()
    limits = Limits(
        max_pending_bytes=chance.choice([1, 10_000, 2**20]),
        max_connections=chance.choice([AT_ONCE // 2, 1000]),
        accept_timeout=None,
        max_body_bytes=chance.choice([2**20, None]),
        read_timeout=chance.choice([30.0, None]),
        write_timeout=chance.choice([30.0, None]),
        keepalive_timeout=30.0,
        min_receive_rate=chance.choice([None, 1]),
        min_send_rate=chance.choice([None, 1]),
        rate_grace=30.0,
        linger_timeout=30.0,  # as long as it takes a slow client to read its last answer
    )
    config = configure(handler, limits=limits, workers=chance.choice([1, 2]), check_responses=chance.random() < 0.5)
    with Session(config) as session:
        play(session.address, chance, 250)
        counters = session.await_counters(lambda counters: counters.open == 0)
        assert counters.in_flight == 0
        assert counters.requests > 300  # it did happen
        assert handler.has_kept_its_bytes()
    assert session.server.counters().in_flight == 0
