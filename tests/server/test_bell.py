"""A ring is never lost between the look at the state and the wait."""

from __future__ import annotations

import signal
import socket
import threading

from system import count_descriptors
from vanilla.server.bell import Bell, hear

ANY_SIGNAL = signal.SIGTERM  # Windows has few


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
    assert ear.fileno() == -1


def test_the_first_to_listen_needs_no_new_descriptor() -> None:
    bell = Bell()
    bell.open()
    before = count_descriptors()
    for _ in range(2):
        with bell.listening():
            assert count_descriptors() == before
    bell.close()
    assert count_descriptors() == before - 2


def test_a_bell_that_is_closed_while_somebody_listens_leaves_no_descriptor() -> None:
    before = count_descriptors()
    bell = Bell()
    bell.open()
    with bell.listening() as ear:
        bell.ring()
        bell.close()
        hear(ear, None)
    assert count_descriptors() == before


def test_a_signal_rings_for_the_main_thread() -> None:
    seen: list[int] = []
    before = signal.signal(ANY_SIGNAL, lambda number, _: seen.append(number))
    try:
        with Bell().listening() as ear:
            signal.raise_signal(ANY_SIGNAL)
            hear(ear, None)
    finally:
        signal.signal(ANY_SIGNAL, before)
    assert seen == [ANY_SIGNAL]


def test_whom_signals_woke_before_they_wake_again() -> None:
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        before = signal.set_wakeup_fd(writer.fileno())
        try:
            with Bell().listening():
                pass
            assert signal.set_wakeup_fd(before) == writer.fileno()
        finally:
            signal.set_wakeup_fd(before)
