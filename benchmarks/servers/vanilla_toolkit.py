"""Handlers made with the toolkit, and the plain one that they are compared with."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vanilla import Request, Response, Worker
from vanilla.toolkit.composition import Handler, compose
from vanilla.toolkit.response_cache import cached
from vanilla.toolkit.routing import Router
from vanilla.toolkit.static_assets import static_assets
from vanilla.toolkit.static_files import static_files

HELLO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
)


def hello(request: Request, response: Response, worker: Worker) -> None:
    response += HELLO


def routes(count: int) -> Router:
    """Half of the routes have a parameter."""
    router = Router()
    router.get("/", hello)  # what a server is known by
    first = 0 if count >= 500 else 200  # the one that is asked for is among them
    for number in range(first, first + count // 2):
        name = f"/service{number}"
        router.get(f"{name}/users", hello)
        router.get(f"{name}/users/:id", hello)
    return router


routes_50, routes_500, routes_5000 = routes(50), routes(500), routes(5000)


def passing(inner: Handler) -> Handler:
    def handle(request: Request, response: Response, worker: Worker) -> object:
        return inner(request, response, worker)

    return handle


def hooking(inner: Handler) -> Handler:
    def handle(request: Request, response: Response, worker: Worker) -> object:
        response.before_send(leave)
        return inner(request, response, worker)

    return handle


def leave(request: Request, response: Response, worker: Worker) -> None:
    """Nothing: what is measured is being called."""


wrapped = compose(hello, passing, passing, passing)
hooked = compose(hello, hooking, hooking, hooking)


def page(request: Request, response: Response, worker: Worker) -> None:
    response.reply(200, b"Hello, World!", content_type="text/plain")


cached_page = cached(page, ttl=3600)
files = static_files(os.environ.get("FOLDER", "."), not_found=hello)
with tempfile.TemporaryDirectory() as bundle:
    Path(bundle, "index.html").write_bytes(b"Hello, World!")
    assets = static_assets(bundle)
