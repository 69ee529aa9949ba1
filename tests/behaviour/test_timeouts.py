"""The limits that have a clock, which only the server looks at: who is too slow is closed, who is just slow is not."""

import pytest

from vanilla import Limits
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
FIELDS = [b"A: b\r\n"] * 1000


@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        pytest.param([GET[:-2]], [408], id="head_that_stops"),
        pytest.param([b"G"], [408], id="one_byte"),
        pytest.param([b"\r\n"], [408], id="an_empty_line"),
        pytest.param([GET[:-2], *FIELDS], [408], id="head_that_trickles"),
        pytest.param([GET + GET[:-2]], [200, 408], id="second_head_that_stops"),
        pytest.param([GET + GET[:-2], *FIELDS], [200, 408], id="second_head_that_trickles"),
        pytest.param([POST], [408], id="body_that_does_not_begin"),
        pytest.param([POST + b"a"], [408], id="body_that_stops"),
        pytest.param([POST, *FIELDS], [408], id="body_that_trickles"),
        pytest.param([CHUNKED + b"5\r\nhel"], [408], id="chunk_that_stops"),
        pytest.param([CHUNKED, *[b"1\r\na\r\n"] * 1000], [408], id="chunks_that_trickle"),
        pytest.param([CHUNKED + b"0\r\n", *FIELDS], [408], id="trailers_that_trickle"),
        pytest.param([GET + POST, *FIELDS], [200, 408], id="second_body_that_trickles"),
    ],
)
def test_a_request_that_is_not_complete_in_time_is_answered_408(configure, mirror, pieces, statuses) -> None:
    limits = Limits(read_timeout=0.15)
    script = Script(rounds=[Round(send=pieces, every=0.02, until=eof)])
    results = drive(configure(mirror, limits=limits), repeat(16, script))
    assert [result.statuses for result in results] == [statuses] * 16
    assert {(result.frames[-1].closes, result.rest, result.reset) for result in results} == {(True, b"", False)}
    assert results.counters.limits_reached == {"read_timeout": 16}
    assert (results.counters.open, results.counters.in_flight) == (0, 0)


def test_a_connection_that_never_sends_anything_is_closed_without_an_answer(configure, mirror) -> None:
    results = drive(configure(mirror, limits=Limits(read_timeout=0.1)), repeat(8, ask(b"", eof)))
    assert {(result.raw, result.reset) for result in results} == {(b"", False)}
    assert results.counters.limits_reached == {"read_timeout": 8}


def test_head_and_body_have_their_time_each(configure, mirror) -> None:
    """Together they take longer than either may."""
    head, body = POST.replace(b"100000", b"5"), b"hello"
    script = Script(rounds=[Round(send=[head[:-1], head[-1:], body], every=0.25)])
    results = drive(configure(mirror, limits=Limits(read_timeout=0.4)), [script])
    assert results[0].bodies == [b"hello"]


def test_an_idle_connection_is_closed_without_an_answer(configure, mirror) -> None:
    limits = Limits(keepalive_timeout=0.1)
    scripts = [ask(GET + b"\r\n", eof), ask(GET * 3, eof), Script(rounds=[Round(send=GET), Round(send=GET, until=eof)])]
    results = drive(configure(mirror, limits=limits), scripts)
    assert [result.statuses for result in results] == [[200], [200] * 3, [200] * 2]
    assert {(result.rest, result.reset) for result in results} == {(b"", False)}
    assert results.counters.limits_reached == {"keepalive_timeout": 3}


def test_idling_is_not_reading(configure, mirror) -> None:
    """A connection may idle for longer than a request may take, and read for longer than it may idle."""
    idle = Script(rounds=[Round(send=[GET, GET, GET], every=0.2, until=frames(3))])
    results = drive(configure(mirror, limits=Limits(read_timeout=0.1, keepalive_timeout=5)), [idle])
    assert results[0].statuses == [200] * 3
    slow = Script(rounds=[Round(send=GET), Round(send=[GET[:5], GET[5:]], every=0.3)])
    results = drive(configure(mirror, limits=Limits(read_timeout=5, keepalive_timeout=0.1)), [slow])
    assert results[0].statuses == [200] * 2
    assert results.counters.limits_reached == {}


def test_timeouts_that_are_off_close_nobody(configure, mirror) -> None:
    off = Limits(read_timeout=None, keepalive_timeout=None, write_timeout=None)
    script = Script(rounds=[Round(send=[b"", GET[:5], GET[5:], GET], every=0.1, until=frames(2))])
    results = drive(configure(mirror, limits=off), [script])
    assert results[0].statuses == [200] * 2
    assert results.counters.limits_reached == {}


# Rates: bytes over time, judged after a grace.


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(POST, b"a" * 20, id="content_length"),
        pytest.param(CHUNKED, b"14\r\n" + b"a" * 20 + b"\r\n", id="chunked"),
        pytest.param(POST, b"", id="nothing"),
    ],
)
def test_a_body_slower_than_the_least_rate_is_answered_408(configure, mirror, head: bytes, piece: bytes) -> None:
    limits = Limits(min_receive_rate=20_000, rate_grace=0.1)
    script = Script(rounds=[Round(send=[head, *[piece] * 2000], every=0.01, until=eof)])
    results = drive(configure(mirror, limits=limits), [script] * 4)
    assert [result.statuses for result in results] == [[408]] * 4
    assert {result.reset for result in results} == {False}
    assert results.counters.limits_reached == {"min_receive_rate": 4}


def test_an_honest_slow_upload_lives(configure, mirror) -> None:
    """It takes several times as long as read_timeout, which holds for its head alone while a rate is set."""
    limits = Limits(read_timeout=0.1, min_receive_rate=1000, rate_grace=0.1)
    head = POST.replace(b"100000", b"10000")
    script = Script(rounds=[Round(send=[head, *[b"a" * 250] * 40], every=0.01)])
    results = drive(configure(mirror, limits=limits), [script] * 4)
    assert [result.bodies for result in results] == [[b"a" * 10_000]] * 4
    assert results.counters.limits_reached == {}


ANSWER_BYTES = 16_000_000


def large(request, response, worker):
    response.reply(200, b"x" * ANSWER_BYTES)


@pytest.mark.parametrize(
    ("limits", "reached"),
    [
        pytest.param(Limits(write_timeout=0.15), "write_timeout", id="write_timeout"),
        pytest.param(Limits(min_send_rate=100_000, rate_grace=0.1), "min_send_rate", id="min_send_rate"),
    ],
)
def test_a_client_that_does_not_read_is_closed(configure, limits, reached: str) -> None:
    with Session(configure(large, limits=limits)) as session:
        group = session.fire(repeat(4, Script(rounds=[Round(send=GET, reads=False)], receive_buffer=4096)))
        counters = session.await_counters(lambda counters: (counters.accepted, counters.open) == (4, 0))
        assert counters.limits_reached == {reached: 4}
        results = session.wait(group, eof)
        assert {len(result.raw) < ANSWER_BYTES for result in results} == {True}
        assert session.stop().in_flight == 0


def more_than(length: int):
    return lambda received: len(received.raw) > length


def test_an_honest_slow_reader_lives(configure) -> None:
    """It pauses between its reads, for longer than write_timeout in all, and reads faster than the least rate."""
    limits = Limits(write_timeout=0.1, min_send_rate=1_000_000, rate_grace=0.2)
    rounds = [Round(send=GET, reads=False)]
    for step in range(1, 8):
        rounds += [Round(send=[b""] * 2, every=0.05, reads=False), Round(until=more_than(step * 2_000_000))]
    rounds += [Round(until=frames(1))]
    results = drive(configure(large, limits=limits), [Script(rounds=rounds)])
    assert len(results[0].bodies[0]) == ANSWER_BYTES
    assert results.counters.limits_reached == {}


def test_tricklers_do_not_disturb_others(configure, mirror) -> None:
    """By completion: while 64 requests trickle in without ever being complete, others come and go."""
    trickle = [GET[at : at + 1] for at in range(len(GET) - 1)]
    tricklers = repeat(64, Script(rounds=[Round(send=trickle, every=0.01, reads=False)]))
    others = repeat(16, Script(rounds=[Round(send=GET)] * 100))
    with Session(configure(mirror)) as session:
        group = session.fire(tricklers + others)
        assert [result.statuses for result in group.results] == [[]] * 64 + [[200] * 100] * 16
        results = session.go_on(group[:64], Round(send=GET[-1:]))
        assert [result.statuses for result in results] == [[200]] * 64
