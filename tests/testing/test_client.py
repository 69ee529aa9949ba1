"""The scripted client against a server that is none."""

import errno

import pytest

from system import needs_unix_sockets
from vanilla.testing import Client, DeadlineExceededError, Round, Script, ask, count, eof, frames, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture
def client(fake_server):
    with Client(fake_server.listener.getsockname()) as client:
        yield client


def test_every_script_is_played_and_the_results_are_in_their_order(client) -> None:
    group = client.fire([ask(GET), ask(GET * 3, frames(3)), ask(CLOSE, eof), *repeat(61, ask(GET * 8, frames(8)))])
    assert [result.statuses for result in group.results] == [[200], [200] * 3, [200], *[[200] * 8] * 61]
    assert [result.unmet for result in group.results] == [None] * 64
    assert [result.eof for result in group.results][:3] == [False, False, True]


def test_rounds_follow_each_other_on_one_connection(client, fake_server) -> None:
    [result] = client.fire([Script(rounds=[Round(send=GET), Round(send=GET), Round(send=CLOSE, until=eof)])]).results
    assert result.bodies == [b"hello"] * 3
    assert fake_server.arrivals == [[GET, GET, CLOSE]]


def test_pieces_arrive_as_separate_reads(client, fake_server) -> None:
    pieces = [GET[:3], GET[3:10], GET[10:], b""]
    client.fire(repeat(20, ask(pieces)))
    assert fake_server.arrivals[:20] == [[GET[:3], GET[3:10], GET[10:]]] * 20


def test_pieces_may_wait_for_a_moment_instead(client) -> None:
    script = Script(rounds=[Round(send=[GET[:3], GET[3:]], every=0.001)])
    [result] = client.fire([script]).results
    assert result.statuses == [200]


def test_a_half_close_follows_the_last_byte(client, fake_server) -> None:
    [result] = client.fire([Script(rounds=[Round(send=GET, until=eof, half_close=True)])]).results
    assert result.statuses == [200]
    assert fake_server.arrivals[0][-1] == b""


def test_a_connection_that_ends_early_says_which_round_was_not_met(client) -> None:
    [result] = client.fire([Script(rounds=[Round(send=CLOSE), Round(send=GET), Round(send=GET)])]).results
    assert (result.statuses, result.unmet) == ([200], 1)
    assert result.eof


def test_a_closed_connection_can_still_be_asked_for_what_it_has(client) -> None:
    group = client.fire([ask(CLOSE, eof)])
    assert client.wait(group, frames(1))[0].unmet is None
    assert client.wait(group, frames(2))[0].unmet == 2


def test_connections_stay_open_between_calls(client) -> None:
    group = client.fire(repeat(4, ask(GET)))
    assert [result.statuses for result in client.go_on(group, Round(send=GET * 2, until=frames(3)))] == [[200] * 3] * 4


def test_a_peer_that_does_not_read_reads_later(client) -> None:
    group = client.fire([Script(rounds=[Round(send=[GET, b""], reads=False)], receive_bytes=7)])
    assert group.results[0].raw == b""
    assert client.wait(group, count(b"hello", 1))[0].bodies == [b"hello"]


def test_a_reset_by_the_client_reaches_the_server(client) -> None:
    group = client.fire([ask(GET)])
    client.close(group, reset=True)
    assert client.fire([ask(GET)]).results[0].statuses == [200]


def test_the_deadline_raises_with_everything_received_so_far(client) -> None:
    client.deadline = 0.05
    with pytest.raises(DeadlineExceededError, match=r"connection 0: round 0 of 1 awaits frames\(3\).*200 OK") as caught:
        client.fire([ask(GET, frames(3)), ask(GET, sent)])
    assert caught.value.results[0].statuses == [200]


@needs_unix_sockets
def test_a_refused_connection_is_a_result(tmp_path) -> None:
    with Client(str(tmp_path / "absent")) as client:
        [result] = client.fire([ask(GET)]).results
    assert result.connect_error is not None
    assert result.connect_error.errno == errno.ENOENT
    assert result.unmet == 0


def test_a_barrier_that_is_not_answered_is_an_error(fake_server) -> None:
    barrier = b"GET / HTTP/1.1\r\n"
    with Client(fake_server.listener.getsockname(), barrier=barrier, deadline=0.05) as client:
        group = client.fire([ask(GET)])
        with pytest.raises(DeadlineExceededError, match="round 1 of 2 awaits frames"):
            client.go_on(group, Round(send=[GET, GET], until=frames(3)))


def test_a_round_that_does_not_read_cannot_await() -> None:
    with pytest.raises(ValueError, match="reads=True"):
        Round(send=GET, until=eof, reads=False)
