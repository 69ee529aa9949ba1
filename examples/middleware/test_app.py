"""middleware, called by hand and over sockets."""

import logging
import pathlib
import re
import runpy

import pytest

from vanilla import Server, ServerConfig

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
ALICE, ROOT, NOBODY = "tok-alice", "tok-root", "tok-x"


def raw(path: str, token: str | None = None) -> bytes:
    field = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{field}\r\n".encode()


@pytest.mark.parametrize(
    ("path", "token", "status"),
    [
        ("/", None, 200),
        ("/me", None, 401),
        ("/me", NOBODY, 401),
        ("/me", ALICE, 200),
        ("/me", ROOT, 200),
        ("/admin", None, 401),
        ("/admin", ALICE, 403),
        ("/admin", ROOT, 200),
        ("/nowhere", ROOT, 404),
    ],
)
def test_each_comes_in_where_they_may_and_every_answer_is_secured_and_logged(path, token, status, caplog) -> None:
    with caplog.at_level(logging.INFO, "access"):
        [answer] = Server(ServerConfig(APP["handle"])).test([raw(path, token)])
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"X-Content-Type-Options: nosniff\r\n") == 1
    assert (b"WWW-Authenticate: Bearer\r\n" in answer) == (status == 401)
    [line] = [record.getMessage() for record in caplog.records if record.name == "access"]
    assert re.fullmatch(rf"GET {path} {status} \d+\.\d\d ms", line)


def test_what_a_handler_raises_is_logged_as_its_500(caplog) -> None:
    def fails(request, response, worker):
        raise KeyError

    handle = APP["compose"](fails, APP["with_access_log"], APP["with_security_headers"])
    with caplog.at_level(logging.INFO, "access"):
        [answer] = Server(ServerConfig(handle)).test([raw("/")])
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"X-Content-Type-Options: nosniff\r\n" in answer
    assert any(record.getMessage().startswith("GET / 500 ") for record in caplog.records)
