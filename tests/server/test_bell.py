"""A ring is never lost between the look at the state and the wait."""

from __future__ import annotations

import threading

from vanilla.server.bell import Bell, hear


def test_a_ring_before_the_wait_is_heard() -> None:
    bell = Bell()
    with bell.listening() as ear:
        bell.ring()
        hear(ear, None)


def test_every_listener_hears() -> None:
    bell = Bell()
    listens = threading.Barrier(4)

    def listen() -> None:
        with bell.listening() as ear:
            listens.wait()
            hear(ear, None)

    threads = [threading.Thread(target=listen) for _ in range(3)]
    for thread in threads:
        thread.start()
    listens.wait()
    bell.ring()
    for thread in threads:
        thread.join()


def test_without_a_ring_the_time_runs_out() -> None:
    bell = Bell()
    with bell.listening() as ear:
        hear(ear, 0.0)


def test_who_no_longer_listens_is_forgotten() -> None:
    bell = Bell()
    with bell.listening() as ear:
        pass
    bell.ring()
    assert ear.empty()
