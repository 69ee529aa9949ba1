"""What must exist before anything is measured: the C programs, wrk, descriptors, and the peers in a venv of their own.

A missing tool ends the run with one line; a peer that cannot be installed is only remembered, for the table to name it.
"""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
VENV = BUILD / "bench-venv"
REQUIREMENTS = ROOT / "benchmarks" / "requirements.txt"
DESCRIPTORS_SPARE = 200  # what a server and a client need besides its connections
INSTALL_TIMEOUT = 300.0


class PreparationError(Exception):
    """Nothing can be measured until its one line is followed."""


def compile_program(name: str) -> Path:
    """build/bench/NAME from benchmarks/baseline/NAME.c, made anew when that or what the loops share is newer."""
    source = ROOT / "benchmarks" / "baseline" / f"{name}.c"
    program = BUILD / "bench" / name
    newest = max(one.stat().st_mtime for one in (source, source.with_name("loop.h")))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    compiler = shlex.split(os.environ.get("CC", "")) or ["cc"]
    if shutil.which(compiler[0]) is None:
        raise PreparationError(f"{compiler[0]}: no such compiler; apt-get install gcc, or name one in CC")
    program.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([*compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), str(source)], check=False)
    if made.returncode != 0:
        raise PreparationError(f"{source.relative_to(ROOT)}: does not compile")
    return program


def file_of(size: int) -> Path:
    """A file of that many bytes in build/bench, which no server could compress."""
    path = BUILD / "bench" / f"file_{size}"
    if not path.exists() or path.stat().st_size != size:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
    return path


def require_wrk() -> None:
    if shutil.which("wrk") is None:
        raise PreparationError("wrk: not found; apt-get install wrk")


def require_cores(*cores: int) -> None:
    missing = set(cores) - os.sched_getaffinity(0)
    if missing:
        raise PreparationError(f"core {min(missing)}: not available; choose others by --server-core and --load-core")


def require_descriptors(connections: int) -> None:
    """Raise this process's limit, which servers and generators inherit, to what the hard limit allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = connections + DESCRIPTORS_SPARE
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise PreparationError(f"{connections} connections need {needed} descriptors; raise the hard limit of {hard}")
    soft = needed if hard == resource.RLIM_INFINITY else hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))


def peers_python() -> Path:
    return VENV / "bin" / "python"


def require_venv(python: str) -> None:
    """The peers' venv, made anew unless it is of the very Python that vanilla runs on."""
    if peers_python().exists() and python_version(str(peers_python())) == python_version(python):
        return
    made = subprocess.run([python, "-m", "venv", "--clear", str(VENV)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        print(made.stdout, made.stderr, file=sys.stderr)
        raise PreparationError("venv: could not be made; apt-get install python3-venv")


def python_version(python: str) -> str:
    program = "import platform; print(platform.python_version())"
    try:
        return subprocess.run([python, "-c", program], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        raise PreparationError(f"--python: {python!r} does not run") from error


def install(distributions: tuple[str, ...]) -> str | None:
    """Install them into the peers' venv unless they are there; None, or why not."""
    wanted = [line for line in _requirements() if _name(line) in distributions]
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:12]
    stamp = VENV / f".installed-{distributions[0]}-{digest}"
    if stamp.exists():
        return None
    print(f"installing {' '.join(distributions)} ...", file=sys.stderr)
    command = [str(peers_python()), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT)
    except subprocess.TimeoutExpired:
        return f"pip did not finish within {INSTALL_TIMEOUT:.0f} s"
    if made.returncode != 0:
        print(made.stderr, file=sys.stderr)
        return f"pip could not install {', '.join(wanted)}"
    stamp.touch()
    return None


def installed_version(distribution: str) -> str:
    """The version in the peers' venv; "?" if it is not there."""
    program = f"import importlib.metadata as m; print(m.version({distribution!r}))"
    found = subprocess.run([str(peers_python()), "-c", program], capture_output=True, text=True, check=False)
    return found.stdout.strip() or "?"


def program_version(program: str) -> str:
    """What the program says of itself, as `nginx version: nginx/1.22.1`, without its first words."""
    found = subprocess.run([program, "-v"], capture_output=True, text=True, check=False)
    words = (found.stderr or found.stdout).strip().split()
    return words[-1].replace("/", " ") if words else program


def _requirements() -> list[str]:
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line]


def _name(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9_.-]", requirement, maxsplit=1)[0]
