"""rate_limit, called by hand and over sockets."""

import collections
import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive, frames

PATH = str(pathlib.Path(__file__).with_name("app.py"))


def raw(path: str = "/", method: str = "GET", *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()


@pytest.fixture
def app() -> dict:
    """With counts of its own."""
    return runpy.run_path(PATH)


def answer(app: dict, wire: bytes) -> Response:
    request, response, worker = Request(wire), Response(), Worker()
    app["handle"](request, response, worker)
    for hook in reversed(response.recorded_hooks):
        hook(request, response, worker)
    return response


def test_logins_are_few_and_the_rest_goes_on(app: dict) -> None:
    answers = [answer(app, raw("/login", "POST")) for _ in range(4)]
    assert [response.status for response in answers] == [401, 401, 401, 429]
    assert 90 <= int(answers[3].header("retry-after")) <= 100
    assert answers[3].content == b'{"title":"Too Many Requests","status":429}'
    assert (answer(app, raw()).status, answer(app, raw()).content) == (200, b'{"ok":true}')


def test_what_costs_more_takes_more(app: dict) -> None:
    assert answer(app, raw("/search")).header("ratelimit-remaining") == b"15"


def test_nobody_makes_up_another_address(app: dict) -> None:
    statuses = [answer(app, raw("/login", "POST", f"X-Forwarded-For: 192.0.2.{end}")).status for end in range(4)]
    assert statuses == [401, 401, 401, 429]


def test_behind_a_proxy_each_client_has_its_own(monkeypatch) -> None:
    monkeypatch.setenv("PROXIES", "unix 10.0.0.0/8")
    app = runpy.run_path(PATH)
    statuses = [
        answer(app, raw("/login", "POST", f"X-Forwarded-For: {addresses}")).status
        for addresses in ["192.0.2.1"] * 4 + ["192.0.2.2", "6.6.6.6, 192.0.2.1"]
    ]
    assert statuses == [401, 401, 401, 429, 401, 429]


def test_over_sockets_all_workers_count_together(app: dict) -> None:
    scripts = [ask(raw("/login", "POST") * 3, frames(3)) for _ in range(4)]
    results = drive(ServerConfig(app["handle"], workers=2), scripts)
    statuses = collections.Counter(status for result in results for status in result.statuses)
    assert statuses == {401: 3, 429: 9}
    assert results.counters.in_flight == 0


@pytest.mark.parametrize("wire", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_what_is_malformed_is_refused(app: dict, wire: bytes) -> None:
    assert drive(ServerConfig(app["handle"]), [ask(wire)])[0].statuses == [400]
