"""request_limits: each limit of the config, over sockets. Those with a clock are tried with a shorter one."""

import dataclasses
import json
import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, repeat

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
LIMITS = APP["LIMITS"]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def config_with(**changes: float) -> ServerConfig:
    """The config with one worker, and some limits changed."""
    return dataclasses.replace(APP["config"], workers=1, limits=dataclasses.replace(LIMITS, **changes))


def get(target: bytes = b"/", *fields: bytes) -> bytes:
    return b"\r\n".join([b"GET %b HTTP/1.1" % target, b"Host: a", *fields, b"", b""])


def post(length: int) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def header_section(length: int) -> bytes:
    """A request whose field lines have that many bytes, the line that ends them included or not: see the test."""
    return get(b"/", b"X: " + b"x" * (length - len(b"Host: a\r\nX: \r\n")))


WITHIN = [
    pytest.param(get(b"/" * LIMITS.max_target_bytes), id="target"),
    pytest.param(header_section(LIMITS.max_header_bytes - 2), id="header_section"),
    pytest.param(get(b"/", *[b"A: b"] * (LIMITS.max_headers - 1)), id="fields"),
    pytest.param(post(LIMITS.max_body_bytes) + b"x" * LIMITS.max_body_bytes, id="body"),
    pytest.param(CHUNKED + b"1;" + b"x" * 1000 + b"\r\na\r\n0\r\n\r\n", id="chunk_extension"),
]
BEYOND = [
    pytest.param(get(b"/" * (LIMITS.max_target_bytes + 1)), 414, "max_target_bytes", id="target"),
    pytest.param(header_section(LIMITS.max_header_bytes + 1), 431, "max_header_bytes", id="header_section"),
    pytest.param(
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 17_000, 431, "max_header_bytes", id="section_without_end"
    ),
    pytest.param(get(b"/", *[b"A: b"] * LIMITS.max_headers), 431, "max_headers", id="fields"),
    pytest.param(post(LIMITS.max_body_bytes + 1), 413, "max_body_bytes", id="declared_length"),
    pytest.param(CHUNKED + b"%x\r\n" % (LIMITS.max_body_bytes + 1), 413, "max_body_bytes", id="chunk"),
    pytest.param(CHUNKED + b"1;" + b"x" * 2000 + b"\r\na\r\n", 400, "max_chunk_extension_bytes", id="chunk_extension"),
]


@pytest.mark.parametrize("raw", WITHIN)
def test_what_is_within_the_limits_is_answered(raw: bytes) -> None:
    results = drive(config_with(), [ask(raw)])
    assert (results[0].statuses, results.counters.limits_reached) == ([200], {})
    assert results.counters.in_flight == 0


@pytest.mark.parametrize(("raw", "status", "limit"), BEYOND)
def test_what_is_beyond_is_refused_before_the_handler_is_called(raw: bytes, status: int, limit: str) -> None:
    results = drive(config_with(), [ask(raw, eof)])
    assert (results[0].statuses, results[0].frames[0].closes, results[0].reset) == ([status], True, False)
    assert (results.counters.requests, results.counters.limits_reached) == (0, {limit: 1})


@pytest.mark.parametrize(
    ("pieces", "change", "statuses"),
    [
        pytest.param([GET[:-2]], {"read_timeout": 0.1}, [408], id="head_that_stops"),
        pytest.param([GET[:-2], *[b"A: b\r\n"] * 60], {"read_timeout": 0.1}, [408], id="head_that_trickles"),
        pytest.param([post(100_000)], {"rate_grace": 0.1}, [408], id="body_that_does_not_come"),
        pytest.param([post(100_000), *[b"x"] * 60], {"rate_grace": 0.1}, [408], id="body_that_trickles"),
        pytest.param([CHUNKED, *[b"1\r\na\r\n"] * 60], {"rate_grace": 0.1}, [408], id="chunks_that_trickle"),
        pytest.param([b""], {"read_timeout": 0.1}, [], id="nothing"),
        pytest.param([GET], {"keepalive_timeout": 0.1}, [200], id="nothing_more"),
    ],
)
def test_who_is_too_slow_is_closed(pieces: list[bytes], change: dict[str, float], statuses: list[int]) -> None:
    results = drive(config_with(**change), [Script(rounds=[Round(send=pieces, every=0.02, until=eof)])])
    assert (results[0].statuses, results[0].rest) == (statuses, b"")
    [limit] = results.counters.limits_reached
    assert limit == ("min_receive_rate" if "rate_grace" in change else next(iter(change)))


def test_a_body_may_take_longer_than_a_head_if_it_is_fast_enough() -> None:
    content = [b"x" * 10_000] * 10
    script = Script(rounds=[Round(send=[post(100_000), *content], every=0.02)])
    results = drive(config_with(read_timeout=0.1, rate_grace=0.1), [script])
    assert (results[0].statuses, results.counters.limits_reached) == ([200], {})


def test_who_does_not_take_the_answer_is_closed() -> None:
    deaf = Round(send=post(LIMITS.max_body_bytes) + b"x" * LIMITS.max_body_bytes, reads=False)
    with Session(config_with(rate_grace=0.1)) as session:
        session.fire([Script(rounds=[deaf], receive_buffer=4096)])
        counters = session.await_counters(lambda counters: (counters.accepted, counters.open) == (1, 0))
        assert counters.limits_reached == {"min_send_rate": 1}


@pytest.mark.parametrize(("limit", "is_held"), [(LIMITS.max_pending_bytes, True), (None, False)], ids=["on", "off"])
def test_the_requests_of_a_client_that_does_not_read_wait(limit: int | None, is_held: bool) -> None:
    def answer_at_length(request, response, worker):
        response.reply(200, b"x" * 100_000)

    config = dataclasses.replace(config_with(rate_grace=0.1, max_pending_bytes=limit), handler=answer_at_length)
    with Session(config) as session:
        session.fire([Script(rounds=[Round(send=GET * 200, reads=False)], receive_buffer=4096)])
        counters = session.await_counters(lambda counters: (counters.accepted, counters.open) == (1, 0))
    assert (counters.requests < 200) == is_held
    assert ("max_pending_bytes" in counters.limits_reached) == is_held


def test_connections_that_find_no_place_wait_and_are_then_refused() -> None:
    with Session(config_with(max_connections=2, accept_timeout=0.1)) as session:
        held = session.fire(repeat(2, ask(GET)))
        refused = session.fire(repeat(2, ask(GET, eof))).results
        assert [result.statuses for result in refused] == [[503]] * 2
        session.close(held)
        session.await_counters(lambda counters: counters.open == 0)
        assert session.fire([ask(GET)]).results[0].statuses == [200]
        counters = session.stop()
        assert counters.limits_reached["accept_timeout"] == 2
        assert counters.limits_reached["max_connections"] >= 1


def test_the_last_request_of_a_connection_closes_it() -> None:
    requests = GET * (LIMITS.max_requests_per_connection + 1)
    results = drive(config_with(), [ask(requests, eof)])
    assert results[0].statuses == [200] * LIMITS.max_requests_per_connection
    assert [frame.closes for frame in results[0].frames[-2:]] == [False, True]


def test_what_was_reached_is_told() -> None:
    with Session(APP["config"]) as session:
        session.fire([ask(post(10**9), eof), ask(get(b"/" * 5000), eof)])
        [result] = session.fire([ask(get(b"/limits"))]).results
    assert json.loads(result.bodies[0]) == {"max_target_bytes": 1, "max_body_bytes": 1}


def test_the_handler_echoes() -> None:
    response = Response()
    APP["handle_request"](Request(post(5) + b"hello"), response, Worker())
    assert (response.status, response.content) == (200, b"hello")


def test_what_is_malformed_is_no_limit() -> None:
    cut = Script(rounds=[Round(send=GET[:-2], half_close=True, until=eof)])
    results = drive(config_with(), [ask(b"garbage\r\n\r\n", eof), cut])
    assert [result.statuses for result in results] == [[400], []]
    assert results.counters.limits_reached == {}
