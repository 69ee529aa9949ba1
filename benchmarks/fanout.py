"""Server-Sent Events to many subscribers: what one publish costs a server, as a ratio to a bare loop of sends."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field

import prepare
from catalogue import APPS, Server, vanilla_command
from processes import ServerError, held_clients, started, unused_port
from rates import Conditions
from table import Table

WARM_UP_SUBSCRIBERS = 64
WARM_UP_PUBLISHES = 5
PUBLISHES = 50
SETTLE_SECONDS = 0.5
COLUMNS = (
    *("server", "events", "CPU ms/publish", "CPU µs/event", "ratio to C", "ms until all have it"),
    *("RSS bytes/subscriber", "lost or out of order"),
)


@dataclass
class Fanout:
    """What the rounds of one server have given so far."""

    cpu_seconds_per_publish: list[float] = field(default_factory=list)
    seconds_per_publish: list[float] = field(default_factory=list)
    rss_per_subscriber: list[float] = field(default_factory=list)
    events: int = 0
    errors: int = 0

    def row(self, name: str, subscribers: int, baseline: Fanout | None) -> list[str]:
        cpu = min(self.cpu_seconds_per_publish)
        ratio = f"{cpu / min(baseline.cpu_seconds_per_publish):.2f}" if baseline else "-"
        return [
            name,
            f"{self.events:,}",
            f"{cpu * 1e3:.2f}",
            f"{cpu * 1e6 / subscribers:.2f}",
            ratio,
            f"{statistics.median(self.seconds_per_publish) * 1e3:.1f}",
            f"{statistics.median(self.rss_per_subscriber):,.0f}",
            f"{self.errors:,}",
        ]


def servers(python: str) -> list[Server]:
    target = str(APPS / "vanilla_sse.py")
    return [
        Server(name="c-publish", command=(str(prepare.compile_program("publish")), "PORT")),
        Server(name="vanilla", command=vanilla_command(python, target)),
    ]


def measure_sse(python: str, subscribers: int, conditions: Conditions) -> Table:
    """Every server by turns: `subscribers` hold a stream while PUBLISHES events reach them all, one after the other."""
    table = Table("sse", f"One event to {subscribers:,} subscribers", COLUMNS)
    found: dict[str, Fanout] = {}
    for number in range(1, conditions.rounds + 1):
        for server in servers(python):
            if server.name in table.missing:
                continue
            try:
                if (obstacle := server.obstacle()) is not None:
                    raise ServerError(obstacle)
                _measure_once(server, subscribers, conditions, found.setdefault(server.name, Fanout()))
            except (ServerError, OSError) as error:
                table.missing[server.name] = str(error)
                found.pop(server.name, None)
                continue
            cpu = found[server.name].cpu_seconds_per_publish[-1]
            print(f"sse round {number} {server.name}: {cpu * 1e3:.2f} ms of CPU per publish", file=sys.stderr)
    baseline = found.get("c-publish")
    table.rows.extend(fanout.row(name, subscribers, baseline) for name, fanout in found.items())
    table.notes.append(
        f"{conditions.rounds} interleaved rounds of {PUBLISHES} publishes, each once all subscribers have the one "
        "before; CPU is the least of the rounds, the rest medians"
    )
    table.notes.append("every subscriber checks the number of every event")
    return table


def _measure_once(server: Server, subscribers: int, conditions: Conditions, fanout: Fanout) -> None:
    """One round of one server, added to `fanout` only if all of it succeeded."""
    program, core = prepare.compile_program("subscribers"), conditions.load_core
    port = unused_port()
    with started(server.command_for(port), port, [conditions.server_core]) as running:
        with held_clients(program, running, WARM_UP_SUBSCRIBERS, core, WARM_UP_PUBLISHES) as clients:
            _publish(clients)
        time.sleep(SETTLE_SECONDS)
        empty = running.memory()
        with held_clients(program, running, subscribers, core, PUBLISHES) as clients:
            time.sleep(SETTLE_SECONDS)
            before = running.usage()
            events, seconds, errors = _publish(clients)
            used = running.usage() - before
            full = running.memory()
    fanout.cpu_seconds_per_publish.append(used.seconds / PUBLISHES)
    fanout.seconds_per_publish.append(seconds / PUBLISHES)
    fanout.rss_per_subscriber.append((full.rss - empty.rss) / subscribers)
    fanout.events += events
    fanout.errors += errors


def _publish(clients: subprocess.Popen[str]) -> tuple[int, float, int]:
    """(events that were due, seconds until all had come, errors) of one series of publishes."""
    assert clients.stdin is not None
    assert clients.stdout is not None
    clients.stdin.write("\n")
    clients.stdin.flush()
    words = clients.stdout.readline().split()
    if len(words) != 4:
        raise ServerError("the subscribers ended early")
    return int(words[0]), float(words[1]), int(words[3])
