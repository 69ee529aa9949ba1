"""How much memory bodies take that none should hold: a long one down, a long one up, and many slow readers of one."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

import prepare
from catalogue import APPS, Server, vanilla_command
from processes import Running, ServerError, held_clients, started, unused_port
from rates import Conditions
from table import Table

SLOW_READERS = prepare.ROOT / "benchmarks" / "slow_readers.py"
READERS = 100
READERS_SECONDS = 20.0
TIMEOUT = 60.0
PIECE = bytes(1 << 20)
LAST_CHUNK = b"0\r\n\r\n"
MIB = 2**20
COLUMNS = ("stream", "RSS before MiB", "most MiB", "after MiB", "most - before MiB", "MiB/s", "CPU ms/MiB")


def measure_streams(python: str, mebibytes: int, conditions: Conditions) -> Table:
    """The server's memory before, the most during, and after each kind of stream."""
    table = Table("streams", f"Memory while {mebibytes:,} MiB are streamed", COLUMNS)
    count = mebibytes * MIB
    cases: dict[str, Callable[[Running], int]] = {
        f"{mebibytes:,} MiB down": lambda running: receive_all(running.port, count),
        f"{mebibytes:,} MiB up": lambda running: send_all(running.port, count),
        f"{READERS} readers of 10 KiB/s": lambda running: _hold_readers(running, conditions),
    }
    command = vanilla_command(python, f"{APPS / 'vanilla_streams.py'}:config")
    server = Server(name="vanilla", command=("env", f"BYTES={count}", *command))
    for name, transfer in cases.items():
        try:
            if (obstacle := server.obstacle()) is not None:
                raise ServerError(obstacle)
            table.rows.append(_row(name, server, transfer, conditions))
        except (ServerError, OSError) as error:
            table.missing[name] = str(error)
    table.notes.append(
        "the most is VmHWM of proc(5), reset after one transfer of 1 MiB has warmed the server up; "
        f"the slow readers read for {READERS_SECONDS:.0f} s"
    )
    return table


def _row(name: str, server: Server, transfer: Callable[[Running], int], conditions: Conditions) -> list[str]:
    port = unused_port()
    with started(server.command_for(port), port, [conditions.server_core]) as running:
        send_all(port, MIB)
        running.reset_peak()
        before, used, began = running.memory(), running.usage(), time.monotonic()
        moved = _on_core(conditions.load_core, lambda: transfer(running))
        seconds, used, after = time.monotonic() - began, running.usage() - used, running.memory()
    return [
        name,
        *(f"{size / MIB:.2f}" for size in (before.rss, after.peak_rss, after.rss)),
        f"{(after.peak_rss - before.rss) / MIB:+.2f}",
        f"{moved / MIB / seconds:,.0f}" if moved / seconds > MIB else f"{moved / MIB / seconds:.2f}",
        f"{used.seconds * 1e3 / (moved / MIB):.3f}",
    ]


def _on_core(core: int, transfer: Callable[[], int]) -> int:
    """What `transfer` returns, called while this process stays on one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [core])
    try:
        return transfer()
    finally:
        os.sched_setaffinity(0, cores)


def receive_all(port: int, count: int) -> int:
    """Bytes of one chunked answer. Raises: ServerError if it ends before `count` bytes, or without its last chunk."""
    buffer, received, tail = bytearray(MIB), 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as client:
        client.sendall(b"GET /down HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while received < count or not tail.endswith(LAST_CHUNK):
            length = client.recv_into(buffer)
            if length == 0:
                raise ServerError(f"the stream ended after {received:,} of {count:,} bytes")
            received += length
            tail = (tail + bytes(buffer[max(0, length - len(LAST_CHUNK)) : length]))[-len(LAST_CHUNK) :]
    return received


def send_all(port: int, count: int) -> int:
    """Bytes of one upload that the server has counted. Raises: ServerError if its answer is another number."""
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as client:
        client.sendall(b"POST /up HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % count)
        for _ in range(count // len(PIECE)):
            client.sendall(PIECE)
        answer = client.recv(4096)
    if not answer.endswith(b"\r\n\r\n%d" % count):
        raise ServerError(f"an upload of {count:,} bytes was answered {answer[-80:]!r}")
    return count


def _hold_readers(running: Running, conditions: Conditions) -> int:
    with held_clients(SLOW_READERS, running, READERS, conditions.load_core) as readers:
        time.sleep(READERS_SECONDS)
        output, _ = readers.communicate("\n", timeout=TIMEOUT)
    received, lost = map(int, output.split())
    if lost:
        raise ServerError(f"{lost} of {READERS} slow readers lost their connection")
    return received
