"""Clients that leave while their requests wait, in every order in which that and the rest can come."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from system import IS_WINDOWS, close, is_open, needs_unix_sockets, open_pair, ready_reader, reset, until, write
from vanilla import Event, Interest, Limits, Server, Step

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWERS_END = b"\r\n\r\n"


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def read_to_end(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


@pytest.mark.exact("needs both events from one wait")
def test_a_client_that_leaves_in_the_same_tick_as_the_readiness_is_not_gone_on_with(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        with running.busy():
            write(pipes.writers[0], b"too late")
            reset(client)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert not is_open(pipes.readers[0])
        assert (pipes.requests[0].disconnected, pipes.requests[0].client_fd) == (True, -1)
        pipes.close()


@pytest.mark.exact("needs the reset from the wait in which the time is up")
def test_a_client_that_leaves_in_the_same_tick_as_the_timeout_is_not_gone_on_with(site, make_pipes) -> None:
    pipes = make_pipes(timeout=0.005)
    clients: list[socket.socket] = []

    def handle(request, response, worker):
        step = pipes(request, response, worker)
        due = time.monotonic() + 0.01
        reset(clients.pop())
        until(lambda: time.monotonic() > due)
        return step

    with site(handle) as running:
        for number in range(1, 21):
            clients.append(running.connect())
            clients[0].sendall(TINY)
            until(lambda number=number: len(pipes.seen) == number)
        assert {kind for kind, *_ in pipes.seen} == {"disconnected"}
        running.await_idle()
        if not IS_WINDOWS:  # where sockets for connections to come have got these numbers
            assert [is_open(fd) for fd in set(pipes.readers)] == [False] * len(set(pipes.readers))
        pipes.close()


def test_a_client_whose_request_and_reset_come_at_once_is_gone_all_the_same(site, make_pipes, receive_answer) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(get("/plain"))
        assert receive_answer(client).endswith(b"plain")
        with running.busy():
            client.sendall(TINY)
            reset(client)
        until(lambda: running.server.counters().open == 0)
        running.await_idle()
        assert {kind for kind, *_ in pipes.seen} <= {"disconnected"}  # what is known to be gone need not be begun
        assert [is_open(fd) for fd in pipes.readers] == [False] * len(pipes.readers)
        pipes.close()


@needs_unix_sockets
def test_a_unix_client_whose_request_and_end_come_at_once_is_gone_all_the_same(
    configure, tmp_path, make_pipes, receive_answer
) -> None:
    pipes = make_pipes()
    path = str(tmp_path / "socket")
    with Server(configure(pipes, uds=path)) as server:
        worker = server.workers[0]
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(path)
        client.sendall(get("/plain"))
        assert receive_answer(client).endswith(b"plain")
        entered, leave = threading.Event(), threading.Event()
        worker.post(lambda: (entered.set(), leave.wait(20)))
        assert entered.wait(20)
        client.sendall(TINY)
        client.close()
        leave.set()
        until(lambda: server.counters().open == 0)
        until(lambda: server.counters().parked == 0)
        assert {kind for kind, *_ in pipes.seen} <= {"disconnected"}
    pipes.close()


def test_a_client_that_leaves_between_two_watches_has_the_second_one_closed(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        write(pipes.writers[0], b"again")
        until(lambda: len(pipes.readers) == 2)
        reset(client)
        running.await_idle()
        assert pipes.seen == [("continuation", Event.READABLE), ("disconnected", pipes.readers[1], True)]
        assert not is_open(pipes.readers[1])
        pipes.close()


def test_a_client_that_leaves_while_its_continuation_runs_has_the_next_watch_closed(site, make_pipes) -> None:
    pipes = make_pipes()
    clients: list[socket.socket] = []

    def go_on(request, response, worker, fd, event):
        close(fd)
        reset(clients[0])
        return pipes.watch(request, worker)

    def handle(request, response, worker):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    with site(handle) as running:
        clients.append(running.connect())
        clients[0].sendall(TINY)
        until(lambda: running.server.counters().open == 0 and running.server.counters().requests == 1)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert not is_open(pipes.readers[0])
        pipes.close()


def test_a_client_found_gone_by_what_is_sent_to_it_ends_the_wait_at_once(site, make_pipes) -> None:
    pipes = make_pipes()
    clients: list[socket.socket] = []

    def go_on(request, response, worker, fd, event):
        close(fd)
        reset(clients[0])
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        return pipes.watch(request, worker)

    def handle(request, response, worker):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    with site(handle) as running:
        clients.append(running.connect())
        clients[0].sendall(TINY)
        until(lambda: running.server.counters().requests == 1)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        pipes.close()


@pytest.mark.exact("counts the requests of one receive")
def test_a_client_that_leaves_with_requests_behind_the_one_that_waits_leaves_none_of_them(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY + get("/plain") * 5 + TINY[:7])
        running.await_parked(1)
        assert running.server.counters().in_flight == 6
        client.sendall(TINY[7:] + get("/plain") * 1000)  # these stay in the kernel: nobody reads them
        reset(client)
        running.await_idle()
        assert running.server.counters().requests == 1
        pipes.close()


def test_a_client_that_shut_its_writing_side_and_is_reset_later_is_gone(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        client.shutdown(socket.SHUT_WR)
        running.run(int)  # a tick that has seen the end
        assert running.server.counters().parked == 1
        reset(client)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        pipes.close()


def test_a_client_that_closed_in_order_is_gone_once_something_is_sent_to_it(site, make_pipes) -> None:
    pipes = make_pipes()

    def more(request, response, worker, payload, event):
        response.write(b"4\r\nmore\r\n")
        worker.call_later(0.001, payload.resume, more, payload)
        return Step.SUSPEND

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        pipes.watch(request, worker)
        parked = worker.park()
        parked.resume(more, parked)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        while b"more" not in client.recv(1000):
            pass
        client.close()
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert pipes.requests[0].disconnected
        pipes.close()


def test_a_client_that_does_not_take_what_a_waiting_request_sent_is_let_go_of(site, make_pipes) -> None:
    pipes = make_pipes()

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" + bytes(30_000_000))
        return pipes.watch(request, worker)

    with site(handle, limits=Limits(write_timeout=0.05)) as running:
        running.connect(TINY)
        until(lambda: running.server.counters().requests == 1)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert running.server.counters().limits_reached == {"write_timeout": 1}
        pipes.close()


def test_a_client_that_sent_its_end_with_its_request_is_answered(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect()
        with running.busy():
            client.sendall(TINY * 2 + get("/plain"))
            client.shutdown(socket.SHUT_WR)
        for number in range(2):
            until(lambda number=number: len(pipes.writers) == number + 1)
            write(pipes.writers[number], b"answer %d" % number)
        bodies = [part.partition(ANSWERS_END)[2] for part in read_to_end(client).split(b"HTTP/1.1 200 OK\r\n")[1:]]
        assert bodies == [b"answer 0", b"answer 1", b"plain"]
        pipes.close()


def test_what_on_disconnect_raises_is_logged_and_the_descriptors_are_closed(site, caplog, make_pipes) -> None:
    pipes = make_pipes()
    pipes.on_disconnect = lambda fd: 1 / 0
    with site(pipes) as running:
        reset(running.connect(TINY))
        until(lambda: running.server.counters().requests == 1)
        running.await_idle()
        pipes.close()
    assert "ZeroDivisionError" in caplog.text


def test_on_disconnect_may_close_the_descriptors_itself(site) -> None:
    fds: list[int] = []

    def close_both(payload) -> None:
        for fd in fds:
            with contextlib.suppress(OSError):
                close(fd)

    def handle(request, response, worker):
        for fd in (*open_pair(), *open_pair()):
            fds.append(fd)
        worker.watch_fd(fds[0], Interest.READABLE, print, on_disconnect=close_both)
        worker.watch_fd(fds[2], Interest.READABLE, print, on_disconnect=close_both)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        reset(client)
        running.await_idle()
