"""Requests sent behind each other: answered in order, and the same however their bytes are cut."""

from itertools import combinations, pairwise
from random import Random

import pytest

from vanilla.testing import Client, Round, Script, Session, ask, drive, eof, frames, repeat

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("n", [2, 8, 1000, 20_000])
def test_requests_in_one_write_are_answered_in_order(configure, numbered, n: int) -> None:
    results = drive(configure(numbered), [ask(b"".join(GET % at for at in range(n)), frames(n))])
    assert results[0].bodies == [b"%d" % at for at in range(n)]
    assert (results.counters.requests, results.counters.in_flight) == (n, 0)


def test_many_connections_pipeline_at_once(configure, numbered) -> None:
    script = ask(b"".join(GET % at for at in range(8)), frames(8))
    results = drive(configure(numbered), repeat(64, script))
    assert [result.bodies for result in results] == [[b"%d" % at for at in range(8)]] * 64
    assert results.counters.requests == 512
    assert results.counters.bytes_sent == sum(len(result.raw) for result in results)
    assert results.counters.bytes_received == 64 * sum(len(piece) for piece in script.rounds[0].pieces)


def test_mixed_traffic_at_once_is_kept_apart(configure, numbered) -> None:
    scripts = [
        ask(GET % 1),
        ask(GET % 2 + GET % 3 + GET % 4, frames(3)),
        ask(b"garbage\r\n\r\n", eof),
        Script(rounds=[Round(send=GET % 5), Round(send=GET % 6), Round(send=GET % 7)]),
        ask(GET % 8 + b"GET / HTTP/1.1\r\n\r\n", eof),
    ]
    results = drive(configure(numbered), scripts * 16)
    assert [result.bodies for result in results] == [
        [b"1"],
        [b"2", b"3", b"4"],
        [b""],
        [b"5", b"6", b"7"],
        [b"8", b""],
    ] * 16
    assert results.counters.in_flight == 0


def test_a_request_and_half_of_the_next_are_answered_one_by_one(configure, numbered) -> None:
    whole = GET % 1 + GET % 2
    rounds = [Round(send=whole[:40]), Round(send=whole[40:])]
    results = drive(configure(numbered), [Script(rounds=rounds)])
    assert results[0].bodies == [b"1", b"2"]


STREAMS = {
    "get": GET % 1 + GET % 2,
    "get_after_an_empty_line": b"\r\n" + GET % 1 + b"\r\n" + GET % 2,
    "post_with_content_length": b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nGET / HTTP/" * 2 % (1, 2),
    "post_chunked": (
        b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3;name="a;b"\r\nabc\r\nA;x\r\n0123456789\r\n0;last=1\r\nX-Sum: 1\r\nX-End:\r\n\r\n'
    )
    * 2
    % (1, 2),
    "post_then_get": b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + GET % 2,
    "http_1_0_kept_alive": b"GET /%d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2 % (1, 2),
}
EXPECTED = {
    "get": [b"/1 ", b"/2 "],
    "get_after_an_empty_line": [b"/1 ", b"/2 "],
    "post_with_content_length": [b"/1 GET / HTTP/", b"/2 GET / HTTP/"],
    "post_chunked": [b"/1 abc0123456789", b"/2 abc0123456789"],
    "post_then_get": [b"/1 hello", b"/2 "],
    "http_1_0_kept_alive": [b"/1 ", b"/2 "],
}


def path_and_content(request, response, worker):
    body = request.path + b" " + request.body
    response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


@pytest.mark.parametrize("name", STREAMS)
def test_every_split_of_two_requests_gives_the_same_bytes(configure, name: str) -> None:
    stream = STREAMS[name]
    splits = [ask([stream[:at], stream[at:]], frames(2)) for at in range(1, len(stream))]
    results = drive(configure(path_and_content), [ask(stream, frames(2)), *splits])
    assert results[0].bodies == EXPECTED[name]
    for at, result in enumerate(results):
        assert result.raw == results[0].raw, at
    assert results.counters.in_flight == 0


@pytest.mark.parametrize("name", STREAMS)
def test_two_requests_that_come_byte_by_byte_give_the_same_bytes(configure, name: str) -> None:
    stream = STREAMS[name]
    singly = ask([stream[at : at + 1] for at in range(len(stream))], frames(2))
    results = drive(configure(path_and_content), [ask(stream, frames(2)), singly])
    assert results[1].raw == results[0].raw


@pytest.mark.parametrize("name", STREAMS)
def test_every_second_split_into_three_gives_the_same_bytes(configure, name: str) -> None:
    """Both requests cut at once: the tail of one arrives together with the head of the next."""
    stream = STREAMS[name]
    pairs = combinations(range(1, len(stream), 9), 2)
    scripts = [ask([stream[:first], stream[first:second], stream[second:]], frames(2)) for first, second in pairs]
    results = drive(configure(path_and_content), scripts)
    assert {b"".join(result.bodies) for result in results} == {b"".join(EXPECTED[name])}


@pytest.mark.parametrize("seed", range(8))
def test_a_long_stream_cut_at_random_gives_the_same_bytes(configure, seed: int) -> None:
    random = Random(seed)
    stream = b"".join(random.choice(list(STREAMS.values())) for _ in range(50))
    cuts = [sorted(random.sample(range(len(stream)), 20)) for _ in range(16)]
    pieces = [[stream[at:end] for at, end in pairwise([0, *cut, len(stream)])] for cut in cuts]
    results = drive(
        configure(path_and_content), [ask(stream, frames(100)), *[ask(each, frames(100)) for each in pieces]]
    )
    for cut, result in zip([[], *cuts], results, strict=True):
        assert result.raw == results[0].raw, cut


@pytest.mark.parametrize("size", [1000, 4000, 16_000, 65_000, 300_000])
def test_requests_larger_than_a_read_are_cut_where_they_end(configure, size: int) -> None:
    """Requests of many sizes in one stream, so that their ends fall everywhere in what the server reads at once."""
    bodies = [b"%d " % n * (size // 7 + n) for n in range(40)]
    posts = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]
    results = drive(configure(path_and_content), [ask(b"".join(posts), frames(40))] * 2)
    assert results[0].bodies == results[1].bodies == [b"/ " + body for body in bodies]


def test_connections_stay_open_between_rounds(configure, numbered) -> None:
    with Session(configure(numbered)) as session:
        first = session.fire(repeat(16, ask(GET % 1)))
        second = session.fire(repeat(16, ask(GET % 2)))
        for at in range(3, 20):
            session.go_on(first, Round(send=GET % at))
        session.wait(second, frames(1))
        assert [result.bodies for result in first.results] == [[b"%d" % at for at in (1, *range(3, 20))]] * 16
        assert session.server.counters().open == 32
        assert session.stop().open == 0


def test_two_clients_share_one_server(configure, numbered) -> None:
    with Session(configure(numbered)) as session, Client(session.address) as other:
        assert session.fire([ask(GET % 1)]).results[0].bodies == [b"1"]
        assert other.fire([ask(GET % 2)]).results[0].bodies == [b"2"]
