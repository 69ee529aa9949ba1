"""redirects, called by hand and over sockets."""

import pathlib
import runpy
import urllib.parse

import pytest

from vanilla import Request, Response, ServerConfig
from vanilla.testing import ask, drive

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))


def raw(target: str, method: str = "GET") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def answer(target: str, method: str = "GET") -> Response:
    response = Response()
    APP["handle"](Request(raw(target, method)), response, None)
    return response


@pytest.mark.parametrize(
    ("target", "method", "status", "location"),
    [
        ("/old", "GET", 301, b"/new"),
        ("/old?a=b&c", "POST", 301, b"/new?a=b&c"),
        ("/sale", "GET", 302, b"/sale/winter"),
        ("/upload", "PUT", 307, b"/upload/eu"),
        ("/api/v1/users", "POST", 308, b"/api/v2/users"),
        ("/login", "POST", 303, b"/dashboard"),
        ("/login?next=/inbox%3Fpage%3D2", "POST", 303, b"/inbox?page=2"),
    ],
)
def test_each_leads_where_it_should(target: str, method: str, status: int, location: bytes) -> None:
    response = answer(target, method)
    assert (response.status, response.header("location"), response.content) == (status, location, b"")


@pytest.mark.parametrize(
    "target",
    [
        "",
        "evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/a\r\nSet-Cookie: x=y",
        "/a b",
        "/\x00",
        "/\u00e9",
        " /inbox",
        "/a\\..\\b",
        "%2F%2Fevil.example",
    ],
)
def test_no_target_leads_astray(target: str) -> None:
    response = answer(f"/login?next={urllib.parse.quote(target, safe='')}", "POST")
    assert (response.status, response.header("location")) == (303, b"/")
    assert response.header("set-cookie") is None


def test_everything_else_is_a_page() -> None:
    assert answer("/new").content == b"/new\n"
    assert answer("/login").content == b"/login\n"


def test_over_sockets() -> None:
    results = drive(ServerConfig(APP["handle"]), [ask(raw("/old")), ask(raw("/login", "POST")), ask(raw("/x"))])
    assert [result.statuses for result in results] == [[301], [303], [200]]
