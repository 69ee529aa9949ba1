"""veb_like, called by hand and over sockets."""

import json
import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig
from vanilla.testing import ask, drive

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


ROUTES = [
    ("GET", "/users", []),
    ("POST", "/users", {"id": 1}),
    ("GET", "/users/7", {"id": "7"}),
    ("PUT", "/users/7", {"replaced": "7"}),
    ("PATCH", "/users/7", {"updated": "7"}),
    ("DELETE", "/users/7", {"deleted": "7"}),
    ("GET", "/users/7/posts/8", {"user": "7", "post": "8"}),
    ("GET", "/users/7/posts/8/comments/9", {"user": "7", "post": "8", "comment": "9"}),
    ("GET", "/users/7?a=/b/c", {"id": "7"}),
    ("GET", "/search/a%2Fb", {"term": "a/b"}),
    ("GET", "/search/%22%5C%09", {"term": '"\\\t'}),
    ("GET", "/files/", {"file": ""}),
    ("GET", "/files/a/b.txt", {"file": "a/b.txt"}),
]


@pytest.mark.parametrize(("method", "path", "expected"), ROUTES)
def test_a_route_is_found(method: str, path: str, expected: object) -> None:
    response = Response()
    APP["handle"](Request(get(path, method)), response, None)
    assert json.loads(response.content) == expected
    assert response.status == (201 if method == "POST" else 200)


@pytest.mark.parametrize("path", ["/", "/user", "/Users", "/users/", "/users/7/", "/users/7/posts", "/files"])
def test_there_is_nothing_else(path: str) -> None:
    response = Response()
    APP["handle"](Request(get(path)), response, None)
    assert response.status == 404


def test_another_method_is_told_which_there_are() -> None:
    response = Response()
    APP["handle"](Request(get("/users/7", "POST")), response, None)
    assert (response.status, response.header("allow")) == (405, b"GET, HEAD, PUT, PATCH, DELETE, OPTIONS")


def test_over_sockets() -> None:
    results = drive(
        ServerConfig(APP["handle"]), [ask(get(path, method)) for method, path, _ in ROUTES] + [ask(get("/users/%zz"))]
    )
    assert [json.loads(result.bodies[0]) for result in results[:-1]] == [expected for _, _, expected in ROUTES]
    assert results[-1].statuses == [400]
