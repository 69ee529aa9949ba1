"""Forms with a file, uploaded over a socket: what one MiB costs a server until the whole form is there to be used."""

from __future__ import annotations

import os
import random
import socket
import statistics
import sys
import time
from dataclasses import dataclass, field

from catalogue import APPS, Server, uvicorn_command, vanilla_command, versions
from processes import Running, ServerError, read_response, started, unused_port
from rates import Conditions
from table import Table

STARLETTE = "uvicorn-starlette"
FILES_MEBIBYTES = (1, 8)  # held in memory by either; held on disk by either
FORMS_MEBIBYTES = 384  # of each round
WARM_UP_FORMS = 4
TIMEOUT = 60.0
MIB = 2**20
BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW0"  # of the length that browsers make them
COLUMNS = (
    *("server", "MiB/s", "CPU µs/MiB", "user µs", "system µs", f"ratio to {STARLETTE}"),
    *("CPU µs/MiB, median", "RSS MiB"),
)


@dataclass
class Uploads:
    """What the rounds of one server have given so far."""

    cpu_seconds_per_mib: list[float] = field(default_factory=list)
    mib_per_second: list[float] = field(default_factory=list)
    user_seconds: float = 0.0
    system_seconds: float = 0.0
    rss: int = 0

    def row(self, name: str, reference: Uploads | None) -> list[str]:
        cpu = min(self.cpu_seconds_per_mib)
        user = cpu * self.user_seconds / ((self.user_seconds + self.system_seconds) or 1.0)
        return [
            name,
            f"{statistics.median(self.mib_per_second):,.0f}",
            *(f"{seconds * 1e6:,.0f}" for seconds in (cpu, user, cpu - user)),
            f"{cpu / min(reference.cpu_seconds_per_mib):.2f}" if reference else "-",
            f"{statistics.median(self.cpu_seconds_per_mib) * 1e6:,.0f}",
            f"{self.rss / MIB:.1f}",
        ]


def servers(python: str) -> list[Server]:
    """Starlette's defaults and ours are the same: files of more than 1 MiB go to an unnamed temporary file."""
    target = str(APPS / "vanilla_forms.py")
    return [
        Server(
            name=STARLETTE,
            command=(*uvicorn_command(), "starlette_forms:app"),
            distributions=("starlette", "python-multipart", "uvicorn", "httptools", "uvloop"),
        ),
        Server(name="vanilla-received", command=vanilla_command(python, f"{target}:received")),
        Server(name="vanilla-streamed", command=vanilla_command(python, f"{target}:streamed")),
    ]


def measure_forms(python: str, mebibytes: int, conditions: Conditions) -> Table:
    """Every server by turns: forms one after the other over one connection, each with a file of that size."""
    title = f"`forms_{mebibytes}m`: forms with a file of {mebibytes} MiB, one after the other"
    table = Table(f"forms_{mebibytes}m", title, COLUMNS)
    found: dict[str, Uploads] = {}
    form = encode_form(mebibytes * MIB)
    for number in range(1, conditions.rounds + 1):
        for server in servers(python):
            if server.name in table.missing:
                continue
            try:
                if (obstacle := server.obstacle()) is not None:
                    raise ServerError(obstacle)
                _measure_once(server, form, mebibytes, conditions, found.setdefault(server.name, Uploads()))
            except (ServerError, OSError) as error:
                table.missing[server.name] = str(error)
                found.pop(server.name, None)
                continue
            cpu = found[server.name].cpu_seconds_per_mib[-1]
            did = f"{cpu * 1e6:,.0f} µs of CPU per MiB"
            print(f"forms_{mebibytes}m round {number} {server.name}: {did}", file=sys.stderr)
    reference = found.get(STARLETTE)
    table.rows.extend(uploads.row(name, reference) for name, uploads in found.items())
    table.notes.append(
        f"{conditions.rounds} interleaved rounds of {FORMS_MEBIBYTES // mebibytes} forms; CPU, of all threads and with "
        "the kernel's for sockets and files, is the least of the rounds where no median"
    )
    table.notes.append(versions(server for server in servers(python) if server.name in found))
    return table


def encode_form(file_bytes: int) -> bytes:
    """The request: one field, and one file that nothing could compress; the same at every call."""
    part = b'--%b\r\nContent-Disposition: form-data; name="%b"'
    content = b"".join(
        (
            part % (BOUNDARY, b"title") + b"\r\n\r\nabc\r\n",
            part % (BOUNDARY, b"file") + b'; filename="f.png"\r\nContent-Type: image/png\r\n\r\n',
            random.Random(0).randbytes(file_bytes),
            b"\r\n--%b--\r\n" % BOUNDARY,
        )
    )
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=%b\r\n" % BOUNDARY
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


def _measure_once(server: Server, form: bytes, mebibytes: int, conditions: Conditions, uploads: Uploads) -> None:
    """One round of one server, added to `uploads` only if all of it succeeded."""
    port = unused_port()
    with started(server.command_for(port), port, [conditions.server_core]) as running:
        _upload(running, form, mebibytes, WARM_UP_FORMS, conditions.load_core)
        before, began = running.usage(), time.monotonic()
        _upload(running, form, mebibytes, FORMS_MEBIBYTES // mebibytes, conditions.load_core)
        seconds, used = time.monotonic() - began, running.usage() - before
        rss = running.memory().rss
    uploads.cpu_seconds_per_mib.append(used.seconds / FORMS_MEBIBYTES)
    uploads.mib_per_second.append(FORMS_MEBIBYTES / seconds)
    uploads.user_seconds += used.user_seconds
    uploads.system_seconds += used.system_seconds
    uploads.rss = max(uploads.rss, rss)


def _upload(running: Running, form: bytes, mebibytes: int, count: int, core: int) -> None:
    """Raises: ServerError where an answer is not the file's size."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, [core])
    try:
        with socket.create_connection(("127.0.0.1", running.port), timeout=TIMEOUT) as client:
            for _ in range(count):
                client.sendall(form)
                _, answer = read_response(client)
                if answer != b"%d" % (mebibytes * MIB):
                    raise ServerError(f"a file of {mebibytes} MiB was answered {answer[:80]!r}")
    finally:
        os.sched_setaffinity(0, cores)
