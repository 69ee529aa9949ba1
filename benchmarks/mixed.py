"""A soak of everything at once: plain handlers, coroutines, waits, streams, files, uploads, events, and clients that
leave in the middle of each. What a server holds afterwards should be what it held before.
"""

from __future__ import annotations

import sys
import time

import prepare
from catalogue import APPS, Server
from mixed_clients import FILE_BYTES
from processes import Running, ServerError, held_clients, started, unused_port
from rates import Conditions
from table import Table

CLIENTS = prepare.ROOT / "benchmarks" / "mixed_clients.py"
CLIENT_COUNT = 64
PARTS = 4
WARM_UP_SHARE = 10  # the warm-up takes this part of the time
SETTLE_SECONDS = 4.0  # longer than the server lingers on a connection that it has closed
SECONDS_SPARE = 60.0
MIB = 2**20
COLUMNS = ("after", "requests", "disconnects", "errors", "RSS MiB", "descriptors")


def measure_soak_mixed(python: str, seconds: int, conditions: Conditions, backend: str | None) -> Table:
    """Resident memory and descriptors of a server without clients: at first, warmed up, and after each part.

    backend: the event mechanism; None for what `auto` is, whose table has no name in its title.
    """
    name, title = ("soak_mixed", "") if backend is None else (f"soak_mixed_{backend}", f" on {backend}")
    table = Table(name, f"{seconds:,} s of everything at once{title}", COLUMNS)
    async_port = unused_port()
    file = str(prepare.file_of(FILE_BYTES))
    program = (python, str(APPS / "vanilla_mixed.py"), "PORT", str(async_port), file)
    command = ("env", f"VANILLA_BACKEND={backend or 'auto'}", *program)
    server = Server(name="vanilla", command=command)
    port = unused_port()
    warm_up = max(2, seconds // WARM_UP_SHARE)
    parts = [("the warm-up", warm_up)]
    parts += [(f"part {number} of {PARTS}", max(1, (seconds - warm_up) // PARTS)) for number in range(1, PARTS + 1)]
    try:
        with started(server.command_for(port), port, [conditions.server_core]) as running:
            table.rows.append(["the start", "-", "-", "-", *_held(running)])
            for seed, (title, length) in enumerate(parts):
                counts = _drive(running, async_port, length, seed, conditions)
                time.sleep(SETTLE_SECONDS)
                table.rows.append([title, *(f"{count:,}" for count in counts), *_held(running)])
                print("soak_mixed", *table.rows[-1], file=sys.stderr)
    except (ServerError, OSError) as error:
        table.missing[server.name] = str(error)
    table.notes.append(
        f"{CLIENT_COUNT} clients at a time; each row is {SETTLE_SECONDS:.0f} s after the last of them has gone, "
        "its requests are those of its own part"
    )
    return table


def _held(running: Running) -> list[str]:
    return [f"{running.memory().rss / MIB:.2f}", f"{running.descriptors()}"]


def _drive(running: Running, async_port: int, seconds: int, seed: int, conditions: Conditions) -> list[int]:
    """Requests answered, connections left in the middle, and errors."""
    core = conditions.load_core
    with held_clients(CLIENTS, running, CLIENT_COUNT, core, async_port, seconds, seed) as clients:
        output, _ = clients.communicate(timeout=seconds + SECONDS_SPARE)
    words = output.split()
    if len(words) != 3:
        raise ServerError("the clients ended early")
    return [int(word) for word in words]
