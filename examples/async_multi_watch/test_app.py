"""async_multi_watch, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from system import count_descriptors
from vanilla import Event, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat, sent

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
NAMES = APP["handle"].__globals__
CONFIG = ServerConfig(APP["handle"], workers=1)
CHAIN = b"stage A done (80ms), then stage B done (140ms)"
BOTH = b"done: A, B"


def wire(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "status", "content", "allow"),
    [
        pytest.param(b"GET /", 404, b"", None, id="no_such_path"),
        pytest.param(b"GET /chains", 404, b"", None, id="longer_path"),
        pytest.param(b"GET /?/chain", 404, b"", None, id="the_path_in_a_query"),
        pytest.param(b"POST /chain", 405, b"", b"GET, HEAD", id="wrong_method_for_the_chain"),
        pytest.param(b"DELETE /both", 405, b"", b"GET, HEAD", id="wrong_method_for_both"),
        pytest.param(b"GET /chain?x=1", 200, CHAIN, None, id="one_after_the_other"),
        pytest.param(b"GET /both?x=1", 200, BOTH, None, id="both_at_once"),
    ],
)
def test_a_request_is_answered_and_the_connection_goes_on(line, status, content, allow) -> None:
    results = drive(CONFIG, [Script(rounds=[Round(send=wire(line))])])
    assert (results[0].statuses, results[0].bodies) == ([status], [content])
    assert (results[0].frames[0].header("allow"), results[0].frames[0].closes) == (allow, False)
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def go_on(request: Request, response: Response, worker: Worker, index: int) -> Step | None:
    """Let the timer of this index come due, and call the continuation that it resumes the request with."""
    timer = worker.recorded.timers[index]
    timer.function(*timer.arguments)
    ((continuation, payload),) = worker.recorded.parked[index].resumed
    return continuation(request, response, worker, payload, Event.RESUMED)


def test_the_chain_waits_for_b_only_once_a_is_done() -> None:
    request, response, worker = Request(wire(b"GET /chain")), Response(), Worker()
    assert APP["handle"](request, response, worker) is Step.SUSPEND
    assert len(worker.recorded.timers) == 1
    assert go_on(request, response, worker, 0) is Step.SUSPEND
    assert len(worker.recorded.timers) == 2
    assert len(response) == 0
    assert go_on(request, response, worker, 1) is None
    assert bytes(response).endswith(b"\r\n\r\n" + CHAIN)


@pytest.mark.parametrize(
    ("order", "content"),
    [
        pytest.param((0, 1), b"done: A, B", id="a_first"),
        pytest.param((1, 0), b"done: B, A", id="b_first"),
    ],
)
def test_both_are_waited_for_at_once_in_whatever_order_they_come(order, content) -> None:
    request, response, worker = Request(wire(b"GET /both")), Response(), Worker()
    assert APP["handle"](request, response, worker) is Step.SUSPEND
    assert [go_on(request, response, worker, index) for index in order] == [Step.SUSPEND, None]
    assert bytes(response).endswith(b"\r\n\r\n" + content)


def test_many_chains_overlap_on_one_worker() -> None:
    lines = [b"GET /chain", b"GET /both"] * 10
    results = drive(CONFIG, [ask(wire(line)) for line in lines])
    assert [result.bodies for result in results] == [[CHAIN], [BOTH]] * 10
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_pipelined_chains_are_answered_in_order(monkeypatch) -> None:
    monkeypatch.setitem(NAMES, "A_MS", 0)
    monkeypatch.setitem(NAMES, "B_MS", 1)
    result = drive(CONFIG, [ask((wire(b"GET /both") + wire(b"GET /chain")) * 3, frames(6))])[0]
    assert result.bodies == [b"done: A, B", b"stage A done (0ms), then stage B done (1ms)"] * 3


def test_a_client_that_leaves_between_the_stages_leaves_nothing(monkeypatch) -> None:
    stages = []
    after_a = NAMES["after_a"]
    monkeypatch.setitem(NAMES, "A_MS", 0)
    monkeypatch.setitem(NAMES, "B_MS", 60_000)
    monkeypatch.setitem(NAMES, "after_a", lambda *arguments: stages.append("A") or after_a(*arguments))
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire(repeat(4, ask(wire(b"GET /chain"), sent)))
        session.await_counters(lambda counters: len(stages) == 4)
        assert session.server.counters().parked == 4
        session.close(group, reset=True)
        counters = session.await_counters(lambda counters: counters.open == counters.parked == 0)
        assert counters.in_flight == 0
        session.await_counters(lambda counters: count_descriptors() == before)


def test_what_is_malformed_is_refused_by_the_server() -> None:
    result = drive(CONFIG, [ask(b"garbage\r\n\r\n", eof)])[0]
    assert (result.statuses, result.frames[0].closes) == ([400], True)
