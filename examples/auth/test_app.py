"""auth, called by hand and over sockets."""

import base64
import json
import pathlib
import runpy
import threading
import time

import pytest

from vanilla import Request
from vanilla.testing import Session, ask, drive, sent

argon2 = pytest.importorskip("argon2", reason="it has no wheel for this Python")
jwt = pytest.importorskip("jwt")

PATH = str(pathlib.Path(__file__).with_name("app.py"))
KEY = "k" * 32
PASSWORD = "correct horse battery staple"
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.fixture
def app(monkeypatch) -> dict:
    """With a count of logins of its own."""
    monkeypatch.setenv("JWT_KEY", KEY)
    return runpy.run_path(PATH)


def raw(path: str, *fields: str, method: str = "GET", content: str = "") -> bytes:
    form = ["Content-Type: application/json"] if content else []
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *fields, *form, f"Content-Length: {len(content)}", "", content]
    return "\r\n".join(lines).encode()


def login(user: object = "ann", password: object = PASSWORD) -> bytes:
    return raw("/token", method="POST", content=json.dumps({"user": user, "password": password}))


def bearer(token: str, scheme: str = "Bearer") -> bytes:
    return raw("/me", f"Authorization: {scheme} {token}")


def send(app: dict, *wires: bytes) -> list:
    return [result.frames[0] for result in drive(app["config"], [ask(wire) for wire in wires])]


def signed(key: str = KEY, algorithm: str = "HS256", **claims: object) -> str:
    return jwt.encode({"sub": "ann", "exp": int(time.time()) + 60, **claims}, key, algorithm=algorithm)


def unsigned(header: str, claims: str) -> str:
    return ".".join(base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in (header, claims))


def test_who_logs_in_has_a_token_for_an_hour(app: dict) -> None:
    [answer] = send(app, login())
    assert (answer.status, answer.header("Cache-Control")) == (200, b"no-store")
    token = json.loads(answer.body)["token"]
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert (claims["sub"], claims["exp"] - claims["iat"]) == ("ann", 3600)
    assert [frame.body for frame in send(app, bearer(token), bearer(token, "bearer"))] == [b'{"user":"ann"}'] * 2


@pytest.mark.parametrize(
    ("user", "password"), [("ann", "guess"), ("ann", PASSWORD + " "), ("bob", PASSWORD), ("Ann", PASSWORD)]
)
def test_a_wrong_password_or_user_is_401(app: dict, user: str, password: str) -> None:
    [answer] = send(app, login(user, password))
    assert (answer.status, answer.header("WWW-Authenticate"), answer.body) == (401, b"Bearer", b"")


def test_who_does_not_exist_is_hashed_as_well(app: dict, monkeypatch) -> None:
    asked = []

    class Hasher:
        def verify(self, known: str, password: str) -> None:
            asked.append((known, password))
            raise argon2.exceptions.VerifyMismatchError

    monkeypatch.setitem(app["is_right"].__globals__, "hasher", Hasher())
    assert not app["is_right"]("bob", "x")
    assert asked == [(app["NOBODY"], "x")]
    assert argon2.extract_parameters(app["NOBODY"]) == argon2.extract_parameters(app["USERS"]["ann"])


def test_a_hash_that_is_none_lets_nobody_in(app: dict) -> None:
    app["USERS"].update(broken="$argon2id$", empty="")
    assert [app["is_right"](user, "") for user in ("broken", "empty")] == [False, False]


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (login(""), 400),
        (login("ann", ""), 400),
        (login("ann", "x" * 201), 400),
        (login("ann", 7), 400),
        (raw("/token", method="POST", content="[]"), 400),
        (raw("/token", method="POST", content="{"), 400),
        (raw("/token", method="POST", content=json.dumps("x" * 10_000)), 413),
        (raw("/token", "Content-Type: text/plain", method="POST"), 415),
        (raw("/token"), 405),
        (raw("/nowhere"), 404),
        (b"garbage\r\n\r\n", 400),
    ],
)
def test_what_is_no_login_is_refused_before_it_is_hashed(app: dict, monkeypatch, wire: bytes, status: int) -> None:
    monkeypatch.setitem(app["is_right"].__globals__, "hasher", None)
    [answer] = send(app, wire)
    assert answer.status == status


def test_guesses_are_few(app: dict, monkeypatch) -> None:
    monkeypatch.setitem(app["log_in"].__globals__, "is_right", lambda user, password: False)
    statuses = [send(app, login("ann", f"guess {number}"))[0].status for number in range(11)]
    assert statuses == [401] * 10 + [429]


def test_a_token_that_was_changed_anywhere_is_none(app: dict) -> None:
    token = signed()
    wires = []
    for at in range(len(token)):
        other = "A" if token[at] != "A" else "B"
        wires.append(bearer(token[:at] + other + token[at + 1 :]))
    with Session(app["config"]) as session:
        results = session.fire([ask(wire) for wire in [*wires, bearer(token)]]).results
    assert [result.statuses for result in results] == [[401]] * len(token) + [[200]]


def test_a_mac_has_one_spelling_though_its_last_bits_mean_nothing(app: dict) -> None:
    token = signed()
    last = CHARACTERS.index(token[-1])
    others = [token[:-1] + CHARACTERS[last ^ bits] for bits in (1, 2, 3)]
    assert [frame.status for frame in send(app, *map(bearer, [*others, token]))] == [401, 401, 401, 200]


CLAIMS = '{"sub":"ann","exp":99999999999}'
NONE = '{"alg":"none","typ":"JWT"}'


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(signed(exp=int(time.time()) - 1), id="ended"),
        pytest.param(jwt.encode({"sub": "ann"}, KEY, algorithm="HS256"), id="never_ends"),
        pytest.param(signed(exp="never"), id="no_time"),
        pytest.param(jwt.encode({"exp": 99999999999}, KEY, algorithm="HS256"), id="nobodys"),
        pytest.param(signed("o" * 32), id="another_key"),
        pytest.param(signed("k" * 64, "HS512"), id="another_algorithm"),
        pytest.param(unsigned(NONE, CLAIMS) + ".", id="unsigned"),
        pytest.param(unsigned(NONE, CLAIMS) + "." + signed().rpartition(".")[2], id="unsigned_with_a_mac"),
        pytest.param("a.b", id="two_parts"),
        pytest.param("a.b.c.d", id="four_parts"),
        pytest.param("..", id="empty_parts"),
        pytest.param("", id="empty"),
        pytest.param("x" * 8_000, id="long"),
    ],
)
def test_no_other_token_is_one(app: dict, token: str) -> None:
    [answer] = send(app, bearer(token))
    assert (answer.status, answer.header("WWW-Authenticate")) == (401, b"Bearer")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (("X-API-Key: secret-api-key-123",), 200),
        (("x-api-key: secret-api-key-124",), 401),
        (("X-API-Key: ",), 401),
        (("X-API-Key: 58bcbf00206b7f71703cc789fd6f95503ace4028d6ce14da76f1f5142d43b0b2",), 401),
        (("X-API-Key: \xff",), 401),
        ((), 401),
    ],
)
def test_a_service_has_its_key(app: dict, fields: tuple, status: int) -> None:
    [answer] = send(app, raw("/service", *fields))
    assert answer.status == status


def test_others_are_served_while_a_password_is_checked(app: dict, monkeypatch) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def is_right(user: str, password: str) -> bool:
        begun.set()
        return may_end.wait(30)

    monkeypatch.setitem(app["log_in"].__globals__, "is_right", is_right)
    with Session(app["config"]) as session:
        waiting = session.fire([ask(login(), sent)])
        assert begun.wait(30)
        assert session.fire([ask(bearer(signed()))]).results[0].statuses == [200]
        assert waiting.results[0].raw == b""
        may_end.set()
        assert session.wait(waiting, lambda received: len(received.frames) == 1)[0].statuses == [200]


@pytest.mark.parametrize("key", ["", "k" * 31])
def test_it_does_not_start_without_a_key(monkeypatch, key: str) -> None:
    monkeypatch.setenv("JWT_KEY", key)
    with pytest.raises(ValueError, match="JWT_KEY: 32 random bytes"):
        runpy.run_path(PATH)


def test_called_by_hand(app: dict) -> None:
    assert app["find_user"](Request(bearer(signed()))) == "ann"
    assert app["find_service"](Request(raw("/service", "X-API-Key: secret-api-key-123"))) == "backup"
