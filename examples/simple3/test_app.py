"""simple3, called by hand and over sockets."""

import contextlib
import json
import pathlib
import runpy
import sqlite3

import pytest

from vanilla import Request, Response, Server, ServerConfig, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, repeat
from vanilla.toolkit.json_bodies import JSONError
from vanilla.toolkit.refusals import TooLargeError, UnsupportedTypeError

Users = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))["Users"]


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "users.db")


@pytest.fixture
def users(path):
    return Users(path, busy_timeout=0.01)


@pytest.fixture
def worker(users):
    """One made by hand, with a connection."""
    with contextlib.closing(users.connect()) as database:
        yield Worker(state=database)


def config_of(users, workers: int = 1) -> ServerConfig:
    return ServerConfig(users.handle, make_state=users.connect, on_worker_stop=users.close, workers=workers)


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def post(content: str | bytes, kind: str = "application/json") -> bytes:
    content = content.encode() if isinstance(content, str) else content
    head = f"POST /user HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


def answer(users, worker: Worker, raw: bytes) -> Response:
    response = Response()
    users.handle(Request(raw), response, worker)
    return response


@pytest.mark.parametrize("name", ["Ada", "J\u00fcrgen", "'); DROP TABLE users; --", "x" * 100])
def test_who_is_created_is_found_where_the_answer_says(users, worker, name: str) -> None:
    created = answer(users, worker, post(json.dumps({"name": f" {name} "})))
    assert (created.status, json.loads(created.content)) == (201, {"id": 1, "name": name})
    found = answer(users, worker, get(created.header("location").decode()))
    assert (found.status, json.loads(found.content)) == (200, {"id": 1, "name": name})
    assert json.loads(answer(users, worker, get("/")).content) == {"users": 1}


@pytest.mark.parametrize("key", ["1", "0", "-1", "x", "1.0", "%31%20", "\u0661".encode().hex("%"), "9" * 18, "9" * 40])
def test_nobody_is_not_found(users, worker, key: str) -> None:
    assert answer(users, worker, get(f"/user/{key}")).status == 404


@pytest.mark.parametrize(
    "content",
    [
        "{}",
        "[]",
        "null",
        '{"name": ""}',
        '{"name": " "}',
        '{"name": 7}',
        '{"name": "a\\u0000b"}',
        json.dumps({"name": "x" * 101}),
    ],
)
def test_a_user_without_a_name_is_refused(users, worker, content: str) -> None:
    refused = answer(users, worker, post(content))
    assert (refused.status, refused.header("content-type")) == (422, b"application/problem+json")
    assert json.loads(answer(users, worker, get("/")).content) == {"users": 0}


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (post('{"name"'), JSONError),
        (post(b'{"name": "\xff"}'), JSONError),
        (post('{"name": "\\ud800"}'), JSONError),
        (post("name=Ada", "application/x-www-form-urlencoded"), UnsupportedTypeError),
        (post(json.dumps({"name": "x" * 20_000})), TooLargeError),
    ],
)
def test_what_is_no_json_is_refused(users, worker, raw: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        answer(users, worker, raw)


def test_other_paths_and_methods_are_refused(users, worker) -> None:
    assert answer(users, worker, get("/users")).status == 404
    assert answer(users, worker, get("/user")).header("allow") == b"POST, OPTIONS"
    assert answer(users, worker, get("/user/1", "DELETE")).status == 405


def test_a_database_that_is_held_by_another_is_busy(users, worker, path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        refused = answer(users, worker, post('{"name": "Ada"}'))
        assert (refused.status, refused.header("retry-after")) == (503, b"1")
        assert answer(users, worker, get("/")).status == 200  # readers go on
    assert answer(users, worker, post('{"name": "Ada"}')).status == 201


def test_any_other_fault_of_the_database_is_ours(users, worker) -> None:
    worker.state.execute("DROP TABLE users")
    with pytest.raises(sqlite3.OperationalError):
        answer(users, worker, get("/"))


def test_what_one_worker_has_written_all_of_them_read(path) -> None:
    with Session(config_of(Users(path), workers=3)) as session:
        created = session.fire(repeat(12, ask(post('{"name": "Ada"}')))).results
        assert sorted(json.loads(result.bodies[0])["id"] for result in created) == list(range(1, 13))
        found = session.fire([ask(get(f"/user/{key}")) for key in range(1, 13)]).results
        assert [result.statuses for result in found] == [[200]] * 12
        assert session.stop().in_flight == 0


def test_what_was_written_is_there_after_a_restart(path) -> None:
    drive(config_of(Users(path)), [ask(post('{"name": "Ada"}'))])
    results = drive(config_of(Users(path)), [ask(get("/user/1")), ask(get("/user/1", "HEAD"), heads={0})])
    assert results[0].bodies == [b'{"id":1,"name":"Ada"}']
    assert results[1].frames[0].header("content-length") == b"21"


def test_a_database_that_cannot_be_opened_keeps_the_server_from_starting(tmp_path) -> None:
    server = Server(config_of(Users(str(tmp_path / "absent" / "users.db"))))
    with pytest.raises(sqlite3.OperationalError):
        server.start()


@pytest.mark.parametrize(
    ("raw", "status"), [(b"garbage\r\n\r\n", 400), (post("{}").replace(b"/json", b"/xml"), 415), (post("{"), 400)]
)
def test_what_is_malformed_is_answered_over_sockets(users, raw: bytes, status: int) -> None:
    cut = Script(rounds=[Round(send=post('{"name": "Ada"}')[:-1], half_close=True, until=eof)])
    results = drive(config_of(users), [ask(raw), cut, ask(get("/"))])
    assert [result.statuses for result in results] == [[status], [], [200]]
    assert results[2].bodies == [b'{"users":0}']
