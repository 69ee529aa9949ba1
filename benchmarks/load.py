"""The two load generators, as one call each: wrk, which everybody can compare, and baseline/load.c, which saturates.

# Facts about wrk 4.1
It corrects its latencies for requests that waited behind a slow one, by the mean interval between *requests* of a
connection. Pipelined, a sample is a batch of them, and the corrected percentiles come out as zero: none is taken then.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import prepare
from catalogue import BASELINE
from processes import BODY, Running, ServerError, on_cores, request_once

LUA = prepare.ROOT / "benchmarks" / "pipeline.lua"
SECONDS_SPARE = 30.0  # a generator that runs on for longer than this is stuck
RUN_SECONDS_MAX = 3600.0
_MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


@dataclass(frozen=True)
class Profile:
    """One shape of load.

    Attributes:
        connections: open at once.
        depth: requests that leave together, before any of their answers is awaited.
        saturates: by load.c instead of wrk.
        closes: one request per connection.
        target: of every request.
        upload_bytes: of a body that every request has; a GET without.
        answer_bytes: of content that every answer has.
        reference: the server that every figure is a ratio of.
    """

    name: str
    title: str
    connections: int = 64
    depth: int = 1
    saturates: bool = False
    closes: bool = False
    target: str = "/"
    upload_bytes: int = 0
    answer_bytes: int = len(BODY)
    reference: str = BASELINE


PROFILES = {
    profile.name: profile
    for profile in (
        Profile("keepalive_64", "64 keep-alive connections"),
        Profile("pipelined_16", "64 connections, 16 requests deep", depth=16),
        Profile("keepalive_4096", "4,096 keep-alive connections", connections=4096),
        Profile("saturated_64", "64 keep-alive connections, the server's core saturated", saturates=True),
        Profile("saturated_16", "64 connections, 16 deep, the server's core saturated", depth=16, saturates=True),
        Profile("short", "64 connections at a time, one request each", saturates=True, closes=True),
    )
}
DEFAULT_PROFILES = [name for name in PROFILES if name != "short"]


@dataclass(frozen=True)
class Load:
    """What a generator saw; no `p99_us` from wrk when pipelined."""

    requests: int
    seconds: float
    errors: int
    p99_us: float | None = None


def run_wrk(port: int, profile: Profile, seconds: int, core: int) -> Load:
    with wrk_started(port, profile.connections, profile.depth, seconds, [core], profile.target) as process:
        load = wrk_result(process, seconds)
    return load if profile.depth == 1 else replace(load, p99_us=None)


@contextlib.contextmanager
def wrk_started(
    port: int, connections: int, depth: int, seconds: int, cores: Sequence[int], target: str = "/"
) -> Iterator[subprocess.Popen[str]]:
    """A running wrk of one thread, ended with the block at the latest."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency"]
    if depth > 1:
        command += ["-s", str(LUA)]
    command.append(f"http://127.0.0.1:{port}{target}")
    if depth > 1:
        command += ["--", str(depth)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=on_cores(cores)
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wrk_result(process: subprocess.Popen[str], seconds: int) -> Load:
    """What wrk printed, once it has ended."""
    try:
        output, _ = process.communicate(timeout=seconds + SECONDS_SPARE)
    except subprocess.TimeoutExpired as error:
        raise ServerError("wrk did not end") from error
    counted = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m),", output)
    if counted is None or process.returncode != 0:
        raise ServerError(f"wrk: {output.strip()[-200:]!r}")
    slowest = re.search(r"99%\s+([\d.]+)(us|ms|s|m)\b", output)
    failures = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", output)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", output)
    return Load(
        requests=int(counted[1]),
        seconds=float(counted[2]) * _MICROSECONDS[counted[3]] / 1e6,
        errors=sum(map(int, failures.groups() if failures else ())) + (int(refused[1]) if refused else 0),
        p99_us=float(slowest[1]) * _MICROSECONDS[slowest[2]] if slowest else None,
    )


def saturate(
    generator: Path, server: Running, profile: Profile, core: int, *, seconds: float = 0, requests: int = 0
) -> Load:
    """Run load.c until `seconds` have passed or `requests` are answered; 0 is no such bound."""
    upload_bytes = profile.upload_bytes
    head, content = request_once(server.port, profile.target, upload_bytes=upload_bytes, closes=profile.closes)
    if len(content) != profile.answer_bytes:
        raise ServerError(f"answered {len(content):,} bytes instead of {profile.answer_bytes:,}: {content[:40]!r}")
    shape = [profile.connections, profile.depth, len(head) + len(content)]
    command = [generator, server.port, profile.target, upload_bytes, *shape, seconds, requests]
    words = [str(word) for word in command] + (["close"] if profile.closes else [])
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            timeout=(seconds or RUN_SECONDS_MAX) + SECONDS_SPARE,
            preexec_fn=on_cores([core]),
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError("load did not end") from error
    if done.returncode != 0:
        raise ServerError(f"load: {done.stderr.strip()[-200:]!r}")
    answered, elapsed, errors, p99_us = done.stdout.split()
    return Load(int(answered), float(elapsed), int(errors), float(p99_us))
