"""Every way to answer, by target, for the mixed soak: `python vanilla_mixed.py PORT ASYNC_PORT FILE`.

Plain handlers answer on the first port, coroutines on the second one, by one worker each in the same process.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import vanilla
from vanilla import Event, Interest, Limits, Request, Response, Server, ServerConfig, Step, Worker
from vanilla.sse import Channel

BODY = b"Hello, World!"
SHORT_SECONDS, LONG_SECONDS = 0.005, 0.5  # clients leave in the middle of the long one
EVENT_SECONDS = 0.05
PIECE = bytes(16 * 1024)
PIECES = 16
FD = os.open(sys.argv[3], os.O_RDONLY)
SIZE = os.fstat(FD).st_size
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % SIZE

channel = Channel()


def sync(request: Request, response: Response, worker: Worker) -> None:
    response.reply(200, BODY)


def parks(request: Request, response: Response, worker: Worker) -> Step:
    seconds = LONG_SECONDS if request.query == b"long" else SHORT_SECONDS
    worker.call_later(seconds, worker.park().resume, resume)
    return Step.SUSPEND


def resume(request: Request, response: Response, worker: Worker, payload: Any, event: Event) -> None:
    response.reply(200, BODY)


def pipe(request: Request, response: Response, worker: Worker) -> Step:
    reader, writer = os.pipe()
    worker.watch_fd(reader, Interest.READABLE, finish_pipe, reader)
    os.write(writer, b"x")
    os.close(writer)
    return Step.SUSPEND


def finish_pipe(request: Request, response: Response, worker: Worker, reader: int, event: Event) -> None:
    os.read(reader, 1)
    os.close(reader)
    response.reply(200, BODY)


def stream(request: Request, response: Response, worker: Worker) -> None:
    response.stream(pieces())


def pieces() -> Iterator[bytes]:
    for _ in range(PIECES):
        yield PIECE


def file(request: Request, response: Response, worker: Worker) -> None:
    response += HEAD
    response.send_file(FD, 0, SIZE)


def buffered(request: Request, response: Response, worker: Worker) -> None:
    response.reply(200, b"%d" % len(request.body_view))


def events(request: Request, response: Response, worker: Worker) -> Step | None:
    return channel.subscribe(request, response, worker)


def tick(worker: Worker) -> None:
    channel.publish("tick")
    worker.call_later(EVENT_SECONDS, tick, worker)


PLAIN = {
    b"/": sync,
    b"/park": parks,
    b"/pipe": pipe,
    b"/stream": stream,
    b"/file": file,
    b"/buffered": buffered,
    b"/events": events,
}


def handle(request: Request, response: Response, worker: Worker) -> Step | None:
    return PLAIN[request.path](request, response, worker)


async def never_waits(request: Request, response: Response) -> None:
    response.reply(200, BODY)


async def sleeps(request: Request, response: Response) -> None:
    await asyncio.sleep(LONG_SECONDS if request.query == b"long" else SHORT_SECONDS)
    response.reply(200, BODY)


async def upload(request: Request, response: Response) -> None:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
    response.reply(200, b"%d" % count)


async def stream_async(request: Request, response: Response) -> None:
    response.stream(pieces_async())


async def pieces_async() -> AsyncIterator[bytes]:
    for _ in range(PIECES):
        await asyncio.sleep(0)
        yield PIECE


COROUTINES = {b"/": never_waits, b"/sleep": sleeps, b"/upload": upload, b"/stream": stream_async}


@vanilla.streaming
async def handle_async(request: Request, response: Response, worker: Worker) -> None:
    await COROUTINES[request.path](request, response)


def main() -> None:
    port, async_port = int(sys.argv[1]), int(sys.argv[2])
    plain = ServerConfig(handle, port=port, workers=1, on_worker_start=tick)
    with Server(ServerConfig(handle_async, port=async_port, workers=1, limits=Limits(max_body_bytes=2**24))):
        Server(plain).run()


if __name__ == "__main__":
    main()
