"""EVFILT_USER: what is passed along, and waking a thread that waits in kevent()."""

from __future__ import annotations

import errno
import queue as queues
import select
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Pair, Queue

FFAND, FFOR, FFCOPY = 0x40000000, 0x80000000, 0xC0000000
TRIGGER = 0x01000000
WAKE_UPS = 300


def test_without_a_trigger_there_is_no_event(queue: Queue) -> None:
    queue.change(1, "USER", "ADD CLEAR", 5)
    assert queue.kevent() == []


@pytest.mark.parametrize(
    ("fflags", "kept"),
    [
        pytest.param(0x000F, 0b1010, id="nop_keeps_them"),
        pytest.param(FFAND | 0b0110, 0b0010, id="and"),
        pytest.param(FFOR | 0b0110, 0b1110, id="or"),
        pytest.param(FFCOPY | 0b0110, 0b0110, id="copy"),
        pytest.param(FFCOPY | 0xFFFFFF, 0xFFFFFF, id="all_24"),
    ],
)
def test_the_notes_are_combined_and_told_without_control_bits(queue: Queue, fflags: int, kept: int) -> None:
    queue.change(1, "USER", "ADD CLEAR", 0b1010)
    queue.change(1, "USER", "", fflags | TRIGGER, 77, 9)
    assert queue.kevent() == [(1, "USER", {"CLEAR"}, 77, kept, 9)]
    queue.change(1, "USER", "", "TRIGGER")
    assert [event.fflags for event in queue.kevent()] == [kept]


def test_the_first_notes_are_kept_without_control_bits(queue: Queue) -> None:
    queue.change(1, "USER", "ADD CLEAR", FFCOPY | TRIGGER | 5)
    queue.change(1, "USER", "", "TRIGGER")
    assert [event.fflags for event in queue.kevent()] == [5]


def test_triggers_before_the_event_is_taken_are_one(queue: Queue) -> None:
    queue.change(1, "USER", "ADD CLEAR")
    for _ in range(5):
        queue.change(1, "USER", "", "TRIGGER")
    assert [len(queue.kevent()) for _ in range(2)] == [1, 0]
    queue.change(1, "USER", "ENABLE")  # looks again, and the trigger is spent
    assert queue.kevent() == []


def test_a_trigger_outlives_being_disabled(queue: Queue) -> None:
    queue.change(1, "USER", "ADD CLEAR DISABLE")
    queue.change(1, "USER", "", "TRIGGER")
    assert queue.kevent() == []
    queue.change(1, "USER", "ENABLE")
    assert [len(queue.kevent()) for _ in range(2)] == [1, 0]


def test_a_change_with_clear_takes_the_trigger_back(queue: Queue) -> None:
    queue.change(1, "USER", "ADD")
    queue.change(1, "USER", "", "TRIGGER")
    assert len(queue.kevent()) == 1
    queue.change(1, "USER", "CLEAR")
    assert queue.kevent() == []
    queue.change(1, "USER", "CLEAR", "TRIGGER")  # its own too
    assert queue.kevent() == []


def test_a_trigger_in_the_first_add_is_not_heard(queue: Queue) -> None:
    queue.change(1, "USER", "ADD CLEAR", "TRIGGER")
    assert queue.kevent() == []
    queue.change(1, "USER", "", "TRIGGER")
    assert len(queue.kevent()) == 1


def test_a_deleted_user_event_is_not_told(queue: Queue) -> None:
    queue.change(1, "USER", "ADD")
    queue.change(1, "USER", "", "TRIGGER")
    queue.change(1, "USER", "DELETE")
    assert queue.kevent() == []
    assert queue.error_of((1, "USER", "", "TRIGGER")) == errno.ENOENT


# From other threads.


@pytest.fixture
def in_thread() -> Callable[[Callable[[], object]], threading.Thread]:
    """Starts a function in a thread that does not keep a failed run from ending."""

    def in_thread(function: Callable[[], object]) -> threading.Thread:
        thread = threading.Thread(target=function, daemon=True)
        thread.start()
        return thread

    return in_thread


def test_a_trigger_wakes_a_thread_that_waits(queue: Queue, in_thread: Callable[..., threading.Thread]) -> None:
    woken: queues.Queue[int] = queues.Queue()
    queue.change(1, "USER", "ADD CLEAR")

    def wait() -> None:
        for _ in range(WAKE_UPS):
            [event] = queue.kevent(timeout=None)
            woken.put(event.data)

    thread = in_thread(wait)
    for number in range(WAKE_UPS):
        queue.change(1, "USER", "", "TRIGGER", number)
        assert woken.get(timeout=5) == number
    thread.join()


def test_a_trigger_wakes_a_thread_that_waits_for_descriptors_too(
    queue: Queue, pair: Pair, in_thread: Callable[..., threading.Thread]
) -> None:
    woken: queues.Queue[str] = queues.Queue()
    queue.kevent((1, "USER", "ADD CLEAR"), (pair.fd, "READ", "ADD CLEAR"), room=0)

    def wait() -> None:
        for _ in range(WAKE_UPS):
            [event] = queue.kevent(room=1, timeout=None)
            woken.put(event.filter)

    thread = in_thread(wait)
    for _ in range(WAKE_UPS // 2):
        queue.change(1, "USER", "", "TRIGGER")
        assert woken.get(timeout=5) == "USER"
        pair.give(b"a")
        assert woken.get(timeout=5) == "READ"
    thread.join()


def test_after_a_wake_up_the_next_wait_sleeps_again(queue: Queue, in_thread: Callable[..., threading.Thread]) -> None:
    taken = threading.Event()
    queue.change(1, "USER", "ADD CLEAR")
    thread = in_thread(lambda: (queue.kevent(timeout=None), taken.set()))
    while not taken.is_set():
        queue.change(1, "USER", "", "TRIGGER")
    thread.join()
    queue.kevent()
    assert select.select([queue.fd], [], [], 0) == ([], [], [])  # what it waits for, epoll's set, has nothing left


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda fd: (fd, "READ", "ADD ONESHOT"), id="a_readable_descriptor"),
        pytest.param(lambda fd: (fd, "WRITE", "ADD ONESHOT"), id="a_writable_descriptor"),
        pytest.param(lambda fd: (fd, "TIMER", "ADD ONESHOT", "", 1), id="a_timer"),
    ],
)
def test_what_another_thread_adds_wakes_one_that_waits(
    queue: Queue, pair: Pair, change: Callable[[int], tuple], in_thread: Callable[..., threading.Thread]
) -> None:
    woken: queues.Queue[int] = queues.Queue()
    pair.give(b"a")

    def wait() -> None:
        for _ in range(WAKE_UPS // 10):
            woken.put(len(queue.kevent(timeout=None)))

    thread = in_thread(wait)
    for _ in range(WAKE_UPS // 10):
        queue.change(*change(pair.fd))
        assert woken.get(timeout=5) == 1
    thread.join()


def test_threads_that_wait_together_share_the_events(queue: Queue) -> None:
    threads = 4
    for number in range(threads):
        queue.change(number, "USER", "ADD ONESHOT")
    with ThreadPoolExecutor(threads) as pool:
        waits = [pool.submit(queue.kevent, room=1, timeout=30.0) for _ in range(threads)]
        queue.kevent(*((number, "USER", "", "TRIGGER") for number in range(threads)), room=0)
        idents = sorted(wait.result(timeout=30)[0].ident for wait in waits)
    assert idents == list(range(threads))


def test_kqueues_are_apart(make_queue: Callable[[], Queue], pair: Pair) -> None:
    one, other = make_queue(), make_queue()
    pair.give(b"a")
    one.change(pair.fd, "READ", "ADD CLEAR", "", 0, 1)
    other.change(pair.fd, "READ", "ADD", "", 0, 2)
    one.change(5, "USER", "ADD")
    assert other.error_of((5, "USER", "", "TRIGGER")) == errno.ENOENT
    assert [len(one.kevent()), len(one.kevent()), len(other.kevent()), len(other.kevent())] == [1, 0, 1, 1]


def test_kqueues_of_many_threads_do_not_disturb_each_other(make_queue: Callable[[], Queue]) -> None:
    def serve(queue: Queue) -> int:
        queue.change(1, "TIMER", "ADD", "USECONDS", 100)
        queue.change(2, "USER", "ADD CLEAR")
        count = 0
        for _ in range(WAKE_UPS):
            queue.change(2, "USER", "", "TRIGGER")
            count += sum(event.filter == "USER" for event in queue.wait())
        return count

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(serve, [make_queue() for _ in range(4)])) == [WAKE_UPS] * 4
