"""compression, called by hand and over sockets."""

import gzip
import json
import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive
from vanilla.toolkit.compression import available_encodings

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))


def raw(path: str, accepted: str | None = None) -> bytes:
    field = "" if accepted is None else f"accept-encoding: {accepted}\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n".encode()


def get(path: str, accepted: str | None = None) -> Response:
    request, response, worker = Request(raw(path, accepted)), Response(), Worker()
    APP["handle"](request, response, worker)
    for hook in reversed(response.recorded_hooks):
        hook(request, response, worker)
    return response


def test_items_are_the_same_in_fewer_bytes() -> None:
    plain, small = get("/items"), get("/items", "gzip")
    assert gzip.decompress(small.content) == plain.content
    assert json.loads(plain.content)["items"] == list(range(1, 11))
    assert small.content_length == len(small.content) < len(plain.content)
    assert plain.header("vary") == small.header("vary") == b"Accept-Encoding"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (", ".join(reversed(available_encodings())), available_encodings()[0]),
        ("GZIP;q=1", "gzip"),
        ("gzip;q=0", None),
        ("pack200-gzip", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("path", ["/items", "/numbers", "/kept"])
def test_each_gets_the_coding_that_it_likes(path: str, accepted: str | None, coding: str | None) -> None:
    assert get(path, accepted).header("content-encoding") == (None if coding is None else coding.encode())


def test_a_secret_is_not_compressed() -> None:
    assert get("/secret?token=3", "gzip").header("content-encoding") is None


def test_over_sockets() -> None:
    asked = [raw("/items", "gzip"), raw("/numbers", "gzip"), raw("/kept", "gzip"), raw("/nowhere", "gzip")]
    results = drive(ServerConfig(APP["handle"]), [ask(one) for one in asked])
    assert [result.statuses for result in results] == [[200], [200], [200], [404]]
    items, numbers, kept = [gzip.decompress(result.frames[0].body) for result in results[:3]]
    assert items == kept
    assert numbers.endswith(b"\n999,998001\n")


@pytest.mark.parametrize("wire", [b"garbage\r\n\r\n", b"GET /items HTTP/1.1\r\nHost a\r\n\r\n"])
def test_garbage_is_refused(wire: bytes) -> None:
    [result] = drive(ServerConfig(APP["handle"]), [ask(wire)])
    assert result.statuses == [400]
