"""Runs the socket-level suite with faults.c preloaded, once for each seed; reports how often each fault was injected.

It fails if a test does, or if some kind of fault was never injected, for then the run would prove little. Arguments
beyond its own go to pytest; a part of the suite need not see every kind:

    python tests/faults/run.py --shim build/faults.so --seeds "1 2 3"
    python tests/faults/run.py --shim build/faults.so --seeds 2 -k pipelining

How a fault can be legitimate stands in faults.c. A test that counts or times what faults change is marked
`@pytest.mark.exact("why")` and left out.
"""

from __future__ import annotations

import argparse
import array
import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import vanilla

SUITE = ["tests/behaviour", "tests/engine", "tests/faults", "tests/server", "tests/sse", "tests/testing", "examples"]
COUNTS_BYTES = 4096  # room for more kinds than there will be


def read_names(shim: Path) -> list[str]:
    """The kinds of faults, in the order of their counts."""
    library = ctypes.CDLL(str(shim))
    library.faults_name.restype = ctypes.c_char_p
    names = []
    while name := library.faults_name(len(names)):
        names.append(name.decode())
    return names


def names_path(arguments: list[str]) -> bool:
    """Whether they say which tests to run."""
    return any(Path(argument.partition("::")[0]).exists() for argument in arguments)


def run_suite(shim: Path, seed: int, arguments: list[str]) -> tuple[int, array.array[int]]:
    """pytest's exit code, and how many of each kind were injected into it and the processes that it started."""
    paths = [] if names_path(arguments) else SUITE
    with tempfile.NamedTemporaryFile() as counts:
        counts.truncate(COUNTS_BYTES)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "tests.faults.plugin", "-m", "not exact", *paths, *arguments],
            env=os.environ
            | {
                "LD_PRELOAD": str(shim),
                "FAULTS_ENGINE": str(Path(vanilla.__file__).parent),
                "FAULTS_COUNTS": counts.name,
                "FAULTS_SEED": str(seed),
            },
            check=False,
        )
        return done.returncode, array.array("Q", counts.read())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--shim", type=Path, required=True, help="faults.c, built as a shared object")
    parser.add_argument("--seeds", type=str.split, default=["1"], help='numbers that choose the faults: "1 2 3"')
    options, arguments = parser.parse_known_args()
    names = read_names(options.shim.resolve())
    is_part = names_path(arguments) or "-k" in arguments
    has_failed = False
    for seed in map(int, options.seeds):
        print(f"faults: seed {seed}", flush=True)
        code, counts = run_suite(options.shim.resolve(), seed, arguments)
        injected = dict(zip(names, counts, strict=False))
        print(f"faults: seed {seed} injected", ", ".join(f"{name} {count}" for name, count in injected.items()))
        missing = [name for name, count in injected.items() if count == 0 and not is_part]
        if missing:
            print(f"faults: seed {seed} never injected {', '.join(missing)}")
        if code or missing:
            print(f"faults: seed {seed} failed; again: make test-faults SEED={seed}")
            has_failed = True
    return has_failed


if __name__ == "__main__":
    sys.exit(main())
