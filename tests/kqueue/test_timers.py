"""EVFILT_TIMER: never early, counted while nobody looks, restarted by a second EV_ADD."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Queue


@pytest.mark.parametrize(
    ("unit", "data", "seconds"),
    [
        pytest.param("", 20, 0.02, id="milliseconds_by_default"),
        pytest.param("USECONDS", 20_000, 0.02, id="microseconds"),
        pytest.param("NSECONDS", 20_000_000, 0.02, id="nanoseconds"),
        pytest.param("SECONDS", 1, 1.0, id="seconds"),  # the unit takes that long
    ],
)
def test_a_timer_is_due_after_its_period(queue: Queue, unit: str, data: int, seconds: float) -> None:
    begun = time.monotonic()
    queue.change(7, "TIMER", "ADD ONESHOT", unit, data, 9)
    assert queue.wait_for_one() == (7, "TIMER", {"ONESHOT", "CLEAR"}, 1, 0, 9)
    assert time.monotonic() - begun >= seconds
    assert queue.error_of((7, "TIMER", "DELETE")) == errno.ENOENT


def test_a_periodic_timer_counts_what_expired_since_it_was_told(queue: Queue) -> None:
    begun = time.monotonic()
    queue.change(1, "TIMER", "ADD", "", 2)
    told = 0
    while told < 10:
        event = queue.wait_for_one()
        assert event.flags == {"CLEAR"}
        assert event.data >= 1
        told += event.data
        assert told <= (time.monotonic() - begun) / 0.002
    queue.change(1, "TIMER", "DELETE")
    assert queue.kevent(timeout=0.01) == []


def test_a_timer_faster_than_anybody_looks_misses_no_expiration(queue: Queue) -> None:
    queue.kevent((1, "TIMER", "ADD", "NSECONDS", 1000), (2, "TIMER", "ADD ONESHOT", "", 10), room=0)
    counted, told = 0, dict[int, int]()
    while 2 not in told:
        told = {event.ident: event.data for event in queue.wait()}
        counted += told.get(1, 0)
    assert counted >= 10_000


@pytest.mark.parametrize("flags", ["ADD", "ADD ONESHOT"])
def test_a_period_of_nothing_is_due_at_once(queue: Queue, flags: str) -> None:
    queue.change(1, "TIMER", flags, "NSECONDS", 0)
    assert queue.wait_for_one().data >= 1


def test_a_second_add_restarts_with_the_new_period_and_forgets_what_expired(queue: Queue) -> None:
    queue.change(1, "TIMER", "ADD DISABLE", "NSECONDS", 1)
    assert queue.kevent() == []
    queue.change(1, "TIMER", "ADD ENABLE", "SECONDS", 3600)
    assert queue.kevent() == []
    queue.change(1, "TIMER", "ADD", "", 1)
    assert queue.wait_for_one().data >= 1


def test_a_second_add_that_makes_no_sense_leaves_the_timer(queue: Queue) -> None:
    queue.change(1, "TIMER", "ADD ONESHOT", "", 1)
    assert queue.error_of((1, "TIMER", "ADD", "", -1)) == errno.EINVAL
    assert queue.wait_for_one().data == 1


def test_a_disabled_timer_runs_on_and_tells_when_it_is_enabled(queue: Queue) -> None:
    queue.change(1, "TIMER", "ADD DISABLE", "", 1)
    assert queue.kevent(timeout=0.02) == []
    queue.change(1, "TIMER", "ENABLE")
    [event] = queue.kevent()
    assert event.data >= 20


def test_a_dispatched_timer_is_told_again_once_it_is_enabled(queue: Queue) -> None:
    queue.change(1, "TIMER", "ADD DISPATCH", "", 1)
    queue.wait_for_one()
    assert queue.kevent(timeout=0.01) == []
    queue.change(1, "TIMER", "ENABLE")
    assert queue.wait_for_one().data >= 10


def test_a_timer_ends_the_wait_before_its_timeout_and_others_do_not(queue: Queue) -> None:
    queue.kevent((1, "TIMER", "ADD ONESHOT", "", 5), (2, "TIMER", "ADD", "SECONDS", 2**62), room=0)
    assert [event.ident for event in queue.kevent(timeout=None)] == [1]
