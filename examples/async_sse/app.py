"""A stream of five events, one per second, written by a coroutine; a client that comes back goes on where it was."""

import re

from vanilla.sse import encode, last_event_id

TICKS = 5
SECONDS = 1.0
SEEN = re.compile(rb"[0-5]")


async def handle(request, response, worker):
    if request.path != b"/events":
        return response.reply(404)
    if request.method != b"GET":
        return response.reply(405, headers={"Allow": "GET"})
    last = last_event_id(request) or b"0"
    seen = int(last) if SEEN.fullmatch(last) else 0
    if seen == TICKS:
        return response.reply(204)  # tells a browser not to come back
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    response.start(200, headers, content_type="text/event-stream")
    for tick in range(seen + 1, TICKS + 1):
        await response.flush()
        await worker.sleep(SECONDS)
        response.write(encode(f"tick {tick} of {TICKS}", id=str(tick)))
        if worker.draining:
            return None
    response.write(encode("bye", event="end"))
    return None
