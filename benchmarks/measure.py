"""The benchmarks, as one command: `python benchmarks/measure.py --help`. docs/benchmarks.md says what they mean.

Without a mode it measures the profiles of load from keepalive_64 to saturated_16, and the memory of idle connections.
"""

from __future__ import annotations

import argparse
import itertools
import signal
import sys
from collections.abc import Iterable
from types import FrameType

import cases
import fanout
import forms
import mechanisms
import memory
import mixed
import neighbours
import prepare
import rates
import routes
import scaling
import streams
import table
from catalogue import BASELINE, OURS, Server, servers
from load import DEFAULT_PROFILES, PROFILES

IDLE_CONNECTIONS = 8_000
SLOW_CLIENTS = 64
SOAK_REQUESTS = 5_000_000
SOAK_CONNECTIONS = 100_000
SUBSCRIBERS = 10_000
STREAM_MEBIBYTES = 1024
SOAK_MIXED_SECONDS = 600
ROOMS = (cases, mechanisms, routes)
KNOWN = PROFILES | cases.PROFILES | mechanisms.PROFILES | routes.PROFILES
MODES = ("backends", "forms", "idle", "threads", "slow", "soak", "sse", "streams", "soak_mixed")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="interpreter that vanilla is installed in (this one)")
    parser.add_argument("--servers", type=_names, help="comma-separated; the baseline always takes part (all)")
    parser.add_argument("--profiles", type=_names, help=f"comma-separated: {', '.join(KNOWN)}")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each server (3)")
    parser.add_argument("--seconds", type=int, default=5, help="length of each turn (5)")
    parser.add_argument("--server-core", type=int, default=0, help="core of the server (0)")
    parser.add_argument("--load-core", type=int, default=1, help="core of the load generator (1)")
    parser.add_argument("--print-only", action="store_true", help="leave docs/benchmarks.md as it is")
    modes = parser.add_argument_group("modes, any number of them")
    modes.add_argument("--idle", type=int, nargs="?", const=IDLE_CONNECTIONS, metavar="CONNECTIONS", help="(8000)")
    modes.add_argument("--threads", action="store_true", help="2 worker threads against 2 processes")
    modes.add_argument("--slow", type=int, nargs="?", const=SLOW_CLIENTS, metavar="CLIENTS", help="slow clients (64)")
    modes.add_argument("--soak", type=int, nargs="?", const=SOAK_REQUESTS, metavar="REQUESTS", help="(5000000)")
    modes.add_argument("--soak-connections", type=int, default=SOAK_CONNECTIONS, metavar="CONNECTIONS", help="(100000)")
    modes.add_argument("--cases", action="store_true", help=f"the profiles {', '.join(cases.PROFILES)}")
    modes.add_argument("--toolkit", action="store_true", help=f"the profiles {', '.join(routes.PROFILES)}")
    modes.add_argument("--backends", action="store_true", help="event mechanisms beside each other, idle ones too")
    modes.add_argument("--forms", action="store_true", help="uploads of forms, against Starlette's reader of them")
    modes.add_argument("--sse", type=int, nargs="?", const=SUBSCRIBERS, metavar="SUBSCRIBERS", help="(10000)")
    modes.add_argument("--streams", type=int, nargs="?", const=STREAM_MEBIBYTES, metavar="MIB", help="(1024)")
    modes.add_argument("--soak-mixed", type=int, nargs="?", const=SOAK_MIXED_SECONDS, metavar="SECONDS", help="(600)")
    modes.add_argument("--soak-backend", metavar="NAME", help="event mechanism of --soak-mixed (auto)")
    arguments = parser.parse_args()
    if arguments.cases:
        arguments.profiles = [*(arguments.profiles or ()), *cases.PROFILES]
    if arguments.toolkit:
        arguments.profiles = [*(arguments.profiles or ()), *routes.PROFILES]
    if arguments.backends:
        arguments.profiles = [*(arguments.profiles or ()), *mechanisms.PROFILES]
    if arguments.rounds < 1 or arguments.seconds < 1:
        parser.error("--rounds and --seconds: at least 1")
    if unknown := set(arguments.profiles or ()) - KNOWN.keys():
        parser.error(f"--profiles: no profile {sorted(unknown)[0]!r}; choose from {', '.join(KNOWN)}")
    if not any(getattr(arguments, mode) for mode in ("profiles", *MODES)):
        arguments.profiles, arguments.idle = DEFAULT_PROFILES, IDLE_CONNECTIONS
    return arguments


def run(arguments: argparse.Namespace) -> None:
    prepare.require_cores(arguments.server_core, arguments.load_core)
    profiles = [KNOWN[name] for name in arguments.profiles or ()]
    held = [arguments.idle or 0, arguments.sse or 0]
    prepare.require_descriptors(max([*held, *(profile.connections for profile in profiles)]))
    if arguments.profiles or arguments.threads or arguments.slow:
        prepare.require_wrk()
    found = servers(arguments.python, prepare.compile_program("epoll"))
    in_case = {name: room.servers_of(name, arguments.python) for room in ROOMS for name in room.PROFILES}
    everybody = [*found, *(server.name for taking_part in in_case.values() for server in taking_part)]
    if unknown := set(arguments.servers or ()) - set(everybody):
        names = ", ".join(dict.fromkeys(everybody))
        raise prepare.PreparationError(f"--servers: no server {sorted(unknown)[0]!r}; choose from {names}")
    chosen = {
        profile.name: choose(in_case.get(profile.name, found.values()), arguments.servers, profile.reference)
        for profile in profiles
    }
    idle = choose(found.values(), arguments.servers, BASELINE) if arguments.idle else []
    soaked = choose(found.values(), arguments.servers or [OURS]) if arguments.soak else []
    if any(server.distributions for server in (*itertools.chain(*chosen.values()), *idle, *soaked)) or arguments.forms:
        prepare.require_venv(arguments.python)
    conditions = rates.Conditions(
        generator=prepare.compile_program("load"),
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        server_core=arguments.server_core,
        load_core=arguments.load_core,
    )

    def publish(measured: table.Table) -> None:
        table.publish(measured, arguments.python, print_only=arguments.print_only)

    for profile in profiles:
        publish(rates.measure_profile(profile, chosen[profile.name], conditions))
    if arguments.idle:
        publish(memory.measure_idle(idle, arguments.idle, conditions))
    if arguments.backends:
        among = mechanisms.loops(arguments.python)
        publish(memory.measure_idle(among, arguments.idle or IDLE_CONNECTIONS, conditions, "backend_idle"))
    if arguments.threads:
        publish(scaling.measure_threads(found[OURS], conditions))
    if arguments.slow:
        publish(neighbours.measure_slow(found[OURS], arguments.slow, conditions))
    if arguments.soak:
        publish(memory.measure_soak(soaked, arguments.soak, arguments.soak_connections, conditions))
    if arguments.forms:
        for mebibytes in forms.FILES_MEBIBYTES:
            publish(forms.measure_forms(arguments.python, mebibytes, conditions))
    if arguments.sse:
        publish(fanout.measure_sse(arguments.python, arguments.sse, conditions))
    if arguments.streams:
        publish(streams.measure_streams(arguments.python, arguments.streams, conditions))
    if arguments.soak_mixed:
        seconds, backend = arguments.soak_mixed, arguments.soak_backend
        publish(mixed.measure_soak_mixed(arguments.python, seconds, conditions, backend))


def choose(found: Iterable[Server], names: list[str] | None, reference: str = "") -> list[Server]:
    """The named servers, or all of them; the one they are compared with in either case."""
    return [server for server in found if names is None or server.name in (*names, reference)]


def _names(words: str) -> list[str]:
    return [word.strip() for word in words.split(",") if word.strip()]


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(143)  # as an exception, so that every server that was started is ended


def main() -> int:
    signal.signal(signal.SIGTERM, _leave)
    try:
        run(parse_arguments())
    except prepare.PreparationError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
