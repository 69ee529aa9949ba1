"""Handlers that wait, and what they are compared with: `python -m vanilla vanilla_waiting.py:NAME`."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from vanilla import Event, Interest, Request, Response, ServerConfig, Step, Worker

BODY = b"Hello, World!"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\n" + BODY
TIMERS = 100_000
TIMER_SECONDS = 3600.0  # none of them fires during a measurement


def hello(request: Request, response: Response, worker: Worker) -> None:
    response += HELLO


def reply(request: Request, response: Response, worker: Worker) -> None:
    response.reply(200, BODY, content_type="text/plain")


async def reply_async(request: Request, response: Response, worker: Worker) -> None:
    """Never waits."""
    response.reply(200, BODY, content_type="text/plain")


async def sleep(request: Request, response: Response, worker: Worker) -> None:
    await asyncio.sleep(0.001)
    response.reply(200, BODY, content_type="text/plain")


def pipe(request: Request, response: Response, worker: Worker) -> Step:
    """Waits for a byte that it sent itself: the system calls of baseline/pipe.c."""
    reader, writer = os.pipe()
    worker.watch_fd(reader, Interest.READABLE, finish_pipe, (reader, writer))
    os.write(writer, b"x")
    return Step.SUSPEND


def finish_pipe(request: Request, response: Response, worker: Worker, ends: tuple[int, int], event: Event) -> None:
    reader, writer = ends
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    response += HELLO


def arm_timers(worker: Worker) -> None:
    for number in range(TIMERS):
        worker.call_later(TIMER_SECONDS + number / 1000, _never)


def _never(*args: Any) -> None:
    raise AssertionError("a timer of an hour fired")


timers = ServerConfig(hello, on_worker_start=arm_timers)
