"""security_headers, called by hand and over sockets."""

import pathlib
import re
import runpy

import pytest

from vanilla import ServerConfig
from vanilla.testing import ask, drive

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
ALWAYS = {
    "X-Content-Type-Options": b"nosniff",
    "Referrer-Policy": b"strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": b"same-origin",
    "Strict-Transport-Security": b"max-age=63072000; includeSubDomains",
}


def fetch(path: str):
    [result] = drive(ServerConfig(APP["handle"]), [ask(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())])
    return result.frames[0]


@pytest.mark.parametrize(("path", "status"), [("/", 200), ("/widget", 200), ("/nowhere", 404), ("/fail", 500)])
def test_every_answer_has_the_fields(path: str, status: int) -> None:
    frame = fetch(path)
    assert frame.status == status
    assert {name: frame.header(name) for name in ALWAYS} == ALWAYS
    assert b"geolocation=()" in frame.header("Permissions-Policy")


def test_the_script_of_the_page_has_the_nonce_of_its_policy_and_no_two_are_alike() -> None:
    nonces = set()
    for _ in range(3):
        frame = fetch("/")
        [nonce] = re.findall(rb'<script nonce="([^"]{24})">', frame.body)
        assert b"script-src 'nonce-" + nonce + b"'" in frame.header("Content-Security-Policy")
        nonces.add(nonce)
    assert len(nonces) == 3


def test_only_the_widget_may_be_framed() -> None:
    for path, options in (("/", b"DENY"), ("/nowhere", b"DENY"), ("/widget", None)):
        assert fetch(path).header("X-Frame-Options") == options
    assert fetch("/widget").header("Cross-Origin-Resource-Policy") == b"cross-origin"
    assert fetch("/nowhere").header("Content-Security-Policy") == b"default-src 'self'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "wire", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA:\0\r\n\r\n"]
)
def test_what_is_malformed_is_refused_without_content(wire: bytes) -> None:
    [result] = drive(ServerConfig(APP["handle"]), [ask(wire)])
    assert (result.statuses, result.bodies) == ([400], [b""])
