"""async_watch_hangup: its watch by hand over a socket pair, then a real feed that dies and comes back."""

import contextlib
import dataclasses
import pathlib
import runpy
import socket
import time

import pytest

from system import count_descriptors
from vanilla import Event, Request, Response, Worker
from vanilla.testing import Round, Script, Session, ask, eof, frames

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
NAMES = APP["answer"].__globals__
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def worker():
    """A worker made by hand, whose feed is one end of a socket pair; `worker.state.peer` is the other."""
    feed = APP["Feed"]()
    feed.rest = b""
    feed.socket, feed.peer = socket.socketpair()
    feed.socket.setblocking(False)
    worker = Worker(feed)
    feed.watch = worker.watch_fd_persistent(feed.socket.fileno(), 1, APP["on_event"])
    with feed.socket, feed.peer:
        yield worker


def tell(worker: Worker, event: Event) -> None:
    APP["on_event"](None, None, worker, None, event)


@contextlib.contextmanager
def served(config):
    """A running server and its one feed. The app leaves the end of its socket to the end of the process."""
    with Session(config) as session:
        feed = session.server.workers[0].state
        try:
            yield session, feed
        finally:
            session.stop()
            feed.socket.close()


@pytest.fixture
def listener(monkeypatch):
    """What the feed's address stands for, on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        monkeypatch.setitem(NAMES, "FEED", f"127.0.0.1:{listener.getsockname()[1]}")
        monkeypatch.setitem(NAMES, "PAUSE_MIN", 0.01)
        yield listener


@pytest.fixture
def config():
    """The app's, with one worker."""
    return dataclasses.replace(APP["config"], workers=1)


@pytest.mark.parametrize(
    ("pieces", "newest", "rest"),
    [
        pytest.param([b"one\n"], b"one", b"", id="a_line"),
        pytest.param([b"one\ntwo\nthr"], b"two", b"thr", id="two_lines_and_a_part"),
        pytest.param([b"o", b"ne", b"\n"], b"one", b"", id="in_pieces"),
        pytest.param([b"one\n", b"tw"], b"one", b"tw", id="the_next_one_has_not_arrived"),
        pytest.param([b"part"], b"", b"part", id="no_line_yet"),
    ],
)
def test_the_newest_whole_line_is_kept(worker, pieces, newest, rest) -> None:
    for piece in pieces:
        worker.state.peer.sendall(piece)
        tell(worker, Event.READABLE)
    assert (worker.state.newest, worker.state.rest) == (newest, rest)
    assert worker.recorded.watches[0].is_active


def test_an_event_without_data_changes_nothing(worker, caplog) -> None:
    tell(worker, Event.READABLE)
    assert (worker.state.newest, worker.recorded.timers, caplog.messages) == (b"", [], [])
    assert worker.recorded.watches[0].is_active


def test_what_came_before_a_hang_up_is_read_and_then_the_descriptor_is_let_go_of_once(worker, caplog) -> None:
    worker.state.peer.sendall(b"last\n")
    worker.state.peer.close()
    tell(worker, Event.READABLE | Event.HANGUP)
    assert worker.state.newest == b"last"
    assert worker.recorded.watches[0].is_active
    tell(worker, Event.READABLE | Event.HANGUP)
    assert not worker.recorded.watches[0].is_active
    assert worker.state.socket.fileno() == -1
    assert len(worker.recorded.timers) == 1
    assert caplog.messages == ["feed 127.0.0.1:7000: closed by the feed; tried again in 0.1 s"]
    assert worker.state.newest == b"last"


def test_a_line_without_end_is_given_up(worker, monkeypatch, caplog) -> None:
    monkeypatch.setitem(NAMES, "LINE_BYTES_MAX", 10)
    for _ in range(2):
        worker.state.peer.sendall(b"endless ")
        tell(worker, Event.READABLE)
    assert not worker.recorded.watches[0].is_active
    assert "a line of more than 10 bytes" in caplog.text


def test_the_pause_doubles_up_to_its_bound_and_is_short_again_after_data(worker) -> None:
    feed = worker.state
    pauses = []
    for _ in range(10):
        pauses.append(feed.pause)
        before = time.monotonic_ns()
        feed.give_up(worker, OSError("no"))
        after = time.monotonic_ns()
        assert before <= worker.recorded.timers[-1].due_ns - int(pauses[-1] * 1e9) <= after
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    feed.socket, peer = socket.socketpair()
    with feed.socket, peer:
        peer.sendall(b"back\n")
        tell(worker, Event.READABLE)
    assert (feed.pause, feed.newest) == (0.1, b"back")


@pytest.mark.parametrize(
    ("newest", "line", "status", "content", "field"),
    [
        pytest.param(b"one", b"GET /", 200, b"one", b"Content-Type: text/plain", id="the_newest_line"),
        pytest.param(b"one", b"GET /?x=1", 200, b"one", b"Content-Type: text/plain", id="with_a_query"),
        pytest.param(b"", b"GET /", 503, b"", b"Retry-After: 1", id="nothing_yet"),
        pytest.param(b"one", b"GET /absent", 404, b"", b"Content-Length: 0", id="no_such_path"),
        pytest.param(b"one", b"POST /", 405, b"", b"Allow: GET, HEAD", id="wrong_method"),
    ],
)
def test_a_request_is_answered_from_what_there_is(worker, newest, line, status, content, field) -> None:
    worker.state.newest = newest
    response = Response()
    assert APP["answer"](Request(line + b" HTTP/1.1\r\nHost: a\r\n\r\n"), response, worker) is None
    assert bytes(response).startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\n" + field + b"\r\n" in bytes(response)
    assert bytes(response).endswith(b"\r\n\r\n" + content)


def test_a_feed_that_dies_is_connected_again_and_clients_go_on(listener, config, caplog) -> None:
    with served(config) as (session, feed):
        group = session.fire([ask(GET)])
        for line in (b"first", b"second", b"third"):
            with listener.accept()[0] as peer:
                peer.sendall(line + b"\n")
            session.await_counters(lambda counters, line=line: feed.newest == line)
            assert session.go_on(group, Round(send=GET))[0].bodies[-1] == line
        listener.accept()[0].close()  # the fourth connection: the third was given up
        assert group.results[0].statuses == [503, 200, 200, 200]
        session.await_counters(lambda counters: len(caplog.messages) >= 4)
    assert {message.split("; ")[0].split(": ", 1)[1] for message in caplog.messages} == {"closed by the feed"}


def test_a_feed_that_is_not_there_is_tried_until_it_is(listener, config, caplog) -> None:
    address = listener.getsockname()
    listener.close()
    with served(config) as (session, feed):
        session.await_counters(lambda counters: len(caplog.messages) >= 2)
        assert "Connection refused; tried again in 0.01 s" in caplog.messages[0]
        assert "Connection refused; tried again in 0.02 s" in caplog.messages[1]
        assert session.fire([ask(GET)]).results[0].statuses == [503]
        with socket.create_server(address) as again:
            again.settimeout(20)
            with again.accept()[0] as peer:
                peer.sendall(b"here\n")
                session.await_counters(lambda counters: feed.newest == b"here")


def test_a_watched_descriptor_that_died_is_reported_once_and_closed(listener, config, monkeypatch, caplog) -> None:
    monkeypatch.setitem(NAMES, "PAUSE_MIN", 60.0)
    with served(config) as (session, _):
        before = count_descriptors()
        listener.accept()[0].close()
        session.await_counters(lambda counters: count_descriptors() == before - 1)
        ticks = session.server.counters().ticks
        results = session.fire([Script(rounds=[Round(send=GET)] * 8), ask(b"garbage\r\n\r\n", eof)]).results
        assert [result.statuses for result in results] == [[503] * 8, [400]]
        assert session.server.counters().ticks - ticks < 1000  # a watch that stayed would turn the loop without end
    assert len(caplog.messages) == 1


def test_head_has_the_length_and_not_the_content(listener, config) -> None:
    with served(config) as (session, feed), listener.accept()[0] as peer:
        peer.sendall(b"one\n")
        session.await_counters(lambda counters: feed.newest == b"one")
        head = GET.replace(b"GET", b"HEAD")
        result = session.fire([ask(head + GET, frames(2), heads={0})]).results[0]
        assert [frame.header("content-length") for frame in result.frames] == [b"3", b"3"]
        assert result.bodies == [b"", b"one"]


def test_the_command_finds_the_config() -> None:
    assert "handle" not in APP  # which it would serve before it looked for a config
