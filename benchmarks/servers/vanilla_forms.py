"""Forms with files, answered with the bytes of their files: `python -m vanilla vanilla_forms.py:NAME`."""

from __future__ import annotations

from typing import Any

import vanilla
from vanilla import Event, Limits, Request, Response, ServerConfig, Step, Worker
from vanilla.toolkit.multipart_forms import MultipartForm, receive_multipart, stream_multipart

BODY = b"Hello, World!"
LIMITS = Limits(max_body_bytes=2**26)


def answer(request: Request, response: Response, worker: Worker, form: Any, event: Event) -> None:
    reply(response, form)


def reply(response: Response, form: MultipartForm) -> None:
    with form:
        response.reply(200, b"%d" % sum(file.size for file in form.files))


@vanilla.streaming
def receive(request: Request, response: Response, worker: Worker) -> Step | None:
    if request.method == b"POST":
        return receive_multipart(request, answer)
    return response.reply(200, BODY)


@vanilla.streaming
async def stream(request: Request, response: Response, worker: Worker) -> None:
    if request.method == b"POST":
        reply(response, await stream_multipart(request))
    else:
        response.reply(200, BODY)


received = ServerConfig(receive, limits=LIMITS)
streamed = ServerConfig(stream, limits=LIMITS)
