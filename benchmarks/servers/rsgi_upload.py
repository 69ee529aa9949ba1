"""An upload, counted as it arrives, as an RSGI application for granian."""

from __future__ import annotations

from typing import Any

BODY = b"Hello, World!"


async def app(scope: Any, protocol: Any) -> None:
    body = BODY
    if scope.method == "POST":
        count = 0
        async for chunk in protocol:
            count += len(chunk)
        body = b"%d" % count
    protocol.response_bytes(200, [("content-type", "text/plain"), ("content-length", str(len(body)))], body)
