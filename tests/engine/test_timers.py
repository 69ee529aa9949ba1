"""The timer wheel: nothing comes due early, late or twice; against a sorted list, on a clock of its own."""

from __future__ import annotations

import random

import pytest

from vanilla.engine.timers import run_wheel

AHEAD_MS = 2**35  # a later deadline is looked at again then
SPANS = [64**level for level in range(7)]


def run_sorted(start: int, due: list[int], steps: list[int], removed: tuple[int, ...] = ()) -> list[list[int]]:
    """The same by looking at every deadline at every step. A deadline in the past waits for the clock to move."""
    left = {index: max(at, start + 1) for index, at in enumerate(due) if index not in removed}
    result = []
    for now in steps:
        result.append(sorted(index for index, at in left.items() if at <= now))
        left = {index: at for index, at in left.items() if at > now}
    return result


@pytest.mark.parametrize("start", [0, 1, 63, 64, 4095, 4096, 2**35 - 1, 2**36 - 1, 2**36, 2**40 + 12_345])
@pytest.mark.parametrize("ahead", sorted({span + step for span in SPANS[:6] for step in (-1, 0, 1)} - {0}))
def test_a_deadline_comes_due_in_its_millisecond(start: int, ahead: int) -> None:
    due = start + ahead
    assert run_wheel(start, [due], [due - 1, due, due + 1]) == [[], [0], []]
    assert run_wheel(start, [due], [due + 10 * ahead]) == [[0]]


def test_an_empty_wheel_stays_empty() -> None:
    assert run_wheel(0, [], [1, 10**12]) == [[], []]


def test_the_past_comes_due_at_the_next_step() -> None:
    assert run_wheel(1000, [1000, 999, 0], [1000, 1001]) == [[], [0, 1, 2]]


def test_equal_deadlines_come_due_together() -> None:
    assert run_wheel(0, [100] * 50, [99, 100]) == [[], list(range(50))]


def test_what_was_removed_does_not_come_due() -> None:
    assert run_wheel(0, [5, 5, 5, 500, 500], [10, 1000], (1, 4)) == [[0, 2], [3]]
    assert run_wheel(0, [5], [10], (0, 0)) == [[]]


@pytest.mark.parametrize("ahead", [AHEAD_MS - 1, AHEAD_MS, AHEAD_MS + 1, 2 * AHEAD_MS, 5 * AHEAD_MS + 77])
def test_a_deadline_years_away_is_not_forgotten(ahead: int) -> None:
    assert run_wheel(7, [7 + ahead], [7 + ahead - 1, 7 + ahead]) == [[], [0]]


def test_a_clock_that_stands_still_or_runs_back_brings_nothing() -> None:
    assert run_wheel(100, [150], [120, 120, 110, 149, 150]) == [[], [], [], [], [0]]


@pytest.mark.parametrize("seed", range(60))
def test_the_wheel_agrees_with_a_sorted_list(seed: int) -> None:
    random_ = random.Random(seed)
    start = random_.choice([0, 1, random_.randrange(2**20), random_.randrange(2**44)])
    reach = random_.choice([50, 5000, 500_000, 2**30, 2**34])
    due = [start + random_.randrange(-5, reach) for _ in range(random_.choice([1, 20, 500]))]
    removed = tuple(random_.sample(range(len(due)), len(due) // 5))
    steps = [start]
    while steps[-1] < start + reach and len(steps) < 400:
        steps.append(
            steps[-1] + random_.choice([0, 1, 2, 63, 64, 65, max(reach // 50, 1), random_.randrange(1, reach)])
        )
    steps.append(start + reach)
    steps.sort()
    assert run_wheel(start, due, steps, removed) == run_sorted(start, due, steps, removed)
