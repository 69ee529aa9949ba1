"""What a handler does wrong is answered 500, logged with its traceback, and ends its own connection only."""

import logging
import time

import pytest

from vanilla import Interest, Step
from vanilla.testing import Round, Session, ask, drive, eof, frames

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BAD = b"GET /bad HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def raises(response):
    raise RuntimeError("the handler's own words")


def raises_after_appending(response):
    response += b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" * 1000
    raise RuntimeError("the handler's own words")


def raises_after_a_reply(response):
    response.reply(200, b"x" * 1_000_000)
    raise ValueError("the handler's own words")


def raises_stop_iteration(response):
    raise StopIteration("the handler's own words")


def exits(response):
    raise SystemExit("the handler's own words")


def returns_a_number(response):
    response.reply(200)
    return 42


def returns_true(response):
    response.reply(200)
    return True


def returns_bytes(response):
    return OK


def returns_text(response):
    response.reply(200)
    return "done"


def returns_an_interest(response):
    response.reply(200)
    return Interest.READABLE


def appends_nothing(response):
    return None


def appends_nothing_and_says_done(response):
    return Step.DONE


def appends_nothing_and_clears(response):
    response.reply(200)
    response.clear()


def suspends_without_a_watch(response):
    return Step.SUSPEND


def suspends_without_a_watch_after_appending(response):
    response.reply(200)
    return Step.SUSPEND


def replies_with_a_header_that_splits(response):
    response.reply(200, headers=[("X-A", "b\r\nSet-Cookie: c")])


FAULTS = {
    raises: "the handler's own words",
    raises_after_appending: "the handler's own words",
    raises_after_a_reply: "the handler's own words",
    raises_stop_iteration: "the handler's own words",
    exits: "the handler's own words",
    returns_a_number: "42",
    returns_true: "True",
    returns_bytes: "b'HTTP/1.1 200 OK",
    returns_text: "'done'",
    returns_an_interest: "Interest.READABLE",
    appends_nothing: "",
    appends_nothing_and_says_done: "",
    appends_nothing_and_clears: "",
    suspends_without_a_watch: "",
    suspends_without_a_watch_after_appending: "",
    replies_with_a_header_that_splits: "ValueError",
}


def with_fault(fault):
    """A handler that commits `fault` for /bad and is well otherwise."""

    def handle(request, response, worker):
        if request.path == b"/bad":
            return fault(response)
        response += OK
        return None

    return handle


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_answered_500_and_earlier_answers_survive(configure, caplog, fault) -> None:
    with Session(configure(with_fault(fault))) as session:
        bystander = session.fire([ask(GET)])
        group = session.fire([ask(BAD, eof), ask(GET + GET + BAD + GET, eof)])
        assert [result.statuses for result in group.results] == [[500], [200, 200, 500]]
        for result in group.results:
            assert result.frames[-1].closes
            assert result.frames[-1].header("content-length") == b"0"
            assert (result.rest, result.reset) == (b"", False)
        assert session.go_on(bystander, Round(send=GET))[0].bodies == [b"ok"] * 2
        counters = session.stop()
        assert (counters.responses_2xx, counters.responses_5xx, counters.in_flight) == (4, 2, 0)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_logged_once_with_what_was_wrong(configure, caplog, fault) -> None:
    caplog.set_level(logging.WARNING, "vanilla")
    drive(configure(with_fault(fault)), [ask(BAD, eof)])
    records = [record for record in caplog.records if record.name.startswith("vanilla")]
    assert [record.levelname for record in records] == ["ERROR"]
    assert FAULTS[fault] in caplog.text


@pytest.mark.parametrize("fault", [raises, raises_after_appending, exits, replies_with_a_header_that_splits])
def test_an_exception_is_logged_with_its_traceback(configure, caplog, fault) -> None:
    drive(configure(with_fault(fault)), [ask(BAD, eof)])
    assert f"in {fault.__name__}" in caplog.text
    assert "Traceback" in caplog.text


def test_an_exception_on_a_head_request_has_no_content(configure, caplog) -> None:
    results = drive(configure(with_fault(raises)), [ask(BAD.replace(b"GET", b"HEAD"), eof, heads={0})])
    assert (results[0].statuses, results[0].rest) == ([500], b"")


def test_many_faults_at_once_cost_their_own_connections_only(configure, caplog) -> None:
    results = drive(configure(with_fault(raises)), [ask(BAD, eof), ask(GET), ask(GET * 3 + BAD, eof)] * 30)
    assert [result.statuses for result in results] == [[500], [200], [200] * 3 + [500]] * 30


def test_a_fault_behind_answers_that_were_flushed_early_drops_its_own_bytes_only(configure, caplog) -> None:
    def handle(request, response, worker):
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        response.reply(200, b"x" * 100_000)
        assert request.path != b"/bad"

    results = drive(configure(handle), [ask(GET * 5 + BAD + GET, eof)] * 4)
    assert [result.statuses for result in results] == [[200] * 5 + [500]] * 4
    assert {(len(result.bodies[4]), result.rest, result.reset) for result in results} == {(100_000, b"", False)}


INCOMPLETE = [
    pytest.param(b"hello", id="no_status_line"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", id="no_blank_line"),
    pytest.param(b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n", id="malformed_status"),
    pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", id="bare_lf"),
    pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n", id="field_without_colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", id="space_before_colon"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", id="content_too_short"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", id="content_too_long"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", id="length_no_number"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", id="two_lengths"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\nhello", id="content_without_length"),
    pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", id="no_last_chunk"),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="only_an_interim_response"),
    pytest.param(OK + OK, id="two_responses"),
]


@pytest.mark.parametrize("wire", INCOMPLETE)
def test_an_incomplete_answer_is_a_fault_where_answers_are_checked(configure, caplog, wire: bytes) -> None:
    def append(response):
        response += wire

    results = drive(configure(with_fault(append), check_responses=True), [ask(GET + BAD + GET, eof)])
    assert results[0].statuses == [200, 500]
    assert (results[0].frames[1].closes, results[0].rest, results[0].reset) == (True, b"", False)
    assert [record.levelname for record in caplog.records if record.name.startswith("vanilla")] == ["ERROR"]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(OK, id="content_length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="no_content"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n", id="not_modified"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK, id="after_an_interim_response"),
    ],
)
def test_a_complete_answer_passes_the_check_unchanged(configure, wire: bytes) -> None:
    def append(response):
        response += wire

    results = drive(configure(with_fault(append), check_responses=True), [ask(BAD, lambda got: wire in got.raw)])
    assert results[0].raw == wire


def test_replies_pass_the_check(configure) -> None:
    def handle(request, response, worker):
        response.reply(int(request.path[1:]), headers={"X-A": "b"})

    statuses = [200, 201, 204, 301, 304, 404, 500, 503]
    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % status for status in statuses)
    results = drive(configure(handle, check_responses=True), [ask(requests, frames(len(statuses)))])
    assert results[0].statuses == statuses
    assert {frame.header("x-a") for frame in results[0].frames} == {b"b"}
