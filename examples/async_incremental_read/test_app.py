"""async_incremental_read, called by hand and over sockets, with commands that print when the test says so."""

import os
import pathlib
import runpy
from collections.abc import Callable

import pytest

from system import count_descriptors
from vanilla import Event, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import Round, Script, Session, ask, count, drive, eof, frames, headers_seen

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
NAMES = APP["handle"].__globals__
CONFIG = ServerConfig(APP["handle"], workers=1)
LINES = b"".join(b"line %d\n" % number for number in range(1, 6))
STREAM = b"GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"
STREAM_1_0 = b"GET /stream HTTP/1.0\r\n\r\n"


def is_known(pid: int) -> bool:
    """Whether there is such a process: one that was killed and not reaped is one, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def run(monkeypatch) -> Callable[[str], None]:
    """Has the app run another command."""
    return lambda script: monkeypatch.setitem(NAMES, "COMMAND", ["sh", "-c", script])


@pytest.fixture
def fifo(tmp_path, run):
    """The end to write into of a FIFO whose other end the command reads and prints; first it prints its process id."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    run(f"echo $$; exec cat '{path}'")
    fd = os.open(path, os.O_RDWR)  # both ways: opening it does not wait for the command
    with open(fd, "wb", buffering=0) as end:
        yield end


@pytest.mark.parametrize(
    ("line", "status", "allow"),
    [
        pytest.param(b"GET /", 404, None, id="no_such_path"),
        pytest.param(b"GET /streams", 404, None, id="longer_path"),
        pytest.param(b"GET /?/stream", 404, None, id="the_path_in_a_query"),
        pytest.param(b"POST /stream", 405, b"GET, HEAD", id="wrong_method"),
    ],
)
def test_what_is_no_stream_is_refused_and_the_connection_goes_on(line, status, allow) -> None:
    request = line + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    result = drive(CONFIG, [Script(rounds=[Round(send=request), Round(send=request)])])[0]
    assert result.statuses == [status] * 2
    assert [(frame.header("allow"), frame.closes) for frame in result.frames] == [(allow, False)] * 2


def test_the_command_prints_five_lines(run) -> None:
    run(NAMES["COMMAND"][2].replace("sleep 0.2", "true"))
    results = drive(CONFIG, [ask(STREAM + STREAM, frames(2)), ask(STREAM_1_0, eof)])
    assert [result.bodies for result in results] == [[LINES, LINES], [LINES]]
    assert [result.frames[0].header("transfer-encoding") for result in results] == [b"chunked", None]
    assert [result.frames[0].closes for result in results] == [False, True]
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_each_read_becomes_a_chunk_by_hand(run) -> None:
    run("printf '0123456789abcdef'")
    before = count_descriptors()
    request, response, worker = Request(STREAM), Response(), Worker()
    assert APP["handle"](request, response, worker) is Step.SUSPEND
    head = bytes(response)
    assert head == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    child = worker.recorded.watches[0].payload
    os.set_blocking(child.fd, True)  # no loop says when it is ready
    assert worker.recorded.watches[0].continuation(request, response, worker, child, Event.READABLE) is Step.SUSPEND
    assert bytes(response) == head + b"10\r\n0123456789abcdef\r\n"
    assert worker.recorded.watches[1].continuation(request, response, worker, child, Event.HANGUP) is Step.DONE
    assert bytes(response) == head + b"10\r\n0123456789abcdef\r\n0\r\n\r\n"
    assert child.process.returncode is not None
    assert count_descriptors() == before


def test_a_descriptor_that_has_nothing_yet_is_watched_again_by_hand(fifo) -> None:
    request, response, worker = Request(STREAM), Response(), Worker()
    APP["handle"](request, response, worker)
    child = worker.recorded.watches[0].payload
    os.set_blocking(child.fd, True)
    os.read(child.fd, 100)  # its process id
    os.set_blocking(child.fd, False)
    length = len(response)
    assert APP["forward"](request, response, worker, child, Event.READABLE) is Step.SUSPEND
    assert (len(worker.recorded.watches), len(response)) == (2, length)
    worker.recorded.watches[1].on_disconnect(child)
    assert not is_known(child.process.pid)
    os.close(child.fd)


def test_the_client_gets_each_line_before_the_next_is_printed(fifo) -> None:
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire([ask(STREAM, count(b"\r\n", 6))])  # the head, and the chunk of the process id
        for number in range(1, 6):
            line = b"line %d\n" % number
            fifo.write(line)
            assert session.wait(group, count(line, 1))[0].frames == ()
        fifo.close()
        result = session.wait(group, frames(1))[0]
        pid, lines = result.bodies[0].split(b"\n", 1)
        assert lines == LINES
        assert not is_known(int(pid))
        assert session.go_on(group, Round(send=b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"))[0].statuses == [200, 404]
        session.close(group)
        session.await_counters(lambda counters: count_descriptors() == before - 1)  # the FIFO


def test_the_head_arrives_before_anything_is_printed(run, tmp_path) -> None:
    os.mkfifo(tmp_path / "fifo")
    run(f"exec cat '{tmp_path / 'fifo'}'")  # which opens it, and so waits for somebody who writes
    with Session(CONFIG) as session:
        group = session.fire([ask(STREAM, headers_seen)])
        assert group.results[0].rest.endswith(b"chunked\r\n\r\n")
        session.close(group, reset=True)
        session.await_counters(lambda counters: counters.open == 0)


def test_a_client_that_crashes_has_its_command_killed_and_reaped_although_it_prints_nothing(fifo) -> None:
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire([ask(STREAM, count(b"\r\n", 6))])
        pid = int(group.results[0].rest.split(b"\r\n")[-2])
        assert is_known(pid)
        session.close(group, reset=True)
        session.await_counters(lambda counters: not is_known(pid))
        counters = session.await_counters(lambda counters: count_descriptors() == before)
        assert (counters.parked, counters.in_flight) == (0, 0)


def test_a_client_that_closes_has_its_command_killed_and_reaped_once_it_prints(fifo) -> None:
    with Session(CONFIG) as session:
        before = count_descriptors()
        group = session.fire([ask(STREAM, count(b"\r\n", 6))])
        pid = int(group.results[0].rest.split(b"\r\n")[-2])
        session.close(group)
        session.await_counters(lambda counters: fifo.write(b"more\n") and not is_known(pid))
        session.await_counters(lambda counters: count_descriptors() == before)


def test_a_command_that_is_silent_for_too_long_is_killed_and_the_answer_cut_off(fifo, monkeypatch) -> None:
    monkeypatch.setitem(NAMES, "SILENCE_SECONDS_MAX", 0.02)
    result = drive(CONFIG, [ask(STREAM, eof)])[0]
    assert not result.raw.endswith(b"0\r\n\r\n")
    assert result.raw.startswith(b"HTTP/1.1 200 OK\r\n")


def test_silence_is_cut_off_by_hand(fifo) -> None:
    request, response, worker = Request(STREAM), Response(), Worker()
    APP["handle"](request, response, worker)
    (watch,) = worker.recorded.watches
    assert watch.timeout == 30.0
    os.set_blocking(watch.fd, True)
    os.read(watch.fd, 100)  # its process id
    os.set_blocking(watch.fd, False)
    assert watch.continuation(request, response, worker, watch.payload, Event.TIMEOUT) is Step.CLOSE
    assert not is_known(watch.payload.process.pid)


def test_a_command_that_closes_its_output_and_lingers_is_killed(run) -> None:
    run("echo $$; exec >&-; exec sleep 1000")
    result = drive(CONFIG, [ask(STREAM)])[0]
    assert not is_known(int(result.bodies[0]))


@pytest.mark.parametrize("request_bytes", [STREAM, STREAM_1_0], ids=["1.1", "1.0"])
def test_too_much_output_is_cut_off_visibly(run, monkeypatch, request_bytes) -> None:
    run("exec cat /dev/zero")
    monkeypatch.setitem(NAMES, "OUTPUT_BYTES_MAX", 10_000)
    result = drive(CONFIG, [ask(request_bytes, eof)])[0]
    assert not result.raw.endswith(b"0\r\n\r\n")
    assert 10_000 - NAMES["READ_BYTES"] <= result.raw.count(b"\0") <= 10_000


def test_a_command_that_is_not_there_is_a_502(monkeypatch) -> None:
    monkeypatch.setitem(NAMES, "COMMAND", ["/absent/command"])
    before = count_descriptors()
    results = drive(CONFIG, [ask(STREAM + STREAM, frames(2))])
    assert results[0].statuses == [502, 502]
    assert count_descriptors() <= before


def test_head_starts_no_command(run, tmp_path) -> None:
    run(f"touch '{tmp_path / 'started'}'")
    head = b"HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n"
    result = drive(CONFIG, [ask(head + head, frames(2), heads={0, 1})])[0]
    assert (result.statuses, result.bodies) == ([200, 200], [b"", b""])
    assert not (tmp_path / "started").exists()


def test_a_shutdown_kills_what_still_runs(fifo) -> None:
    with Session(CONFIG) as session:
        group = session.fire([ask(STREAM, count(b"\r\n", 6))])
        pid = int(group.results[0].rest.split(b"\r\n")[-2])
        session.server.shutdown(0)
        assert not is_known(pid)


def test_what_is_malformed_is_refused_by_the_server() -> None:
    result = drive(CONFIG, [ask(b"garbage\r\n\r\n", eof)])[0]
    assert (result.statuses, result.frames[0].closes) == ([400], True)
