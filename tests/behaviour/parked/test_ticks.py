"""A connection with nothing to be done costs no ticks, whatever its descriptor is ready for."""

from __future__ import annotations

import socket
import threading

from system import until, write

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE_BYTES = 8_000_000  # more than the buffers of two sockets hold
TICKS_MAX = 20  # for what is asked of the worker meanwhile; one that turns for nothing makes thousands


def count_ticks(running) -> int:
    """Those of a while in which nothing happens."""
    is_over = threading.Event()
    before = running.server.counters().ticks
    running.run(lambda: running.worker.call_later(0.05, is_over.set))
    assert is_over.wait(20)
    return running.server.counters().ticks - before


def large(request, response, worker) -> None:
    response.reply(200, bytes(LARGE_BYTES))


def take(client: socket.socket) -> None:
    """Read the whole answer."""
    missing = LARGE_BYTES
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(1)
    while missing > 0:
        missing -= len(client.recv(min(missing, 65_536)))


def test_input_behind_a_request_that_waits_costs_no_ticks(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        client.sendall(PLAIN * 3)
        running.run(int)  # what came has been looked at
        assert count_ticks(running) <= TICKS_MAX
        write(pipes.writers[0], b"x")
        until(lambda: running.server.counters().responses_2xx == 4)
        pipes.close()


def test_the_end_of_a_client_whose_request_waits_costs_no_ticks(site, make_pipes) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        client.shutdown(socket.SHUT_WR)
        running.run(int)
        assert count_ticks(running) <= TICKS_MAX
        write(pipes.writers[0], b"x")
        running.await_idle()
        pipes.close()


def test_an_answer_that_is_not_taken_costs_no_ticks(site) -> None:
    with site(large) as running:
        client = running.connect(TINY)
        client.recv(1)
        running.run(int)
        assert count_ticks(running) <= TICKS_MAX


def test_room_for_more_costs_no_ticks_once_all_was_taken(site) -> None:
    with site(large) as running:
        client = running.connect(TINY)
        take(client)
        running.await_idle()
        assert count_ticks(running) <= TICKS_MAX
