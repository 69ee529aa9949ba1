"""async_date_timerfd: the date against known ones, then both ways to be called every second, by hand and for real.

Where this Python has no timerfd, a pipe stands for one: eight bytes to read, whenever the test says that it expired.
"""

import dataclasses
import email.utils
import os
import pathlib
import runpy
import sys
import time

import pytest

from vanilla import Event, Interest, Request, Response, Worker
from vanilla.testing import Round, Script, Session, ask, eof, frames

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
NAMES = APP["answer"].__globals__
CONFIG = dataclasses.replace(APP["config"], workers=1)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ONCE = (1).to_bytes(8, sys.byteorder)
START = 1_000_000_000  # Sun, 09 Sep 2001 01:46:40 GMT
REAL = [pytest.param(["call_later"], id="call_later")]
REAL += [pytest.param([], id="timerfd")] * hasattr(os, "timerfd_create")


class PipeTimer:
    """What stands for os.timerfd_create and os.timerfd_settime."""

    def __init__(self) -> None:
        self.fd, self.expire_fd = os.pipe()
        self.settings: list[tuple[object, ...]] = []

    def create(self, clock: int, *, flags: int) -> int:
        self.settings.append((clock, flags))
        return self.fd

    def settime(self, fd: int, *, initial: float, interval: float) -> None:
        self.settings.append((fd, initial, interval))

    def expire(self) -> None:
        os.write(self.expire_fd, ONCE)


@pytest.fixture
def pipe_timer(monkeypatch):
    timer = PipeTimer()
    monkeypatch.setattr(os, "timerfd_create", timer.create, raising=False)
    monkeypatch.setattr(os, "timerfd_settime", timer.settime, raising=False)
    monkeypatch.setattr(os, "TFD_NONBLOCK", 0o4000, raising=False)
    monkeypatch.setattr(os, "TFD_CLOEXEC", 0o2000000, raising=False)
    yield timer
    os.close(timer.fd)
    os.close(timer.expire_fd)


@pytest.fixture
def no_timerfd(monkeypatch) -> None:
    monkeypatch.delattr(os, "timerfd_create", raising=False)


class Clock:
    """One second later each time that it is read."""

    def __init__(self) -> None:
        self.now = START - 1

    CLOCK_MONOTONIC = time.CLOCK_MONOTONIC

    def time(self) -> int:
        self.now += 1
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Stands for the module `time` in the app."""
    clock = Clock()
    monkeypatch.setitem(NAMES, "time", clock)
    return clock


def dated(date: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: " + date + b"\r\nContent-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    ("now", "date"),
    [
        pytest.param(784111777, b"Sun, 06 Nov 1994 08:49:37 GMT", id="the_standards_own"),
        pytest.param(784111778, b"Sun, 06 Nov 1994 08:49:38 GMT", id="a_second_later"),
        pytest.param(784111777.999, b"Sun, 06 Nov 1994 08:49:37 GMT", id="almost_a_second_later"),
        pytest.param(1000000019, b"Sun, 09 Sep 2001 01:46:59 GMT", id="end_of_a_minute"),
        pytest.param(1000000020, b"Sun, 09 Sep 2001 01:47:00 GMT", id="next_minute"),
        pytest.param(1000000799, b"Sun, 09 Sep 2001 01:59:59 GMT", id="end_of_an_hour"),
        pytest.param(1000000800, b"Sun, 09 Sep 2001 02:00:00 GMT", id="next_hour"),
        pytest.param(1709164799, b"Wed, 28 Feb 2024 23:59:59 GMT", id="end_of_a_day"),
        pytest.param(1709164800, b"Thu, 29 Feb 2024 00:00:00 GMT", id="leap_day"),
        pytest.param(1767225599, b"Wed, 31 Dec 2025 23:59:59 GMT", id="end_of_a_year"),
        pytest.param(1767225600, b"Thu, 01 Jan 2026 00:00:00 GMT", id="next_year"),
        pytest.param(0, b"Thu, 01 Jan 1970 00:00:00 GMT", id="a_clock_that_jumped_back"),
    ],
)
def test_the_answer_has_the_date_of_its_second(now, date) -> None:
    assert APP["make_answer"](now) == APP["make_answer"](now) == dated(date)


def test_every_second_across_a_midnight_reads_back_as_itself() -> None:
    for now in range(1709164800 - 100, 1709164800 + 100):
        date = APP["make_answer"](now).split(b"Date: ")[1].split(b"\r\n")[0].decode()
        assert email.utils.parsedate_to_datetime(date).timestamp() == now


def test_a_timerfd_is_watched_and_read_and_refreshes_the_answer(pipe_timer, clock) -> None:
    worker = Worker()
    APP["on_worker_start"](worker)
    assert worker.state == dated(b"Sun, 09 Sep 2001 01:46:40 GMT")
    assert pipe_timer.settings == [(time.CLOCK_MONOTONIC, 0o2004000), (pipe_timer.fd, 1.0, 1.0)]
    (watch,) = worker.recorded.watches
    assert (watch.fd, watch.interest, watch.is_persistent) == (pipe_timer.fd, Interest.READABLE, True)
    for second in (b"41", b"42"):
        pipe_timer.expire()
        watch.continuation(None, None, worker, watch.payload, Event.READABLE)
        assert worker.state == dated(b"Sun, 09 Sep 2001 01:46:%b GMT" % second)
    os.set_blocking(pipe_timer.fd, False)
    with pytest.raises(BlockingIOError):
        os.read(pipe_timer.fd, 1)
    assert worker.recorded.timers == []


def test_without_timerfd_a_timer_sets_itself_again(no_timerfd, clock) -> None:
    worker = Worker()
    APP["on_worker_start"](worker)
    assert worker.state == dated(b"Sun, 09 Sep 2001 01:46:40 GMT")
    for index, second in enumerate((b"41", b"42")):
        timer = worker.recorded.timers[index]
        timer.function(*timer.arguments)
        assert worker.state == dated(b"Sun, 09 Sep 2001 01:46:%b GMT" % second)
        assert len(worker.recorded.timers) == index + 2
    assert worker.recorded.watches == []


def test_a_refresh_that_fails_does_not_end_the_timer(no_timerfd) -> None:
    def fail(worker: Worker) -> None:
        raise ValueError("no")

    worker = Worker()
    with pytest.raises(ValueError, match="no"):
        APP["on_due"](worker, 1.0, fail)
    assert len(worker.recorded.timers) == 1


@pytest.mark.parametrize(
    ("line", "start"),
    [
        pytest.param(b"GET /", dated(b"Sun, 09 Sep 2001 01:46:40 GMT"), id="the_answer"),
        pytest.param(b"GET /?x=1", dated(b"Sun, 09 Sep 2001 01:46:40 GMT"), id="with_a_query"),
        pytest.param(b"GET /absent", b"HTTP/1.1 404 Not Found\r\nDate: ", id="no_such_path"),
        pytest.param(b"POST /", b"HTTP/1.1 405 Method Not Allowed\r\nAllow: GET, HEAD\r\n", id="wrong_method"),
    ],
)
def test_the_handler_can_be_called_by_hand(line, start) -> None:
    response, worker = Response(), Worker(APP["make_answer"](START))
    assert APP["answer"](Request(line + b" HTTP/1.1\r\nHost: a\r\n\r\n"), response, worker) is None
    assert bytes(response).startswith(start)


@pytest.mark.parametrize("removed", REAL)
def test_the_date_goes_on_without_any_request(removed, monkeypatch, clock) -> None:
    for _ in removed:
        monkeypatch.delattr(os, "timerfd_create", raising=False)
    monkeypatch.setitem(NAMES, "SECONDS", 0.01)
    with Session(CONFIG) as session:
        counters = session.await_counters(lambda counters: clock.now >= START + 3)
        assert counters.requests == 0
        dates = [
            result.frames[0].header("date") for result in session.fire([Script(rounds=[Round(send=GET)])] * 2).results
        ]
        assert all(email.utils.parsedate_to_datetime(date.decode()).timestamp() >= START + 3 for date in dates)


def test_a_descriptor_that_expires_refreshes_the_answer_once(pipe_timer, clock) -> None:
    with Session(CONFIG) as session:
        worker = session.server.workers[0]
        for second in (b"41", b"42", b"43"):
            pipe_timer.expire()
            wanted = dated(b"Sun, 09 Sep 2001 01:46:%b GMT" % second)
            session.await_counters(lambda counters, wanted=wanted: worker.state == wanted)
            assert session.fire([ask(GET * 2, frames(2))]).results[0].raw == wanted * 2
        assert clock.now == START + 3
        assert session.stop().in_flight == 0


def test_head_gets_the_head_and_garbage_a_refusal(pipe_timer) -> None:
    with Session(CONFIG) as session:
        head = GET.replace(b"GET", b"HEAD")
        results = session.fire([ask(head + GET, frames(2), heads={0}), ask(b"garbage\r\n\r\n", eof)]).results
        assert (results[0].bodies, results[1].statuses) == ([b"", b"ok"], [400])


def test_the_command_finds_the_config() -> None:
    assert "handle" not in APP  # which it would serve before it looked for a config
