"""Whether what a handler appended is an answer, and what HTTP wants of it before it is sent.

A handler's mistake is logged and answered with a 500, or with the status that it raised; what was appended is dropped
then. A negative status says so. RFC 9112 sections 6.3 (length) and 9.3 (persistence).
"""

from __future__ import annotations

from collections.abc import Coroutine
from http import HTTPStatus

import cython
from cython.cimports.vanilla.atomics import ACQUIRE, atomic_load
from cython.cimports.vanilla.contract.response import RAW
from cython.cimports.vanilla.engine.takeover import Takeovers
from cython.cimports.vanilla.http1.reply import (
    CLOSE,
    KEEP_ALIVE,
    append_refusal,
    check_response,
    drop_content,
    find_final_head,
    find_head_end,
    has_framing,
    parse_status,
    set_connection,
)

from vanilla.engine.calls import log
from vanilla.errors import RefusedError
from vanilla.http1.reply import FAULTS
from vanilla.steps import Step

_DONE, _CLOSE, _SUSPEND = Step.DONE, Step.CLOSE, Step.SUSPEND


def describe_result(result: object) -> str:
    """What a handler returned that is no step, and what to do instead; a coroutine is closed, since nobody runs it."""
    if not isinstance(result, Coroutine):
        return f"{result!r}: return Step.DONE, Step.CLOSE or nothing"
    result.close()
    return (
        f"the coroutine {result!r}: make the handler an `async def`, or give it a true attribute `is_async`; "
        "continuations are plain functions"
    )


@cython.cfunc
@cython.exceptval(1, check=False)
def fail(engine: Takeovers, request: Request, what: str, error: object) -> cython.int:
    """Log what a handler raised; the negated status to answer with."""
    status: object
    if isinstance(error, RefusedError):
        status = error.status
        if type(status) is int and status in HTTPStatus._value2member_map_ and status >= 400:
            log.info("%r: refused with %d: %s", request, status, error)
            return -status
        what = f"{what}; its status {status!r} is none of 400 to 599"
    engine.report(request, what, error)
    return -500


@cython.cfunc
@cython.exceptval(1, check=False)
def judge(
    engine: Takeovers,
    request: Request,
    response: Response,
    answer: ResponseBuffer,
    start: cython.Py_ssize_t,
    result: object,
) -> cython.int:
    """End an answer that a handler says is complete: its status, or the negated one, the reason logged, to answer
    with instead.
    """
    fault: cython.int
    status: cython.int
    if result is _SUSPEND:
        engine.report(request, "the handler returned Step.SUSPEND but watches nothing; answered 500", None)
        return -500
    if result is not None and result is not _DONE and result is not _CLOSE:
        engine.report(request, f"the handler returned {describe_result(result)}; answered 500", None)
        return -500
    if response.coding != RAW and not response.end_content():
        what = f"the content lacks {response.unwritten} bytes of the length that start() was given; answered 500"
        engine.report(request, what, None)
        return -500
    status = find_status(engine, request, answer, start)
    if status > 0 and engine.checks_responses:
        more: cython.Py_ssize_t = answer.count_bytes(start) - (answer.length - start)
        fault = check_response(answer.bytes, start, answer.length, request.framed.is_head, more)
        if fault:
            what = f"the handler appended an incomplete response, {FAULTS[fault]}; answered 500"
            engine.report(request, what, None)
            return -500
    if status > 0 and response.taking is not None:
        return engine.judge_takeover(request, response, status, result is _CLOSE)
    return status


@cython.cfunc
@cython.exceptval(1, check=False)
def find_status(engine: Takeovers, request: Request, answer: ResponseBuffer, start: cython.Py_ssize_t) -> cython.int:
    """The status of the final answer that begins behind interim ones, or -500, the reason logged, if none does."""
    final: cython.Py_ssize_t
    status: cython.int = parse_status(answer.bytes, start, answer.length)
    if status >= 200 or status == 101:
        return status
    final = find_final_head(answer.bytes, start, answer.length)
    if final >= 0:
        return parse_status(answer.bytes, final, answer.length)
    engine.report(request, "the handler appended no response; answered 500", None)
    return -500


@cython.cfunc
@cython.exceptval(-1, check=False)
def begin(
    engine: Takeovers, request: Request, response: Response, answer: ResponseBuffer, start: cython.Py_ssize_t
) -> cython.bint:
    """A suspended request has appended the beginning of its answer: the head leaves now, so it is mended now.

    One that says neither how long its content is nor that it is chunked ends with the connection: RFC 9112
    section 6.3. False, with the reason logged, where it is no head. Interim answers alone begin nothing.
    """
    head: cython.Py_ssize_t
    head_end: cython.Py_ssize_t
    status: cython.int
    framed: cython.pointer[Framed] = cython.address(request.framed)
    if response.coding == RAW and answer.length - start == response.informed:
        response.informed = 0
        return True
    if response.taking is not None:
        what = "the answer that switches protocols leaves when the handler is done: suspend or flush before it"
        engine.report(request, what, None)
        return False
    status = find_status(engine, request, answer, start)
    if status < 0:
        return False
    head = find_final_head(answer.bytes, start, answer.length)
    head_end = find_head_end(answer.bytes, head, answer.length)
    if head_end < 0:
        engine.report(request, "the handler suspended in the middle of a head; answered 500", None)
        return False
    response.has_begun = True
    response.status = status
    engine.stream_count += 1
    engine.counts.responses[status // 100] += 1
    if framed.is_head or status == 204 or status == 304:
        drop_content(answer, start)
    elif not has_framing(answer.bytes, head, head_end):
        framed.is_last = True
    framed.is_last |= response.closes
    if framed.is_last:
        set_connection(answer, start, CLOSE)
    elif framed.version == 10:
        set_connection(answer, start, KEEP_ALIVE)
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def is_whole(engine: Takeovers, request: Request, response: Response, result: object) -> cython.bint:
    """End an answer whose head has left; False, with the reason logged, where it has to be cut off."""
    if result is not None and result is not _DONE and result is not _CLOSE:
        engine.report(request, f"it returned {describe_result(result)}; the answer is cut off", None)
        return False
    if response.coding != RAW and not response.end_content():
        what = f"the content lacks {response.unwritten} bytes of the length that start() was given; it is cut off"
        engine.report(request, what, None)
        return False
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def settle(
    engine: Takeovers,
    answer: ResponseBuffer,
    start: cython.Py_ssize_t,
    framed: cython.pointer[Framed],
    response: Response,
    connection: cython.pointer[Connection],
    is_final: cython.bint,
    status: cython.int,
) -> cython.bint:
    """Make a judged answer what HTTP wants of it, and count it; True when the connection closes after it.

    A negative status replaces it by a refusal, and closes.
    """
    final: cython.Py_ssize_t
    closes: cython.bint = response.closes or status < 0
    if response.taking is not None:
        if status > 0:
            engine.counts.responses[status // 100] += 1
            engine.begin_takeover(response, connection)
            return False
        engine.drop_takeover(response, RuntimeError("the answer that was to switch protocols failed"))
    if is_final and is_last_word(engine, connection):
        closes = framed.lingers = True
    if status < 0:
        answer.truncate(start)
        append_refusal(answer, engine.date, -status)
        framed.lingers = True
    final = find_final_head(answer.bytes, start, answer.length)
    status = parse_status(answer.bytes, final, answer.length)
    engine.counts.responses[status // 100] += 1
    if framed.is_head or status == 204 or status == 304:
        drop_content(answer, start)
    if closes:
        set_connection(answer, start, CLOSE)
        connection.closes = True
        connection.lingers |= framed.lingers
    elif framed.version == 10:
        set_connection(answer, start, KEEP_ALIVE)
    return closes


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_last_word(engine: Takeovers, connection: cython.pointer[Connection]) -> cython.bint:
    """Whether the server drains, and nothing more has begun to arrive here: this answer closes."""
    return atomic_load(cython.address(engine.command), ACQUIRE) != 0 and (
        connection.held is cython.NULL and connection.rest is cython.NULL
    )
