"""cors, called by hand and over sockets. What a browser makes of it is tried in tests/browser."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive

PATH = str(pathlib.Path(__file__).with_name("app.py"))
ALLOWED, OTHER = "Origin: https://app.example", "Origin: https://evil.example"


def raw(method: str, *fields: str, path: str = "/api/note", content: str = "") -> bytes:
    lines = "".join(f"{field}\r\n" for field in [*fields, f"Content-Length: {len(content)}"])
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{content}".encode()


@pytest.fixture
def app(monkeypatch) -> dict:
    """With a note of its own."""
    monkeypatch.delenv("ORIGINS", raising=False)
    return runpy.run_path(PATH)


def answer(app: dict, wire: bytes) -> Response:
    request, response, worker = Request(wire), Response(), Worker()
    app["handle"](request, response, worker)
    for hook in reversed(response.recorded_hooks):
        hook(request, response, worker)
    return response


def test_a_preflight_of_an_allowed_origin_says_what_it_may(app: dict) -> None:
    response = answer(app, raw("OPTIONS", ALLOWED, "Access-Control-Request-Method: PUT"))
    fields = {name.lower(): value for name, value in response.headers() if name.lower().startswith(b"access")}
    assert response.status == 204
    assert fields == {
        b"access-control-allow-origin": b"https://app.example",
        b"access-control-allow-methods": b"GET, PUT",
        b"access-control-allow-headers": b"Content-Type",
        b"access-control-allow-credentials": b"true",
        b"access-control-max-age": b"600",
    }


@pytest.mark.parametrize(
    "fields", [(OTHER,), ("Origin: null",), ("Origin: https://app.example.evil",), (ALLOWED, OTHER), ()]
)
@pytest.mark.parametrize("method", ["OPTIONS", "GET"])
def test_no_other_origin_is_told_that_it_may(app: dict, method: str, fields: tuple) -> None:
    response = answer(app, raw(method, "Access-Control-Request-Method: PUT", *fields))
    assert [name for name, _ in response.headers() if name.lower().startswith(b"access-control")] == []


def test_every_answer_says_that_it_depends_on_the_origin(app: dict) -> None:
    for fields, path in (((ALLOWED,), "/api/note"), ((OTHER,), "/api/note"), ((), "/"), ((), "/nowhere")):
        assert answer(app, raw("GET", *fields, path=path)).header("vary") == b"Origin"
    read = answer(app, raw("GET", ALLOWED))
    assert (read.header("access-control-expose-headers"), read.content) == (b"X-Length", b'{"note":"read me"}')


@pytest.mark.parametrize(
    ("content", "status", "note"),
    [
        ('{"note": "hello"}', 204, "hello"),
        ('{"note": 7}', 400, "read me"),
        ("[]", 400, "read me"),
        ('{"note": "' + "x" * 201 + '"}', 400, "read me"),
        ("{", 400, "read me"),
        ('"' + "x" * 10_000 + '"', 413, "read me"),
    ],
)
def test_a_note_is_written_or_refused(app: dict, content: str, status: int, note: str) -> None:
    wire = raw("PUT", ALLOWED, "Content-Type: application/json", content=content)
    [result] = drive(ServerConfig(app["handle"]), [ask(wire)])
    assert (result.statuses, app["notes"]["note"]) == ([status], note)
    assert result.frames[0].header("Access-Control-Allow-Origin") == b"https://app.example"


def test_over_sockets(app: dict) -> None:
    wires = [raw("GET", path="/"), raw("DELETE"), b"garbage\r\n\r\n"]
    results = drive(ServerConfig(app["handle"]), [ask(wire) for wire in wires])
    assert [result.statuses for result in results] == [[200], [405], [400]]
