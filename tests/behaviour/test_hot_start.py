"""Servers that come and go within one process: nothing of them stays, and none touches another."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from system import count_descriptors, private_bytes
from vanilla import Server
from vanilla.testing import Client, ask, repeat

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
STARTS = 1000
WARM_UP_STARTS = 100  # until every pool of the allocators has its size


def test_a_thousand_starts_and_stops_leave_nothing_behind(configure, numbered, receive_answer) -> None:
    """Takes seconds: memory that leaks a little shows only in many starts. The sanitizers keep what is freed."""
    config = configure(numbered, port=0)
    before = after_warm_up = 0
    threads = threading.active_count()
    for number in range(WARM_UP_STARTS + STARTS):
        if number == WARM_UP_STARTS:
            before, after_warm_up = count_descriptors(), private_bytes()
        with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
            assert receive_answer(client).endswith(b"\r\n\r\n%d" % number)
    assert count_descriptors() == before
    assert threading.active_count() == threads
    grown = private_bytes() - after_warm_up
    assert grown < 2 * 1024 * 1024 or "VANILLA_SANITIZE" in os.environ  # 2 KiB a start would be a connection's worth


@pytest.mark.parametrize("workers", [1, 2])
def test_shutting_down_one_of_two_servers_never_touches_the_other(configure, numbered, workers: int) -> None:
    config = configure(numbered, port=0, workers=workers)
    with Server(config) as staying, Client(("127.0.0.1", staying.port)) as client:
        open_connections = client.fire(repeat(20, ask(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n")))
        for number in range(20):
            with Server(config) as leaving, Client(("127.0.0.1", leaving.port)) as other:
                assert other.fire([ask(b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")] * 5).results[0].bodies == [b"2"]
            results = client.go_on(open_connections, *ask(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number).rounds)
            assert [result.bodies[-1] for result in results] == [b"%d" % number] * 20
        assert staying.counters().open == 20
        assert not staying.draining
