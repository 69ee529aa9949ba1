"""`Expect: 100-continue`, RFC 9110 section 10.1.1: asked for once, and only a body that is wanted and still to come."""

import pytest

from vanilla import Limits
from vanilla.testing import Round, Script, ask, drive, eof, frames

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-Continue\r\n\r\n"
ALONG = pytest.mark.exact("a head that comes alone is asked for its content")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param(HEAD, [b"hello"], id="content_length"),
        pytest.param(HEAD, [b"he", b"l", b"lo"], id="content_length_in_pieces"),
        pytest.param(CHUNKED, [b"5\r\nhello\r\n0\r\n\r\n"], id="chunked"),
        pytest.param(CHUNKED, [b"5\r\n", b"hel", b"lo\r\n0", b"\r\n\r\n"], id="chunked_in_pieces"),
    ],
)
def test_a_body_that_is_awaited_is_asked_for_once(configure, mirror, head: bytes, body: list[bytes]) -> None:
    script = Script(rounds=[Round(send=head), Round(send=body)])
    again = Script(rounds=[Round(send=head), Round(send=body), Round(send=head), Round(send=body)])
    results = drive(configure(mirror), [script, again])
    assert results[0].raw.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert results[0].statuses == [100, 200]
    assert results[1].statuses == [100, 200, 100, 200]
    assert results[1].bodies == [b"", b"hello", b"", b"hello"]
    assert results.counters.responses_1xx == 3


@pytest.mark.parametrize(
    ("send", "statuses"),
    [
        pytest.param([HEAD + b"hello"], [200], id="body_came_along", marks=ALONG),
        pytest.param([CHUNKED + b"5\r\nhello\r\n0\r\n\r\n"], [200], id="chunked_body_came_along", marks=ALONG),
        pytest.param([GET[:-2] + b"Expect: 100-continue\r\n\r\n", b""], [200], id="no_body"),
        pytest.param(
            [GET[:-2] + b"Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", b""], [200], id="body_of_length_zero"
        ),
        pytest.param([HEAD.replace(b"1.1", b"1.0"), b"", b"hello"], [200], id="http_1_0_knows_no_100"),
        pytest.param([HEAD.replace(b"Expect", b"X-Expect"), b"", b"hello"], [200], id="another_field"),
    ],
)
def test_nothing_is_asked_for_where_nothing_is_to_come(configure, mirror, send: list[bytes], statuses) -> None:
    results = drive(configure(mirror), [ask(send), ask([*send[:-1], send[-1] + GET], frames(1))])
    assert results[0].statuses == statuses
    assert results[1].statuses[0] == 200
    assert results.counters.responses_1xx == 0


def test_it_comes_after_the_answers_before_it(configure, mirror) -> None:
    script = Script(rounds=[Round(send=GET + GET + HEAD, until=frames(3)), Round(send=b"hello" + GET, until=frames(5))])
    results = drive(configure(mirror), [script])
    assert results[0].statuses == [200, 200, 100, 200, 200]


def test_a_body_that_is_not_wanted_is_not_asked_for(configure, mirror) -> None:
    results = drive(configure(mirror, limits=Limits(max_body_bytes=4)), [ask(HEAD, eof)])
    assert results[0].statuses == [413]
    assert results.counters.responses_1xx == 0


def test_a_body_that_turns_out_too_large_is_refused_after_all(configure, mirror) -> None:
    script = Script(rounds=[Round(send=CHUNKED), Round(send=b"5\r\n", until=eof)])
    results = drive(configure(mirror, limits=Limits(max_body_bytes=4)), [script])
    assert results[0].statuses == [100, 413]


def test_every_split_of_the_head_prompts_once(configure, mirror) -> None:
    scripts = [Script(rounds=[Round(send=[HEAD[:at], HEAD[at:]]), Round(send=b"hello")]) for at in range(1, len(HEAD))]
    results = drive(configure(mirror), scripts)
    assert {tuple(result.statuses) for result in results} == {(100, 200)}
