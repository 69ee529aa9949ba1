"""A server as a tree of processes: started on chosen cores, asked what CPU time and memory it has used, ended.

# Facts about proc(5)
- `stat` gives a process's user and system time, those of its ended threads included, in ticks of 10 ms. The kernel
  knows their sum to the nanosecond and divides it by what its timer interrupt happened to see.
- `task/TID/schedstat` begins with the nanoseconds a thread has run: the same sum, without the rounding.
- `smaps_rollup` has Rss, what is resident, and Anonymous, what of it no file backs. Pss, in which a page that n
  processes share counts 1/n, shrinks when any other Python starts, a client too; so it cannot measure a difference.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import prepare

BODY = b"Hello, World!"
START_TIMEOUT = 30.0
REQUEST_TIMEOUT = 5.0
END_TIMEOUT = 5.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """A server that did not start, did not answer, or died; the table says so in its row."""


@dataclass(frozen=True)
class Usage:
    """CPU time of a process tree so far; `seconds` is exact, the two others are the kernel's division of it."""

    seconds: float
    user_seconds: float
    system_seconds: float

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.seconds - earlier.seconds,
            self.user_seconds - earlier.user_seconds,
            self.system_seconds - earlier.system_seconds,
        )


@dataclass(frozen=True)
class Memory:
    """User-space memory of a process tree, in bytes."""

    rss: int
    anonymous: int


@dataclass
class Running:
    """A server that has answered its first request."""

    pid: int
    port: int

    def usage(self) -> Usage:
        return _sum_usage(_tree(self.pid))

    def memory(self) -> Memory:
        totals = dict.fromkeys(("Rss:", "Anonymous:"), 0)
        for pid in _tree(self.pid):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                name, *rest = line.split()
                if name in totals:
                    totals[name] += int(rest[0]) * 1024
        return Memory(totals["Rss:"], totals["Anonymous:"])


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_cores(cores: Sequence[int]) -> Callable[[], None]:
    """To run in a child before its program: what it starts later, threads too, stays on these cores."""
    return lambda: os.sched_setaffinity(0, cores)


@contextlib.contextmanager
def started(command: Sequence[str], port: int, cores: Sequence[int], *, listeners: int = 1) -> Iterator[Running]:
    """The server that `command` starts in the project's root, once it answers; it and its children end with the block.

    listeners: sockets that listen on the port by then, those of servers started earlier included.

    Raises: ServerError if it does not answer as it should, or has ended by itself meanwhile.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command,
            cwd=prepare.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=on_cores(cores),
        )
        try:
            _await_first_response(process, port, listeners)
            yield Running(process.pid, port)
            if process.poll() is not None:
                raise ServerError(f"ended by itself with status {process.returncode}")
        except ServerError:
            output.seek(0)
            sys.stderr.write(output.read().decode(errors="replace")[-2000:])
            raise
        finally:
            _end(process)


def request_once(port: int, *, closes: bool = False) -> bytes:
    """The whole response to one GET over a connection of its own; `closes` asks the server to close it."""
    with socket.create_connection(("127.0.0.1", port), timeout=REQUEST_TIMEOUT) as client:
        option = b"Connection: close\r\n" if closes else b""
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s\r\n" % (port, option))
        return read_response(client)


def read_response(client: socket.socket) -> bytes:
    """One response with a Content-Length. Raises: ServerError if it is not the 200 that every server here gives."""
    received = b""
    while not received.endswith(BODY):
        piece = client.recv(65536)
        if not piece or len(received) > 65536:
            raise ServerError(f"answered {received[:40]!r}")
        received += piece
    head = received.partition(b"\r\n\r\n")[0].lower()
    if not received.startswith(b"HTTP/1.1 200 ") or b"\r\ncontent-length: %d" % len(BODY) not in head:
        raise ServerError(f"answered {received[:40]!r}, not 200 with a Content-Length of {len(BODY)}")
    return received


def _await_first_response(process: subprocess.Popen[bytes], port: int, listeners: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"did not start: status {process.returncode}")
        with contextlib.suppress(OSError):
            request_once(port)
            if _count_listeners(port) >= listeners:
                return
        time.sleep(0.05)
    raise ServerError(f"did not answer within {START_TIMEOUT:.0f} s")


def _count_listeners(port: int) -> int:
    """IPv4 sockets in the state LISTEN (0A in proc_net_tcp(5)) on a local port."""
    sockets = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return sum(fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port for fields in sockets)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the whole session that `started` made, politely first."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tree(root: int) -> list[int]:
    """`root` and its descendants. Raises: ServerError if it is gone."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int(_stat_fields(int(entry.name))[1])
    if root not in parents:
        raise ServerError("ended by itself")
    found = [root]
    for pid in found:
        found.extend(child for child, parent in parents.items() if parent == pid)
    return found


def _stat_fields(pid: int) -> list[str]:
    """The fields of proc(5)'s stat from the third one on: the second may hold spaces and parentheses."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _sum_usage(pids: Sequence[int]) -> Usage:
    user_ticks = system_ticks = nanoseconds = 0
    for pid in pids:
        fields = _stat_fields(pid)
        user_ticks += int(fields[11])
        system_ticks += int(fields[12])
        for task in Path(f"/proc/{pid}/task").iterdir():
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return Usage(nanoseconds / 1e9, user_ticks / TICKS_PER_SECOND, system_ticks / TICKS_PER_SECOND)


@contextlib.contextmanager
def held_clients(script: Path, server: Running, count: int, core: int) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `script PORT COUNT` on `core`, once it has printed that its clients are held."""
    process = subprocess.Popen(
        [sys.executable, str(script), str(server.port), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=on_cores([core]),
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "held\n":
            raise ServerError(f"did not take {count:,} clients at once")
        yield process
    finally:
        process.kill()
        process.communicate()
