"""Whether what a handler appended is an answer, and what HTTP wants of it before it is sent.

A handler's mistake is logged and answered with a 500, or with the status that it raised; what was appended is dropped
then. A negative status says so. RFC 9112 sections 6.3 (length) and 9.3 (persistence).
"""

from __future__ import annotations

from collections.abc import Coroutine
from http import HTTPStatus

import cython
from cython.cimports.vanilla.atomics import ACQUIRE, atomic_load
from cython.cimports.vanilla.buffers import new_own_buffer
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
@cython.exceptval(-2, check=False)
def begin(
    engine: Takeovers, request: Request, response: Response, answer: ResponseBuffer, start: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """A suspended request has appended the beginning of its answer: the head leaves now, so it is mended now.

    One that says neither how long its content is nor that it is chunked ends with the connection: RFC 9112
    section 6.3. Interim answers alone begin nothing. Where it starts in the buffer by then, or -1 where it is no head:
    the reason is logged, and what was appended dropped.
    """
    head: cython.Py_ssize_t
    head_end: cython.Py_ssize_t
    status: cython.int
    framed: cython.pointer[Framed] = cython.address(request.framed)
    if response.coding == RAW and answer.length - start == response.informed:
        response.informed = 0
        return start
    if response.taking is not None:
        what = "the answer that switches protocols leaves when the handler is done: suspend or flush before it"
        engine.report(request, what, None)
        answer.truncate(start)
        return -1
    status = find_status(engine, request, answer, start)
    if status < 0:
        answer.truncate(start)
        return -1
    head = find_final_head(answer.bytes, start, answer.length)
    head_end = find_head_end(answer.bytes, head, answer.length)
    if head_end < 0:
        engine.report(request, "the handler suspended in the middle of a head; answered 500", None)
        answer.truncate(start)
        return -1
    if response.hooks is not None:
        if not run_hooks_at_begin(engine, request, response, answer, cython.address(start)):
            return -1
        status = find_status(engine, request, answer, start)
        head = find_final_head(answer.bytes, start, answer.length)
        head_end = find_head_end(answer.bytes, head, answer.length)
    response.has_begun = True
    response.begun_status = status
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
    return start


@cython.cfunc
@cython.exceptval(-1, check=False)
def run_hooks_at_begin(
    engine: Takeovers,
    request: Request,
    response: Response,
    answer: ResponseBuffer,
    start: cython.pointer[cython.Py_ssize_t],
) -> cython.bint:
    """Have the hooks look at a head whose content is still to come, where `start` says; False where that fails: the
    reason is logged, and what was appended dropped. Those that have not run by then see the refusal.
    """
    coding: cython.int = response.coding
    source: object = response.source
    own: ResponseBuffer = take_apart(engine, response, answer, start[0])
    buffer: ResponseBuffer = response.buffer
    begun: cython.Py_ssize_t = response.begin
    was_open: cython.bint = response.is_open
    failed: cython.int = 0
    response.buffer = own
    response.begin = 0 if own is not answer else start[0]
    response.is_open = True
    while response.hooks and failed == 0:
        failed = run_hook(engine, request, response, response.hooks.pop())
        if failed == 0 and ((response.coding != coding and response.encoder is None) or response.source is not source):
            engine.report(request, "a before_send hook replaced an answer that has begun; answered 500", None)
            failed = -500
    if not response.hooks:
        response.hooks = response.unsent_calls = None
    response.is_open = was_open
    response.buffer = buffer
    response.begin = begun
    if failed:
        response.begun_status = failed
        own.truncate(0 if own is not answer else start[0])
    elif own is not answer:
        start[0] = answer.length
        if not own.move_to(answer, 0):
            raise MemoryError
        if buffer is answer:
            response.begin = start[0]
    return failed == 0


@cython.cfunc
@cython.exceptval(1, check=False)
def run_hooks(engine: Takeovers, request: Request, response: Response, status: cython.int) -> cython.int:
    """Have the hooks look at a complete answer, or at the refusal in its place: the status of what it becomes, where
    `response.begin` says.
    """
    shared: ResponseBuffer = response.buffer
    own: ResponseBuffer = take_apart(engine, response, shared, response.begin)
    if own is not shared:
        response.buffer = own
        response.begin = 0
    if status < 0:
        refuse(engine, request, response, -status)
    closes: cython.bint = response.closes
    response.is_open = True
    while response.hooks:
        status = run_hook(engine, request, response, response.hooks.pop())
        if status == 0 and response.source is not None:
            engine.report(request, "a before_send hook called stream(): it can reply() only; answered 500", None)
            status = -500
        elif status == 0 and response.coding != RAW and not response.has_ended and not response.end_content():
            engine.report(request, "a before_send hook left content out that it had announced; answered 500", None)
            status = -500
        if status < 0:
            refuse(engine, request, response, -status)
            closes = True
    response.hooks = response.unsent_calls = None
    response.is_open = False
    response.closes |= closes  # whatever a hook has cleared
    if own is not shared:
        response.buffer = shared
        response.begin = shared.length
        if not own.move_to(shared, 0):
            raise MemoryError
    return find_status(engine, request, shared, response.begin)


@cython.cfunc
def take_apart(
    engine: Takeovers, response: Response, answer: ResponseBuffer, start: cython.Py_ssize_t
) -> ResponseBuffer:
    """The buffer in which hooks may work on an answer: one of its own, with the bytes from `start` on, where others
    that they may write to are answered from the same one.
    """
    own: ResponseBuffer
    if answer is not engine.resumed:
        return answer
    own = new_own_buffer()
    if not answer.move_to(own, start):
        raise MemoryError
    return own


@cython.cfunc
@cython.exceptval(1, check=False)
def run_hook(engine: Takeovers, request: Request, response: Response, hook: object) -> cython.int:
    """Call one hook; 0, or the negated status to answer with, the reason logged."""
    try:
        hook(request, response, engine.worker)
    except BaseException as error:
        return fail(engine, request, "a before_send hook raised; answered 500", error)
    if find_status(engine, request, response.buffer, response.begin) < 0:
        return -500
    if (
        find_head_end(
            response.buffer.bytes,
            find_final_head(response.buffer.bytes, response.begin, response.buffer.length),
            response.buffer.length,
        )
        < 0
    ):
        engine.report(request, "a before_send hook left no whole head; answered 500", None)
        return -500
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def refuse(engine: Takeovers, request: Request, response: Response, status: cython.int) -> cython.int:
    """Put a refusal in the place of what was appended; the connection closes after it."""
    if response.taking is not None:
        engine.drop_takeover(response, RuntimeError("the answer that was to switch protocols failed"))
    response.buffer.truncate(response.begin)
    response.forget()
    append_refusal(response.buffer, engine.date, status)
    response.closes = True
    request.framed.lingers = True
    return 0


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
