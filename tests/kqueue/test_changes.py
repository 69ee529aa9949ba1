"""What a change does to a knote, what it is answered, and what the call itself refuses."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Pair, Queue

UNKNOWN_FD = 1_000_000


def told(queue: Queue) -> list[tuple[str, int]]:
    """Filter and udata of what is told at once."""
    return [(event.filter, event.udata) for event in queue.kevent()]


# One knote for each ident and filter.


def test_a_second_add_changes_the_knote_and_adds_none(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    queue.kevent((pair.fd, "READ", "ADD", "", 0, 1), (pair.fd, "READ", "ADD", "", 0, 2), room=0)
    assert told(queue) == [("READ", 2)]


def test_the_filters_of_a_descriptor_have_a_knote_each(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    queue.kevent((pair.fd, "READ", "ADD", "", 0, 1), (pair.fd, "WRITE", "ADD", "", 0, 2), room=0)
    assert sorted(told(queue)) == [("READ", 1), ("WRITE", 2)]
    queue.change(pair.fd, "WRITE", "DELETE")
    assert told(queue) == [("READ", 1)]


def test_a_number_may_name_a_descriptor_a_timer_and_a_user_event(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    fd = pair.fd
    queue.kevent((fd, "READ", "ADD"), (fd, "TIMER", "ADD ONESHOT", "NSECONDS", 1), (fd, "USER", "ADD"), room=0)
    queue.change(fd, "USER", "", "TRIGGER")
    assert sorted(filter_ for filter_, _ in told(queue)) == ["READ", "TIMER", "USER"]


def test_every_change_sets_udata(queue: Queue) -> None:
    queue.change(1, "USER", "ADD", "", 0, 7)
    queue.change(1, "USER", "", "TRIGGER")
    assert told(queue) == [("USER", 0)]


def test_how_a_knote_is_delivered_is_said_by_its_first_add_alone(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", "ADD")
    queue.change(pair.fd, "READ", "ADD ONESHOT DISPATCH CLEAR")
    assert [queue.wait_for_one().flags for _ in range(3)] == [set()] * 3


# How an event is delivered: still ready, it is told as often as this.

DELIVERIES = [
    pytest.param("ADD", [1, 1, 1], id="level_triggered_is_told_every_time"),
    pytest.param("ADD CLEAR", [1, 0, 0], id="cleared_is_told_once"),
    pytest.param("ADD ONESHOT", [1, 0, 0], id="one_shot_is_told_once"),
    pytest.param("ADD DISPATCH", [1, 0, 0], id="dispatched_is_told_once"),
    pytest.param("ADD DISABLE", [0, 0, 0], id="disabled_is_not_told"),
    pytest.param("ADD ENABLE", [1, 1, 1], id="enabled_from_the_start"),
]


@pytest.mark.parametrize(("flags", "counts"), DELIVERIES)
def test_a_readable_descriptor(queue: Queue, pair: Pair, flags: str, counts: list[int]) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", flags)
    assert [len(queue.kevent()) for _ in counts] == counts


@pytest.mark.parametrize(("flags", "counts"), DELIVERIES)
def test_a_writable_descriptor(queue: Queue, pair: Pair, flags: str, counts: list[int]) -> None:
    queue.change(pair.fd, "WRITE", flags)
    assert [len(queue.kevent()) for _ in counts] == counts


@pytest.mark.parametrize(("flags", "counts"), DELIVERIES)
def test_a_triggered_user_event(queue: Queue, flags: str, counts: list[int]) -> None:
    queue.change(1, "USER", flags)
    queue.change(1, "USER", "", "TRIGGER")
    assert [len(queue.kevent()) for _ in counts] == counts


def test_a_cleared_knote_is_told_again_of_what_arrives(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD CLEAR")
    for count in (1, 2, 3):
        pair.give(b"a")
        event = queue.wait_for_one()
        assert (event.data, event.flags) == (count, {"CLEAR"})
        assert queue.kevent() == []


def test_a_cleared_knote_is_told_again_when_it_is_changed_and_still_ready(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", "ADD CLEAR")
    assert len(queue.kevent()) == 1
    for flags in ("ADD CLEAR", "ENABLE", ""):
        queue.change(pair.fd, "READ", flags)
        assert [len(queue.kevent()), len(queue.kevent())] == [1, 0]


def test_what_was_queued_is_not_told_once_it_no_longer_holds(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD CLEAR")
    pair.give(b"a")
    assert queue.kevent(room=0) == []
    queue.change(pair.fd, "READ", "ENABLE")  # looks at the socket, and queues the knote
    assert pair.ours.recv(8) == b"a"
    assert queue.kevent() == []


@pytest.mark.parametrize("filter_", ["READ", "WRITE"])
@pytest.mark.parametrize("flags", ["ADD ONESHOT", "ADD ONESHOT CLEAR", "ADD ONESHOT DISPATCH"])
def test_a_one_shot_knote_is_deleted_by_its_event(queue: Queue, pair: Pair, filter_: str, flags: str) -> None:
    pair.give(b"a")
    queue.change(pair.fd, filter_, flags)
    assert len(queue.kevent()) == 1
    assert queue.error_of((pair.fd, filter_, "ENABLE")) == errno.ENOENT
    queue.change(pair.fd, filter_, flags)
    assert len(queue.kevent()) == 1


@pytest.mark.parametrize("flags", ["ADD DISPATCH", "ADD DISPATCH CLEAR"])
def test_a_dispatched_knote_is_told_again_once_it_is_enabled(queue: Queue, pair: Pair, flags: str) -> None:
    queue.change(pair.fd, "READ", flags)
    pair.give(b"a")
    queue.wait_for_one()
    pair.give(b"b")
    for _ in range(2):
        assert queue.kevent() == []
        queue.change(pair.fd, "READ", "ENABLE")
        assert len(queue.kevent()) == 1


def test_a_disabled_knote_keeps_quiet_and_tells_what_holds_when_it_is_enabled(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD CLEAR")
    queue.change(pair.fd, "READ", "DISABLE")
    pair.give(b"a")
    assert queue.kevent() == []  # nor remembered
    queue.change(pair.fd, "READ", "ENABLE")
    assert len(queue.kevent()) == 1
    queue.change(pair.fd, "READ", "DISABLE")
    pair.ours.recv(8)
    queue.change(pair.fd, "READ", "ENABLE")
    assert queue.kevent() == []


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR"])
def test_what_is_queued_is_not_told_once_it_is_disabled(queue: Queue, pair: Pair, flags: str) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", flags)
    queue.change(pair.fd, "READ", "DISABLE")
    assert queue.kevent() == []


@pytest.mark.parametrize(
    ("flags", "count"),
    [("ADD", 1), ("ADD ENABLE", 1), ("ENABLE", 1), ("ADD DISABLE", 0), ("DISABLE", 0), ("", 0)],
)
def test_a_disabled_knote_is_enabled_by_its_name_and_by_add(queue: Queue, pair: Pair, flags: str, count: int) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", "ADD DISABLE")
    queue.change(pair.fd, "READ", flags)
    assert len(queue.kevent()) == count


def test_built_as_the_kernels_are_only_enable_enables(
    load_library: Callable[..., ctypes.CDLL], make_queue: Callable[..., Queue], tcp: Pair
) -> None:
    queue = make_queue(load_library("-DKQUEUE_ADD_ENABLES=0"))
    tcp.give(b"a")
    queue.change(tcp.fd, "READ", "ADD DISABLE")
    queue.change(tcp.fd, "READ", "ADD")
    assert queue.kevent() == []
    queue.change(tcp.fd, "READ", "ADD ENABLE")
    assert len(queue.kevent()) == 1


# What a change is answered.


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param((UNKNOWN_FD, "READ", "ADD"), errno.EBADF, id="read_of_no_descriptor"),
        pytest.param((UNKNOWN_FD, "WRITE", "ADD"), errno.EBADF, id="write_of_no_descriptor"),
        pytest.param((UNKNOWN_FD, "READ", "DELETE"), errno.EBADF, id="delete_of_no_descriptor"),
        pytest.param((2**40, "READ", "ADD"), errno.EBADF, id="a_number_beyond_descriptors"),
        pytest.param((0, "READ", "DELETE"), errno.ENOENT, id="delete_of_no_knote"),
        pytest.param((0, "WRITE", "ENABLE"), errno.ENOENT, id="enable_of_no_knote"),
        pytest.param((0, "READ", "ADD DELETE"), errno.ENOENT, id="delete_overrules_add"),
        pytest.param((0, "READ", ""), errno.ENOENT, id="change_of_no_knote"),
        pytest.param((1, "USER", "", "TRIGGER"), errno.ENOENT, id="trigger_of_no_knote"),
        pytest.param((1, "USER", "DELETE"), errno.ENOENT, id="delete_of_no_user_event"),
        pytest.param((1, "TIMER", "DELETE"), errno.ENOENT, id="delete_of_no_timer"),
        pytest.param((1, 0, "ADD"), errno.EINVAL, id="no_filter"),
        pytest.param((1, -4, "ADD"), errno.EINVAL, id="a_filter_of_bsd_only"),
        pytest.param((1, "USER", "ADD ENABLE DISABLE"), errno.EINVAL, id="enable_and_disable"),
        pytest.param((1, "TIMER", "ADD", "", -1), errno.EINVAL, id="a_timer_of_less_than_nothing"),
        pytest.param((1, "TIMER", "ADD", "SECONDS NSECONDS", 1), errno.EINVAL, id="a_timer_of_two_units"),
        pytest.param((1, "TIMER", "ADD", 0x100, 1), errno.EINVAL, id="a_timer_of_a_unit_of_macos_only"),
    ],
)
def test_a_change_that_fails(queue: Queue, change: tuple, error: int) -> None:
    assert queue.error_of(change) == error
    [answer] = queue.kevent(change)
    assert (answer.ident, answer.data, answer.flags) == (change[0], error, {"ERROR", *change[2].split()})


def test_a_low_water_mark_is_refused(queue: Queue, pair: Pair) -> None:
    assert queue.error_of((pair.fd, "READ", "ADD", 1, 10)) == errno.EINVAL
    assert queue.error_of((pair.fd, "READ", "ENABLE")) == errno.ENOENT


def test_what_epoll_cannot_watch_is_refused(queue: Queue) -> None:
    with open(__file__) as file:
        assert queue.error_of((file.fileno(), "READ", "ADD")) == errno.EPERM


def test_a_kqueue_does_not_watch_itself(queue: Queue) -> None:
    assert queue.error_of((queue.fd, "READ", "ADD")) == errno.EINVAL


def test_a_deleted_knote_tells_nothing(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", "ADD")
    queue.change(pair.fd, "READ", "DELETE")
    pair.give(b"b")
    assert queue.kevent() == []
    assert queue.error_of((pair.fd, "READ", "DELETE")) == errno.ENOENT


def test_changes_are_applied_in_order_and_before_events_are_taken(queue: Queue) -> None:
    events = queue.kevent(
        (1, "USER", "ADD", "", 0, 1),
        (1, "USER", "DELETE"),
        (1, "USER", "ADD", "", 0, 2),
        (2, "USER", "ADD", "", 0, 3),
        (1, "USER", "", "TRIGGER", 0, 4),
    )
    assert [(event.ident, event.udata) for event in events] == [(1, 4)]


def test_answers_come_in_order_and_instead_of_events(queue: Queue) -> None:
    queue.change(1, "USER", "ADD")
    answers = queue.kevent(
        (1, "USER", "", "TRIGGER"),
        (2, "USER", "DELETE", "", 0, 8),
        (1, "USER", "RECEIPT"),
        (UNKNOWN_FD, "READ", "ADD"),
        timeout=None,
    )
    told = [(one.ident, one.data, one.udata) for one in answers]
    assert told == [(2, errno.ENOENT, 8), (1, 0, 0), (UNKNOWN_FD, errno.EBADF, 0)]
    assert all("ERROR" in one.flags for one in answers)
    assert [event.ident for event in queue.kevent()] == [1]


def test_the_changes_behind_an_error_without_room_are_not_applied(queue: Queue) -> None:
    failing = [(number, "USER", "DELETE") for number in (1, 2)]
    with pytest.raises(OSError, match=r"\[Errno 2\]"):
        queue.kevent((3, "USER", "ADD"), *failing, (4, "USER", "ADD"), room=1)
    assert queue.error_of((4, "USER", "ENABLE")) == errno.ENOENT
    queue.change(3, "USER", "ENABLE")


def test_the_changes_behind_a_receipt_without_room_are_not_applied(queue: Queue) -> None:
    assert queue.kevent((1, "USER", "ADD RECEIPT"), (2, "USER", "ADD"), room=0) == []
    queue.change(1, "USER", "ENABLE")
    assert queue.error_of((2, "USER", "ENABLE")) == errno.ENOENT


def test_flags_that_only_events_have_are_ignored_in_changes(queue: Queue) -> None:
    [answer] = queue.kevent((1, "USER", "ADD RECEIPT EOF"))
    assert (answer.data, answer.flags) == (0, {"ADD", "RECEIPT", "ERROR"})
    queue.change(1, "USER", "ERROR", "TRIGGER")
    assert [event.flags for event in queue.kevent()] == [{"RECEIPT"}]


def test_a_thousand_receipts_take_no_event(queue: Queue, pair: Pair) -> None:
    pair.give(b"a")
    queue.change(pair.fd, "READ", "ADD")
    answers = queue.kevent(*((number, "USER", "ADD RECEIPT") for number in range(1000)), room=1000)
    assert [(one.ident, one.data) for one in answers] == [(number, 0) for number in range(1000)]


# The call.


@pytest.mark.parametrize("timeout", [(-1, 0), (0, -1), (0, 1_000_000_000)])
def test_a_timeout_that_is_none_is_refused(queue: Queue, timeout: tuple[int, int]) -> None:
    with pytest.raises(OSError, match=r"\[Errno 22\]"):
        queue.kevent(timeout=timeout)


@pytest.mark.parametrize("timeout", [0.0, 0.02, (0, 1), (0, 20_000_001)])
def test_without_an_event_the_call_ends_with_its_time(queue: Queue, timeout: float | tuple[int, int]) -> None:
    assert queue.kevent((1, "TIMER", "ADD ONESHOT", "SECONDS", 60), timeout=timeout) == []


@pytest.mark.parametrize("timeout", [None, (2**55, 0)])
def test_without_an_end_the_call_waits_for_an_event(queue: Queue, timeout: tuple[int, int] | None) -> None:
    [event] = queue.kevent((1, "TIMER", "ADD ONESHOT", "", 5), timeout=timeout)
    assert event.filter == "TIMER"


def test_without_room_the_call_does_not_wait(queue: Queue) -> None:
    assert queue.kevent(room=0, timeout=None) == []


def test_a_signal_ends_the_wait_and_leaves_the_changes_applied(queue: Queue) -> None:
    previous = signal.signal(signal.SIGUSR1, lambda *_: None)
    main = threading.get_ident()
    done = threading.Event()

    def interrupt() -> None:  # until the call is over, since one may come before it
        while not done.wait(0.001):
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(InterruptedError):
            queue.kevent((1, "USER", "ADD"), timeout=None)
    finally:
        done.set()
        thread.join()
        signal.signal(signal.SIGUSR1, previous)
    queue.change(1, "USER", "ENABLE")


@pytest.mark.parametrize("kind", ["closed", "never_one"])
def test_what_is_no_kqueue_is_refused(queue: Queue, pair: Pair, kind: str) -> None:
    fd = queue.fd
    queue.close()
    if kind == "never_one":
        os.dup2(pair.fd, fd)
    queue.fd = fd
    error = queue.error_of((1, "USER", "ADD"))
    queue.fd = -1
    if kind == "never_one":
        os.close(fd)
    assert error == errno.EBADF


def test_negative_counts_and_missing_lists_are_refused(queue: Queue) -> None:
    call = queue.library.kevent
    for arguments, error in (
        ((None, 1, None, 0, None), errno.EFAULT),
        ((None, 0, None, 1, None), errno.EFAULT),
        ((None, -1, None, 0, None), errno.EINVAL),
        ((None, 0, None, -1, None), errno.EINVAL),
    ):
        assert call(queue.fd, *arguments) == -1
        assert ctypes.get_errno() == error


def test_events_come_in_turn_when_there_is_not_room_for_all(queue: Queue) -> None:
    for number in range(5):
        queue.kevent((number, "USER", "ADD"), (number, "USER", "", "TRIGGER"), room=0)
    taken = [[event.ident for event in queue.kevent(room=2)] for _ in range(5)]
    assert taken == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]
