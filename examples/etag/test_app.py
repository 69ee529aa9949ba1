"""etag, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig
from vanilla.testing import ask, drive
from vanilla.toolkit.conditional import etag

PATH = str(pathlib.Path(__file__).with_name("app.py"))
TAG = etag(b"Ada").decode()


@pytest.fixture
def app() -> dict:
    """With users of its own."""
    return runpy.run_path(PATH)


def ask_for(app: dict, *fields: str, method: str = "GET", path: str = "/user/7", content: str = "") -> Response:
    lines = "".join(f"{field}\r\n" for field in [*fields, f"Content-Length: {len(content)}"])
    response = Response()
    app["handle"](Request(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{content}".encode()), response, None)
    return response


@pytest.mark.parametrize("value", [TAG, f'"x", {TAG}', f"W/{TAG}", "*"])
def test_what_the_client_has_is_not_sent_again(app: dict, value: str) -> None:
    response = ask_for(app, f"If-None-Match: {value}")
    assert response.status == 304
    assert response.header("etag") == TAG.encode()
    assert response.header("cache-control") == b"no-cache"
    assert response.content_length is None


@pytest.mark.parametrize("fields", [(), ('If-None-Match: "x"',), (f"If-None-Match: {TAG[1:-1]}",)])
def test_anything_else_is(app: dict, fields: tuple[str, ...]) -> None:
    response = ask_for(app, *fields)
    assert (response.status, response.content, response.header("etag")) == (200, b"Ada", TAG.encode())


@pytest.mark.parametrize(
    ("path", "fields", "status", "name"),
    [
        ("/user/7", (), 204, b"Grace"),
        ("/user/7", (f"If-Match: {TAG}",), 204, b"Grace"),
        ("/user/7", ('If-Match: "x"',), 412, b"Ada"),
        ("/user/7", ("If-None-Match: *",), 412, b"Ada"),
        ("/user/8", ("If-None-Match: *",), 201, b"Grace"),
        ("/user/8", ("If-Match: *",), 412, None),
    ],
)
def test_nothing_unseen_is_overwritten(app: dict, path: str, fields, status: int, name: bytes | None) -> None:
    assert ask_for(app, *fields, method="PUT", path=path, content="Grace").status == status
    assert app["USERS"].get(path[-1:].encode()) == name


def test_nobody_is_not_found(app: dict) -> None:
    assert ask_for(app, path="/user/9").status == 404
    assert ask_for(app, path="/").status == 404


def test_over_sockets(app: dict) -> None:
    get = b"%b /user/7 HTTP/1.1\r\nHost: a\r\nIf-None-Match: " + TAG.encode() + b"\r\n\r\n"
    results = drive(ServerConfig(app["handle"]), [ask(get % b"GET"), ask(get % b"HEAD", heads={0})])
    assert [result.statuses for result in results] == [[304], [304]]
    assert [result.rest for result in results] == [b"", b""]
