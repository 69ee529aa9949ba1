"""Problem details: what they hold, and which answers get them without asking."""

from __future__ import annotations

import json

import pytest

from vanilla import RefusedError, Response, Server, ServerConfig
from vanilla.toolkit.composition import compose
from vanilla.toolkit.problems import problem, with_problems
from vanilla.toolkit.routing import Router


class TeapotError(RefusedError):
    status = 418


@pytest.mark.parametrize(
    ("status", "given", "expected"),
    [
        pytest.param(404, {}, {"title": "Not Found", "status": 404}, id="title_of_the_status"),
        pytest.param(413, {}, {"title": "Content Too Large", "status": 413}, id="title_of_rfc_9110"),
        pytest.param(403, {"title": "No"}, {"title": "No", "status": 403}, id="title_of_ones_own"),
        pytest.param(403, {"type": "/out-of-credit"}, {"type": "/out-of-credit", "status": 403}, id="type_alone"),
        pytest.param(
            400,
            {"detail": "caf\u00e9", "instance": "/a/1", "balance": 30, "errors": [{"pointer": "#/age"}]},
            {
                "title": "Bad Request",
                "status": 400,
                "detail": "caf\u00e9",
                "instance": "/a/1",
                "balance": 30,
                "errors": [{"pointer": "#/age"}],
            },
            id="every_member",
        ),
    ],
)
def test_a_problem_holds_what_it_was_given(status: int, given: dict, expected: dict) -> None:
    response = Response()
    problem(response, status, headers={"Retry-After": "3"}, **given)
    assert response.status == status
    assert response.header("content-type") == b"application/problem+json"
    assert response.header("retry-after") == b"3"
    assert json.loads(response.content or b"") == expected


def test_what_is_no_json_appends_nothing() -> None:
    response = Response()
    with pytest.raises(TypeError):
        problem(response, 400, what=object())
    assert bytes(response) == b""


@pytest.mark.parametrize(
    ("reply", "explained"),
    [
        pytest.param((404,), True, id="not_found"),
        pytest.param((503,), True, id="server_error"),
        pytest.param((200,), False, id="success"),
        pytest.param((302,), False, id="redirect"),
        pytest.param((404, b"gone fishing"), False, id="content_of_its_own"),
    ],
)
def test_a_refusal_without_content_gets_one(reply: tuple, explained: bool, answer_of) -> None:
    def handle(request, response, worker):
        response.reply(*reply, headers={"X-Kept": "1"})

    response = answer_of(with_problems(handle))
    assert response.header("x-kept") == b"1"
    assert (response.header("content-type") == b"application/problem+json") is explained
    assert (b'"status":%d' % reply[0] in (response.content or b"")) is explained


def test_a_streamed_refusal_stays_as_it_is(answer_of) -> None:
    def handle(request, response, worker):
        response.start(500)
        response.write(b"piece")

    assert answer_of(with_problems(handle)).header("content-type") is None


def test_over_a_socket_every_refusal_is_explained() -> None:
    def brew(request, response, worker):
        raise TeapotError("short and stout")

    router = Router()
    router.get("/tea", brew)
    handle = compose(router, with_problems)
    tea = b"GET /tea HTTP/1.1\r\nHost: a\r\n\r\n"
    asked = [tea, tea.replace(b"/tea", b"/coffee"), tea.replace(b"GET", b"PUT"), tea.replace(b"GET", b"HEAD")]
    answers = Server(ServerConfig(handle)).test(asked)
    expected = [(418, b"I'm a Teapot"), (404, b"Not Found"), (405, b"Method Not Allowed")]
    for answer, (status, title) in zip(answers, expected, strict=False):
        head, _, content = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"\r\nContent-Length: %d\r\n" % len(content) in head + b"\r\n"
        assert json.loads(content) == {"title": title.decode(), "status": status}
        assert b"\r\nContent-Type: application/problem+json" in head
    assert b"\r\nAllow: GET, " in answers[2]
    head, _, content = answers[3].partition(b"\r\n\r\n")
    assert (head.startswith(b"HTTP/1.1 418 "), content) == (True, b"")
    assert b"application/problem+json" in head
