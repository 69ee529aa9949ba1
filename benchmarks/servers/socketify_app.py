"""Hello, World! on socketify's own interface: `python socketify_app.py PORT`."""

from __future__ import annotations

import sys
from typing import Any

from socketify import App, AppListenOptions

BODY = b"Hello, World!"


def handle(response: Any, request: Any) -> None:
    response.write_header("Content-Type", "text/plain")
    response.end(BODY)


if __name__ == "__main__":
    server = App()
    server.get("/", handle)
    server.listen(AppListenOptions(host="127.0.0.1", port=int(sys.argv[1])))
    server.run()
