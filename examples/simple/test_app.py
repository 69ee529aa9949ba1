"""simple, called by hand and over sockets."""

import importlib
import pathlib
import sys

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Round, Script, ask, drive, eof, frames

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def handle(monkeypatch):
    """The handler, imported as the command does it: the directory of the file first on the path."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delitem(sys.modules, "app", raising=False)
    monkeypatch.delitem(sys.modules, "controllers", raising=False)
    yield importlib.import_module("app").handle
    del sys.modules["app"], sys.modules["controllers"]


ROUTES = [
    # request line, status, type, content, Allow
    pytest.param(b"GET /", 200, b"application/json", b"", None, id="home"),
    pytest.param(b"GET /?x=1", 200, b"application/json", b"", None, id="home_with_a_query"),
    pytest.param(b"GET /user/123", 200, b"text/plain", b"123", None, id="user"),
    pytest.param(b"GET /user/1?x=2", 200, b"text/plain", b"1", None, id="user_with_a_query"),
    pytest.param(b"GET /user/a/b", 200, b"text/plain", b"a/b", None, id="user_with_a_slash"),
    pytest.param(b"GET http://a/user/123", 200, b"text/plain", b"123", None, id="user_through_a_proxy"),
    pytest.param(b"POST /user", 201, b"application/json", b"", None, id="create"),
    pytest.param(b"PUT /user/123", 200, b"text/plain", b"123", None, id="update"),
    pytest.param(b"DELETE /user/123", 204, None, b"", None, id="delete"),
    pytest.param(b"GET /absent", 404, None, b"", None, id="no_such_path"),
    pytest.param(b"GET /user/", 404, None, b"", None, id="no_user"),
    pytest.param(b"GET /users", 404, None, b"", None, id="longer_path"),
    pytest.param(b"INVALID /absent", 404, None, b"", None, id="no_such_path_for_any_method"),
    pytest.param(b"POST /", 405, None, b"", b"GET, HEAD", id="wrong_method_for_home"),
    pytest.param(b"GET /user", 405, None, b"", b"POST", id="wrong_method_for_users"),
    pytest.param(b"INVALID /user/1", 405, None, b"", b"GET, HEAD, PUT, DELETE", id="wrong_method_for_a_user"),
]


def wire(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(("line", "status", "content_type", "content", "allow"), ROUTES)
def test_a_route_is_answered(handle, line, status, content_type, content, allow) -> None:
    result = drive(ServerConfig(handle, workers=1), [Script(rounds=[Round(send=wire(line)), Round(send=wire(line))])])[
        0
    ]
    assert result.statuses == [status] * 2
    frame = result.frames[0]
    assert (frame.header("content-type"), frame.body, frame.header("allow")) == (content_type, content, allow)
    assert not frame.closes


def test_the_handler_can_be_called_by_hand(handle) -> None:
    response = Response()
    assert handle(Request(wire(b"GET /user/123")), response, Worker()) is None
    assert bytes(response).startswith(b"HTTP/1.1 200 OK\r\n")
    assert bytes(response).endswith(b"\r\n\r\n123")


def test_head_has_the_length_and_not_the_content(handle) -> None:
    request = wire(b"HEAD /user/123") + wire(b"GET /user/123")
    result = drive(ServerConfig(handle, workers=1), [ask(request, frames(2), heads={0})])[0]
    assert [frame.header("content-length") for frame in result.frames] == [b"3", b"3"]
    assert result.bodies == [b"", b"123"]


def test_four_clients_at_once_get_one_answer_each(handle) -> None:
    lines = [b"GET /", b"GET /user/123", b"POST /user", b"INVALID /"]
    results = drive(ServerConfig(handle, workers=1), [ask(wire(line)) for line in lines])
    assert [result.statuses for result in results] == [[200], [200], [201], [405]]
    assert results.counters.in_flight == 0


def test_what_is_malformed_is_refused_by_the_server(handle) -> None:
    result = drive(ServerConfig(handle, workers=1), [ask(b"garbage\r\n\r\n", eof)])[0]
    assert (result.statuses, result.frames[0].closes) == ([400], True)
