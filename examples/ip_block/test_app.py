"""ip_block, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive

PATH = str(pathlib.Path(__file__).with_name("app.py"))
OFFICE = "10.1.2.3"


def raw(client: str, method: str = "GET", path: str = "/") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode()


@pytest.fixture
def app(monkeypatch) -> dict:
    """With a list of its own, behind a proxy: a request made by hand comes as from a unix socket."""
    monkeypatch.setenv("PROXIES", "unix 127.0.0.1")
    monkeypatch.setenv("OFFICE", "10.0.0.0/8")
    return runpy.run_path(PATH)


def status(app: dict, *given: str) -> int:
    response = Response()
    app["handle"](Request(raw(*given)), response, Worker())
    return response.status


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        ("203.0.113.9", 200),
        ("192.0.2.1", 403),
        ("::ffff:192.0.2.1", 403),
        ("2001:db8::1", 403),
        ("2001:DB8:0:0::1", 403),
        ("2001:db9::1", 200),
        ("192.0.2.1, 203.0.113.9", 200),
        ("203.0.113.9, 192.0.2.1", 403),
        ("garbage", 200),
    ],
)
def test_who_is_in_a_blocked_network_stays_outside(app: dict, client: str, expected: int) -> None:
    assert status(app, client) == expected


@pytest.mark.parametrize(
    ("blocked", "client"),
    [("203.0.113.9", "203.0.113.9"), ("2001:DB9::0:1", "2001:db9::1"), ("::ffff:203.0.113.9", "203.0.113.9")],
)
def test_the_office_blocks_and_unblocks(app: dict, blocked: str, client: str) -> None:
    seen = [status(app, client)]
    for method in ("PUT", "DELETE"):
        assert status(app, OFFICE, method, f"/blocked/{blocked}") == 204
        seen.append(status(app, client))
    assert seen == [200, 403, 200]


def test_nobody_else_does(app: dict) -> None:
    for client in ("203.0.113.9", f"{OFFICE}, 203.0.113.9"):
        assert status(app, client, "PUT", "/blocked/203.0.113.8") == 403
    assert app["blocklist"].addresses == set()


def test_the_list_is_bounded(app: dict) -> None:
    app["blocklist"].addresses.update(range(app["BLOCKED_MAX"]))
    assert status(app, OFFICE, "PUT", "/blocked/203.0.113.9") == 507


def test_over_sockets(app: dict) -> None:
    wires = [
        raw("203.0.113.9"),
        raw("192.0.2.1"),
        raw(OFFICE, "PUT", "/blocked/nowhere"),
        b"garbage\r\n\r\n",
        raw("a", "POST"),
    ]
    results = drive(ServerConfig(app["handle"]), [ask(wire) for wire in wires])
    assert [result.statuses for result in results] == [[200], [403], [400], [400], [405]]


def test_without_a_proxy_the_connection_says_who_it_is(monkeypatch) -> None:
    monkeypatch.delenv("PROXIES", raising=False)
    app = runpy.run_path(PATH)
    wires = [raw("192.0.2.1"), raw("1.2.3.4", "PUT", "/blocked/127.0.0.1"), raw("203.0.113.9")]
    statuses = [drive(ServerConfig(app["handle"]), [ask(wire)])[0].statuses for wire in wires]
    assert statuses == [[200], [204], [403]]
