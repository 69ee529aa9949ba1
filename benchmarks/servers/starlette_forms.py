"""Forms with files, answered with the bytes of their files, by Starlette: `uvicorn starlette_forms:app`."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

BODY = "Hello, World!"


async def handle(request: Request) -> PlainTextResponse:
    if request.method != "POST":
        return PlainTextResponse(BODY)
    async with request.form() as form:
        files = [value for _, value in form.multi_items() if isinstance(value, UploadFile)]
        return PlainTextResponse(str(sum(file.size or 0 for file in files)))


app = Starlette(routes=[Route("/", handle, methods=["GET", "POST"])])
