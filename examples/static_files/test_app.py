"""static_files, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
PUBLIC = pathlib.Path(__file__).with_name("public")


def raw(target: str, fields: str = "", method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


@pytest.mark.parametrize(
    ("target", "media_type", "cache_control"),
    [
        ("/", b"text/html; charset=utf-8", b"no-cache"),
        ("/index.html", b"text/html; charset=utf-8", b"no-cache"),
        ("/style.css", b"text/css; charset=utf-8", b"public, max-age=3600"),
        ("/docs/digits.txt", b"text/plain; charset=utf-8", b"no-cache"),
    ],
)
def test_files_are_sent(target: str, media_type: bytes, cache_control: bytes) -> None:
    response = Response()
    APP["handle"](Request(raw(target)), response, Worker())
    path = PUBLIC / (target[1:] or "index.html")
    assert bytes(response).endswith(b"\r\n\r\n" + path.read_bytes())
    assert response.header("content-type") == media_type
    assert response.header("cache-control") == cache_control


def test_a_folder_is_listed() -> None:
    response = Response()
    APP["handle"](Request(raw("/docs/")), response, Worker())
    assert b'<a href="./digits.txt">digits.txt</a>' in response.content


def test_over_sockets() -> None:
    asked = [
        raw("/docs/digits.txt"),
        raw("/docs/digits.txt", "Range: bytes=2-4\r\n"),
        raw("/docs/digits.txt", "Range: bytes=20-\r\n"),
        raw("/docs"),
        raw("/../app.py"),
        raw("/%2e%2e/app.py"),
        raw("/", method="POST"),
    ]
    results = drive(ServerConfig(APP["handle"]), [ask(one) for one in asked])
    assert [result.statuses for result in results] == [[200], [206], [416], [301], [404], [404], [405]]
    assert [result.bodies[0] for result in results[:2]] == [b"0123456789", b"234"]
