"""async_timer, called by hand and over sockets."""

import pathlib
import runpy
import time

import pytest

from system import count_descriptors
from vanilla import Event, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat, sent

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
CONFIG = ServerConfig(APP["handle"], workers=1)
HINT = b"ms: give a whole number from 0 to 60000"


def wire(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "status", "content", "allow"),
    [
        pytest.param(b"GET /", 200, b"ok", None, id="at_once"),
        pytest.param(b"GET /?then=/delay", 200, b"ok", None, id="the_path_in_a_query"),
        pytest.param(b"GET /delay?ms=0", 200, b"delayed", None, id="the_least"),
        pytest.param(b"GET /delay?ms=20", 200, b"delayed", None, id="a_moment"),
        pytest.param(b"GET http://a/delay?ms=1", 200, b"delayed", None, id="through_a_proxy"),
        pytest.param(b"GET /delay?ms=60001", 400, HINT, None, id="one_too_many"),
        pytest.param(b"GET /delay?ms=100000", 400, HINT, None, id="far_too_many"),
        pytest.param(b"GET /delay?ms=-1", 400, HINT, None, id="negative"),
        pytest.param(b"GET /delay?ms=1.5", 400, HINT, None, id="not_whole"),
        pytest.param(b"GET /delay?ms=soon", 400, HINT, None, id="not_a_number"),
        pytest.param(b"GET /delay?ms=", 400, HINT, None, id="no_number"),
        pytest.param(b"GET /delay?ms=1&ms=2", 400, HINT, None, id="two_numbers"),
        pytest.param(b"GET /delay?s=1", 400, HINT, None, id="another_name"),
        pytest.param(b"GET /delays", 404, b"", None, id="longer_path"),
        pytest.param(b"GET /a/delay", 404, b"", None, id="deeper_path"),
        pytest.param(b"POST /absent", 404, b"", None, id="no_such_path_for_any_method"),
        pytest.param(b"POST /delay?ms=0", 405, b"", b"GET, HEAD", id="wrong_method"),
        pytest.param(b"DELETE /", 405, b"", b"GET, HEAD", id="wrong_method_at_once"),
    ],
)
def test_a_request_is_answered_and_the_connection_goes_on(line, status, content, allow) -> None:
    results = drive(CONFIG, [Script(rounds=[Round(send=wire(line)), Round(send=wire(line))])])
    assert (results[0].statuses, results[0].bodies) == ([status] * 2, [content] * 2)
    assert [(frame.header("allow"), frame.closes) for frame in results[0].frames] == [(allow, False)] * 2
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize(
    ("query", "ms"),
    [
        pytest.param(b"", 200, id="default"),
        pytest.param(b"?", 200, id="empty_query"),
        pytest.param(b"?ms=0", 0, id="least"),
        pytest.param(b"?ms=1500", 1500, id="as_asked"),
        pytest.param(b"?ms=60000", 60_000, id="most"),
    ],
)
def test_the_answer_is_due_when_it_was_asked_for(query, ms) -> None:
    request, response, worker = Request(wire(b"GET /delay" + query)), Response(), Worker()
    before = time.monotonic_ns()
    assert APP["handle"](request, response, worker) is Step.SUSPEND
    after = time.monotonic_ns()
    (timer,) = worker.recorded.timers
    assert before <= timer.due_ns - ms * 1_000_000 <= after
    assert len(response) == 0


def test_the_continuation_answers() -> None:
    request, response, worker = Request(wire(b"GET /delay")), Response(), Worker()
    APP["handle"](request, response, worker)
    (timer,), (parked,) = worker.recorded.timers, worker.recorded.parked
    timer.function(*timer.arguments)
    ((continuation, payload),) = parked.resumed
    assert continuation(request, response, worker, payload, Event.RESUMED) is None
    assert bytes(response).startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    assert bytes(response).endswith(b"\r\n\r\ndelayed")


def test_many_wait_at_once_on_one_worker() -> None:
    results = drive(CONFIG, repeat(20, ask(wire(b"GET /delay?ms=50"))))
    assert [result.bodies for result in results] == [[b"delayed"]] * 20
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_a_later_request_is_answered_while_others_wait_and_those_who_leave_leave_nothing() -> None:
    with Session(CONFIG) as session:
        before = count_descriptors()
        waiting = session.fire(repeat(20, ask(wire(b"GET /delay?ms=60000"), sent)))
        session.await_counters(lambda counters: counters.parked == 20)
        others = session.fire([ask(wire(b"GET /")), ask(wire(b"GET /delay?ms=1"))])
        assert [result.bodies for result in others.results] == [[b"ok"], [b"delayed"]]
        assert session.server.counters().parked == 20
        assert [result.raw for result in waiting.results] == [b""] * 20
        session.close(waiting, reset=True)
        session.close(others)
        counters = session.await_counters(lambda counters: counters.open == counters.parked == 0)
        assert counters.in_flight == 0
        session.await_counters(lambda counters: count_descriptors() == before)


def test_head_has_the_length_and_not_the_content() -> None:
    result = drive(CONFIG, [ask(wire(b"HEAD /delay?ms=1") + wire(b"GET /"), frames(2), heads={0})])[0]
    assert [frame.header("content-length") for frame in result.frames] == [b"7", b"2"]
    assert result.bodies == [b"", b"ok"]


def test_what_is_malformed_is_refused_by_the_server() -> None:
    result = drive(CONFIG, [ask(b"garbage\r\n\r\n", eof)])[0]
    assert (result.statuses, result.frames[0].closes) == ([400], True)
