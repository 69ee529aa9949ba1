"""One channel: GET /events subscribes, POST /publish tells everybody the next number, anything else has a greeting."""

from __future__ import annotations

import itertools

from vanilla import Request, Response, Step, Worker
from vanilla.sse import Channel

BODY = b"Hello, World!"
FILLING = "x" * 53  # as baseline/publish.c has it

channel = Channel()
numbers = itertools.count(1)


def handle(request: Request, response: Response, worker: Worker) -> Step | None:
    if request.target == b"/events":
        return channel.subscribe(request, response, worker)
    if request.method == b"POST":
        channel.publish(f"{next(numbers):010d} {FILLING}")
    return response.reply(200, BODY)
