"""async_pipe, called by hand and over sockets."""

import pathlib
import runpy
import threading

import pytest

from system import count_descriptors
from vanilla import Event, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Round, Script, Session, ask, count, drive, eof, frames, repeat, sent

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
CONFIG = ServerConfig(APP["handle"], workers=1)


def wire(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def measuring(monkeypatch):
    """The blocking call, which blocks until the test sets this event; by the end of the test at the latest."""
    event = threading.Event()

    def measure_disk() -> bytes:
        event.wait()
        return b"measured"

    monkeypatch.setitem(APP["handle"].__globals__, "measure_disk", measure_disk)
    yield event
    event.set()


@pytest.mark.parametrize(
    ("line", "status", "content", "allow"),
    [
        pytest.param(b"GET /async", 200, b"async-ok", None, id="finished_at_once"),
        pytest.param(b"GET /async?x=/disk", 200, b"async-ok", None, id="with_a_query"),
        pytest.param(b"GET /", 404, b"", None, id="no_such_path"),
        pytest.param(b"GET /asynchronous", 404, b"", None, id="longer_path"),
        pytest.param(b"GET /a/async", 404, b"", None, id="deeper_path"),
        pytest.param(b"POST /async", 405, b"", b"GET, HEAD", id="wrong_method"),
        pytest.param(b"PUT /disk", 405, b"", b"GET, HEAD", id="wrong_method_for_the_thread"),
    ],
)
def test_a_request_is_answered_and_the_connection_goes_on(line, status, content, allow) -> None:
    results = drive(CONFIG, [Script(rounds=[Round(send=wire(line)), Round(send=wire(line))])])
    assert (results[0].statuses, results[0].bodies) == ([status] * 2, [content] * 2)
    assert [(frame.header("allow"), frame.closes) for frame in results[0].frames] == [(allow, False)] * 2
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_the_continuation_reads_the_pipe_and_closes_it() -> None:
    before = count_descriptors()
    request, response, worker = Request(wire(b"GET /async")), Response(), Worker()
    assert APP["handle"](request, response, worker) is Step.SUSPEND
    assert len(response) == 0
    (watch,) = worker.recorded.watches
    event = Event.READABLE | Event.HANGUP
    assert watch.continuation(request, response, worker, watch.payload, event) is None
    assert bytes(response).startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    assert bytes(response).endswith(b"\r\n\r\nasync-ok")
    assert count_descriptors() == before


def test_many_clients_and_many_pipelined_requests_each_get_their_answer_and_no_descriptor_stays() -> None:
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire(repeat(8, ask(wire(b"GET /async") * 10, frames(10))))
        assert [result.bodies for result in group.results] == [[b"async-ok"] * 10] * 8
        session.close(group)
        session.await_counters(lambda counters: count_descriptors() == before)


def test_the_disk_is_measured() -> None:
    results = drive(CONFIG, [ask(wire(b"GET /disk"), count(b" GB free", 1))])
    assert results[0].statuses == [200]


def test_others_are_answered_while_a_thread_works(measuring) -> None:
    with Session(CONFIG) as session:
        slow = session.fire([ask(wire(b"GET /disk") + wire(b"GET /async"), sent)])
        session.await_counters(lambda counters: counters.parked == 1)
        assert session.fire([ask(wire(b"GET /async"))]).results[0].bodies == [b"async-ok"]
        assert slow.results[0].raw == b""
        measuring.set()
        assert session.wait(slow, frames(2))[0].bodies == [b"measured", b"async-ok"]
        assert session.stop().in_flight == 0


def test_a_client_that_leaves_while_a_thread_works_leaves_no_descriptor(measuring, caplog) -> None:
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire(repeat(2, ask(wire(b"GET /disk"), sent)))
        session.await_counters(lambda counters: counters.parked == 2)
        session.close(group, reset=True)
        session.await_counters(lambda counters: count_descriptors() == before + 2)  # the threads' ends
        measuring.set()
        session.await_counters(lambda counters: count_descriptors() == before)
    assert caplog.messages == []


def test_work_that_fails_is_logged_and_answered_500(monkeypatch, caplog) -> None:
    def fail() -> bytes:
        raise OSError("the disk is gone")

    monkeypatch.setitem(APP["handle"].__globals__, "measure_disk", fail)
    result = drive(CONFIG, [ask(wire(b"GET /disk") + wire(b"GET /async"), frames(2))])[0]
    assert (result.statuses, result.bodies) == ([500, 200], [b"", b"async-ok"])
    assert "the disk is gone" in caplog.text


def test_what_is_malformed_is_refused_by_the_server() -> None:
    result = drive(CONFIG, [ask(b"garbage\r\n\r\n", eof)])[0]
    assert (result.statuses, result.frames[0].closes) == ([400], True)
