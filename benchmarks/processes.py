"""A server as a tree of processes: started on chosen cores, asked what CPU time and memory it has used, ended.

# Facts about proc(5)
- `stat` gives a process's user and system time, those of its ended threads included, in ticks of 10 ms. The kernel
  knows their sum to the nanosecond and divides it by what its timer interrupt happened to see.
- `task/TID/schedstat` begins with the nanoseconds a thread has run: the same sum, without the rounding.
- VmHWM in `status` is the most that was resident since a 5 was written to `clear_refs`.
- `smaps_rollup` has Rss, what is resident, and Anonymous, what of it no file backs. Pss, in which a page that n
  processes share counts 1/n, shrinks when any other Python starts, a client too; so it cannot measure a difference.
"""

from __future__ import annotations

import contextlib
import os
import re
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
    peak_rss: int  # since it was last reset


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
        return Memory(totals["Rss:"], totals["Anonymous:"], sum(map(_peak_rss, _tree(self.pid))))

    def reset_peak(self) -> None:
        for pid in _tree(self.pid):
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def descriptors(self) -> int:
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in _tree(self.pid))


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


def request_once(port: int, target: str = "/", *, upload_bytes: int = 0, closes: bool = False) -> tuple[bytes, bytes]:
    """Head and content of the response to one request over a connection of its own.

    upload_bytes: of a body to POST; a GET without.
    closes: ask the server to close the connection.
    """
    method, length = (b"POST", b"Content-Length: %d\r\n" % upload_bytes) if upload_bytes else (b"GET", b"")
    option = b"Connection: close\r\n" if closes else b""
    with socket.create_connection(("127.0.0.1", port), timeout=REQUEST_TIMEOUT) as client:
        line = b"%s %s HTTP/1.1" % (method, target.encode())
        client.sendall(b"%s\r\nHost: 127.0.0.1:%d\r\n%s%s\r\n" % (line, port, length, option))
        client.sendall(b"x" * upload_bytes)
        return read_response(client)


def read_response(client: socket.socket) -> tuple[bytes, bytes]:
    """Head and content of one response. Raises: ServerError if it is not a whole 200 with a Content-Length."""
    received = bytearray()
    while (end := received.find(b"\r\n\r\n") + 4) < 4:
        received += _receive(client, received)
    told = re.search(rb"\r\ncontent-length: *(\d+)", received[:end], flags=re.IGNORECASE)
    if told is None or not received.startswith(b"HTTP/1.1 200 "):
        raise ServerError(f"answered {bytes(received[:40])!r}, not 200 with a Content-Length")
    while len(received) < end + int(told[1]):
        received += _receive(client, received)
    return bytes(received[:end]), bytes(received[end:])


def _receive(client: socket.socket, received: bytearray) -> bytes:
    piece = client.recv(1 << 20)
    if not piece:
        raise ServerError(f"answered {bytes(received[:40])!r} and closed")
    return piece


def _await_first_response(process: subprocess.Popen[bytes], port: int, listeners: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"did not start: status {process.returncode}")
        with contextlib.suppress(OSError):
            greeting = request_once(port)[1]
            if greeting != BODY:
                raise ServerError(f"answered {greeting[:40]!r} instead of {BODY!r}")
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


def _peak_rss(pid: int) -> int:
    found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


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
def held_clients(
    program: Path, server: Running, count: int, core: int, *arguments: int
) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `program PORT COUNT ...` on `core`, once it has printed that its clients are held."""
    interpreter = [sys.executable] if program.suffix == ".py" else []
    process = subprocess.Popen(
        [*interpreter, str(program), *(str(word) for word in (server.port, count, *arguments))],
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
