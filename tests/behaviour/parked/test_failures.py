"""Continuations that fail, and handlers that fail behind what they wait for: nobody else notices."""

from __future__ import annotations

import pytest

from system import close, count_descriptors, is_open, open_pair, ready_reader, write
from vanilla import Interest, Step
from vanilla.testing import ask, drive, eof, repeat

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def fails_by(outcome):
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


OUTCOMES = [
    pytest.param(ValueError("its own words"), "its own words", id="raises"),
    pytest.param(SystemExit("its own words"), "its own words", id="exits"),
    pytest.param(b"nonsense", "returned b'nonsense'", id="returns_bytes"),
    pytest.param(Interest.READABLE, "READABLE", id="returns_an_interest"),
    pytest.param(Step.SUSPEND, "SUSPEND", id="suspends_on_nothing"),
]


@pytest.mark.parametrize(("outcome", "logged"), OUTCOMES)
def test_a_continuation_that_fails_after_the_head_was_sent_cuts_its_answer_and_nothing_else(
    configure, caplog, outcome, logged
) -> None:
    """By a watch: a request that suspends again without another one waits for nothing."""

    def fail(request, response, worker, fd, event):
        close(fd)
        response.write(b"5\r\nnever\r\n")
        return fails_by(outcome)

    def handle(request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, fail, fd)
        return Step.SUSPEND

    fds = count_descriptors()
    results = drive(configure(handle), [ask(get("/plain") + get("/") + get("/plain"), eof), ask(get("/plain"))] * 4)
    assert [result.statuses for result in results[1::2]] == [[200]] * 4
    for result in results[0::2]:
        assert result.bodies[0] == b"plain"
        assert result.raw.endswith(b"4\r\npart\r\n")
    assert logged in caplog.text
    assert len([record for record in caplog.records if record.name == "vanilla"]) == 4
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)
    assert count_descriptors() == fds


@pytest.mark.parametrize(("outcome", "logged"), OUTCOMES)
def test_a_second_continuation_that_fails_before_anything_was_sent_is_a_500(configure, caplog, outcome, logged) -> None:
    def fail(request, response, worker, fd, event):
        close(fd)
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return fails_by(outcome)

    def go_on(request, response, worker, fd, event):
        close(fd)
        return watch(worker, fail)

    def watch(worker, continuation):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, continuation, fd)
        return Step.SUSPEND

    def handle(request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        return watch(worker, go_on)

    fds = count_descriptors()
    results = drive(configure(handle), repeat(4, ask(get("/plain") + get("/") + get("/plain"), eof)))
    assert [result.statuses for result in results] == [[200, 500]] * 4
    assert {(result.rest, result.reset) for result in results} == {(b"", False)}
    assert logged in caplog.text
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)
    assert count_descriptors() == fds


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half_a_head"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n", id="only_an_interim_one"),
        pytest.param(b"no head", id="no_head"),
    ],
)
@pytest.mark.parametrize("where", ["handler", "continuation"])
def test_what_suspends_behind_no_whole_head_is_a_500(configure, caplog, wire, where) -> None:
    def go_on(request, response, worker, payload, event):
        return suspend(response, worker)

    def suspend(response, worker):
        reader, writer = open_pair()
        response.write(wire)
        worker.watch_fd(reader, Interest.READABLE, print)
        for fd in (reader, writer):
            close(fd)
        return Step.SUSPEND

    def handle(request, response, worker):
        if where == "handler":
            return suspend(response, worker)
        worker.park().resume(go_on)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(TINY, eof)])
    assert (results[0].statuses, results[0].rest) == ([500], b"")
    assert [record.levelname for record in caplog.records if record.name == "vanilla"] == ["ERROR"]
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


def test_a_handler_that_suspends_on_a_watch_it_has_cancelled_is_a_500_that_says_so(configure, caplog) -> None:
    def handle(request, response, worker):
        reader, writer = open_pair()
        worker.watch_fd(reader, Interest.READABLE, print).cancel()
        for fd in (reader, writer):
            close(fd)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(TINY, eof)])
    assert results[0].statuses == [500]
    assert "watches nothing" in caplog.text


def test_a_handler_that_fails_behind_its_watch_leaves_none(configure, caplog) -> None:
    fds: list[int] = []

    def handle(request, response, worker):
        fds.append(ready_reader())
        worker.watch_fd(fds[-1], Interest.READABLE, lambda *_: fds.append(-1))
        raise ValueError("behind its watch")

    results = drive(configure(handle), repeat(4, ask(TINY, eof)))
    assert [result.statuses for result in results] == [[500]] * 4
    assert len(fds) == 4
    assert [close(fd) for fd in fds] == [None] * 4
    assert "behind its watch" in caplog.text


@pytest.mark.parametrize("step", [Step.DONE, Step.CLOSE, None])
def test_a_continuation_that_watches_and_then_answers_leaves_no_watch(configure, step) -> None:
    fds: list[int] = []

    def go_on(request, response, worker, fd, event):
        close(fd)
        fds.append(ready_reader())
        worker.watch_fd(fds[-1], Interest.READABLE, lambda *_: fds.append(-1))
        response.reply(200, b"at once")
        return step

    def handle(request, response, worker):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    results = drive(configure(handle), repeat(4, ask(TINY)))
    assert [result.bodies for result in results] == [[b"at once"]] * 4
    assert len(fds) == 4
    assert [close(fd) for fd in fds] == [None] * 4


def test_a_request_kept_by_its_handler_names_no_descriptor_once_it_is_answered(
    site, make_pipes, receive_answer
) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        assert is_open(pipes.requests[0].client_fd)
        write(pipes.writers[0], b"done")
        assert receive_answer(client).endswith(b"done")
        assert pipes.requests[0].client_fd == -1
        assert not pipes.requests[0].disconnected
        pipes.close()
