"""The smallest wait: `/delay?ms=200` is answered after 200 ms. No thread waits for it, and no other client does."""

import re

from vanilla import Step

MS_DEFAULT = 200
MS_MAX = 60_000
QUERY = re.compile(rb"(?:ms=([0-9]{1,5}))?")


def handle(request, response, worker):
    if request.path not in (b"/", b"/delay"):
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    if request.path == b"/":
        return response.reply(200, b"ok", content_type="text/plain")
    match = QUERY.fullmatch(request.query)
    ms = int(match[1] or MS_DEFAULT) if match else -1
    if not 0 <= ms <= MS_MAX:
        return response.reply(400, b"ms: give a whole number from 0 to %d" % MS_MAX, content_type="text/plain")
    worker.call_later(ms / 1000, worker.park().resume, answer)
    return Step.SUSPEND


def answer(request, response, worker, payload, event):
    response.reply(200, b"delayed", content_type="text/plain")
