"""What the peers that speak ASGI do for a wait and for an upload: `asgi_waiting:sleep`, `asgi_waiting:upload`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

BODY = b"Hello, World!"

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def sleep(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.001)
    await answer(send, BODY)


async def upload(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    if scope["method"] != "POST":
        return await answer(send, BODY)
    count, more = 0, True
    while more:
        message = await receive()
        count += len(message.get("body", b""))
        more = message.get("more_body", False)
    return await answer(send, b"%d" % count)


async def answer(send: Send, body: bytes) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
