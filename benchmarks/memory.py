"""What a server's memory does: bytes per idle connection, and its size before and after millions of requests."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

import prepare
from catalogue import Server, versions
from load import PROFILES, saturate
from processes import Memory, Running, ServerError, held_clients, started, unused_port
from rates import Conditions
from table import Table

IDLE_CLIENTS = prepare.ROOT / "benchmarks" / "idle_clients.py"
IDLE_CLIENTS_TIMEOUT = 120.0
WARM_UP_CONNECTIONS = 64
WARM_UP_REQUESTS = 50_000
SETTLE_SECONDS = 0.5
MIB = 2**20
IDLE_COLUMNS = ("server", "RSS before MiB", "RSS after MiB", "bytes/connection", "of them anonymous", "still open")
SOAK_COLUMNS = ("server", "RSS at start MiB", "RSS before MiB", "RSS after MiB", "after - before MiB", "requests/s")


def measure_idle(servers: Sequence[Server], connections: int, conditions: Conditions, name: str = "idle") -> Table:
    """User-space memory of each server per connection that has made one request and then waits."""
    table = Table(name, f"{connections:,} idle keep-alive connections", IDLE_COLUMNS)
    for server in servers:
        try:
            table.rows.append(_idle_row(server, connections, conditions))
        except (ServerError, OSError) as error:
            table.missing[server.name] = str(error)
    table.notes.append(
        f"growth of /proc/PID/smaps_rollup over the process tree, after {WARM_UP_CONNECTIONS} connections have come "
        "and gone; the kernel's memory for a socket is not in it and is the same for all"
    )
    table.notes.append(versions(server for server in servers if server.name not in table.missing))
    return table


def _idle_row(server: Server, connections: int, conditions: Conditions) -> list[str]:
    if (obstacle := server.obstacle()) is not None:
        raise ServerError(obstacle)
    port = unused_port()
    with started(server.command_for(port, server.idle_arguments), port, [conditions.server_core]) as running:
        with held_clients(IDLE_CLIENTS, running, WARM_UP_CONNECTIONS, conditions.load_core) as clients:
            _kept_open(clients)
        time.sleep(SETTLE_SECONDS)
        before = running.memory()
        with held_clients(IDLE_CLIENTS, running, connections, conditions.load_core) as clients:
            time.sleep(SETTLE_SECONDS)
            after = running.memory()
            kept = _kept_open(clients)
    return [
        server.name,
        *(f"{memory.rss / MIB:.2f}" for memory in (before, after)),
        f"{(after.rss - before.rss) / connections:,.0f}",
        f"{(after.anonymous - before.anonymous) / connections:,.0f}",
        f"{kept:,}",
    ]


def _kept_open(clients: subprocess.Popen[str]) -> int:
    output, _ = clients.communicate("\n", timeout=IDLE_CLIENTS_TIMEOUT)
    return int(output)


def measure_soak(servers: Sequence[Server], requests: int, connections: int, conditions: Conditions) -> Table:
    """Resident memory before and after `requests` over lasting connections and `connections` of one request each."""
    table = Table("soak", f"{requests:,} requests, then {connections:,} connections opened and closed", SOAK_COLUMNS)
    for server in servers:
        try:
            table.rows.append(_soak_row(server, requests, connections, conditions))
        except (ServerError, OSError) as error:
            table.missing[server.name] = str(error)
    table.notes.append(
        f'half of the requests one by one, half 16 deep; "before" is after {WARM_UP_REQUESTS:,} requests of either '
        "kind and as many connections of one request have brought every pool to its size"
    )
    return table


def _soak_row(server: Server, requests: int, connections: int, conditions: Conditions) -> list[str]:
    if (obstacle := server.obstacle()) is not None:
        raise ServerError(obstacle)
    port = unused_port()
    with started(server.command_for(port), port, [conditions.server_core]) as running:
        at_start = running.memory()
        _drive(running, WARM_UP_REQUESTS * 2, WARM_UP_REQUESTS, conditions)
        before = _settled(running)
        requests_per_second = _drive(running, requests, connections, conditions)
        after = _settled(running)
    return [
        server.name,
        *(f"{memory.rss / MIB:.2f}" for memory in (at_start, before, after)),
        f"{(after.rss - before.rss) / MIB:+.2f}",
        f"{requests_per_second:,.0f}",
    ]


def _settled(running: Running) -> Memory:
    time.sleep(SETTLE_SECONDS)
    return running.memory()


def _drive(running: Running, requests: int, connections: int, conditions: Conditions) -> float:
    """Requests per second over the lasting connections. Raises: ServerError if anything went unanswered."""
    plain, deep, short = PROFILES["saturated_64"], PROFILES["saturated_16"], PROFILES["short"]
    answered, seconds = 0, 0.0
    for profile, count in ((plain, requests // 2), (deep, requests - requests // 2), (short, connections)):
        load = saturate(conditions.generator, running, profile, conditions.load_core, requests=count)
        if load.errors:
            raise ServerError(f"{load.errors:,} errors in {profile.name}")
        if not profile.closes:
            answered, seconds = answered + load.requests, seconds + load.seconds
    return answered / seconds
