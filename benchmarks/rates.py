"""Requests per second and server CPU per request, per profile of load, as ratios to the C baseline of the same run.

The servers take turns for some rounds, each freshly started in each, so that a noisy minute of the machine meets all of
them. A server's CPU per request is the least of its rounds: noise only ever adds to it. User and system time are that
figure divided as the ticks of all rounds together say: one round has too few of them to divide by.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from catalogue import Server, versions
from load import Profile, run_wrk, saturate
from processes import ServerError, started, unused_port
from table import Table

WARM_UP_SECONDS = 0.3
COLUMNS = ("server", "requests/s", "CPU µs/request", "user µs", "system µs")
MORE_COLUMNS = ("p99 ms", "RSS MiB", "server core busy")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What every measurement of this run has in common; `generator` is the program of load.c."""

    generator: Path
    seconds: int
    rounds: int
    server_core: int
    load_core: int


@dataclass
class Rounds:
    """What the rounds of one server have given so far."""

    cpu_seconds_per_request: list[float] = field(default_factory=list)
    requests_per_second: list[float] = field(default_factory=list)
    p99_us: list[float] = field(default_factory=list)
    core_busy: list[float] = field(default_factory=list)
    rss: int = 0
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    errors: int = 0

    def row(self, name: str, baseline: Rounds | None) -> list[str]:
        cpu = min(self.cpu_seconds_per_request)
        user = cpu * self.user_seconds / ((self.user_seconds + self.system_seconds) or 1.0)
        ratio = cpu / min(baseline.cpu_seconds_per_request) if baseline else None
        return [
            name,
            f"{statistics.median(self.requests_per_second):,.0f}",
            *(f"{seconds * 1e6:.2f}" for seconds in (cpu, user, cpu - user)),
            f"{ratio:.2f}" if ratio else "-",
            f"{statistics.median(self.p99_us) / 1e3:.2f}" if self.p99_us else "-",
            f"{self.rss / 2**20:.1f}",
            f"{statistics.median(self.core_busy):.0%}",
        ]


def measure_profile(profile: Profile, servers: Sequence[Server], conditions: Conditions) -> Table:
    """All rounds of one profile. A server that fails once is left out of the later rounds and named in the table."""
    ratio = f"ratio to {'C' if profile.reference.startswith('c-') else profile.reference}"
    table = Table(profile.name, f"`{profile.name}`: {profile.title}", (*COLUMNS, ratio, *MORE_COLUMNS))
    table.missing.update({server.name: obstacle for server in servers if (obstacle := server.obstacle()) is not None})
    results: dict[str, Rounds] = {}
    for number in range(1, conditions.rounds + 1):
        for server in servers:
            if server.name in table.missing:
                continue
            try:
                _measure_once(profile, server, conditions, results.setdefault(server.name, Rounds()))
            except (ServerError, OSError) as error:
                table.missing[server.name] = str(error)
                results.pop(server.name, None)
                print(f"{profile.name} round {number} {server.name}: {error}", file=sys.stderr)
                continue
            last = results[server.name]
            print(
                f"{profile.name} round {number} {server.name}: {last.requests_per_second[-1]:,.0f} requests/s, "
                f"{last.cpu_seconds_per_request[-1] * 1e6:.2f} µs, core {last.core_busy[-1]:.0%} busy",
                file=sys.stderr,
            )
    baseline = results.get(profile.reference)
    table.rows.extend(rounds.row(name, baseline) for name, rounds in results.items())
    table.notes.extend(_notes(profile, results, conditions))
    table.notes.append(versions(server for server in servers if server.name in results))
    return table


def _measure_once(profile: Profile, server: Server, conditions: Conditions, rounds: Rounds) -> None:
    """One round of one server, added to `rounds` only if all of it succeeded."""
    port = unused_port()
    command = server.command_for(port, server.close_arguments if profile.closes else ())
    with started(command, port, [conditions.server_core]) as running:
        saturate(conditions.generator, running, profile, conditions.load_core, seconds=WARM_UP_SECONDS)
        before, began = running.usage(), time.monotonic()
        if profile.saturates:
            seconds = conditions.seconds
            load = saturate(conditions.generator, running, profile, conditions.load_core, seconds=seconds)
        else:
            load = run_wrk(port, profile, conditions.seconds, conditions.load_core)
        used, elapsed = running.usage() - before, time.monotonic() - began
        rss = running.memory().rss
    if load.requests == 0:
        raise ServerError("answered nothing under load")
    rounds.cpu_seconds_per_request.append(used.seconds / load.requests)
    rounds.requests_per_second.append(load.requests / load.seconds)
    rounds.core_busy.append(used.seconds / elapsed)
    rounds.rss = max(rounds.rss, rss)
    rounds.user_seconds += used.user_seconds
    rounds.system_seconds += used.system_seconds
    rounds.errors += load.errors
    if load.p99_us is not None:
        rounds.p99_us.append(load.p99_us)


def _notes(profile: Profile, results: Mapping[str, Rounds], conditions: Conditions) -> list[str]:
    turns = "1 round" if conditions.rounds == 1 else f"{conditions.rounds} interleaved rounds"
    generator = "load.c" if profile.saturates else "wrk"
    notes = [
        f"{turns} of {conditions.seconds} s, load by {generator}; CPU is the least of the rounds, the rest medians"
    ]
    failed = {name: rounds.errors for name, rounds in results.items() if rounds.errors}
    notes += [f"{name}: the generator counted {errors:,} errors" for name, errors in failed.items()]
    if profile.reference not in results:
        notes.append(f"no ratios: {profile.reference} was not measured")
    return notes
