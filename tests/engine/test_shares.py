"""The shares in which files are sent: some of every file in each tick, and no tick that is long."""

from __future__ import annotations

import pytest

from vanilla.engine.answers import share_of

KIB = 1024


@pytest.mark.parametrize(
    ("count", "share"),
    [
        pytest.param(1, 1024 * KIB, id="alone"),
        pytest.param(4, 1024 * KIB, id="as_many_as_a_tick_has_room_for"),
        pytest.param(5, 768 * KIB, id="in_steps_of_whole_pages"),
        pytest.param(8, 512 * KIB, id="half"),
        pytest.param(16, 256 * KIB, id="the_least"),
        pytest.param(10_000, 256 * KIB, id="no_less"),
    ],
)
def test_a_tick_is_divided_among_those_that_take_files(count: int, share: int) -> None:
    assert share_of(count) == share
