"""Pages that take long to make: kept by each worker for a minute, and given again."""

from vanilla.toolkit.cookies import read_cookies
from vanilla.toolkit.response_cache import cached
from vanilla.toolkit.routing import Router

editions = ["first edition"]


async def news(request, response, worker):
    """Everybody sees the same, and it takes a while: who asks meanwhile waits for this one."""
    await worker.sleep(0.2)
    response.reply(200, editions[-1].encode() + b"\n", content_type="text/plain")


async def publish(request, response, worker):
    """What changes a target drops what is kept of it."""
    editions.append(request.body.decode("utf-8", "replace")[:100])
    response.reply(204)


async def greeting(request, response, worker):
    """It depends on a field of the request, and says so."""
    hello = b"Hallo\n" if (request.header("accept-language") or b"").startswith(b"de") else b"Hello\n"
    response.reply(200, hello, content_type="text/plain", headers={"Vary": "Accept-Language"})


async def account(request, response, worker):
    """It is for one client alone, and says so."""
    name = read_cookies(request).get("name", b"nobody")
    response.reply(200, b"you are %b\n" % name, content_type="text/plain", headers={"Cache-Control": "private"})


pages = Router()
pages.get("/news", news)
pages.post("/news", publish)
pages.get("/greeting", greeting)
pages.get("/account", account)
kept = cached(pages, ttl=60, stale_while_revalidate=600, statuses={200})


def counters(request, response, worker):
    response.reply(200, b"%d hits, %d misses\n" % (kept.hits, kept.misses), content_type="text/plain")


handle = Router()
handle.get("/counters", counters)
handle.mount("/", kept)
