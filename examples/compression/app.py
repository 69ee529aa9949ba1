"""Answers made anew each time, compressed for who accepts it; one of them compressed once and kept."""

import json

from vanilla.toolkit.composition import compose
from vanilla.toolkit.compression import compressed
from vanilla.toolkit.response_cache import cached
from vanilla.toolkit.routing import Router

NOTE = "what is said again and again becomes small. " * 12


def items(request, response, worker):
    content = {"message": "hello", "items": list(range(1, 11)), "note": NOTE}
    response.reply(200, json.dumps(content).encode(), content_type="application/json")


def numbers(request, response, worker):
    """A stream is compressed piece by piece."""
    response.start(200, content_type="text/csv")
    response.stream(b"%d,%d\n" % (number, number * number) for number in range(1000))


def secret(request, response, worker):
    """A secret beside what the client chose: how long it is compressed would tell, so it is not."""
    content = b"token=31d4c8; you asked for " + request.query + b" " * 300
    response.reply(200, content, content_type="text/plain", headers={"Cache-Control": "private, no-transform"})


router = Router()
router.get("/items", items)
router.get("/numbers", numbers)
router.get("/secret", secret)
router.get("/kept", cached(compressed(items), ttl=60))
handle = compose(router, compressed)
