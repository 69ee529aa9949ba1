"""sse, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Session, ask, count, drive, eof, frames, headers_seen, repeat

PATH = str(pathlib.Path(__file__).with_name("app.py"))
WORST = b"\n" * 1024  # the message that takes most room in a stream


@pytest.fixture
def app():
    """A fresh one: its channel has been told nothing."""
    return runpy.run_path(PATH)


def wire(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


def post(message: bytes) -> bytes:
    return wire(b"POST /broadcast", b"Content-Length: %d" % len(message)) + message


def config_of(app) -> ServerConfig:
    return ServerConfig(app["answer"], limits=app["config"].limits, workers=2)


def test_every_stream_on_every_worker_is_sent_every_message_in_order(app) -> None:
    with Session(config_of(app)) as session:
        streams = session.fire(repeat(8, ask(wire(b"GET /events"), headers_seen)))
        answers = session.fire([ask(post(b"hello") + post(b"") + post(b"two\nlines"), frames(3))])
        results = session.wait(streams, count(b"data: lines\n\n", 1))
        assert answers.results[0].statuses == [204] * 3
        for result in results:
            texts = [b"data: hello\n\n", b"data: \n\n", b"data: two\ndata: lines\n\n"]
            assert [result.raw.count(text) for text in texts] == [1] * 3
            assert sorted(texts, key=result.raw.index) == texts
        session.close(streams, reset=True)
        session.await_counters(lambda counters: (counters.parked, app["channel"].subscribers) == (0, 0))


def test_who_comes_back_is_sent_what_it_missed_and_nothing_twice(app) -> None:
    seen, *_ = [app["channel"].publish(text) for text in ("seen", "missed", "and this")]
    asked = wire(b"GET /events", b"Last-Event-ID: " + seen)
    with Session(config_of(app)) as session:
        streams = session.fire([ask(asked, count(b"data: and this\n\n", 1))])
        assert [streams.results[0].raw.count(text) for text in (b"seen", b"missed", b"and this")] == [0, 1, 1]


def test_a_whole_replay_of_the_largest_messages_is_no_reason_to_be_dropped(app) -> None:
    for _ in range(app["REPLAY"]):
        app["channel"].publish(WORST)
    asked = wire(b"GET /events", b"Last-Event-ID: gone")
    with Session(config_of(app)) as session:
        streams = session.fire([ask(asked, headers_seen)])
        session.fire([ask(post(b"last"))])
        session.wait(streams, count(b"data: last\n\n", 1))
        assert app["channel"].dropped == 0


@pytest.mark.parametrize(
    ("send", "status", "allow"),
    [
        pytest.param(wire(b"GET /"), 200, None, id="page"),
        pytest.param(post(b"hello"), 204, None, id="message"),
        pytest.param(post(b""), 204, None, id="empty_message"),
        pytest.param(post(b"\xff"), 400, None, id="not_utf_8"),
        pytest.param(post(WORST + b"\n"), 413, None, id="too_long"),
        pytest.param(wire(b"GET /broadcast"), 405, b"POST", id="get_to_post"),
        pytest.param(wire(b"POST /events"), 405, b"GET, HEAD", id="post_to_get"),
        pytest.param(wire(b"GET /absent"), 404, None, id="no_such_path"),
        pytest.param(b"garbage\r\n\r\n", 400, None, id="garbage"),
    ],
)
def test_every_request_is_answered(app, send, status, allow) -> None:
    results = drive(config_of(app), [ask(send)])
    assert (results[0].statuses, results[0].frames[0].header("allow")) == ([status], allow)
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_what_is_malformed_ends_the_connection(app) -> None:
    assert drive(config_of(app), [ask(b"garbage\r\n\r\n", eof)])[0].frames[0].closes


def test_the_handler_called_by_hand(app) -> None:
    request, response, worker = Request(wire(b"GET /events")), Response(), Worker()
    assert app["answer"](request, response, worker) is Step.SUSPEND
    assert app["answer"](Request(post(b"hello")), Response(), Worker()) is None
    for function, arguments in worker.recorded.posted:
        function(*arguments)
    (event,) = response.recorded.written
    assert event.endswith(b"\ndata: hello\n\n")
