"""A file by send_file: `env FILE=PATH python -m vanilla vanilla_files.py`; the file for every target but /."""

from __future__ import annotations

import os

from vanilla import OpenFile, Request, Response, Worker

HELLO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
)
FILE = OpenFile(os.environ["FILE"])
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Length: %d\r\nConnection: keep-alive\r\n\r\n" % FILE.size
)


def handle(request: Request, response: Response, worker: Worker) -> None:
    if request.target == b"/":
        response += HELLO
        return
    response += HEAD
    response.send_file(FILE)
