"""Hello, World! as an RSGI application, for granian."""

from __future__ import annotations

from typing import Any

BODY = b"Hello, World!"
FIELDS = [("content-type", "text/plain"), ("content-length", str(len(BODY)))]


async def app(scope: Any, protocol: Any) -> None:
    protocol.response_bytes(200, FIELDS, BODY)
