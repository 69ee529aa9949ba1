"""Bodies that no memory should hold, 1 GiB by default, down and up: `env BYTES=N python -m vanilla vanilla_streams.py`.

GET /down answers them, POST /up counts those that arrive.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import vanilla
from vanilla import Limits, Request, Response, ServerConfig, Worker

BODY = b"Hello, World!"
BYTES = int(os.environ.get("BYTES", 2**30))
PIECE = bytes(64 * 1024)


def pieces() -> Iterator[bytes]:
    for _ in range(BYTES // len(PIECE)):
        yield PIECE
    yield PIECE[: BYTES % len(PIECE)]


@vanilla.streaming
async def handle(request: Request, response: Response, worker: Worker) -> None:
    if request.target == b"/down":
        response.stream(pieces())
    elif request.method == b"POST":
        count = 0
        async for chunk in request.stream():
            count += len(chunk)
        response.reply(200, b"%d" % count)
    else:
        response.reply(200, BODY)


config = ServerConfig(handle, limits=Limits(max_body_bytes=2**30))
