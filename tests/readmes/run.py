"""Runs the examples as their READMEs say, and compares what comes back: `make examples`.

The first command of a README serves the example; the others are tried against it, on another port. A command that does
not end by itself (`curl -N`, or one that serves something) runs beside the later ones. What differs from run to run,
dates, durations and sizes of disks, need only look alike; `...` stands for any lines.

    python tests/readmes/run.py                     all of them
    python tests/readmes/run.py examples/tiny       these alone
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
LISTENING = re.compile(r"listening on http://127\.0\.0\.1:(\d+)")
COMMAND_SECONDS = 120
OUTPUT_SECONDS = 5  # for what runs beside the others to have written what it has to
BESIDE_SECONDS = 0.5  # for it to have begun; nothing tells that it has

# Figures that no two runs have in common.
ALIKE = [
    (r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
    (r"\b\d+(\.\d+)? ?(ms|µs|GB|MiB)\b", "FIGURE"),
    (r"\b\d+ of FIGURE free", "FIGURE free"),
    (r"id: [0-9a-f]{8}-(\d+)", r"id: EPOCH-\1"),
    (r'ETag: "[0-9a-f]+-[0-9a-f]+-', 'ETag: "FILE-'),
]

# Commands that measure this machine, or ask for what it may not have.
LEFT_OUT = {
    "python examples/io_uring_demo/app.py": "its figures are those of the machine",
    "python examples/simple2/compare.py": "likewise",
    "curl http://127.0.0.1:3001/": "the second server of its example has a port of its own",
}

# What an example imports beyond vanilla: without it, it is left out.
NEEDED = {"auth": ("argon2", "jwt")}


class MismatchError(Exception):
    """A README says something else than what is so."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", type=Path, help="folders (all)")
    arguments = parser.parse_args()
    if shutil.which("curl") is None:
        raise SystemExit("no curl, which the READMEs use: install it")
    folders = arguments.examples or sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))
    failures = 0
    for folder in folders:
        if missing := find_missing(folder):
            print(f"{folder.name}: left out for want of {', '.join(missing)}", flush=True)
            continue
        try:
            count = run_readme(folder / "README.md")
        except MismatchError as mismatch:
            failures += 1
            print(f"{folder.name}: {mismatch}", flush=True)
        else:
            print(f"{folder.name}: {count} commands as documented", flush=True)
    return 1 if failures else 0


def find_missing(folder: Path) -> list[str]:
    """What an example imports that is not installed."""
    return [name for name in NEEDED.get(folder.name, ()) if importlib.util.find_spec(name) is None]


def run_readme(path: Path) -> int:
    """Serve the example, and try every command; how many there were."""
    blocks = [split_commands(block) for block in BLOCK.findall(path.read_text())]
    serving = blocks[0][0][0]
    commands = [pair for block in blocks for pair in block if pair[0] != serving]
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/log", "w+b") as log:
        server = subprocess.Popen(
            ["bash", "-c", f"exec env {serving} --port 0"],
            cwd=ROOT,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            try_commands(commands, wait_for_port(server, log.name))
        finally:
            server.send_signal(signal.SIGINT)
            if server.wait(COMMAND_SECONDS) != 0:
                raise MismatchError(f"the server ended with {server.returncode}")
    return len(commands)


def split_commands(block: str) -> list[tuple[str, str]]:
    """Each command, over as many lines as its quotes say, and what it prints."""
    found: list[tuple[str, str]] = []
    lines = block.splitlines()
    while lines:
        line = lines.pop(0)
        if line.startswith("$ "):
            command = line[2:]
            while not is_whole(command):
                command += "\n" + lines.pop(0)
            found.append((command, ""))
        elif found:
            found[-1] = found[-1][0], found[-1][1] + line + "\n"
    return found


def is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return True


def wait_for_port(server: subprocess.Popen[bytes], log: str) -> str:
    while server.poll() is None:
        match = LISTENING.search(Path(log).read_text())
        if match is not None:
            return match[1]
    raise MismatchError(f"it does not start: {Path(log).read_text()}")


def try_commands(commands: list[tuple[str, str]], port: str) -> None:
    beside: list[tuple[str, str, subprocess.Popen[str]]] = []
    try:
        for command, expected in commands:
            if command in LEFT_OUT:
                continue
            moved = command.replace("127.0.0.1:3000", f"127.0.0.1:{port}")
            if "curl -N" in command or command.startswith("python3"):
                beside.append((command, expected, start(moved)))
                with contextlib.suppress(subprocess.TimeoutExpired):
                    beside[-1][2].wait(BESIDE_SECONDS)
                continue
            end = time.monotonic() + (OUTPUT_SECONDS if beside else 0)  # what runs beside may still have to begin
            while True:
                output, _ = start(moved).communicate(timeout=COMMAND_SECONDS)
                try:
                    compare(command, expected, output.replace(f"127.0.0.1:{port}", "127.0.0.1:3000"))
                    break
                except MismatchError:
                    if time.monotonic() > end:
                        raise
        for command, expected, process in beside:
            if expected:
                compare(command, expected, read_so_far(process))
    finally:
        for _, _, process in beside:
            stop(process)


def start(command: str) -> subprocess.Popen[str]:
    # Under sanitizers the server alone: with theirs in it bash waits for ever for what it has started.
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    # pipefail, for a curl that fails in the midst of a pipe; -sS, for its meter would stand in what it prints.
    script = f'set -o pipefail; curl() {{ command curl -sS "$@"; }}; {command}'
    return subprocess.Popen(
        ["bash", "-c", script],
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def read_so_far(process: subprocess.Popen[str]) -> str:
    """What a command has written that need not end by itself."""
    try:
        return process.communicate(timeout=OUTPUT_SECONDS)[0]
    except subprocess.TimeoutExpired:
        return stop(process)


def stop(process: subprocess.Popen[str]) -> str:
    """End a command and all that it has started; what it has written since."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    return process.communicate()[0] if process.stdout is not None and not process.stdout.closed else ""


def compare(command: str, expected: str, output: str) -> None:
    pattern = re.escape(to_compare(expected)).replace(re.escape("...\n"), "(?:.*\n)*")
    if re.fullmatch(pattern, to_compare(output)) is None:
        raise MismatchError(f"$ {command}\n--- README\n{expected}--- is so\n{output}")


def to_compare(text: str) -> str:
    """Text with what differs from run to run made alike."""
    text = text.replace("\r\n", "\n").rstrip("\n") + "\n"
    for pattern, instead in ALIKE:
        text = re.sub(pattern, instead, text)
    return text


if __name__ == "__main__":
    sys.exit(main())
