"""When a connection goes on and when it ends: RFC 9112 section 9, and answers without content."""

import pytest

from vanilla import Limits, Server, Step
from vanilla.testing import Round, Script, ask, drive, eof, frames

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
)


def hello(request, response, worker):
    response += HELLO


def reply(request, response, worker):
    response.reply(200, b"Hello, World!", content_type="text/plain")


def connection_fields(frame) -> list[bytes]:
    return [value.lower() for name, value in frame.headers if name.lower() == b"connection"]


HANDLERS = pytest.mark.parametrize("handler", [hello, reply])


@pytest.mark.exact("a request that comes behind the last one once that is answered meets a closed connection")
@HANDLERS
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", id="close"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nconnection: CLOSE\r\n", id="any_case"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo , close,bar\r\n", id="in_a_list"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo\r\nConnection: close\r\n", id="in_a_second_field"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n", id="close_beats_keep_alive"),
        pytest.param(b"GET / HTTP/1.0\r\n", id="http_1_0"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: foo\r\n", id="http_1_0_with_another_token"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n", id="http_1_0_close_beats_keep_alive"),
    ],
)
def test_a_connection_that_is_to_end_ends_with_this_answer(configure, handler, head: bytes) -> None:
    results = drive(configure(handler), [ask(head + b"\r\n" + GET, eof)])
    assert results[0].bodies == [b"Hello, World!"]
    assert connection_fields(results[0].frames[0]) == [b"close"]
    assert (results[0].rest, results[0].reset) == (b"", False)


@HANDLERS
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n", id="http_1_1"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n", id="keep_alive"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: closed, enclose\r\n", id="tokens_that_hold_close"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection:\r\n", id="empty"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n", id="http_1_0"),
        pytest.param(b"GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n", id="http_1_0_in_a_list"),
    ],
)
def test_a_connection_that_is_to_stay_stays(configure, handler, head: bytes) -> None:
    rounds = [Round(send=head + b"\r\n")] * 3 + [Round(send=head + b"\r\n" + GET, until=frames(5))]
    results = drive(configure(handler), [Script(rounds=rounds)])
    assert results[0].bodies == [b"Hello, World!"] * 5
    assert {frame.closes for frame in results[0].frames} == {False}


def test_http_1_0_is_told_that_it_stays(configure) -> None:
    """RFC 9112 section 9.3: a 1.0 client knows only from the answer."""
    head = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    results = drive(configure(reply), [ask(head)])
    assert connection_fields(results[0].frames[0]) == [b"keep-alive"]


def test_an_answer_that_closes_is_otherwise_left_as_it_was(configure) -> None:
    results = drive(configure(hello), [ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", eof)])
    fields = [field for field in results[0].frames[0].headers if field[0] != b"Connection"]
    assert fields == [(b"Content-Type", b"text/plain"), (b"Content-Length", b"13")]


def test_a_connection_field_of_the_handler_that_closes_is_kept_to(configure) -> None:
    def handle(request, response, worker):
        response.reply(200, b"bye", headers=[("Connection", "close")])

    results = drive(configure(handle), [ask(GET + GET, eof)])
    assert results[0].bodies == [b"bye"]
    assert connection_fields(results[0].frames[0]) == [b"close"]


def test_a_handler_closes_after_its_answer_and_what_follows_is_not_handled(configure) -> None:
    def handle(request, response, worker):
        response.reply(400)
        return Step.CLOSE

    results = drive(configure(handle), [ask(GET * 5, eof)] * 8)
    assert [result.statuses for result in results] == [[400]] * 8
    assert {(result.rest, result.reset, result.frames[0].closes) for result in results} == {(b"", False, True)}
    assert results.counters.requests == 8


def test_the_last_answer_that_a_connection_may_have_says_so(configure) -> None:
    results = drive(configure(hello, limits=Limits(max_requests_per_connection=3)), [ask(GET * 5, eof)])
    assert results[0].bodies == [b"Hello, World!"] * 3
    assert [frame.closes for frame in results[0].frames] == [False, False, True]
    assert (results[0].rest, results[0].reset) == (b"", False)
    assert results.counters.limits_reached == {"max_requests_per_connection": 1}


def test_requests_count_towards_their_limit_over_rounds_too(configure) -> None:
    script = Script(rounds=[Round(send=GET), Round(send=GET), Round(send=GET, until=eof)])
    results = drive(configure(hello, limits=Limits(max_requests_per_connection=3)), [script] * 3)
    assert [[frame.closes for frame in result.frames] for result in results] == [[False, False, True]] * 3
    assert results.counters.limits_reached == {"max_requests_per_connection": 3}


# Half-close: RFC 9112 section 9.6 lets a client shut down its sending side and still read.


@pytest.mark.parametrize(
    ("send", "statuses"),
    [
        pytest.param(GET, [200], id="one_request"),
        pytest.param(GET * 8, [200] * 8, id="pipelined"),
        pytest.param(GET + b"garbage\r\n\r\n", [200, 400], id="then_malformed"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", [200], id="with_content"),
        pytest.param(b"", [], id="nothing"),
        pytest.param(GET + GET[:-1], [200], id="then_half_a_head"),
        pytest.param(GET[:10], [], id="half_a_head"),
        pytest.param(
            GET + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell", [200], id="then_half_a_body"
        ),
    ],
)
def test_a_client_that_half_closes_gets_every_answer_that_it_is_owed(configure, send: bytes, statuses) -> None:
    results = drive(configure(hello), [Script(rounds=[Round(send=send, until=eof, half_close=True)])] * 4)
    assert [result.statuses for result in results] == [statuses] * 4
    assert {(result.rest, result.reset) for result in results} == {(b"", False)}
    assert (results.counters.open, results.counters.in_flight) == (0, 0)


def test_a_client_that_half_closed_long_before_reading_gets_a_large_answer(configure) -> None:
    def handle(request, response, worker):
        response.reply(200, b"x" * 8_000_000)

    rounds = [Round(send=[GET, b""], reads=False, half_close=True), Round(until=eof)]
    results = drive(configure(handle), [Script(rounds=rounds, receive_buffer=4096)])
    assert [len(body) for body in results[0].bodies] == [8_000_000]
    assert not results[0].reset


# Answers without content, RFC 9110 section 6.4.1.


def any_status(request, response, worker):
    """Answers with the status in the path, and content even where there is none: what the engine has to cut."""
    response += b"HTTP/1.1 %b X\r\nContent-Length: 5\r\n\r\nhello" % request.path[1:]


@pytest.mark.parametrize(
    ("request_line", "heads", "status"),
    [
        pytest.param(b"HEAD /200 HTTP/1.1", {0, 2}, 200, id="head"),
        pytest.param(b"HEAD /404 HTTP/1.1", {0, 2}, 404, id="head_not_found"),
        pytest.param(b"GET /204 HTTP/1.1", (), 204, id="no_content"),
        pytest.param(b"GET /304 HTTP/1.1", (), 304, id="not_modified"),
    ],
)
def test_an_answer_that_has_no_content_is_cut_and_the_next_one_is_not(configure, request_line, heads, status) -> None:
    bare = request_line + b"\r\nHost: a\r\n\r\n"
    get = b"GET /200 HTTP/1.1\r\nHost: a\r\n\r\n"
    results = drive(configure(any_status), [ask(bare + get + bare + get, frames(4), heads=heads)])
    assert results[0].statuses == [status, 200, status, 200]
    assert results[0].bodies == [b"", b"hello", b"", b"hello"]
    assert results[0].rest == b""


def test_head_is_answered_with_the_length_that_get_would_have(configure) -> None:
    scripts = [ask(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", eof, heads={0}), ask(GET)]
    head, get = drive(configure(reply), scripts)
    assert head.frames[0].header("content-length") == get.frames[0].header("content-length") == b"13"
    assert head.rest == b""


def test_a_refusal_of_head_has_no_content_either(configure) -> None:
    results = drive(configure(hello), [ask(b"HEAD / HTTP/1.1\r\n\r\n", eof, heads={0})])
    assert (results[0].statuses, results[0].rest) == ([400], b"")


def test_an_empty_line_in_two_pieces_leaves_the_connection_idle(configure) -> None:
    limits = Limits(read_timeout=0.15, keepalive_timeout=0.15)
    script = Script(rounds=[Round(send=GET, until=frames(1)), Round(send=[b"\r", b"\n"], until=eof)])
    results = drive(configure(hello, limits=limits), [script])
    assert (results[0].statuses, results[0].rest) == ([200], b"")
    assert results.counters.limits_reached == {"keepalive_timeout": 1}


@pytest.mark.parametrize("fields", [b"0\r\n\r\n", b"1\r\nHost: a\r\nConnection: close\r\n\r\n"], ids=["1.0", "close"])
def test_an_answer_that_was_begun_anew_closes_where_the_client_asked_for_it(configure, fields: bytes) -> None:
    def handle(request, response, worker):
        response.reply(200, b"first")
        response.clear()
        response.reply(200, b"second")

    [answer] = Server(configure(handle, port=0)).test([(b"GET / HTTP/1." + fields) * 2])
    assert answer.count(b"second") == 1
    assert b"Connection: close\r\n" in answer
