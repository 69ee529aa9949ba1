"""simple2, called by hand and over sockets; and that it answers what simple does."""

import importlib
import pathlib
import runpy
import sys
import time

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Round, Script, ask, drive, eof, frames

HERE = pathlib.Path(__file__).parent


@pytest.fixture
def load(monkeypatch):
    """Imports the handler of an example as the command does it: the directory of the file first on the path."""

    def import_from(folder: pathlib.Path):
        monkeypatch.syspath_prepend(str(folder))
        for name in ("app", "controllers"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module("app").handle

    yield import_from
    for name in ("app", "controllers"):
        sys.modules.pop(name, None)


@pytest.fixture
def handle(load):
    return load(HERE)


JSON, TEXT = b"application/json", b"text/plain"

ROUTES = [
    # request line, status, type, content, Allow
    pytest.param(b"GET /", 200, JSON, b"", None, id="home"),
    pytest.param(b"GET /?x=1", 200, JSON, b"", None, id="home_with_a_query"),
    pytest.param(b"GET /users", 200, JSON, b"", None, id="users"),
    pytest.param(b"GET /user/123", 200, TEXT, b"123", None, id="user"),
    pytest.param(b"GET /user/1?x=2", 200, TEXT, b"1", None, id="user_with_a_query"),
    pytest.param(b"GET /user/a/b", 200, TEXT, b"a/b", None, id="user_with_a_slash"),
    pytest.param(b"GET http://a/user/123", 200, TEXT, b"123", None, id="user_through_a_proxy"),
    pytest.param(b"POST /user", 201, JSON, b"", None, id="create"),
    pytest.param(b"GET /absent", 404, None, b"", None, id="no_such_path"),
    pytest.param(b"GET /user/", 404, None, b"", None, id="no_user"),
    pytest.param(b"GET /users/", 404, None, b"", None, id="longer_path"),
    pytest.param(b"GET /User/1", 404, None, b"", None, id="another_case"),
    pytest.param(b"INVALID /absent", 404, None, b"", None, id="no_such_path_for_any_method"),
    pytest.param(b"POST /", 405, None, b"", b"GET, HEAD", id="wrong_method_for_home"),
    pytest.param(b"POST /users", 405, None, b"", b"GET, HEAD", id="wrong_method_for_users"),
    pytest.param(b"GET /user", 405, None, b"", b"POST", id="wrong_method_to_create"),
    pytest.param(b"DELETE /user/1", 405, None, b"", b"GET, HEAD", id="wrong_method_for_a_user"),
]


def wire(line: bytes) -> bytes:
    return line + b" HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(("line", "status", "content_type", "content", "allow"), ROUTES)
def test_a_route_is_answered(handle, line, status, content_type, content, allow) -> None:
    script = Script(rounds=[Round(send=wire(line)), Round(send=wire(line))])
    result = drive(ServerConfig(handle, workers=1, check_responses=True), [script])[0]
    assert result.statuses == [status] * 2
    frame = result.frames[0]
    assert (frame.header("content-type"), frame.body, frame.header("allow")) == (content_type, content, allow)
    assert not frame.closes


@pytest.mark.parametrize(
    "line", [b"GET /", b"GET /user/123", b"HEAD /user/123", b"POST /user", b"GET /no", b"PUT /user"]
)
def test_simple_answers_the_same(load, line) -> None:
    answers = []
    for folder in (HERE, HERE.parent / "simple"):
        response = Response()
        load(folder)(Request(wire(line)), response, Worker())
        answers.append((response.status, response.header("content-type"), response.header("allow"), response.content))
    assert answers[0] == answers[1]


def test_the_variant_with_views_answers_the_same(handle) -> None:
    views = runpy.run_path(str(HERE / "compare.py"))["handle_views"]
    answers = drive(ServerConfig(handle), [ask(wire(b"GET /user/123"))])
    others = drive(ServerConfig(views), [ask(wire(b"GET /user/123"))])
    assert answers[0].bodies == others[0].bodies == [b"123"]


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="no other thread's CPU time is told here")
def test_each_variant_is_measured(capsys, monkeypatch) -> None:
    run = runpy.run_path(str(HERE / "compare.py"))["run"]
    monkeypatch.setitem(run.__globals__, "ROUNDS", 1)
    run("views")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["views"] * 2


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


@pytest.mark.parametrize("raw", [b"garbage\r\n\r\n", b"GET /user/1\r\n\r\n", b"GET /user/1 HTTP/1.1\r\nHost\r\n\r\n"])
def test_what_is_malformed_is_refused_by_the_server(handle, raw) -> None:
    results = drive(ServerConfig(handle, workers=1), [ask(raw, eof)])
    assert (results[0].statuses, results[0].frames[0].closes) == ([400], True)
    assert results.counters.requests == 0


def test_a_head_that_is_cut_off_is_no_request(handle) -> None:
    cut = Script(rounds=[Round(send=wire(b"GET /user/1")[:-2], half_close=True, until=eof)])
    results = drive(ServerConfig(handle, workers=1), [cut])
    assert (results[0].statuses, results.counters.requests) == ([], 0)
