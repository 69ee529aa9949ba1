"""Event mechanisms beside each other: vanilla on each of Linux's, and a bare C loop over two of them.

The profiles are those of load and of single things, with these servers instead of the peers.
"""

from __future__ import annotations

import dataclasses

import cases
import prepare
from catalogue import APPS, BASELINE, KEEP_ALIVE_SECONDS, Server, vanilla_command
from load import PROFILES as LOAD_PROFILES
from load import Profile

BACKENDS = ("epoll", "io_uring")
C_URING = "c-uring"
REFERENCE = "vanilla-epoll"
OF_LOAD = ("keepalive_64", "keepalive_4096", "pipelined_16", "saturated_64", "saturated_16", "short")
OF_CASES = {  # the application and its handler
    "async": "vanilla_waiting.py:reply_async",
    "pipe": "vanilla_waiting.py:pipe",
    "sleep": "vanilla_waiting.py:sleep",
    "file_64k": "vanilla_files.py",
    "file_1m": "vanilla_files.py",
    "upload_1m": "vanilla_uploads.py:buffered",
}


def _renamed(profile: Profile, reference: str) -> Profile:
    return dataclasses.replace(profile, name=f"backend_{profile.name}", reference=reference)


PROFILES = {
    profile.name: profile
    for profile in (
        *(_renamed(LOAD_PROFILES[name], BASELINE) for name in OF_LOAD),
        *(_renamed(cases.PROFILES[name], REFERENCE) for name in OF_CASES),
    )
}


def servers_of(name: str, python: str) -> list[Server]:
    """Those that take part in a profile, what they are compared with first."""
    name = name.removeprefix("backend_")
    if name in OF_LOAD:
        return loops(python)
    target = str(APPS / OF_CASES[name])
    options = ("--limit-max-body-bytes", str(2 * cases.MIB))
    size = cases.PROFILES[name].answer_bytes
    path = ("env", f"FILE={prepare.file_of(size)}") if name.startswith("file") else ()
    return [
        Server(
            name=f"vanilla-{backend}", command=(*path, *vanilla_command(python, target, *options, "--backend", backend))
        )
        for backend in BACKENDS
    ]


def loops(python: str) -> list[Server]:
    """Both C loops, and vanilla on the same mechanisms."""
    found = []
    for name, program, backend in ((BASELINE, "epoll", "epoll"), (C_URING, "uring", "io_uring")):
        loop = str(prepare.compile_program(program))
        found.append(Server(name=name, command=(loop, "PORT"), close_arguments=("close",)))
        found.append(
            Server(
                name=f"vanilla-{backend}",
                command=vanilla_command(python, "examples/tiny/app.py", "--backend", backend),
                idle_arguments=("--timeout-keep-alive", KEEP_ALIVE_SECONDS),
            )
        )
    return found
