"""What anyone posts to `/broadcast` is shown at once on every page that is open: Server-Sent Events to all of them."""

import pathlib

from vanilla import Limits, ServerConfig
from vanilla.sse import Channel

PAGE = pathlib.Path(__file__).with_name("page.html").read_bytes()
MESSAGE_BYTES_MAX = 1_024
REPLAY = 100
# A message of nothing but line ends grows sevenfold in a stream: even REPLAY of those are no reason to drop anyone.
UNSENT_BYTES_MAX = REPLAY * MESSAGE_BYTES_MAX * 8
METHODS = {b"/": "GET, HEAD", b"/events": "GET, HEAD", b"/broadcast": "POST"}

channel = Channel(replay=REPLAY, max_unsent_bytes=UNSENT_BYTES_MAX)


def answer(request, response, worker):
    methods = METHODS.get(request.path)
    if methods is None:
        return response.reply(404)
    if request.method.decode() not in methods.split(", "):
        return response.reply(405, headers={"Allow": methods})
    if request.path == b"/events":
        return channel.subscribe(request, response, worker)
    if request.path == b"/":
        return response.reply(200, PAGE, content_type="text/html; charset=utf-8")
    try:
        channel.publish(request.body)
    except ValueError:
        return response.reply(400, b"send text in UTF-8\n", content_type="text/plain")
    return response.reply(204)


config = ServerConfig(answer, limits=Limits(max_body_bytes=MESSAGE_BYTES_MAX))
