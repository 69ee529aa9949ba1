"""From start to stop: nothing is left behind, and no answer that is owed is lost."""

import os
import pathlib
import signal
import threading

import pytest

from system import count_descriptors, needs_unix_sockets
from vanilla import Limits, Server
from vanilla.testing import Client, Round, Script, Session, ask, eof, headers_seen, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_servers_started_and_stopped_fifty_times_leave_no_descriptor_and_no_thread(configure, echo) -> None:
    def use_three_servers() -> None:
        with (
            Session(configure(echo, workers=2)) as first,
            Session(configure(echo)) as second,
            Session(configure(echo, workers=3)) as third,
        ):
            for session in (first, second, third):
                group = session.fire([*repeat(4, ask(GET)), ask(GET[:5], sent), ask(GET * 3, sent)])
                assert [result.statuses for result in group.results[:4]] == [[200]] * 4

    use_three_servers()
    before = count_descriptors(), threading.enumerate()
    for _ in range(50):
        use_three_servers()
    assert (count_descriptors(), threading.enumerate()) == before


def test_a_server_that_served_nobody_stops(configure, echo) -> None:
    with Session(configure(echo, workers=4)) as session:
        assert session.stop().accepted == 0


def test_idle_connections_are_closed_at_once(configure, echo) -> None:
    """The grace is longer than this test may take."""
    with Session(configure(echo)) as session:
        group = session.fire([*repeat(8, ask(GET)), *repeat(8, ask(b"", sent))])
        shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
        shutdown.start()
        results = session.wait(group, eof)
        assert {result.reset for result in results} == {False}
        assert [result.statuses for result in results] == [[200]] * 8 + [[]] * 8
        shutdown.join()
        refused = session.fire(repeat(10, ask(GET))).results
        assert {type(result.connect_error) for result in refused} == {ConnectionRefusedError}


def test_a_request_under_way_is_finished_and_its_answer_says_close(configure, mirror) -> None:
    with Session(configure(mirror)) as session:
        post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        idle = session.fire([ask(GET)])
        group = session.fire([ask([post[:at], b""], sent) for at in range(1, len(post))])
        shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
        shutdown.start()
        session.wait(idle, eof)  # the shutdown has reached the worker
        for at, connection in enumerate(group, start=1):
            session.go_on([connection], Round(send=post[at:], until=eof))
        for result in group.results:
            assert result.bodies == [b"hello"]
            assert result.frames[0].closes
            assert (result.rest, result.reset) == (b"", False)
        shutdown.join()


def test_an_answer_under_way_is_finished(configure) -> None:
    def handle(request, response, worker):
        response.reply(200, b"x" * 8_000_000)

    with Session(configure(handle)) as session:
        script = Script(rounds=[Round(send=[GET, b""], reads=False)], receive_buffer=4096)
        group = session.fire(repeat(4, script))
        idle = session.fire([ask(b"", sent)])
        shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
        shutdown.start()
        session.wait(idle, eof)
        results = session.wait(group, eof)
        assert [[len(body) for body in result.bodies] for result in results] == [[8_000_000]] * 4
        assert {(result.rest, result.reset) for result in results} == {(b"", False)}
        shutdown.join()
        assert session.server.counters().in_flight == 0


@pytest.mark.exact("counts the requests of one receive")
def test_requests_that_wait_behind_answers_under_way_are_finished_too(configure) -> None:
    def handle(request, response, worker):
        response.reply(200, b"x" * 100_000)

    with Session(configure(handle, limits=Limits(max_pending_bytes=100_000))) as session:
        script = Script(rounds=[Round(send=[GET * 100, b""], reads=False)], receive_buffer=4096)
        group = session.fire(repeat(4, script))
        idle = session.fire([ask(b"", sent)])
        shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
        shutdown.start()
        session.wait(idle, eof)
        results = session.wait(group, eof)
        assert [len(result.frames) for result in results] == [100] * 4
        assert {(result.frames[-1].closes, result.rest, result.reset) for result in results} == {(True, b"", False)}
        shutdown.join()
        assert session.server.counters().in_flight == 0


def test_what_is_not_finished_within_the_grace_is_cut(configure) -> None:
    def handle(request, response, worker):
        response.reply(200, b"x" * 8_000_000)

    with Session(configure(handle)) as session:
        script = Script(rounds=[Round(send=[GET, b""], reads=False)], receive_buffer=4096)
        group = session.fire([script, ask([GET[:5], b""], sent)])
        session.server.shutdown(0.1)
        results = session.wait(group, eof)
        assert [result.statuses for result in results] == [[], []]


def test_connections_that_wait_to_be_accepted_are_taken_before_the_end(configure) -> None:
    """They connected, and sent, before the shutdown: the only worker was busy with something else."""
    entered, go_on = threading.Event(), threading.Event()

    def handle(request, response, worker):
        entered.set()
        go_on.wait(20)
        response.reply(200)

    with Session(configure(handle)) as session:
        first = session.fire([ask(GET, sent)])
        entered.wait(20)
        waiting = session.fire(repeat(20, ask(GET, sent)))
        shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
        shutdown.start()
        while not session.server.draining:
            pass
        go_on.set()
        results = session.wait([*first, *waiting], eof)
        assert [result.statuses for result in results] == [[200]] * 21
        assert {result.frames[0].closes for result in results} == {True}
        shutdown.join()


def test_a_drain_delay_serves_everything_and_says_close(configure, echo) -> None:
    drainings = []

    def handle(request, response, worker):
        drainings.append(bool(worker.draining))
        echo(request, response, worker)

    with Session(configure(handle, drain_delay=1000.0)) as session:
        group = session.fire(repeat(4, ask(GET)))
        assert drainings == [False] * 4
        shutdown = threading.Thread(target=session.server.shutdown)
        shutdown.start()
        while not session.server.workers[0].draining:
            pass
        assert session.server.draining
        results = session.go_on(group, Round(send=GET * 3, until=eof))
        assert [result.statuses for result in results] == [[200] * 4] * 4
        assert {(result.frames[-1].closes, result.reset) for result in results} == {(True, False)}
        results = session.fire(repeat(4, ask(GET, eof))).results
        assert [[frame.closes for frame in result.frames] for result in results] == [[True]] * 4
        assert drainings == [False] * 4 + [True] * 16
        session.server.shutdown(0)
        shutdown.join()


def test_a_shutdown_without_grace_cuts_everything(configure, echo) -> None:
    with Session(configure(echo)) as session:
        group = session.fire([ask([GET[:5], b""], sent), ask(GET)])
        session.server.shutdown(0)
        assert [result.statuses for result in session.wait(group, eof)] == [[], [200]]


def test_a_handler_may_shut_its_server_down(configure) -> None:
    servers = []

    def handle(request, response, worker):
        servers[0].shutdown()
        response.reply(200, b"bye")

    with Session(configure(handle)) as session:
        servers.append(session.server)
        result = session.fire([ask(GET, eof)]).results[0]
        assert (result.bodies, result.frames[0].closes) == ([b"bye"], True)
        assert session.server.wait(20)


# The command, and its signals.

SLOW = """
    import time

    def handle(request, response, worker):
        time.sleep(0.005)
        response.reply(200, b"x" * 3000)
"""
FAST = """
    def handle(request, response, worker):
        response.reply(200, b"x" * 3000)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_under_load_loses_no_answer_that_is_owed(command, number: signal.Signals) -> None:
    """Every request was with the server's kernel before the signal: sent, acknowledged, perhaps not yet read."""
    server = command(SLOW)
    with Client(server.address) as client:
        group = client.fire([ask(GET), *repeat(64, ask(GET, sent))])
        server.signal(number)
        results = client.wait(group, eof)
        assert sum(len(result.frames) for result in results) == 65
        assert [result.statuses for result in results] == [[200]] * 65
        assert {(len(result.bodies[0]), result.rest, result.reset) for result in results} == {(3000, b"", False)}
        assert server.wait() == 0


def test_a_signal_under_load_answers_what_was_pipelined_up_to_the_answer_that_says_close(command) -> None:
    server = command(SLOW)
    with Client(server.address) as client:
        group = client.fire([ask(GET * 8), *repeat(15, ask(GET * 8, sent))])
        server.signal(signal.SIGTERM)
        results = client.wait(group, eof)
        for result in results:
            assert result.frames[-1].closes or len(result.frames) == 8  # all of them before the signal
            assert (result.rest, result.reset) == (b"", False)
            assert {frame.closes for frame in result.frames[:-1]} <= {False}
        assert any(result.frames[-1].closes for result in results)
        assert server.wait() == 0


def test_with_a_drain_delay_clients_that_never_pause_lose_nothing(command) -> None:
    """They go on until they are told to close; no connection ends without having been told. A second signal ends it."""
    server = command(FAST, "--drain-delay", "1000")
    with Client(server.address) as client:
        group = client.fire(repeat(32, ask(GET)))
        server.signal(signal.SIGTERM)
        results = client.go_on(group, *[Round(send=GET)] * 100_000)
        for result in results:
            assert result.frames[-1].closes
            assert (set(result.statuses), result.rest) == ({200}, b"")
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_a_second_signal_stops_at_once(command) -> None:
    server = command(FAST, "--timeout-graceful-shutdown", "1000")
    with Client(server.address) as client:
        group = client.fire([ask(GET), ask([GET[:9], b""], sent)])
        server.signal(signal.SIGTERM)
        client.wait(group[:1], eof)  # the first one has reached the worker
        assert server.process.poll() is None
        server.signal(signal.SIGTERM)
        results = client.wait(group[1:], eof)
        assert results[0].raw == b""
        assert server.wait() == 0


@needs_unix_sockets
def test_the_command_serves_over_a_unix_socket_and_removes_it(command, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "app.sock")
    server = command(FAST, "--bind", f"unix:{path}")
    with Client(path) as client:
        assert client.fire([ask(GET, headers_seen)]).results[0].raw.startswith(b"HTTP/1.1 200 OK\r\n")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert not os.path.exists(path)


def test_the_port_is_free_again_at_once(configure, echo) -> None:
    with Session(configure(echo)) as session:
        session.fire([ask(GET)])
        config, port = session.server.config, session.server.port
    again = configure(echo, port=port)
    with Server(again) as server, Client(("127.0.0.1", server.port)) as client:
        assert server.port == port
        assert client.fire([ask(GET)]).results[0].statuses == [200]
    assert config.listeners[0].port == 0
