"""response_cache, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import ServerConfig
from vanilla.testing import Round, Script, ask, drive, frames, repeat

APP_PATH = str(pathlib.Path(__file__).with_name("app.py"))


@pytest.fixture
def app():
    return runpy.run_path(APP_PATH)


def raw(path: str, *fields: str, method: str = "GET", body: str = "") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: a",
        *fields,
        *([f"Content-Length: {len(body)}"] if body else []),
        "",
        body,
    ]
    return "\r\n".join(lines).encode()


def test_many_at_once_have_it_made_once(app) -> None:
    results = drive(ServerConfig(app["handle"], workers=1), repeat(20, ask(raw("/news"))))
    assert [result.frames[0].body for result in results] == [b"first edition\n"] * 20
    assert (app["kept"].hits, app["kept"].misses) == (19, 1)


def test_what_is_published_is_seen_and_conditions_are_answered(app) -> None:
    rounds = [raw("/news"), raw("/news", method="POST", body="second"), raw("/news"), raw("/news")]
    [result] = drive(ServerConfig(app["handle"], workers=1), [Script(rounds=[Round(send=one) for one in rounds])])
    assert [frame.body for frame in result.frames] == [b"first edition\n", b"", b"second\n", b"second\n"]
    tag = result.frames[-1].header("etag").decode()
    asked = raw("/news") + raw("/news", f"If-None-Match: {tag}")
    [again] = drive(ServerConfig(app["handle"], workers=1), [ask(asked, frames(2))])
    assert again.statuses == [200, 304]


def test_languages_and_clients_have_each_their_own(app) -> None:
    asked = [
        raw("/greeting", "Accept-Language: de"),
        raw("/greeting", "Accept-Language: en"),
        raw("/account", "Cookie: name=ann"),
        raw("/account", "Cookie: name=bob"),
        raw("/nowhere"),
    ]
    [result] = drive(ServerConfig(app["handle"], workers=1), [ask(b"".join(asked * 2), frames(10))])
    answers = [frame.body for frame in result.frames]
    assert answers[:4] == [b"Hallo\n", b"Hello\n", b"you are ann\n", b"you are bob\n"]
    assert answers[5:] == answers[:5]
    assert result.statuses[4] == 404
    assert app["kept"].hits == 2


@pytest.mark.parametrize("wire", [b"garbage\r\n\r\n", b"GET /news HTTP/1.1\r\nHost a\r\n\r\n"])
def test_garbage_is_refused_and_asks_no_cache(app, wire: bytes) -> None:
    [result] = drive(ServerConfig(app["handle"], workers=1), [ask(wire)])
    assert result.statuses == [400]
    assert app["kept"].misses == 0
