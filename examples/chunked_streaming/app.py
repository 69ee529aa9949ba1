"""Chunks in both directions: what a client sends in chunks comes back in chunks, while it still sends."""

import vanilla
from vanilla import Event, ServerConfig, Step

PIECES = [b"first piece\n", b"second piece\n", b"third piece\n"]


@vanilla.streaming
def answer(request, response, worker):
    if (request.header("transfer-encoding") or b"").lower() == b"chunked":
        request.on_body(begin)
        return Step.SUSPEND
    response.start(200, content_type="text/plain")
    return response.stream(PIECES)


def begin(request, response, worker, piece, event):
    if event == Event.READABLE:
        response.start(200, content_type="text/plain")
    return echo(request, response, worker, piece, event)


def echo(request, response, worker, piece, event):
    if event == Event.ERROR:
        raise piece  # answered 400, 408 or 413; once the head has left, the answer is cut off
    if not piece:
        return Step.DONE
    response.write(piece)
    request.on_body(echo)
    return Step.SUSPEND


config = ServerConfig(answer)
