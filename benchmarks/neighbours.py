"""What slow clients cost their neighbours: the p99 of 64 ordinary connections with and without 64 that send a byte a
second. The two take turns for some rounds; the spread between rounds of the same kind is the noise to compare with.
"""

from __future__ import annotations

import statistics
import sys

import prepare
from catalogue import Server
from load import PROFILES, run_wrk
from processes import ServerError, held_clients, started, unused_port
from rates import Conditions
from table import Table

SLOW_CLIENTS = prepare.ROOT / "benchmarks" / "slow_clients.py"
COLUMNS = ("neighbours", "p99 ms, median of rounds", "least", "most", "requests/s")
PROFILE = PROFILES["keepalive_64"]


def measure_slow(server: Server, count: int, conditions: Conditions) -> Table:
    """p99 and throughput of `keepalive_64` with `count` slow clients on the same worker, and with none."""
    table = Table("slow", f"{PROFILE.title} beside {count} slow clients", COLUMNS)
    found: dict[int, list[tuple[float, float]]] = {0: [], count: []}
    try:
        for number in range(1, conditions.rounds + 1):
            for slow, rounds in found.items():
                rounds.append(_measure_once(server, slow, conditions))
                print(f"slow clients {slow} round {number}: p99 {rounds[-1][0] / 1e3:.2f} ms", file=sys.stderr)
    except (ServerError, OSError) as error:
        table.missing[server.name] = str(error)
        return table
    for slow, rounds in found.items():
        p99 = [one[0] / 1e3 for one in rounds]
        rate = statistics.median(one[1] for one in rounds)
        figures = [f"{statistics.median(p99):.2f}", f"{min(p99):.2f}", f"{max(p99):.2f}", f"{rate:,.0f}"]
        table.rows.append([f"{slow} slow clients" if slow else "none", *figures])
    table.notes.append(f"{conditions.rounds} interleaved rounds of {conditions.seconds} s, load by wrk")
    return table


def _measure_once(server: Server, slow: int, conditions: Conditions) -> tuple[float, float]:
    port = unused_port()
    command = server.command_for(port)
    with (
        started(command, port, [conditions.server_core]) as running,
        held_clients(SLOW_CLIENTS, running, slow, conditions.load_core),
    ):
        load = run_wrk(port, PROFILE, conditions.seconds, conditions.load_core)
    if load.errors or load.p99_us is None:
        raise ServerError(f"{load.errors:,} errors in {load.requests:,} requests")
    return load.p99_us, load.requests / load.seconds
