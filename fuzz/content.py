"""engine/contents.py: a handler that takes content piece by piece gets what another gets that waits for all of it, and
so do their clients, whatever these send, however it is cut, and whenever a piece is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable
from typing import NamedTuple

from play import Answer, Play, Script, Taking
from run import load_uncompiled, main
from takers import content_of_answer, take_by_continuation, take_by_coroutine, take_whole

from vanilla import Limits, Worker
from vanilla.engine.tick import Engine
from vanilla.http1.head import parse

head_parser = load_uncompiled("head")  # uncompiled: they tell the fuzzer which bytes lead somewhere new
decoder = load_uncompiled("body")

HEAD_BOUNDS, CONTENT_BOUNDS, REQUESTS_MAX = (200, 400, 9), (400_000, 20, 400), 6
LIMITS = Limits(
    max_target_bytes=HEAD_BOUNDS[0],
    max_header_bytes=HEAD_BOUNDS[1],
    max_headers=HEAD_BOUNDS[2],
    max_body_bytes=CONTENT_BOUNDS[0],
    max_chunk_extension_bytes=CONTENT_BOUNDS[1],
    max_requests_per_connection=REQUESTS_MAX,
    read_timeout=None,
    keepalive_timeout=None,
    write_timeout=None,
    accept_timeout=None,
    linger_timeout=3600.0,  # its client ends it
)
READ_OVER_BYTES = 256 * 1024  # of content that a handler leaves, for the sake of the next request
INCOMPLETE = -1
AS_A_WHOLE = 2  # the server whose handler waits for everything


class Message(NamedTuple):
    """A request as its client has sent it, and as much of its content as can be decoded."""

    content: bytes
    is_whole: bool
    expects_continue: bool


class Sent(NamedTuple):
    """What is on the wire: the requests up to one that is refused, incomplete, or by its own words the last; and the
    head that is refused, if one is.
    """

    messages: list[Message]
    refused: bytes


def read_wire(wire: bytes) -> Sent:
    """What a client sends."""
    messages: list[Message] = []
    at = 0
    while at < len(wire):
        content_at, head = head_parser.parse(wire, at, *HEAD_BOUNDS)
        if content_at < 0:
            return Sent(messages, wire[at:])
        if head.is_chunked:
            length, content = decoder.decode(bytearray(wire[content_at:]), [], *CONTENT_BOUNDS)
        elif head.content_length > CONTENT_BOUNDS[0]:
            break
        else:
            length = max(head.content_length, 0)
            content = wire[content_at : content_at + length]
            length = length if content_at + length <= len(wire) else -1
        messages.append(Message(content, length >= 0, head.expects_continue))
        if length < 0 or not head.keeps_alive:
            break
        at = content_at + length
    return Sent(messages, b"")


def may_be_refused(head: bytes, answers: list[Answer]) -> bool:
    """Whether these answer a head, by where it is cut: a limit may be reached before the line ends in which something
    is wrong, and a line that does not end is not looked at byte by byte.
    """
    if not answers:
        return head != b"" and parse(head[: head.rfind(b"\n") + 1], 0, *HEAD_BOUNDS)[0] == INCOMPLETE
    ends = range(min(len(head), sum(HEAD_BOUNDS)) + 1)
    return answers in [[Answer(-parse(head[:end], 0, *HEAD_BOUNDS)[0], b"", True)] for end in ends]


def compare(play: Play, whole: Play, sent: Sent) -> None:
    """Hold what handlers got, and what was answered, against what was sent and another play of the same wire."""
    assert len(play.takings) <= len(sent.messages)
    assert all(sys.getrefcount(piece) <= 3 for taking in play.takings for piece in taking.pieces if len(piece) > 1)
    for taking, message in zip(play.takings, sent.messages, strict=False):
        content = b"".join(taking.pieces)
        assert message.content.startswith(content), (taking.line, content)
        if taking.outcome == "whole":
            assert message.is_whole, taking.line
            assert message.content == content, (taking.line, content)
    if not play.script.leaves:
        compare_answers(play, whole, sent)


def compare_answers(play: Play, whole: Play, sent: Sent) -> None:
    """To what was taken whole, and to what no handler has seen, the answers are those of the other play."""
    answers, interim_count, rest = play.read_answers()
    wanted = whole.read_answers()[0]
    assert interim_count <= sum(message.expects_continue for message in sent.messages)
    for number, (taking, message) in enumerate(zip(play.takings, sent.messages, strict=False)):
        content = content_of_answer(taking, play)
        if taking.outcome in (None, "aborted", "raised") or isinstance(taking.outcome, int):
            assert taking.outcome is not None or not message.is_whole, taking.line
            assert len(answers) <= number + 1, answers
            refusal = refuse(taking, wanted[number:])
            if answers[number:] != refusal:
                assert play.script.begins_first, answers
                assert all(content.startswith(begun.body) for begun in answers[number:]), answers
            return
        assert len(answers) > number, (answers, rest)
        may_end = taking.outcome == "answered" and (
            not message.is_whole or message.expects_continue or len(play.script.wire) > READ_OVER_BYTES
        )
        closes = answers[number].closes if may_end else wanted[number].closes
        assert answers[number] == Answer(200, b"" if taking.is_head else content, closes), answers
        if closes or not message.is_whole or (may_end and len(answers) == number + 1):
            assert len(answers) == number + 1, answers
            return
    unseen = answers[len(play.takings) :]
    assert unseen == wanted[len(play.takings) :] or may_be_refused(sent.refused, unseen), (answers, wanted)
    assert not rest


def refuse(taking: Taking, wanted: list[Answer]) -> list[Answer]:
    """What is answered where a handler does not: as little as `wanted` is, but where it raised something of its own."""
    if taking.outcome == "raised":
        return [Answer(500, b"", True)]
    assert not isinstance(taking.outcome, int) or wanted == [Answer(taking.outcome, b"", True)], wanted
    return [] if taking.outcome == "aborted" else wanted


class Server:
    """An engine that runs only while a script is played, on this thread."""

    def __init__(self, handler: Callable[..., object], is_streaming: bool) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.setblocking(False)
            listener.bind("")  # the kernel finds an abstract name: unix(7)
            listener.listen()
            self.address = listener.getsockname()
            self.worker = Worker(None, 0)
            listeners = [(listener.fileno(), LIMITS, 0, ())]
            self.engine = Engine(handler, self.worker, listeners, is_streaming=is_streaming, is_async=True)
            listener.detach()
        self.loop = self.engine.prepare(find_loop())

    def play(self, script: Script) -> Play:
        """Play the script; no descriptor is left."""
        play = Play(script)
        lowest = find_free_fd()
        self.loop.run_until_complete(play.run(self.worker, self.address))
        assert find_free_fd() == lowest, "a descriptor is left"
        return play


def find_free_fd() -> int:
    """The lowest number that no descriptor has."""
    fd = os.dup(0)
    os.close(fd)
    return fd


async def find_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def check(data: bytes) -> None:
    """Content in pieces against content as a whole."""
    script = Script.read(data)
    sent = read_wire(script.wire)
    whole = SERVERS[AS_A_WHOLE].play(Script(script.wire, begins_first=script.begins_first, pads=script.pads))
    if not (script.begins_first and b"HTTP/1.0" in script.wire):  # such an answer ends with its connection
        assert len(whole.takings) == min(sum(message.is_whole for message in sent.messages), REQUESTS_MAX)
    compare(whole, whole, sent)
    compare(SERVERS[script.taker % 3].play(script), whole, sent)


if __name__ == "__main__":
    logging.disable()  # handlers raise on purpose
    SERVERS = [Server(take_by_continuation, True), Server(take_by_coroutine, True), Server(take_whole, False)]
    main("content", check)
