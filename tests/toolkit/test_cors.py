"""CORS: who may read what, what preflights are answered, and what caches are told."""

from __future__ import annotations

import pytest

from vanilla import Server, ServerConfig
from vanilla.toolkit.composition import compose
from vanilla.toolkit.cors import cors
from vanilla.toolkit.routing import Router

A, B = "https://a.example", "https://b.example:8443"
ORIGIN_A, ORIGIN_B = b"Origin: https://a.example", b"Origin: https://b.example:8443"
ASKED = b"Access-Control-Request-Method: PUT"
ALLOW = {
    "origin": b"access-control-allow-origin",
    "credentials": b"access-control-allow-credentials",
    "methods": b"access-control-allow-methods",
    "headers": b"access-control-allow-headers",
    "network": b"access-control-allow-private-network",
    "age": b"access-control-max-age",
    "expose": b"access-control-expose-headers",
    "vary": b"vary",
}


def plain(request, response, worker):
    response.reply(200, b"content")


def said(response) -> dict:
    """What an answer says of CORS, by short names."""
    return {short: value for short, name in ALLOW.items() if (value := response.header(name)) is not None}


@pytest.mark.parametrize(
    ("origins", "lines", "allowed"),
    [
        pytest.param("*", [ORIGIN_A], b"*", id="all"),
        pytest.param("*", [], b"*", id="all_without_an_origin"),
        pytest.param(A, [ORIGIN_A], b"https://a.example", id="the_one"),
        pytest.param([A, B], [ORIGIN_B], b"https://b.example:8443", id="one_of_several"),
        pytest.param([A], [ORIGIN_B], None, id="another"),
        pytest.param([A], [], None, id="none"),
        pytest.param([A], [b"Origin: null"], None, id="null"),
        pytest.param([A], [b"Origin: *"], None, id="star"),
        pytest.param([A], [b"Origin: http://a.example"], None, id="another_scheme"),
        pytest.param([A], [b"Origin: https://a.example:444"], None, id="another_port"),
        pytest.param([A], [b"Origin: https://a.example.evil"], None, id="longer"),
        pytest.param([A], [b"Origin: https://evila.example"], None, id="longer_in_front"),
        pytest.param([A], [ORIGIN_A, b"Origin: https://evil"], None, id="two_lines"),
        pytest.param([A], [b"Origin: https://A.example"], None, id="upper_case"),
        pytest.param(lambda origin: origin.endswith(b".example"), [ORIGIN_A], b"https://a.example", id="predicate"),
        pytest.param(lambda origin: False, [ORIGIN_A], None, id="predicate_that_denies"),
        pytest.param([], [ORIGIN_A], None, id="nobody"),
    ],
)
def test_an_origin_is_allowed_or_told_nothing(origins, lines: list, allowed: bytes | None, answer_of) -> None:
    handle = cors(origins)(plain)
    expected = {} if allowed is None else {"origin": allowed}
    if origins != "*":
        expected["vary"] = b"Origin"
    response = answer_of(handle, *lines)
    assert (response.status, response.content, said(response)) == (200, b"content", expected)


@pytest.mark.parametrize(
    ("given", "lines", "expected"),
    [
        pytest.param({}, [ORIGIN_A], {"methods": b"GET, HEAD, POST"}, id="defaults"),
        pytest.param(
            {"methods": ["PUT"], "headers": ["Content-Type", "X-A"], "max_age": 600, "expose": ["ETag"]},
            [ORIGIN_A],
            {"methods": b"PUT", "headers": b"Content-Type, X-A", "age": b"600"},
            id="lists",
        ),
        pytest.param(
            {"credentials": True},
            [ORIGIN_A],
            {"methods": b"GET, HEAD, POST", "credentials": b"true"},
            id="credentials",
        ),
        pytest.param(
            {"methods": "*", "headers": "*"},
            [ORIGIN_A, b"Access-Control-Request-Headers: x-a, authorization"],
            {
                "methods": b"PUT",
                "headers": b"x-a, authorization",
                "vary": b"Origin, access-control-request-method, access-control-request-headers",
            },
            id="whatever_is_asked_for",
        ),
        pytest.param(
            {"private_network": True},
            [ORIGIN_A, b"Access-Control-Request-Private-Network: true"],
            {
                "methods": b"GET, HEAD, POST",
                "network": b"true",
                "vary": b"Origin, access-control-request-private-network",
            },
            id="private_network",
        ),
        pytest.param(
            {},
            [ORIGIN_A, b"Access-Control-Request-Private-Network: true"],
            {"methods": b"GET, HEAD, POST"},
            id="private_network_unless_asked_for",
        ),
    ],
)
def test_a_preflight_is_answered_without_the_handler(given: dict, lines: list, expected: dict, answer_of) -> None:
    called = []
    handle = cors([A], **given)(lambda *arguments: called.append(arguments))
    response = answer_of(handle, ASKED, *lines, method=b"OPTIONS")
    assert response.status == 204
    assert said(response) == {"origin": b"https://a.example", "vary": b"Origin", **expected}
    assert not called


def test_a_preflight_of_another_origin_is_told_nothing(answer_of) -> None:
    handle = cors([A], credentials=True, max_age=5)(plain)
    response = answer_of(handle, ASKED, ORIGIN_B, method=b"OPTIONS")
    assert (response.status, said(response)) == (204, {"vary": b"Origin"})


def test_a_preflight_that_anybody_may_send_depends_on_nothing(answer_of) -> None:
    response = answer_of(cors("*")(plain), ASKED, ORIGIN_A, method=b"OPTIONS")
    assert said(response) == {"origin": b"*", "methods": b"GET, HEAD, POST"}


@pytest.mark.parametrize("lines", [[ORIGIN_A], [ASKED], []])
def test_an_options_that_is_no_preflight_goes_on(lines: list, answer_of) -> None:
    assert answer_of(cors([A])(plain), *lines, method=b"OPTIONS").content == b"content"


def test_an_answer_says_what_may_be_read_of_it(answer_of) -> None:
    response = answer_of(cors([A], credentials=True, expose=["ETag", "X-A"])(plain), ORIGIN_A)
    expected = {"origin": b"https://a.example", "vary": b"Origin", "credentials": b"true", "expose": b"ETag, X-A"}
    assert said(response) == expected


def test_the_vary_of_the_handler_is_extended(answer_of) -> None:
    def handle(request, response, worker):
        response.reply(200, headers=[("Vary", "Accept"), ("Vary", "Cookie")])

    for lines in ([ORIGIN_A], [ORIGIN_B], []):
        response = answer_of(cors([A])(handle), *lines)
        assert [value for name, value in response.headers() if name.lower() == b"vary"] == [b"Accept, Cookie, Origin"]


def test_what_the_handler_allows_stays(answer_of) -> None:
    def handle(request, response, worker):
        response.reply(200, headers={"Access-Control-Allow-Origin": "https://own.example"})

    response = answer_of(cors([A], credentials=True)(handle), ORIGIN_A)
    assert said(response) == {"origin": b"https://own.example", "vary": b"Origin"}


@pytest.mark.parametrize(
    ("origins", "given", "why"),
    [
        ("*", {"credentials": True}, "with credentials"),
        ([A, "*"], {"credentials": True}, "with credentials"),
        ([A, "*"], {}, "leave out"),
        ("https://a.example/", {}, "origin"),
        ("a.example", {}, "origin"),
        ("https://A.example", {}, "origin"),
        ("https://a.example:443", {}, "origin"),
        ("http://a.example:80", {}, "origin"),
        ("https://*.example", {}, "origin"),
        ("null", {}, "origin"),
        (A, {"methods": ["GET, PUT"]}, "methods"),
        (A, {"methods": ["GET", "*"]}, "methods"),
        (A, {"headers": ["X:"]}, "headers"),
        (A, {"expose": "*"}, "expose"),
        (A, {"max_age": -1}, "max_age"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(origins, given: dict, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        cors(origins, **given)


def test_over_a_socket_around_a_router() -> None:
    router = Router()
    router.put("/a", plain)
    server = Server(ServerConfig(compose(router, cors([A], methods=["PUT"]))))
    head = b" HTTP/1.1\r\nHost: a\r\n" + ORIGIN_A + b"\r\n"
    preflight, answer, missing = server.test(
        [b"OPTIONS /a" + head + ASKED + b"\r\n\r\n", b"PUT /a" + head + b"\r\n", b"GET /b" + head + b"\r\n"]
    )
    assert preflight.startswith(b"HTTP/1.1 204 ")
    assert b"\r\nAccess-Control-Allow-Methods: PUT\r\n" in preflight
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert missing.startswith(b"HTTP/1.1 404 ")
    assert all(
        b"\r\nAccess-Control-Allow-Origin: https://a.example\r\n" in each for each in (preflight, answer, missing)
    )
