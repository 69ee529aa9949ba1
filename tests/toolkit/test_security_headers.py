"""Security headers: what is sent by default, how it is changed, and that a handler's own word stands."""

from __future__ import annotations

import pytest

from vanilla import Server, ServerConfig
from vanilla.toolkit.composition import compose
from vanilla.toolkit.security_headers import security_headers

DEFAULTS = {
    b"content-security-policy": b"frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"strict-origin-when-cross-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
}
UNSAID = (b"strict-transport-security", b"cross-origin-embedder-policy", b"content-security-policy-report-only")
CSP, FRAMES = b"content-security-policy", b"x-frame-options"


def answering(**fields: str):
    """A handler with these fields, `_` for `-`."""

    def handle(request, response, worker):
        response.reply(200, b"content", headers={name.replace("_", "-"): value for name, value in fields.items()})

    return handle


def test_the_defaults(answer_of) -> None:
    response = answer_of(security_headers()(answering()))
    assert {name: response.header(name) for name in DEFAULTS} == DEFAULTS
    assert b"camera=()" in (response.header("permissions-policy") or b"")
    assert [response.header(name) for name in UNSAID] == [None, None, None]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"csp": "default-src 'self'"}, {CSP: b"default-src 'self'; frame-ancestors 'none'"}, id="csp"),
        pytest.param(
            {"csp": "Frame-Ancestors https://a.example ; img-src *;"},
            {CSP: b"Frame-Ancestors https://a.example; img-src *", FRAMES: None},
            id="ancestors_in_the_policy",
        ),
        pytest.param({"csp": "frame-ancestors 'self'"}, {FRAMES: b"SAMEORIGIN"}, id="options_follow_the_policy"),
        pytest.param(
            {"frame_ancestors": "'self'"},
            {CSP: b"frame-ancestors 'self'", FRAMES: b"SAMEORIGIN"},
            id="framed_by_itself",
        ),
        pytest.param({"frame_ancestors": None}, {CSP: None, FRAMES: None}, id="framed_by_anybody"),
        pytest.param({"csp": "img-src *", "frame_ancestors": None}, {CSP: b"img-src *", FRAMES: None}, id="csp_alone"),
        pytest.param({"nosniff": False}, {b"x-content-type-options": None}, id="sniffed"),
        pytest.param({"resource_policy": None}, {b"cross-origin-resource-policy": None}, id="left_out"),
        pytest.param(
            {"embedder_policy": "require-corp"}, {b"cross-origin-embedder-policy": b"require-corp"}, id="embedder"
        ),
        pytest.param({"hsts_max_age": 0}, {b"strict-transport-security": b"max-age=0"}, id="hsts_taken_back"),
        pytest.param(
            {"hsts_max_age": 31536000, "hsts_subdomains": True, "hsts_preload": True},
            {b"strict-transport-security": b"max-age=31536000; includeSubDomains; preload"},
            id="hsts",
        ),
        pytest.param({"headers": {"X-Robots-Tag": "none"}}, {b"x-robots-tag": b"none"}, id="further"),
        pytest.param({"headers": {"Referrer-Policy": "origin"}}, {b"referrer-policy": b"origin"}, id="further_wins"),
    ],
)
def test_what_is_given_is_sent(given: dict, expected: dict, answer_of) -> None:
    response = answer_of(security_headers(**given)(answering()))
    assert {name: response.header(name) for name in expected} == expected


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        pytest.param({"referrer_policy": "origin"}, [(b"referrer-policy", b"origin")], id="one_field"),
        pytest.param({"Content_Security_Policy": "img-src *"}, [(FRAMES, b"DENY"), (CSP, b"img-src *")], id="a_policy"),
        pytest.param(
            {"Content_Security_Policy": "frame-ancestors *"},
            [(CSP, b"frame-ancestors *")],
            id="a_policy_that_is_framed",
        ),
        pytest.param({"X_Frame_Options": "SAMEORIGIN"}, [(FRAMES, b"SAMEORIGIN"), (CSP, b"a b")], id="frame_options"),
    ],
)
def test_what_the_handler_has_set_stays(own: dict, expected: list, answer_of) -> None:
    response = answer_of(security_headers(csp="a b")(answering(**own)))
    names = {name for name, _ in expected} | {name.replace("_", "-").lower().encode() for name in own}
    if any(name in (CSP, FRAMES) for name in names):
        names |= {CSP, FRAMES}
    found = [(name.lower(), value) for name, value in response.headers() if name.lower() in names]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize(
    "given",
    [
        {"csp": "default-src 'self'\r\nX: y"},
        {"headers": {"X Y": "z"}},
        {"headers": {"Content-Length": "3"}},
        {"frame_ancestors": "'self'; img-src *"},
        {"frame_ancestors": " "},
        {"hsts_subdomains": True},
        {"hsts_max_age": -1},
        {"hsts_max_age": 300, "hsts_subdomains": True, "hsts_preload": True},
    ],
)
def test_what_cannot_be_is_refused_at_the_start(given: dict) -> None:
    with pytest.raises(ValueError, match=r"header|frame_ancestors|hsts"):
        security_headers(**given)


def test_over_a_socket_errors_have_them_too() -> None:
    def handle(request, response, worker):
        raise LookupError("ours")

    [answer] = Server(ServerConfig(compose(handle, security_headers()))).test([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
