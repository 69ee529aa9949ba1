"""Runs one fuzz target: guided by coverage where atheris is installed, else by random mutation of its seed corpus.

The guidance comes from Python: the codecs' own sources run uncompiled beside the compiled ones, instrumented, and the
two must agree. What a target finds is written to `crash-*` in the working directory, and becomes a case in tests/ and
a file in its corpus.

    python fuzz/request_head.py --seconds 600          # search
    python fuzz/request_head.py crash-0123             # run these inputs once

An over-read of the compiled code is fatal, and its branches guide as well, where clang built it and atheris' own
sanitizer runtime is preloaded (gcc's hides libFuzzer's hooks):

    CC=clang LDSHARED="clang -shared" CFLAGS=-fsanitize=fuzzer-no-link VANILLA_SANITIZE=1 \\
        python setup.py build --build-lib build/fuzz
    LD_PRELOAD=$(python -c "import atheris; print(atheris.path())")/asan_with_fuzzer.so PYTHONMALLOC=malloc \\
        ASAN_OPTIONS=detect_leaks=0 PYTHONPATH=build/fuzz python fuzz/request_head.py --seconds 600
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import vanilla.http1

try:
    import atheris
except ImportError:
    atheris = None

CORPUS = Path(__file__).parent / "corpus"
INPUT_BYTES_MAX = 4096
JOINTS = [
    b"\r\n",
    b"\r",
    b"\n",
    b" ",
    b":",
    b",",
    b"\0",
    b"0",
    b"ff",
    b"Host: a\r\n",
    b"chunked",
    b"\r\n\r\n",
    b"close",
]


def instrument(code: CodeType) -> CodeType:
    """The same code, reporting its branches and comparisons where somebody listens."""
    return atheris.patch_code(code, trace_dataflow=True, nested=False) if atheris else code


def load_uncompiled(name: str) -> ModuleType:
    """An HTTP/1.1 codec from its `.py`, instrumented; call it for `head` before `body`, which imports from it."""
    path = Path(vanilla.http1.__file__).parent / f"{name}.py"
    spec = importlib.util.spec_from_loader(f"uncompiled_{name}", loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    compiled = sys.modules.get("vanilla.http1.head")
    sys.modules["vanilla.http1.head"] = sys.modules.get("uncompiled_head", module)
    try:
        exec(instrument(compile(path.read_text(), path, "exec", dont_inherit=True)), module.__dict__)
    finally:
        if compiled is None:
            del sys.modules["vanilla.http1.head"]
        else:
            sys.modules["vanilla.http1.head"] = compiled
    sys.modules[module.__name__] = module
    return module


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One small change: a byte, a piece lost, doubled or moved, a joint of the grammar put in."""
    at, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
    kind = chance.randrange(5)
    if kind == 0:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at] + data[end:]
    if kind == 2:
        return data[:end] + data[at:end] + data[end:]
    if kind == 3:
        return data[end:] + data[at:end] + data[:at]
    return data[:at] + chance.choice(JOINTS) + data[at:]


def run_unguided(check: Callable[[bytes], None], seeds: list[bytes], seconds: float, seed: int) -> None:
    """Mutate seeds at random until the time is over."""
    chance = random.Random(seed)
    end = time.monotonic() + seconds
    count = 0
    path = Path(f"crash-{os.getpid()}")
    with path.open("wb", buffering=0) as present:  # a sanitizer that finds something leaves no time to write it
        while time.monotonic() < end:
            data = chance.choice(seeds)
            for _ in range(chance.choice([1, 2, 4, 16])):
                data = mutate(data, chance)[:INPUT_BYTES_MAX]
            present.seek(0)
            present.truncate()
            present.write(data)
            try:
                check(data)
            except BaseException:
                path = path.rename(f"crash-{hashlib.sha1(data).hexdigest()}")
                print(f"{data!r}\nwritten to {path}", file=sys.stderr)
                raise
            count += 1
    path.unlink()
    print(f"{count} inputs, nothing found")


def main(name: str, check: Callable[[bytes], None]) -> None:
    """The command line of the target `name`."""
    parser = argparse.ArgumentParser(description=check.__doc__)
    parser.add_argument("inputs", nargs="*", type=Path, help="run these files once instead")
    parser.add_argument("--seconds", type=int, default=60, help="how long to search")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices")
    parser.add_argument("--unguided", action="store_true", help="without atheris, even if it is there")
    options = parser.parse_args()
    seeds = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    for data in [path.read_bytes() for path in options.inputs] or seeds:
        check(data)
    if options.inputs:
        print(f"{len(options.inputs)} inputs, nothing found")
    elif atheris is None or options.unguided:
        run_unguided(check, seeds, options.seconds, options.seed)
    else:
        if isinstance(check, FunctionType):
            check.__code__ = instrument(check.__code__)
        with tempfile.TemporaryDirectory() as found:  # what libFuzzer adds stays out of the tree
            times = [f"-max_total_time={options.seconds}", f"-seed={options.seed}", f"-max_len={INPUT_BYTES_MAX}"]
            atheris.Setup([name, *times, "-timeout=10", "-verbosity=1", found, str(CORPUS / name)], check)
            atheris.Fuzz()
