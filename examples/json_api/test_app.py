"""json_api, called by hand and over sockets."""

import importlib
import json
import pathlib
import sys

import pytest

from vanilla import Request, Response, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, repeat

HERE = pathlib.Path(__file__).parent
MODULES = ("app", "store", "validation")
ADA = {"name": "Ada", "email": "ada@example.com"}
PROBLEM = b"application/problem+json"


@pytest.fixture
def app(monkeypatch):
    """With users of its own."""
    monkeypatch.syspath_prepend(str(HERE))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("app")
    for name in MODULES:
        del sys.modules[name]


def wire(line: str, content: object = None, kind: str = "application/json") -> bytes:
    body = content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode()
    lines = [f"{line} HTTP/1.1", "Host: a", f"Content-Length: {len(body)}"]
    if content is not None and kind:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def part(content: str, name: str, file_name: str | None = None) -> str:
    disposition = f'form-data; name="{name}"' + ("" if file_name is None else f'; filename="{file_name}"')
    return f"--XX\r\nContent-Disposition: {disposition}\r\n\r\n{content}\r\n"


def form(*parts: str, end: str = "--XX--\r\n", kind: str = "multipart/form-data; boundary=XX") -> bytes:
    return wire("POST /upload", ("".join(parts) + end).encode(), kind)


def ask_for(app, raw: bytes) -> Response:
    response = Response()
    app.config.handler(Request(raw), response, Worker())
    return response


def value(response: Response) -> object:
    return json.loads(response.content)


def test_a_user_is_created_shown_replaced_and_deleted(app) -> None:
    created = ask_for(app, wire("POST /users", ADA))
    assert (created.status, created.header("location"), value(created)) == (201, b"/users/1", {"id": 1, **ADA})
    grace = {"name": "Grace", "email": "grace@example.com", "age": 40, "tags": ["navy"]}
    assert value(ask_for(app, wire("PUT /users/1", grace))) == {"id": 1, **grace}
    assert value(ask_for(app, wire("GET /users/1"))) == {"id": 1, **grace}
    assert ask_for(app, wire("DELETE /users/1")).status == 204
    for raw in (wire("GET /users/1"), wire("DELETE /users/1"), wire("PUT /users/1", ADA), wire("PATCH /users/1", {})):
        gone = ask_for(app, raw)
        assert (gone.status, gone.header("content-type")) == (404, PROBLEM)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({}, {**ADA, "age": 36}),
        ({"name": "Grace"}, {**ADA, "name": "Grace", "age": 36}),
        ({"age": None}, ADA),
        ({"tags": ["a"], "age": None}, {**ADA, "tags": ["a"]}),
    ],
)
def test_a_patch_is_merged(app, patch: dict, expected: dict) -> None:
    ask_for(app, wire("POST /users", {**ADA, "age": 36}))
    patched = ask_for(app, wire("PATCH /users/1", patch, "application/merge-patch+json"))
    assert (patched.status, value(patched)) == (200, {"id": 1, **expected})
    assert value(ask_for(app, wire("GET /users/1"))) == {"id": 1, **expected}


@pytest.mark.parametrize("patch", [{"name": None}, {"age": "x"}, {"id": 2}, [], 0, "x"])
def test_a_patch_that_leaves_no_user_changes_nothing(app, patch: object) -> None:
    ask_for(app, wire("POST /users", ADA))
    assert ask_for(app, wire("PATCH /users/1", json.dumps(patch).encode())).status == 422
    assert value(ask_for(app, wire("GET /users/1"))) == {"id": 1, **ADA}


INVALID = [
    (None, ["#"]),
    ([ADA], ["#"]),
    ({}, ["#/name", "#/email"]),
    ({**ADA, "name": ""}, ["#/name"]),
    ({**ADA, "name": " "}, ["#/name"]),
    ({**ADA, "name": 7}, ["#/name"]),
    ({**ADA, "name": "x" * 101}, ["#/name"]),
    ({**ADA, "name": "a\0b"}, ["#/name"]),
    ({**ADA, "email": "ada"}, ["#/email"]),
    ({**ADA, "email": "ada@example"}, ["#/email"]),
    ({**ADA, "email": "a@b@example.com"}, ["#/email"]),
    ({**ADA, "email": "ada@example.com "}, ["#/email"]),
    ({**ADA, "age": -1}, ["#/age"]),
    ({**ADA, "age": 151}, ["#/age"]),
    ({**ADA, "age": 1.5}, ["#/age"]),
    ({**ADA, "age": True}, ["#/age"]),
    ({**ADA, "age": None}, ["#/age"]),
    ({**ADA, "tags": "a"}, ["#/tags"]),
    ({**ADA, "tags": ["a"] * 11}, ["#/tags"]),
    ({**ADA, "tags": ["a", 7, "", "b"]}, ["#/tags/1", "#/tags/2"]),
    ({**ADA, "admin": True}, ["#"]),
    ({**ADA, "id": 1}, ["#"]),
    ({"name": 1, "email": 2, "x": 3}, ["#/name", "#/email", "#"]),
]


@pytest.mark.parametrize(("user", "pointers"), INVALID)
def test_every_mistake_is_told_where_it_is(app, user: object, pointers: list[str]) -> None:
    refused = ask_for(app, wire("POST /users", json.dumps(user).encode()))
    assert (refused.status, refused.header("content-type")) == (422, PROBLEM)
    assert [error["pointer"] for error in value(refused)["errors"]] == pointers
    assert value(ask_for(app, wire("GET /users"))) == {"users": [], "next": None}


REFUSED = [
    pytest.param(wire("POST /users", b'{"name":\n "Ada'), 400, "line 2 column ", id="no_json"),
    pytest.param(wire("POST /users", b""), 400, "", id="nothing"),
    pytest.param(wire("POST /users", b'{"name": "\xff"}'), 400, "", id="no_utf_8"),
    pytest.param(wire("POST /users", b'{"name": "\\ud800"}'), 400, "", id="half_a_surrogate_pair"),
    pytest.param(wire("POST /users", b"[" * 60_000), 400, "", id="too_deep"),
    pytest.param(wire("POST /users", b'"' + b"x" * 65_536 + b'"'), 413, "65538 bytes", id="too_long"),
    pytest.param(wire("POST /users", ADA, "text/plain"), 415, "", id="another_type"),
    pytest.param(wire("POST /users", ADA, ""), 415, "", id="no_type"),
    pytest.param(wire("GET /users?limit=x"), 400, "limit", id="no_limit"),
    pytest.param(wire("GET /users?after=-1"), 400, "after", id="no_place"),
    pytest.param(wire("GET /users?after=%"), 400, "", id="no_query"),
    pytest.param(wire("GET /users/x"), 404, None, id="no_id"),
    pytest.param(wire("GET /users/" + "9" * 5000), 404, None, id="no_such_id"),
    pytest.param(wire("GET /"), 404, None, id="no_route"),
    pytest.param(wire("DELETE /users"), 405, None, id="no_method"),
    pytest.param(form(kind="multipart/form-data"), 400, "boundary", id="no_boundary"),
    pytest.param(form(kind="text/plain"), 415, "", id="no_form"),
    pytest.param(form(kind=""), 415, "", id="no_type_of_form"),
    pytest.param(form(part("x", "a", "b"), end=""), 400, "ends before", id="cut_off"),
    pytest.param(form(*[part("x", "a", "b")] * 21), 413, "parts", id="too_many_parts"),
    pytest.param(form(part("x" * 5_000_001, "a", "b")), 413, "5000000 bytes", id="too_large_a_file"),
]


@pytest.mark.parametrize(("raw", "status", "detail"), REFUSED)
def test_whatever_is_refused_is_a_problem(app, raw: bytes, status: int, detail: str | None) -> None:
    refused = ask_for(app, raw)
    assert (refused.status, refused.header("content-type")) == (status, PROBLEM)
    assert value(refused)["status"] == status
    assert detail is None or detail in value(refused)["detail"]


def test_a_list_comes_in_pages(app, monkeypatch) -> None:
    for number in range(5):
        ask_for(app, wire("POST /users", {**ADA, "name": f"user {number}"}))
    ids, target = [], "/users?limit=2"
    while target:
        page = value(ask_for(app, wire(f"GET {target}")))
        ids.append([user["id"] for user in page["users"]])
        target = page["next"]
    assert ids == [[1, 2], [3, 4], [5]]
    assert value(ask_for(app, wire("GET /users?limit=0"))) == {"users": [], "next": None}
    monkeypatch.setattr(app, "PAGE_MAX", 4)
    assert len(value(ask_for(app, wire("GET /users?limit=999999")))["users"]) == 4


def test_there_is_an_end_to_the_room(app, monkeypatch) -> None:
    monkeypatch.setattr(app.users, "most", 1)
    statuses = [ask_for(app, wire("POST /users", ADA)).status for _ in range(2)]
    assert statuses == [201, 507]


@pytest.mark.parametrize(
    ("raw", "received"),
    [
        (form(), []),
        (form(part("hello", "note")), []),
        (form(part("", "empty", "")), []),
        (form(part("", "empty", "e.txt")), [("empty", "e.txt", 0)]),
        (
            form(part("abc", "a", "a.txt"), part("x", "note"), part("\r\n--X", "b", "b.txt")),
            [("a", "a.txt", 3), ("b", "b.txt", 5)],
        ),
        (form(part("abc", "a", "a.txt"), end="--XX--"), [("a", "a.txt", 3)]),
        (form(part("abc", "a", "../../a.txt"), kind='Multipart/Form-Data; BOUNDARY="XX"'), [("a", "../../a.txt", 3)]),
        (form(part("x" * 2_000_000, "a", "large")), [("a", "large", 2_000_000)]),
    ],
)
def test_files_are_received(app, raw: bytes, received: list[tuple[str, str, int]]) -> None:
    answer = ask_for(app, raw)
    assert answer.status == 200
    assert [(one["field"], one["filename"], one["size"]) for one in value(answer)["received"]] == received


def test_over_sockets(app) -> None:
    with Session(app.config) as session:
        created = session.fire(repeat(8, ask(wire("POST /users", ADA)))).results
        assert sorted(json.loads(result.bodies[0])["id"] for result in created) == list(range(1, 9))
        answered = session.fire(
            [
                ask(form(part("x" * 2_000_000, "a", "large"))),
                ask(wire("POST /users", {})),
                ask(wire("HEAD /users/1"), heads={0}),
                ask(b"garbage\r\n\r\n"),
                ask(wire("POST /users", ADA).replace(b"Host: a", b"Host")),
                ask(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10000001\r\n\r\n"),
                ask(wire("DELETE /users")),
            ]
        ).results
        assert [result.statuses for result in answered] == [[200], [422], [200], [400], [400], [413], [405]]
        assert [result.frames[0].closes for result in answered] == [False] * 3 + [True] * 3 + [False]
        assert answered[-1].frames[0].header("allow") == b"GET, HEAD, POST, OPTIONS"
        assert session.stop().in_flight == 0


def test_a_request_that_is_cut_off_changes_nothing(app) -> None:
    cut = Script(rounds=[Round(send=wire("POST /users", ADA)[:-1], half_close=True, until=eof)])
    results = drive(app.config, [cut])
    assert (results[0].statuses, app.users.page(0, 10)) == ([], [])
