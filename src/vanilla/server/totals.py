"""The counters of several workers as those of one server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from vanilla.counters import Counters


def added(snapshots: Sequence[Counters]) -> Counters:
    """The sum of all fields; of `handler_since_ns` the earliest that is set; `limits_reached` added name by name."""
    total = {name: sum(getattr(one, name) for one in snapshots) for name in Counters._fields if name not in _NOT_SUMS}
    since = min((one.handler_since_ns for one in snapshots if one.handler_since_ns), default=0)
    reached: Counter[str] = Counter()
    for one in snapshots:
        reached.update(one.limits_reached)
    return Counters(**total, handler_since_ns=since, limits_reached=dict(reached))


_NOT_SUMS = ("handler_since_ns", "limits_reached")
