"""cookies_sessions, called by hand and over sockets. What a browser makes of it is tried in tests/browser."""

import pathlib
import re
import runpy

import pytest

from vanilla import Server, ServerConfig
from vanilla.testing import ask, drive

PATH = str(pathlib.Path(__file__).with_name("app.py"))


@pytest.fixture
def app() -> dict:
    """With a key and a store of its own."""
    return runpy.run_path(PATH)


class Browser:
    """Keeps cookies, and sends the token of the last page along."""

    def __init__(self, app: dict, cookies: dict[str, str] | None = None) -> None:
        self.server = Server(ServerConfig(app["handle"]))
        self.cookies = dict(cookies or {})
        self.token = ""
        self.sent: list[bytes] = []

    def send(self, method: str, path: str, content: str = "") -> tuple[int, str]:
        """Status and content of the answer."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = (
            f"Cookie: {cookie}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(content)}\r\n"
        )
        [answer] = self.server.test([f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n{content}".encode()])
        head, _, body = answer.partition(b"\r\n\r\n")
        self.sent = re.findall(rb"Set-Cookie: ([^\r]*)", head)
        for line in self.sent:
            name, _, value = line.decode().partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line.decode():
                del self.cookies[name]
        for found in re.findall(r'csrf_token" value="([^"]+)"', body.decode()):
            self.token = found
        return int(head[9:12]), body.decode()

    def submit(self, path: str, **fields: str) -> int:
        return self.send("POST", path, "&".join(f"{k}={v}" for k, v in {**fields, "csrf_token": self.token}.items()))[0]


def test_who_logs_in_is_known_until_they_log_out(app: dict) -> None:
    browser = Browser(app)
    assert 'Hello, <output id="user">stranger</output>' in browser.send("GET", "/")[1]
    assert "__Host-session" not in browser.cookies
    assert browser.send("GET", "/me") == (401, "")
    assert browser.submit("/login", user="%3CAnn%3E") == 303
    [line] = [line for line in browser.sent if line.startswith(b"__Host-session=")]
    assert line.endswith(b"; Path=/; Secure; HttpOnly; SameSite=Lax")
    assert browser.send("GET", "/me") == (200, '{"user":"<Ann>"}')
    pages = [browser.send("GET", "/")[1] for _ in range(2)]
    assert ["&lt;Ann&gt;" in page for page in pages] == [True, True]
    assert '<output id="seen">2</output>' in pages[1]
    copied = dict(browser.cookies)
    assert browser.submit("/logout") == 303
    assert "__Host-session" not in browser.cookies
    assert browser.send("GET", "/me")[0] == 401
    assert Browser(app, copied).send("GET", "/me")[0] == 401


def test_an_id_from_before_the_login_is_none_after_it(app: dict) -> None:
    victim = Browser(app)
    victim.send("GET", "/")
    victim.submit("/login", user="Mallory")
    attacker = Browser(app, victim.cookies)
    victim.send("GET", "/")
    victim.submit("/login", user="Ann")
    assert victim.send("GET", "/me") == (200, '{"user":"Ann"}')
    assert attacker.send("GET", "/me")[0] == 401


def test_a_token_from_before_the_login_is_none_after_it(app: dict) -> None:
    browser = Browser(app)
    browser.send("GET", "/")
    assert browser.submit("/login", user="Ann") == 303
    assert browser.submit("/logout") == 403  # of the old page
    browser.send("GET", "/")
    assert browser.submit("/logout") == 303


@pytest.mark.parametrize("value", ["", "YWRtaW4.1700000000.AAAA", "x" * 3_000, '"a"', "=;="])
def test_a_cookie_that_was_made_up_is_nobody(app: dict, value: str) -> None:
    assert Browser(app, {"__Host-session": value}).send("GET", "/me") == (401, "")


@pytest.mark.parametrize("user", ["", "x" * 101])
def test_a_name_that_cannot_be_is_refused_and_leaves_no_session(app: dict, user: str) -> None:
    browser = Browser(app)
    browser.send("GET", "/")
    assert browser.submit("/login", user=user) == 400
    assert "__Host-session" not in browser.cookies


def test_all_workers_know_who_it_is(app: dict) -> None:
    browser = Browser(app)
    browser.send("GET", "/")
    browser.submit("/login", user="Ann")
    cookie = f"Cookie: __Host-session={browser.cookies['__Host-session']}"
    wire = f"GET /me HTTP/1.1\r\nHost: a\r\n{cookie}\r\n\r\n".encode()
    results = drive(ServerConfig(app["handle"], workers=3), [ask(wire)] * 12 + [ask(b"garbage\r\n\r\n")])
    assert [result.statuses for result in results] == [[200]] * 12 + [[400]]
