"""Bodies that are counted and dropped, whole or as they arrive: `python -m vanilla vanilla_uploads.py:NAME`."""

from __future__ import annotations

import vanilla
from vanilla import Request, Response, Worker

BODY = b"Hello, World!"


def buffered(request: Request, response: Response, worker: Worker) -> None:
    """The body as one view. Its limit is raised by --limit-max-body-bytes."""
    response.reply(200, b"%d" % len(request.body_view) if request.method == b"POST" else BODY)


@vanilla.streaming
async def streamed(request: Request, response: Response, worker: Worker) -> None:
    if request.method != b"POST":
        response.reply(200, BODY)
        return
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
    response.reply(200, b"%d" % count)
