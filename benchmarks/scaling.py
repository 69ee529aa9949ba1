"""Two worker threads of one process against two processes of one worker: what sharing a process costs.

All cores are shared by servers and generators, which is what makes either arrangement lose whatever it wastes. The
arrangements take turns for some rounds and medians are compared.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from catalogue import Server
from load import wrk_result, wrk_started
from processes import Running, ServerError, started, unused_port
from rates import Conditions
from table import Table

WORKERS = 2
GENERATORS = 2
CONNECTIONS = 128  # per generator: enough for SO_REUSEPORT's hash to load both listeners about equally
DEPTHS = {"one by one": 1, "16 deep": 16}
COLUMNS = ("arrangement", "requests", "requests/s", "CPU µs/request", "RSS MiB", "to 2 processes")


@dataclass(frozen=True)
class Arrangement:
    """`processes` servers of `workers` threads each."""

    title: str
    processes: int
    workers: int


THREADS = Arrangement("1 process, 2 worker threads", 1, WORKERS)
PROCESSES = Arrangement("2 processes, 1 worker each", WORKERS, 1)


@dataclass(frozen=True)
class Round:
    requests_per_second: float
    cpu_seconds_per_request: float
    rss: int


def measure_threads(server: Server, conditions: Conditions) -> Table:
    table = Table("threads", "Worker threads against worker processes", COLUMNS)
    if (obstacle := server.obstacle()) is not None:
        table.missing[server.name] = obstacle
        return table
    for title, depth in DEPTHS.items():
        rounds: dict[Arrangement, list[Round]] = {PROCESSES: [], THREADS: []}
        try:
            for number in range(1, conditions.rounds + 1):
                for arrangement, found in rounds.items():
                    found.append(_measure_once(server, arrangement, depth, conditions))
                    rate = f"{found[-1].requests_per_second:,.0f} requests/s"
                    print(f"threads {title} round {number} {arrangement.title}: {rate}", file=sys.stderr)
        except (ServerError, OSError) as error:
            table.missing[f"{server.name} {title}"] = str(error)
            continue
        reference = statistics.median(one.requests_per_second for one in rounds[PROCESSES])
        table.rows.extend(_row(arrangement, title, found, reference) for arrangement, found in rounds.items())
    table.notes.append(
        f"{conditions.rounds} interleaved rounds of {conditions.seconds} s, medians; servers and two wrk of "
        f"{CONNECTIONS} connections share cores {conditions.server_core} and {conditions.load_core}"
    )
    return table


def _row(arrangement: Arrangement, title: str, rounds: Sequence[Round], reference: float) -> list[str]:
    rate = statistics.median(one.requests_per_second for one in rounds)
    cpu = statistics.median(one.cpu_seconds_per_request for one in rounds)
    rss = max(one.rss for one in rounds)
    figures = [f"{rate:,.0f}", f"{cpu * 1e6:.2f}", f"{rss / 2**20:.1f}", f"{rate / reference:.3f}"]
    return [arrangement.title, title, *figures]


def _measure_once(server: Server, arrangement: Arrangement, depth: int, conditions: Conditions) -> Round:
    cores = [conditions.server_core, conditions.load_core]
    with contextlib.ExitStack() as stack:
        servers = _start(server, arrangement, cores, stack)
        before, began = [one.usage() for one in servers], time.monotonic()
        generators = [
            stack.enter_context(wrk_started(servers[0].port, CONNECTIONS, depth, conditions.seconds, cores))
            for _ in range(GENERATORS)
        ]
        loads = [wrk_result(generator, conditions.seconds) for generator in generators]
        elapsed = time.monotonic() - began
        used = [one.usage() - earlier for one, earlier in zip(servers, before, strict=True)]
        rss = sum(one.memory().rss for one in servers)
    requests, errors = sum(load.requests for load in loads), sum(load.errors for load in loads)
    if errors or not requests:
        raise ServerError(f"{errors:,} errors in {requests:,} requests over {elapsed:.0f} s")
    return Round(sum(load.requests / load.seconds for load in loads), sum(one.seconds for one in used) / requests, rss)


def _start(
    server: Server, arrangement: Arrangement, cores: Sequence[int], stack: contextlib.ExitStack
) -> list[Running]:
    """All of them on one port, which the kernel spreads connections over by SO_REUSEPORT, as it does for threads."""
    port, found = unused_port(), []
    words = server.command_for(port, ("--workers", str(arrangement.workers), "--reuse-port"))
    for number in range(1, arrangement.processes + 1):
        listeners = number * arrangement.workers
        found.append(stack.enter_context(started(words, port, cores, listeners=listeners)))
    return found
