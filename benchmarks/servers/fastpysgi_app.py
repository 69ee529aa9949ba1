"""Hello, World! on fastpysgi (WSGI): `python fastpysgi_app.py PORT`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import fastpysgi

BODY = b"Hello, World!"
FIELDS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> Iterable[bytes]:
    start_response("200 OK", FIELDS)
    return [BODY]


if __name__ == "__main__":
    fastpysgi.server.backlog = 4096
    fastpysgi.server.tcp_nodelay = 1
    fastpysgi.run(app, host="127.0.0.1", port=int(sys.argv[1]))
