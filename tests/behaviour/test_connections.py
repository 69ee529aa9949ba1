"""How many connections are held, what becomes of those beyond, and of clients that vanish."""

import pytest

from system import needs_descriptor_limit
from vanilla import Limits, Listener
from vanilla.testing import Client, Round, Script, Session, ask, drive, eof, frames, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def test_a_connection_too_many_waits_until_a_place_is_free(configure, echo) -> None:
    with Session(configure(echo, limits=Limits(max_connections=4))) as session:
        held = session.fire(repeat(4, ask(GET)))
        waiting = session.fire(repeat(2, ask(GET, sent)))
        session.go_on(held, *[Round(send=GET)] * 10)  # a worker that had room would have accepted the others by now
        assert session.server.counters().accepted == 4
        session.close(held[:1])
        results = session.wait(waiting[:1], frames(1))
        assert results[0].statuses == [200]
        session.close(held[1:2])
        assert session.wait(waiting, frames(1))[1].statuses == [200]
        assert session.go_on(held[2:], Round(send=GET))[0].statuses == [200] * 12
        assert session.server.counters().accepted == 6
        counters = session.stop()
        assert counters.open == 0
        assert "accept_timeout" not in counters.limits_reached
        assert counters.limits_reached["max_connections"] >= 1


def test_connections_that_wait_too_long_are_refused_and_those_held_go_on(configure, echo) -> None:
    limits = Limits(max_connections=4, accept_timeout=0.1)
    with Session(configure(echo, limits=limits)) as session:
        held = session.fire(repeat(4, ask(GET)))
        refused = session.fire(repeat(3, ask(GET, eof)))
        assert [result.statuses for result in refused.results] == [[503]] * 3
        assert {(each.frames[0].closes, each.rest, each.reset) for each in refused.results} == {(True, b"", False)}
        assert [result.statuses for result in session.go_on(held, Round(send=GET))] == [[200] * 2] * 4
        session.close(held[:1])
        assert session.fire([ask(GET)]).results[0].statuses == [200]
        counters = session.stop()
        assert counters.limits_reached["accept_timeout"] == 3
        assert counters.requests == 9


def test_without_an_accept_timeout_connections_wait_in_the_backlog(configure, echo) -> None:
    limits = Limits(max_connections=1, accept_timeout=None)
    results = drive(configure(echo, limits=limits), repeat(50, ask(CLOSE, eof)))
    assert [result.statuses for result in results] == [[200]] * 50
    assert results.counters.accepted == 50


def test_listeners_have_places_of_their_own(configure, echo) -> None:
    listeners = [Listener(port=0, limits=Limits(max_connections=1)), Listener(port=0)]
    with Session(configure(echo, listeners=listeners)) as session:
        session.fire([ask(GET)])
        session.fire([ask(GET, sent)])
        with Client(session.server.addresses[1]) as other:
            group = other.fire(repeat(20, ask(GET)))
            assert [result.statuses for result in group.results] == [[200]] * 20


def test_five_hundred_connections_at_once(configure, echo) -> None:
    results = drive(configure(echo), repeat(500, Script(rounds=[Round(send=GET)] * 4)))
    assert [result.statuses for result in results] == [[200] * 4] * 500
    assert (results.counters.accepted, results.counters.requests) == (500, 2000)
    assert (results.counters.open, results.counters.in_flight) == (0, 0)


def test_connections_that_come_and_go_leave_nothing_behind(configure, echo) -> None:
    with Session(configure(echo)) as session:
        for _ in range(20):
            group = session.fire(repeat(50, ask(CLOSE, eof)))
            assert [result.statuses for result in group.results] == [[200]] * 50
            session.close(group)
        counters = session.await_counters(lambda counters: counters.open == 0)
        assert (counters.accepted, counters.in_flight) == (1000, 0)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "send",
    [
        pytest.param(b"", id="before_a_request"),
        pytest.param(GET[:9], id="in_a_head"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n" + b"a" * 50_000, id="in_a_body"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", id="in_a_chunk"),
        pytest.param(GET * 100, id="in_its_answers"),
        pytest.param(b"garbage\r\n\r\n" + b"a" * 50_000, id="in_a_refusal"),
    ],
)
def test_a_client_that_vanishes_takes_nothing_with_it(configure, send: bytes, reset: bool) -> None:
    def large(request, response, worker):
        response.reply(200, b"x" * 100_000)

    with Session(configure(large)) as session:
        bystander = session.fire([ask(GET)])
        group = session.fire(repeat(16, Script(rounds=[Round(send=[send, b""], reads=False)])))
        session.close(group, reset=reset)
        session.await_counters(lambda counters: counters.open == 1)
        assert session.go_on(bystander, Round(send=GET))[0].statuses == [200] * 2
        assert session.fire([ask(GET)]).results[0].statuses == [200]
        assert session.stop().in_flight == 0


LITTLE_ROOM = """
    import os, resource

    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 24, used + 24))

    def handle(request, response, worker):
        response.reply(200, b"served")
"""


@needs_descriptor_limit
def test_without_descriptors_a_server_serves_those_it_has_and_accepts_again_later(command) -> None:
    server = command(LITTLE_ROOM)
    with Client(server.address) as client:
        group = client.fire(repeat(64, ask(b"", sent)))
        server.await_log(rb"(?i)descriptors|too many open files|EMFILE")
        results = client.go_on(group, Round(send=CLOSE, until=eof))
        assert [result.statuses for result in results] == [[200]] * 64
        client.close()
        assert client.fire(repeat(4, ask(GET))).results[0].statuses == [200]
    server.process.terminate()
    assert server.wait() == 0
    warnings = [line for line in server.log.splitlines() if b"WARNING" in line or b"ERROR" in line]
    assert len(warnings) == 1, warnings


@needs_descriptor_limit
def test_a_server_without_descriptors_that_is_shut_down_still_takes_those_who_wait(command) -> None:
    """Its idle connections close, and give their descriptors to those that waited for one with a request."""
    server = command(LITTLE_ROOM)
    with Client(server.address) as client:
        idle = client.fire(repeat(64, ask(b"", sent)))
        server.await_log(rb"(?i)descriptors|too many open files|EMFILE")
        waiting = client.fire(repeat(64, ask(GET, sent)))
        server.process.terminate()
        results = client.wait(waiting, eof)
        assert [result.statuses for result in results] == [[200]] * 64
        assert {result.reset for result in client.wait(idle, eof)} == {False}
        assert server.wait() == 0
