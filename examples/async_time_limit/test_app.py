"""async_time_limit: its state machine by hand and with a clock of its own, then over sockets."""

import pathlib
import re
import runpy

import pytest

from system import count_descriptors
from vanilla import Event, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat, sent

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
NAMES = APP["handle"].__globals__
CONFIG = ServerConfig(APP["handle"], workers=1)
HINT = b"steps: give a whole number from 1 to 999"
COMPLETED = re.compile(rb"completed within budget \(~[0-9]+ms\)")
EXCEEDED = re.compile(rb"deadline exceeded after ([0-9]+)ms \(budget 300ms\)")


def wire(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: a\r\n\r\n"


class Clock:
    """Reads what the test sets."""

    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class Run:
    """One request by hand: its timers come due when the test says so."""

    def __init__(self, target: bytes) -> None:
        self.request, self.response, self.worker = Request(wire(b"GET " + target)), Response(), Worker()
        self.step = APP["handle"](self.request, self.response, self.worker)
        self.timers = self.worker.recorded.timers  # grows with each step
        self.deadline = self.timers[0]

    def fire(self, timer) -> Step | None:
        """Let a timer come due, as the worker does: it is over, and resumes the request."""
        timer.cancel()
        timer.function(*timer.arguments)
        continuation, payload = self.worker.recorded.parked[0].resumed[-1]
        return continuation(self.request, self.response, self.worker, payload, Event.RESUMED)

    def active(self) -> list[str]:
        """The continuations that are still to come."""
        return [timer.arguments[0].__name__ for timer in self.timers if timer.is_active]


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setitem(NAMES, "monotonic", clock)
    return clock


def test_a_job_takes_its_steps_one_after_the_other_and_cancels_its_deadline(clock) -> None:
    run = Run(b"/job?steps=3")
    assert run.step is Step.SUSPEND
    assert run.active() == ["give_up", "take_step"]
    assert run.fire(run.timers[-1]) is Step.SUSPEND
    assert run.fire(run.timers[-1]) is Step.SUSPEND
    assert run.active() == ["give_up", "take_step"]
    assert len(run.response) == 0
    clock.seconds += 0.15
    assert run.fire(run.timers[-1]) is None
    assert bytes(run.response).startswith(b"HTTP/1.1 200 OK\r\n")
    assert bytes(run.response).endswith(b"\r\n\r\ncompleted within budget (~150ms)")
    assert run.active() == []


@pytest.mark.parametrize("steps_taken", [0, 1, 5])
def test_a_deadline_ends_a_job_wherever_it_is_and_cancels_its_step(clock, steps_taken) -> None:
    run = Run(b"/job?steps=10")
    for _ in range(steps_taken):
        assert run.fire(run.timers[-1]) is Step.SUSPEND
    clock.seconds += 0.301
    assert run.fire(run.deadline) is None
    assert bytes(run.response).startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert bytes(run.response).endswith(b"\r\n\r\ndeadline exceeded after 301ms (budget 300ms)")
    assert run.active() == []


@pytest.mark.parametrize(
    ("target", "steps"),
    [
        pytest.param(b"/job", 10, id="default"),
        pytest.param(b"/job?", 10, id="empty_query"),
        pytest.param(b"/job?steps=1", 1, id="least"),
        pytest.param(b"/job?steps=999", 999, id="most"),
    ],
)
def test_a_job_has_as_many_steps_as_asked_for(target, steps) -> None:
    run = Run(target)
    assert run.deadline.arguments[1].steps == steps


@pytest.mark.parametrize(
    ("line", "status", "content", "allow"),
    [
        pytest.param(b"GET /job?steps=0", 400, HINT, None, id="no_steps"),
        pytest.param(b"GET /job?steps=-1", 400, HINT, None, id="negative"),
        pytest.param(b"GET /job?steps=1000", 400, HINT, None, id="too_many"),
        pytest.param(b"GET /job?steps=ten", 400, HINT, None, id="not_a_number"),
        pytest.param(b"GET /job?steps=", 400, HINT, None, id="no_number"),
        pytest.param(b"GET /job?step=1", 400, HINT, None, id="another_name"),
        pytest.param(b"GET /", 404, b"", None, id="no_such_path"),
        pytest.param(b"GET /jobs", 404, b"", None, id="longer_path"),
        pytest.param(b"POST /job", 405, b"", b"GET, HEAD", id="wrong_method"),
    ],
)
def test_what_is_no_job_is_refused_and_the_connection_goes_on(line, status, content, allow) -> None:
    result = drive(CONFIG, [Script(rounds=[Round(send=wire(line)), Round(send=wire(line))])])[0]
    assert (result.statuses, result.bodies) == ([status] * 2, [content] * 2)
    assert [(frame.header("allow"), frame.closes) for frame in result.frames] == [(allow, False)] * 2


def test_both_ends_over_sockets_and_the_connection_goes_on_after_either() -> None:
    short, long = wire(b"GET /job?steps=1"), wire(b"GET /job?steps=999")
    results = drive(CONFIG, [ask(short + short, frames(2)), ask(long + short, frames(2))])
    assert [result.statuses for result in results] == [[200, 200], [504, 200]]
    assert COMPLETED.fullmatch(results[0].bodies[0])
    assert int(EXCEEDED.fullmatch(results[1].bodies[0])[1]) >= 300  # timers are never early
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_a_step_that_never_comes_does_not_keep_the_deadline(monkeypatch) -> None:
    monkeypatch.setitem(NAMES, "STEP_MS", 60_000)
    monkeypatch.setitem(NAMES, "BUDGET_MS", 1)
    results = drive(CONFIG, repeat(8, ask(wire(b"GET /job"))))
    assert [result.statuses for result in results] == [[504]] * 8


def test_a_client_that_leaves_ends_its_job(monkeypatch) -> None:
    monkeypatch.setitem(NAMES, "STEP_MS", 60_000)
    monkeypatch.setitem(NAMES, "BUDGET_MS", 60_000)
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire(repeat(4, ask(wire(b"GET /job"), sent)))
        session.await_counters(lambda counters: counters.parked == 4)
        session.close(group, reset=True)
        counters = session.await_counters(lambda counters: counters.open == counters.parked == 0)
        assert counters.in_flight == 0
        session.await_counters(lambda counters: count_descriptors() == before)


def test_what_is_malformed_is_refused_by_the_server() -> None:
    result = drive(CONFIG, [ask(b"garbage\r\n\r\n", eof)])[0]
    assert (result.statuses, result.frames[0].closes) == ([400], True)
