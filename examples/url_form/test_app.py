"""url_form, called by hand and over sockets."""

import json
import pathlib
import runpy
import urllib.parse

import pytest

from vanilla import Request, Response, ServerConfig
from vanilla.testing import ask, drive
from vanilla.toolkit.refusals import MalformedError, TooLargeError, UnsupportedTypeError

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
FORM = "application/x-www-form-urlencoded"


def get(query: str) -> bytes:
    return f"GET /?{query} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def post(content: str, kind: str = FORM) -> bytes:
    head = f"POST /?ignored=1 HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return (head + content).encode()


def answer(raw: bytes) -> object:
    response = Response()
    APP["handle"](Request(raw), response, None)
    return json.loads(response.content)


PAIRS = [
    "",
    "a=b",
    "a=b&a=c",
    "a+b=c+d",
    "%61=%62",
    "a",
    "a=",
    "=b",
    "&&a=b&",
    "a=b=c",
    "a=%2527",
    "a=%C3%A9",
    "q=%22%5C",
]


@pytest.mark.parametrize("pairs", PAIRS)
def test_pairs_are_what_the_standard_library_says(pairs: str) -> None:
    expected = urllib.parse.parse_qs(pairs, keep_blank_values=True)
    assert answer(get(pairs)) == expected
    assert answer(post(pairs)) == expected


@pytest.mark.parametrize("kind", [FORM.upper(), f"{FORM}; charset=utf-8", f"{FORM};charset=UTF-8"])
def test_the_type_is_known_however_it_is_written(kind: str) -> None:
    assert answer(post("a=b", kind)) == {"a": ["b"]}


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (get("a=%"), MalformedError),
        (get("a=%zz"), MalformedError),
        (get("&".join(["a=b"] * 1001)), MalformedError),
        (post("a=%4"), MalformedError),
        (post("&".join(["a=b"] * 1001)), TooLargeError),
        (post("{}", "application/json"), UnsupportedTypeError),
    ],
)
def test_what_is_none_is_refused(raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        APP["handle"](Request(raw), Response(), None)


def test_over_sockets() -> None:
    results = drive(
        ServerConfig(APP["handle"]), [ask(get("a=b")), ask(post("c=d")), ask(get("a=%")), ask(post("{}", "text/plain"))]
    )
    assert [result.statuses for result in results] == [[200], [200], [400], [415]]
    assert [result.bodies[0] for result in results[:2]] == [b'{"a": ["b"]}', b'{"c": ["d"]}']
