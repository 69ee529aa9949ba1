"""csrf, called by hand and over sockets. What a browser makes of it is tried in tests/browser."""

import pathlib
import re
import runpy

import pytest

from vanilla import ServerConfig
from vanilla.testing import ask, drive

PATH = str(pathlib.Path(__file__).with_name("app.py"))
SCRIPT = "X-CSRF-Token: "


def raw(method: str = "GET", path: str = "/", *fields: str, content: str = "") -> bytes:
    length = f"Content-Length: {len(content)}"
    form = ["Content-Type: application/x-www-form-urlencoded"] if content else []
    lines = [f"{method} {path} HTTP/1.1", "Host: here", *fields, *form, length, "", content]
    return "\r\n".join(lines).encode()


@pytest.fixture
def app() -> dict:
    """With a key and a list of its own."""
    return runpy.run_path(PATH)


def send(app: dict, wire: bytes):
    [result] = drive(ServerConfig(app["handle"]), [ask(wire)])
    return result.frames[0]


def visit(app: dict) -> tuple[str, str]:
    """The token of a page, and the field that brings its cookie back."""
    frame = send(app, raw())
    [token] = set(re.findall(rb'(?:content|value)="([\w.-]{60,})"', frame.body))
    return token.decode(), "Cookie: " + frame.header("Set-Cookie").partition(b";")[0].decode()


def test_what_the_page_sends_goes_through_by_form_and_by_script(app: dict) -> None:
    token, cookie = visit(app)
    by_form = send(app, raw("POST", "/transfer", cookie, content=f"to=Ann&csrf_token={token}"))
    by_script = send(app, raw("POST", "/transfer", cookie, SCRIPT + token, content="to=B%C3%B6%3Cb%3E"))
    assert (by_form.status, by_form.header("Location"), by_script.status) == (303, b"/", 303)
    assert app["sent"] == ["Ann", "Bö<b>"]
    assert "Sent so far: <output>Ann, Bö&lt;b&gt;</output>" in send(app, raw()).body.decode()


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(("{cookie}",), id="no_token"),
        pytest.param((SCRIPT + "{token}",), id="no_cookie"),
        pytest.param(("{cookie}", SCRIPT + "{token}x"), id="changed_token"),
        pytest.param(("{cookie}", SCRIPT), id="empty_token"),
        pytest.param(("Cookie: __Host-csrf={other}", SCRIPT + "{token}"), id="cookie_of_another_client"),
        pytest.param(("Cookie: x__Host-csrf={token}", SCRIPT + "{token}"), id="another_cookie"),
        pytest.param(("Cookie: __Host-csrf=a", SCRIPT + "a"), id="made_up"),
        pytest.param(("{cookie}", SCRIPT + "{token}", "Origin: https://evil.example"), id="another_origin"),
        pytest.param(("{cookie}", SCRIPT + "{token}", "Sec-Fetch-Site: cross-site"), id="another_site"),
    ],
)
def test_what_another_site_could_send_does_not(app: dict, fields: tuple) -> None:
    token, cookie = visit(app)
    other, _ = visit(app)
    filled = [field.format(token=token, cookie=cookie, other=other) for field in fields]
    assert send(app, raw("POST", "/transfer", *filled, content="to=Eve")).status == 403
    assert app["sent"] == []


@pytest.mark.parametrize("content", ["to=", "a=b", "to=" + "x" * 101, "to=%zz"])
def test_what_the_handler_does_not_take_is_400(app: dict, content: str) -> None:
    token, cookie = visit(app)
    assert send(app, raw("POST", "/transfer", cookie, SCRIPT + token, content=content)).status == 400


def test_a_page_is_its_users_own(app: dict) -> None:
    frame = send(app, raw())
    assert (frame.header("Cache-Control"), frame.header("Vary")) == (b"private, no-cache", b"Cookie")
    assert b"; Secure; HttpOnly; SameSite=Lax" in frame.header("Set-Cookie")


@pytest.mark.parametrize(
    ("wire", "status"),
    [(raw(path="/nowhere"), 404), (raw(path="/transfer"), 405), (b"garbage\r\n\r\n", 400), (raw("DELETE", "/"), 403)],
)
def test_anything_else(app: dict, wire: bytes, status: int) -> None:
    assert send(app, wire).status == status
