"""proxy_aware, called by hand and over sockets."""

import json
import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive

PATH = str(pathlib.Path(__file__).with_name("app.py"))


def raw(*fields: str) -> bytes:
    return "".join(["GET / HTTP/1.1\r\nHost: own.example\r\n", *(f"{field}\r\n" for field in fields), "\r\n"]).encode()


def seen(*fields: str, **environment: str) -> tuple:
    """What a request made by hand, which comes as from a unix socket, is answered."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        app = runpy.run_path(PATH)
    response = Response()
    app["handle"](Request(raw(*fields)), response, Worker())
    content = json.loads(response.content)
    return content["client"], content["scheme"], content["host"]


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9, 10.1.2.3", "203.0.113.9"),
        ("203.0.113.9, 172.31.255.254", "203.0.113.9"),
        ("203.0.113.9, 172.32.0.1", "172.32.0.1"),
        ("203.0.113.9, 127.0.0.2", "127.0.0.2"),
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        (",, 203.0.113.9 ,", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("203.0.113.9:1234", "203.0.113.9"),
        ("   ", None),
        ('", "evil": true', None),
        ("203.0.113.9, unknown", None),
        ("256.1.1.1", None),
        ("1.2.3", None),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(value: str, client: str | None) -> None:
    assert seen(f"X-Forwarded-For: {value}") == (client, "http", "own.example")


def test_several_lines_are_one() -> None:
    assert seen("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 203.0.113.9")[0] == "203.0.113.9"


@pytest.mark.parametrize(
    ("field", "scheme", "host"),
    [
        ("X-Forwarded-Proto: https", "https", "own.example"),
        ('X-Forwarded-Proto: https","a":"b', "http", "own.example"),
        ("X-Forwarded-Proto: javascript", "http", "own.example"),
        ("X-Forwarded-Host: shop.example:8443", "http", "shop.example:8443"),
        ('X-Forwarded-Host: a"b', "http", "own.example"),
        ("X-Forwarded-Host: a/b", "http", "own.example"),
    ],
)
def test_scheme_and_host_are_what_they_can_be(field: str, scheme: str, host: str) -> None:
    assert seen("X-Forwarded-For: 203.0.113.9", field) == ("203.0.113.9", scheme, host)


def test_forwarded_is_read_where_the_proxies_write_it() -> None:
    fields = ("Forwarded: for=203.0.113.9;proto=https;host=shop.example", "X-Forwarded-For: 6.6.6.6")
    assert seen(*fields, FIELDS="forwarded") == ("203.0.113.9", "https", "shop.example")
    assert seen(*fields) == ("6.6.6.6", "http", "own.example")


def test_nobody_else_is_believed() -> None:
    fields = ("X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example")
    assert seen(*fields, PROXIES="10.0.0.0/8") == (None, "http", "own.example")


def test_a_malformed_network_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8"):
        seen(PROXIES="10.0.0.1/8")


def test_over_sockets() -> None:
    wires = [raw("X-Forwarded-For: 203.0.113.9"), raw(), b"garbage\r\n\r\n"]
    results = drive(ServerConfig(runpy.run_path(PATH)["handle"]), [ask(wire) for wire in wires])
    assert results[0].bodies == [b'{"client":"203.0.113.9","scheme":"http","host":"own.example"}']
    assert results[1].bodies == [b'{"client":"127.0.0.1","scheme":"http","host":"own.example"}']
    assert results[2].statuses == [400]
