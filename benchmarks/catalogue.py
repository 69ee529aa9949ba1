"""Who is measured, and by which command: the C baseline, vanilla, and its peers, one worker each, access log off.

Every peer runs with its defaults besides that, except for room for connections (backlog, backpressure), which 4,096
clients arriving at once need.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import prepare

BASELINE = "c-epoll"
OURS = "vanilla"
APPS = prepare.ROOT / "benchmarks" / "servers"
ADDRESS = ("--host", "127.0.0.1", "--port", "PORT")
KEEP_ALIVE_SECONDS = "3600"  # longer than any measurement of idle connections


@dataclass(frozen=True, kw_only=True)
class Server:
    """One row of the tables.

    Attributes:
        command: its words; PORT stands for the port.
        distributions: what it needs in the peers' venv, the server itself first; none for the baseline and for ours.
        program: what it needs of the system, as a package is called that has it.
        idle_arguments: added to keep idle connections open, where the server has an option for it.
        close_arguments: added for connections of one request, which only the baseline needs to be told of.
    """

    name: str
    command: tuple[str, ...]
    distributions: tuple[str, ...] = ()
    program: str = ""
    idle_arguments: tuple[str, ...] = ()
    close_arguments: tuple[str, ...] = ()

    def command_for(self, port: int, arguments: Sequence[str] = ()) -> list[str]:
        return [str(port) if word == "PORT" else word for word in (*self.command, *arguments)]

    def obstacle(self) -> str | None:
        """Install what it needs; None, or why it cannot be measured."""
        if self.distributions:
            return prepare.install(self.distributions)
        if self.program and shutil.which(self.program) is None:
            return f"not found; apt-get install {self.program}"
        if self.name.startswith(OURS):
            words = self.command[self.command.index("-m") - 1 :]
            found = subprocess.run([words[0], "-c", "import vanilla"], capture_output=True, check=False)
            return None if found.returncode == 0 else "not installed in the interpreter given by --python"
        return None


def versions(measured: Iterable[Server]) -> str:
    """The peers among them with the versions that were measured."""
    measured = list(measured)
    found = dict.fromkeys(server.distributions[0] for server in measured if server.distributions)
    named = [f"{name} {prepare.installed_version(name)}" for name in found]
    named += dict.fromkeys(prepare.program_version(server.program) for server in measured if server.program)
    return ", ".join(named) or "no peer took part"


def vanilla_command(python: str, target: str, *arguments: str) -> tuple[str, ...]:
    return (python, "-m", "vanilla", target, *ADDRESS, "--workers", "1", *arguments)


def granian_command() -> tuple[str, ...]:
    return (
        *(str(prepare.peers_python()), "-m", "granian", *ADDRESS, "--workers", "1", "--http", "1", "--no-ws"),
        *("--no-access-log", "--log-level", "warning", "--backlog", "4096", "--backpressure", "16384"),
        *("--working-dir", str(APPS)),
    )


def uvicorn_command() -> tuple[str, ...]:
    return (
        *(str(prepare.peers_python()), "-m", "uvicorn", *ADDRESS, "--loop", "uvloop", "--http", "httptools"),
        *("--no-access-log", "--log-level", "warning", "--backlog", "4096", "--lifespan", "off"),
        *("--app-dir", str(APPS)),
    )


def servers(python: str, baseline: Path) -> dict[str, Server]:
    """Every server by name, in the order of the tables; `python` is the interpreter that vanilla is installed in."""
    peers, granian, uvicorn = str(prepare.peers_python()), granian_command(), uvicorn_command()
    found = (
        Server(name=BASELINE, command=(str(baseline), "PORT"), close_arguments=("close",)),
        Server(
            name=OURS,
            command=vanilla_command(python, "examples/tiny/app.py"),
            idle_arguments=("--timeout-keep-alive", KEEP_ALIVE_SECONDS),
        ),
        Server(
            name="fastpysgi-wsgi",
            command=(peers, str(APPS / "fastpysgi_app.py"), "PORT"),
            distributions=("fastpysgi",),
        ),
        Server(
            name="socketify",
            command=(peers, str(APPS / "socketify_app.py"), "PORT"),
            distributions=("socketify",),
        ),
        Server(
            name="granian-rsgi",
            command=(*granian, "--interface", "rsgi", "rsgi_app:app"),
            distributions=("granian", "uvloop"),
        ),
        Server(
            name="granian-asgi",
            command=(*granian, "--interface", "asginl", "asgi_app:app"),
            distributions=("granian", "uvloop"),
        ),
        Server(
            name="uvicorn-asgi",
            command=(*uvicorn, "asgi_app:app"),
            distributions=("uvicorn", "httptools", "uvloop"),
            idle_arguments=("--timeout-keep-alive", KEEP_ALIVE_SECONDS),
        ),
    )
    return {server.name: server for server in found}
