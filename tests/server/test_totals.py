"""The counters of a server are those of its workers, added up."""

from __future__ import annotations

import pytest

from vanilla.counters import Counters
from vanilla.server.totals import added


def counters(value: int, since: int = 0, **reached: int) -> Counters:
    sums = {name: value for name in Counters._fields if name not in ("handler_since_ns", "limits_reached")}
    return Counters(**sums, handler_since_ns=since, limits_reached=reached)


@pytest.mark.parametrize(
    ("snapshots", "total"),
    [
        pytest.param([], counters(0), id="none"),
        pytest.param([counters(3, 7, max_headers=1)], counters(3, 7, max_headers=1), id="one"),
        pytest.param([counters(1), counters(2)], counters(3), id="sums"),
        pytest.param([counters(0, 9), counters(0), counters(0, 5)], counters(0, 5), id="longest_in_a_handler"),
        pytest.param(
            [counters(0, 0, a=1, b=2), counters(0, 0, b=3, c=4)], counters(0, 0, a=1, b=5, c=4), id="limits_by_name"
        ),
    ],
)
def test_counters_add_up(snapshots: list[Counters], total: Counters) -> None:
    assert added(snapshots) == total
