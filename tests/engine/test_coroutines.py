"""What asyncio waits with: which of the engine's news it is told."""

from __future__ import annotations

import os
import selectors
from collections.abc import Iterator

import pytest

from vanilla.engine.coroutines import EngineSelector
from vanilla.steps import Event


class RecordedWatch:
    def __init__(self, fd: int, interest: int) -> None:
        self.fd = fd
        self.interest = interest
        self.is_active = True

    def cancel(self) -> None:
        self.is_active = False


class FakeEngine:
    """Watches nothing, and makes ready in a turn what a test says."""

    def __init__(self) -> None:
        self.watches: list[RecordedWatch] = []

    def watch_fd(self, fd: int, interest: int, *_: object) -> RecordedWatch:
        os.fstat(fd)
        self.watches.append(RecordedWatch(fd, interest))
        return self.watches[-1]

    def turn(self, timeout: float | None) -> None:
        """Nothing becomes ready but what was noted already."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def selector() -> EngineSelector:
    return EngineSelector(FakeEngine())


def note(selector: EngineSelector, fd: int) -> None:
    """The engine finds a descriptor readable."""
    selector._on_ready(None, None, None, fd, Event.READABLE)


def told(selector: EngineSelector) -> list[tuple[int, int, object]]:
    return [(key.fd, mask, key.data) for key, mask in selector.select(0)]


def test_what_is_ready_is_told_once(selector: EngineSelector, pipe: tuple[int, int]) -> None:
    selector.register(pipe[0], selectors.EVENT_READ, "data")
    note(selector, pipe[0])
    assert told(selector) == [(pipe[0], selectors.EVENT_READ, "data")]
    assert told(selector) == []


def test_a_number_that_is_registered_anew_hears_nothing_of_the_one_before(
    selector: EngineSelector, pipe: tuple[int, int]
) -> None:
    selector.register(pipe[0], selectors.EVENT_READ, "old")
    note(selector, pipe[0])
    selector.unregister(pipe[0])
    selector.register(pipe[0], selectors.EVENT_READ, "new")
    assert told(selector) == []


def test_new_callbacks_hear_only_what_comes_after_them(selector: EngineSelector, pipe: tuple[int, int]) -> None:
    selector.register(pipe[0], selectors.EVENT_READ, "old")
    note(selector, pipe[0])
    selector.modify(pipe[0], selectors.EVENT_READ, "new")
    assert told(selector) == []
    note(selector, pipe[0])
    assert told(selector) == [(pipe[0], selectors.EVENT_READ, "new")]


def test_other_callbacks_for_the_same_events_cost_no_system_call(
    selector: EngineSelector, pipe: tuple[int, int]
) -> None:
    selector.register(pipe[0], selectors.EVENT_READ, "old")
    selector.modify(pipe[0], selectors.EVENT_READ, "new")
    assert [(watch.interest, watch.is_active) for watch in selector._engine.watches] == [(1, True)]


def test_other_events_are_watched_in_place_of_the_old_ones(selector: EngineSelector, pipe: tuple[int, int]) -> None:
    selector.register(pipe[0], selectors.EVENT_READ)
    selector.modify(pipe[0], selectors.EVENT_READ | selectors.EVENT_WRITE)
    assert [(watch.interest, watch.is_active) for watch in selector._engine.watches] == [(1, False), (3, True)]


def test_a_descriptor_that_cannot_be_watched_any_more_is_registered_no_more(selector: EngineSelector) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    selector.register(reader, selectors.EVENT_READ)
    os.close(reader)
    with pytest.raises(OSError, match=r"descriptor|handle"):  # fstat's words on POSIX and on Windows
        selector.modify(reader, selectors.EVENT_READ | selectors.EVENT_WRITE)
    assert reader not in selector.get_map()
    with pytest.raises(KeyError):
        selector.get_key(reader)
