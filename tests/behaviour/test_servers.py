"""Servers and their workers: ports, hooks, states, and several servers in one process."""

import pathlib
import socket
import threading

import pytest

from system import IS_WINDOWS
from vanilla import BindError, Listener, Server, ServerConfig
from vanilla.testing import Client, Session, ask, drive, repeat

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LISTEN = "0A"  # st of /proc/net/tcp, proc(5)


def listening_sockets(port: int) -> int:
    lines = pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(fields[1].endswith(f":{port:04X}") and fields[3] == LISTEN for fields in map(str.split, lines))


def test_a_request_sent_from_the_after_start_hook_is_served(configure, echo) -> None:
    statuses = []

    def after_start(server: Server) -> None:
        with Client(server.addresses[0]) as client:
            statuses.extend(client.fire(repeat(8, ask(GET))).results)

    with Session(configure(echo, workers=2, after_server_start=after_start)):
        assert [result.statuses for result in statuses] == [[200]] * 8


@pytest.mark.skipif(IS_WINDOWS, reason="the workers share one listener there, and /proc is Linux's")
def test_every_worker_listens_on_the_one_port_that_was_free(configure, echo) -> None:
    with Session(configure(echo, workers=4)) as session:
        assert session.server.port == session.address[1] > 0
        assert listening_sockets(session.server.port) == 4
        assert [result.statuses for result in session.fire(repeat(100, ask(GET))).results] == [[200]] * 100
        assert sum(worker.counters().accepted for worker in session.server.workers) == 100
    assert listening_sockets(session.address[1]) == 0


def test_a_port_that_was_asked_for_is_the_one(configure, echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Server(configure(echo, port=port)) as server:
        assert server.port == port
        with pytest.raises(BindError, match=str(port)):
            Server(configure(echo, port=port)).start()


def test_servers_in_one_process_have_workers_and_counters_of_their_own(configure, echo, mirror) -> None:
    with Session(configure(echo, workers=5)) as first, Session(configure(mirror, workers=9)) as second:
        assert (len(first.server.workers), len(second.server.workers)) == (5, 9)
        names = [thread.name for thread in threading.enumerate() if "vanilla" in thread.name]
        assert len(names) == 14
        assert first.fire(repeat(20, ask(GET))).results[0].bodies == [b"GET / HTTP/1.1\n"]
        assert second.fire(repeat(30, ask(GET))).results[0].bodies == [b""]
        assert (first.stop().requests, second.stop().requests) == (20, 30)


def test_workers_default_to_the_environment(monkeypatch, backend, echo) -> None:
    monkeypatch.setenv("VANILLA_WORKERS", "3")
    with Session(ServerConfig(echo, backend=backend)) as session:
        assert len(session.server.workers) == 3


def test_each_worker_makes_a_state_on_its_own_thread(configure) -> None:
    started = []

    def handle(request, response, worker):
        response.reply(200, b"%d %d" % (worker.index, worker.state == threading.get_ident()))

    config = configure(handle, workers=3, make_state=threading.get_ident, on_worker_start=started.append)
    results = drive(config, repeat(60, ask(GET)))
    assert {result.bodies[0] for result in results} <= {b"0 1", b"1 1", b"2 1"}
    assert sorted(worker.index for worker in started) == [0, 1, 2]
    assert len({worker.state for worker in started}) == 3


def test_a_hook_that_fails_leaves_nothing_running(configure, echo) -> None:
    def fail(worker) -> None:
        raise LookupError("on purpose")

    before = threading.active_count()
    with pytest.raises(LookupError, match="on purpose"):
        Server(configure(echo, workers=2, port=0, on_worker_start=fail)).start()
    assert threading.active_count() == before


def test_one_server_serves_all_its_listeners(configure, echo, tmp_path) -> None:
    path = str(tmp_path / "a.sock")
    listeners = [Listener(port=0), Listener("::1", 0) if IS_WINDOWS else Listener(uds=path), Listener("127.0.0.1", 0)]
    with Session(configure(echo, listeners=listeners, workers=2)) as session:
        assert session.server.addresses[1] == path or IS_WINDOWS
        for address in session.server.addresses:
            with Client(address) as client:
                assert [each.statuses for each in client.fire(repeat(10, ask(GET))).results] == [[200]] * 10
        assert session.stop().requests == 30


def test_ipv6_is_served(configure, echo) -> None:
    with Session(configure(echo, listeners=[Listener("::1", 0)])) as session:
        assert session.address[0] == "::1"
        assert session.fire([ask(GET)]).results[0].statuses == [200]


def test_raw_requests_are_answered_raw(configure, mirror) -> None:
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
    answers = Server(configure(mirror)).test([post, GET + post, b"garbage\r\n\r\n"])
    assert answers[0] == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    assert answers[1].count(b"HTTP/1.1 200 OK") == 2
    assert answers[2].startswith(b"HTTP/1.1 400 Bad Request\r\n")
