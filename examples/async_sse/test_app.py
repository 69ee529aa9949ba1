"""async_sse, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Session, ask, count, drive, eof, headers_seen, repeat

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
CONFIG = ServerConfig(APP["handle"], workers=1)
END = b"event: end\ndata: bye\n\n"


def wire(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


def ticks(first: int) -> bytes:
    return b"".join(b"id: %d\ndata: tick %d of 5\n\n" % (tick, tick) for tick in range(first, 6))


@pytest.fixture
def seconds(monkeypatch):
    """Sets how long a tick takes."""
    return lambda value: monkeypatch.setitem(APP["handle"].__globals__, "SECONDS", value)


@pytest.mark.parametrize(
    ("last", "first"),
    [
        pytest.param(b"", 1, id="never_here"),
        pytest.param(b"0", 1, id="saw_nothing"),
        pytest.param(b"3", 4, id="saw_some"),
        pytest.param(b"6", 1, id="unknown"),
        pytest.param(b"-1", 1, id="negative"),
        pytest.param(b"nonsense", 1, id="nonsense"),
    ],
)
def test_a_stream_goes_on_behind_what_was_seen_and_ends(seconds, last, first) -> None:
    seconds(0.001)
    results = drive(CONFIG, repeat(4, ask(wire(b"GET /events", b"Last-Event-ID: " + last))))
    assert [result.statuses for result in results] == [[200]] * 4
    assert [result.bodies for result in results] == [[ticks(first) + END]] * 4
    assert results[0].frames[0].header("content-type") == b"text/event-stream"
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize(
    ("send", "status"),
    [
        pytest.param(wire(b"GET /events", b"Last-Event-ID: 5"), 204, id="saw_all"),
        pytest.param(wire(b"GET /"), 404, id="no_such_path"),
        pytest.param(wire(b"POST /events"), 405, id="wrong_method"),
        pytest.param(b"garbage\r\n\r\n", 400, id="garbage"),
    ],
)
def test_what_is_no_stream_is_answered_at_once(send, status) -> None:
    assert drive(CONFIG, [ask(send)])[0].statuses == [status]


def test_the_head_comes_before_the_first_tick_and_who_leaves_leaves_nothing(seconds) -> None:
    seconds(3_600)
    with Session(CONFIG) as session:
        streams = session.fire(repeat(4, ask(wire(b"GET /events"), headers_seen)))
        assert [result.raw.count(b"data:") for result in streams.results] == [0] * 4
        session.close(streams, reset=True)
        session.await_counters(lambda counters: counters.open == counters.parked == 0)


def test_a_stream_ends_properly_when_its_worker_shuts_down(seconds) -> None:
    seconds(0.5)
    with Session(CONFIG) as session:
        streams = session.fire([ask(wire(b"GET /events"), count(b"data: tick 1", 1))])
        session.server.shutdown(5)
        (result,) = session.wait(streams, eof)
    assert result.bodies[0] in [ticks(1)[: ticks(1).index(b"id: %d" % end)] for end in (3, 4, 5)]  # whole, without END


def test_a_handler_called_by_hand_answers_without_waiting() -> None:
    response = Response()
    call = APP["handle"](Request(wire(b"GET /events", b"Last-Event-ID: 5")), response, Worker())
    with pytest.raises(StopIteration):
        call.send(None)
    assert bytes(response).startswith(b"HTTP/1.1 204 ")
