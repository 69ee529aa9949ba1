"""Compile every module for macOS and FreeBSD, as `make check-bsd` does: no warning, and nothing is linked or run.

    python tests/bsd/compile.py [target ...]

Cython's C is the same for each platform; zig's C compiler has the headers of all of them, kqueue(2)'s among them.
# What it takes for Python's headers: those of the Python that runs this. They ask little of a platform, and all of it
# in macros: pyconfig.h beside this file answers for 64-bit BSDs, in the place of the one that belongs to them.
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import sysconfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "bsd"
CONFIG = pathlib.Path(__file__).with_name("pyconfig.h")
TARGETS = ("aarch64-macos", "x86_64-macos", "x86_64-freebsd")

sys.path.insert(0, str(ROOT))
import setup  # noqa: E402  # the modules, and the flags that they are compiled with


def compile_module(target: str, source: str) -> str:
    """Make an object file: what the compiler has to say, nothing if all is well."""
    goal = BUILD / target / pathlib.Path(source).relative_to(BUILD / "cython").with_suffix(".o")
    goal.parent.mkdir(parents=True, exist_ok=True)
    python = ["-include", str(CONFIG), f"-I{sysconfig.get_path('include')}"]
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        python.append("-DPy_GIL_DISABLED=1")
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target, *setup.FLAGS, "-O0", "-Werror", *python]
    done = subprocess.run([*command, "-c", source, "-o", str(goal)], capture_output=True, text=True, check=False)
    return done.stderr or ("" if done.returncode == 0 else f"{source}: exit code {done.returncode}\n")


def main(targets: list[str]) -> int:
    os.chdir(ROOT)
    count = setup.count_cpus()
    modules = [one.sources[0] for one in setup.translate(setup.extensions("freebsd"), BUILD, count)]
    failed = 0
    for target in targets or TARGETS:
        with concurrent.futures.ThreadPoolExecutor(count) as compilers:
            said = [text for text in compilers.map(compile_module, [target] * len(modules), modules) if text]
        failed += len(said)
        print(f"{target}: {len(modules) - len(said)} of {len(modules)} modules compile", flush=True)
        print(*said, sep="", end="")
    return 1 if failed else 0


if __name__ == "__main__":  # Cython's processes may import this file
    sys.exit(main(sys.argv[1:]))
