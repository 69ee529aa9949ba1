"""Faults so frequent that what they touch does not pass by luck."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from vanilla import Limits, Request, Response, ServerConfig, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
Inject = Callable[..., None]


def answer(request: Request, response: Response, worker: Worker) -> None:
    response.reply(200, request.body)


class Held:
    """A handler that holds its worker up until it is let go."""

    def __init__(self) -> None:
        self.entered, self.may_return = threading.Event(), threading.Event()

    def __call__(self, request: Request, response: Response, worker: Worker) -> None:
        self.entered.set()
        assert self.may_return.wait(20)
        response.reply(200)


@pytest.fixture
def config(backend: str) -> Callable[..., ServerConfig]:
    """A config with one worker; keywords are ServerConfig's."""
    return lambda handler, **settings: ServerConfig(handler, **({"workers": 1, "backend": backend} | settings))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two sockets of the test's own."""
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def shut_down_with_a_backlog(config: ServerConfig, held: Held, count: int) -> list[list[int]]:
    """The statuses that `count` clients get who had connected, and sent, before the shutdown of a busy server."""
    with Session(config) as session:
        first = session.fire([ask(GET, sent)])
        assert held.entered.wait(20)
        waiting = session.fire(repeat(count, ask(GET, sent)))
        shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
        shutdown.start()
        while not session.server.draining:
            pass
        held.may_return.set()
        session.wait(first, eof)
        results = session.wait(waiting, eof)
        shutdown.join()
        return [result.statuses for result in results]


def test_sockets_that_are_not_the_servers_are_left_alone(inject: Inject, pair) -> None:
    inject(recv_short=1000, send_short=1000)
    near, far = pair
    for length in range(1, 1000):
        assert near.send(b"x" * length) == length
        assert len(far.recv(1000)) == length


@pytest.mark.parametrize("kind", ["eintr", "eagain", "short"])
def test_answers_are_whole_though_most_receives_and_sends_fall_short(inject: Inject, config, kind: str) -> None:
    inject(**{f"recv_{kind}": 900, f"send_{kind}": 900})
    contents = [bytes([65 + number]) * 100_000 for number in range(8)]
    wire = b"".join(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n%b" % content for content in contents)
    results = drive(config(answer), repeat(4, ask(wire, frames(8))))
    assert [result.bodies for result in results] == [contents] * 4


@pytest.mark.parametrize("error", ["eintr", "econnaborted", "eproto", "emfile", "enfile", "enobufs", "enomem"])
def test_a_shutdown_takes_what_waits_behind_an_accept_that_fails(inject: Inject, config, error: str) -> None:
    held = Held()
    inject(**{f"accept_{error}": 500})
    assert shut_down_with_a_backlog(config(held), held, 20) == [[200]] * 20


def test_a_shutdown_hears_a_request_that_came_this_instant_though_it_is_interrupted(inject: Inject, config) -> None:
    """What a connection has sent, and its first receive did not find, is looked for before the connection closes."""
    held = Held()
    inject(recv_eintr=400, recv_eagain=400)
    assert shut_down_with_a_backlog(config(held), held, 40) == [[200]] * 40


def test_a_refusal_arrives_though_what_it_takes_is_interrupted(inject: Inject, config) -> None:
    inject(recv_eintr=500, send_eintr=500)
    with Session(config(answer, limits=Limits(max_connections=1, accept_timeout=0.05))) as session:
        session.fire([ask(GET)])
        results = session.fire(repeat(30, ask(GET, eof))).results
        assert [(result.statuses, result.reset) for result in results] == [([503], False)] * 30


def test_those_behind_a_connection_that_is_gone_are_refused_with_the_others(inject: Inject, config) -> None:
    """One at a time they would take nine seconds."""
    inject(accept_econnaborted=500)
    limits = Limits(max_connections=1, accept_timeout=0.3)
    with Session(config(answer, limits=limits), deadline=4) as session:
        held = session.fire([ask(GET)])
        assert [result.statuses for result in session.fire(repeat(30, ask(GET, eof))).results] == [[503]] * 30
        assert session.go_on(held, Round(send=GET))[0].statuses == [200] * 2


def test_a_client_that_reads_nothing_has_no_time_for_what_the_kernel_holds(inject: Inject, config) -> None:
    """A send that falls short is followed by others: the kernel takes megabytes, of which the client has none."""

    def large(request: Request, response: Response, worker: Worker) -> None:
        response.reply(200, b"x" * 16_000_000)

    inject(send_short=500)
    limits = Limits(min_send_rate=100_000, rate_grace=0.1)
    with Session(config(large, limits=limits), deadline=5) as session:
        session.fire(repeat(8, Script(rounds=[Round(send=GET, reads=False)], receive_buffer=4096)))
        counters = session.await_counters(lambda counters: (counters.accepted, counters.open) == (8, 0))
        assert counters.limits_reached == {"min_send_rate": 8}
