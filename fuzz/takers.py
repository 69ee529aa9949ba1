"""The handlers of the target `content`: they take what a client sends as the script of its play has it."""

from __future__ import annotations

import asyncio
import enum
from typing import Any

from play import FILL, Play, Taking

from vanilla import BodyError, Event, Request, Response, Step, Worker


class Whim(enum.IntEnum):
    """What a handler does next, from which octet on."""

    ASK = 0
    WAIT = 128  # for up to 7 ticks, then ask
    ASK_FOR_TICKS = 176  # likewise, then answer
    ANSWER = 208
    RAISE = 232
    ABORT = 244


WHIMS = [max(whim for whim in Whim if whim <= octet) for octet in range(256)]


def begin(request: Request, response: Response, play: Play) -> Taking:
    """A handler was called."""
    taking = Taking(request)
    play.takings.append(taking)
    if play.script.begins_first:
        response.start(200)
        response.write(taking.line)
    return taking


def take(taking: Taking, piece: bytes, response: Response, play: Play) -> None:
    """It has got a piece."""
    taking.pieces.append(piece)
    if play.script.begins_first:
        response.write(piece)


def answer(taking: Taking, outcome: str, response: Response, play: Play) -> None:
    """It is done."""
    taking.outcome = outcome
    if not play.script.begins_first:
        response.reply(200, content_of_answer(taking, play))
    elif play.script.pads:
        response.write(FILL)


def content_of_answer(taking: Taking, play: Play) -> bytes:
    """The request line, the content that was taken, and what makes it long."""
    return b"".join([taking.line, *taking.pieces, FILL if play.script.pads else b""])


def take_by_continuation(request: Request, response: Response, worker: Worker) -> Step | None:
    return go_on(begin(request, response, worker.state), request, response, worker.state)


def go_on(taking: Taking, request: Request, response: Response, play: Play) -> Step | None:
    """What a handler does next, by continuations."""

    def on_piece(request: Request, response: Response, worker: Worker, piece: Any, event: Event) -> Step | None:
        if event == Event.ERROR and WHIMS[play.next_whim()] != Whim.ANSWER:
            taking.outcome = piece.status
            raise piece
        if event == Event.ERROR:
            return answer(taking, "answered", response, play)
        if not piece:
            return answer(taking, "whole", response, play)
        take(taking, piece, response, play)
        return go_on(taking, request, response, play)

    def ask(request: Request, *_: object) -> Step:
        request.on_body(on_piece)
        return Step.SUSPEND

    def answer_now(request: Request, response: Response, *_: object) -> None:
        answer(taking, "answered", response, play)

    def abort() -> None:
        if parked.is_active:
            taking.outcome = "aborted"
            parked.abort()

    octet = play.next_whim()
    whim = WHIMS[octet]
    if whim == Whim.ASK:
        return ask(request)
    if whim == Whim.ANSWER:
        return answer(taking, "answered", response, play)
    if whim == Whim.RAISE:
        taking.outcome = "raised"
        raise ValueError
    parked = response.park()
    if whim == Whim.WAIT:
        play.call_later(octet % 8, lambda: parked.resume(ask))
    elif whim == Whim.ABORT:
        play.call_later(octet % 8, abort)
    else:
        play.call_later(octet % 8, lambda: parked.resume(answer_now))
        ask(request)
    return Step.SUSPEND


async def take_by_coroutine(request: Request, response: Response, worker: Worker) -> None:
    play: Play = worker.state
    taking = begin(request, response, play)
    taking.is_running = True
    try:
        if await asks(taking, response, play):
            async for piece in request.stream():
                take(taking, piece, response, play)
                if not await asks(taking, response, play):
                    break
            else:
                return answer(taking, "whole", response, play)
    except BodyError as error:
        if WHIMS[play.next_whim()] != Whim.ANSWER:
            taking.outcome = error.status
            raise
    except asyncio.CancelledError:
        if request.disconnected or not taking.has_lost_patience:
            raise
    finally:
        taking.is_running = False
    return answer(taking, "answered", response, play)


async def asks(taking: Taking, response: Response, play: Play) -> bool:
    """What a handler does next, as a coroutine: whether it asks for a piece. In place of aborting it flushes."""

    def cancel() -> None:
        if taking.is_running:
            taking.has_lost_patience = True
            task.cancel()

    octet = play.next_whim()
    whim = WHIMS[octet]
    if whim == Whim.WAIT:
        future = asyncio.get_running_loop().create_future()
        play.call_later(octet % 8, lambda: future.done() or future.set_result(None))
        await future
    elif whim == Whim.ASK_FOR_TICKS:
        task = asyncio.current_task()
        play.call_later(octet % 8, cancel)
    elif whim == Whim.ABORT:
        await response.flush()
    elif whim == Whim.RAISE:
        taking.outcome = "raised"
        raise ValueError
    return whim != Whim.ANSWER


def take_whole(request: Request, response: Response, worker: Worker) -> None:
    """The handler that the others are compared with: it is called once all content is there."""
    taking = begin(request, response, worker.state)
    if request.body:
        take(taking, request.body, response, worker.state)
    answer(taking, "whole", response, worker.state)
