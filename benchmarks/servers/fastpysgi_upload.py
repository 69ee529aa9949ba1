"""An upload on fastpysgi (WSGI), which receives it whole before the application runs: `fastpysgi_upload.py PORT`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import fastpysgi

BODY = b"Hello, World!"


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    body = BODY
    if environ["REQUEST_METHOD"] == "POST":
        body = b"%d" % len(environ["wsgi.input"].read())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    fastpysgi.server.backlog = 4096
    fastpysgi.server.tcp_nodelay = 1
    fastpysgi.run(app, host="127.0.0.1", port=int(sys.argv[1]))
