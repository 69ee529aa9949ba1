"""CSRF: what a page of this site sends goes through, and nothing that another one has a browser send."""

from __future__ import annotations

import pytest

from vanilla import Request, Response, Server, ServerConfig, Worker, streaming
from vanilla.toolkit.composition import compose
from vanilla.toolkit.csrf import Csrf, CsrfError
from vanilla.toolkit.forwarded import TrustedProxies
from vanilla.toolkit.routing import Router

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
FORM = b"Content-Type: application/x-www-form-urlencoded"


def plain(request, response, worker):
    response.reply(200, b"done")


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def page(csrf: Csrf, answer_of, *lines: bytes) -> tuple[bytes, bytes | None]:
    """A token, and the cookie as the browser sends it back; None where none was set."""
    tokens = []

    def handle(request, response, worker):
        tokens.append(csrf.token(request, response))
        response.reply(200, tokens[0].encode())

    cookie = answer_of(csrf(handle), *lines).header("set-cookie")
    return tokens[0].encode(), None if cookie is None else b"Cookie: " + cookie.partition(b";")[0]


@pytest.fixture
def csrf() -> Csrf:
    return Csrf(KEY)


def test_a_token_goes_with_a_cookie_that_no_other_host_can_set(csrf: Csrf, answer_of) -> None:
    def handle(request, response, worker):
        response.reply(200, csrf.token(request, response).encode())

    response = answer_of(handle)
    name, _, attributes = (response.header("set-cookie") or b"").partition(b"=")
    assert name == b"__Host-csrf"
    assert attributes.partition(b"; ")[2] == b"Path=/; Max-Age=86400; Secure; HttpOnly; SameSite=Lax"
    assert response.header("cache-control") == b"private, no-cache"
    assert response.header("vary") == b"Cookie"


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE", b"PROPFIND", b"get"])
def test_an_unsafe_method_needs_cookie_and_token(csrf: Csrf, method: bytes, answer_of) -> None:
    token, cookie = page(csrf, answer_of)
    assert answer_of(csrf(plain), cookie, b"X-CSRF-Token: " + token, method=method).status == 200
    for lines in ([], [cookie], [b"X-CSRF-Token: " + token]):
        with pytest.raises(CsrfError, match="missing"):
            answer_of(csrf(plain), *lines, method=method)


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"TRACE"])
def test_a_safe_method_needs_nothing(csrf: Csrf, method: bytes, answer_of) -> None:
    lines = (b"Sec-Fetch-Site: cross-site", b"Origin: https://evil")
    assert answer_of(csrf(plain), *lines, method=method).status == 200


def test_a_form_may_hold_the_token(csrf: Csrf, answer_of) -> None:
    token, cookie = page(csrf, answer_of)
    body = b"a=b&csrf_token=" + token
    assert answer_of(csrf(plain), cookie, FORM, method=b"POST", body=body).status == 200
    for lines, content in (([cookie, FORM], b"a=b"), ([cookie], body), ([cookie, b"Content-Type: text/plain"], body)):
        with pytest.raises(CsrfError, match="token is missing"):
            answer_of(csrf(plain), *lines, method=b"POST", body=content)


# What a browser says, by Sec-Fetch-Site and Origin, of a request to http://here, and whether it is let through.
SENT = [
    pytest.param([], True, id="nothing"),
    pytest.param([b"Sec-Fetch-Site: same-origin"], True, id="same_origin"),
    pytest.param([b"Sec-Fetch-Site: same-origin", b"Origin: null"], True, id="same_origin_without_a_referrer"),
    pytest.param([b"Sec-Fetch-Site: none"], True, id="the_user"),
    pytest.param([b"Sec-Fetch-Site: same-site"], False, id="same_site"),
    pytest.param([b"Sec-Fetch-Site: cross-site"], False, id="cross_site"),
    pytest.param([b"Sec-Fetch-Site: cross-site", b"Origin: http://here"], False, id="both_contradict"),
    pytest.param([b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Site: cross-site"], False, id="two_lines"),
    pytest.param([b"Sec-Fetch-Site: anything"], False, id="unknown"),
    pytest.param([b"Sec-Fetch-Site: cross-site", b"Origin: https://app.example"], True, id="an_origin_of_yours"),
    pytest.param([b"Origin: https://app.example"], True, id="an_origin_of_yours_from_an_old_browser"),
    pytest.param([b"Origin: http://here"], True, id="own_origin"),
    pytest.param([b"Origin: https://HERE"], True, id="own_origin_behind_a_proxy_that_speaks_tls"),
    pytest.param([b"Origin: https://here:443"], True, id="default_port"),
    pytest.param([b"Origin: http://here:8080"], False, id="another_port"),
    pytest.param([b"Origin: http://here.evil"], False, id="longer"),
    pytest.param([b"Origin: http://evil"], False, id="another_host"),
    pytest.param([b"Origin: null"], False, id="null"),
    pytest.param([b"Origin: "], False, id="empty"),
    pytest.param([b"Origin: http://here", b"Origin: http://evil"], False, id="two_origins"),
]


@pytest.mark.parametrize(("lines", "passes"), SENT)
def test_where_it_comes_from_is_looked_at_before_the_token(lines: list, passes: bool, answer_of) -> None:
    csrf = Csrf(KEY, origins=["https://app.example"])
    token, cookie = page(csrf, answer_of)
    send = [cookie, b"X-CSRF-Token: " + token, *lines]
    if passes:
        assert answer_of(csrf(plain), *send, method=b"POST").status == 200
    else:
        with pytest.raises(CsrfError, match="sent by a page"):
            answer_of(csrf(plain), *send, method=b"POST")


def test_behind_a_proxy_the_host_is_what_it_was_asked_for(answer_of) -> None:
    csrf = Csrf(KEY, trusted=TrustedProxies(["unix"]))
    token, cookie = page(csrf, answer_of)
    send = [cookie, b"X-CSRF-Token: " + token, b"Origin: https://outside.example"]
    proxied = [b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-Host: outside.example"]
    assert answer_of(csrf(plain), *send, *proxied, method=b"POST").status == 200
    with pytest.raises(CsrfError, match="sent by a page"):
        answer_of(csrf(plain), *send, method=b"POST")


def test_the_proxies_of_the_server_are_believed(answer_of, request_with) -> None:
    csrf = Csrf(KEY)
    token, cookie = page(csrf, answer_of)
    send = [cookie, b"Origin: https://outside.example", b"X-Forwarded-For: 192.0.2.1"]
    request = request_with(*send, b"X-Forwarded-Host: outside.example", b"X-CSRF-Token: " + token, method=b"POST")
    response = Response()
    csrf(plain)(request, response, Worker(forwarded_allow_ips=["unix"]))
    assert response.status == 200
    with pytest.raises(CsrfError, match="sent by a page"):
        csrf(plain)(request, Response(), Worker())


def test_pages_have_tokens_of_their_own_that_go_with_one_cookie(csrf: Csrf, answer_of) -> None:
    clock = Clock()
    csrf = Csrf(KEY, clock=clock)
    first, cookie = page(csrf, answer_of)
    clock.now += 1
    second, again = page(csrf, answer_of, cookie)
    assert (first != second, again) == (True, None)
    for token in (first, second, cookie.partition(b"=")[2]):
        assert answer_of(csrf(plain), cookie, b"X-CSRF-Token: " + token, method=b"POST").status == 200


def test_a_page_may_ask_for_several(csrf: Csrf, answer_of) -> None:
    tokens = []

    def handle(request, response, worker):
        tokens.extend(csrf.token(request, response) for _ in range(2))
        response.reply(200)

    response = answer_of(handle)
    assert sum(name.lower() == b"set-cookie" for name, _ in response.headers()) == 1
    cookie = b"Cookie: " + response.header("set-cookie").partition(b";")[0]
    for token in tokens:
        assert answer_of(csrf(plain), cookie, b"X-CSRF-Token: " + token.encode(), method=b"POST").status == 200


@pytest.mark.parametrize("other", [Csrf(KEY), Csrf(OTHER_KEY), Csrf(KEY, cookie="__Host-other")])
def test_a_token_of_another_client_or_key_is_none(csrf: Csrf, other: Csrf, answer_of) -> None:
    _, cookie = page(csrf, answer_of)
    token, _ = page(other, answer_of)
    with pytest.raises(CsrfError, match="token is"):
        answer_of(csrf(plain), cookie, b"X-CSRF-Token: " + token, method=b"POST")


def test_a_cookie_that_was_made_up_is_none(csrf: Csrf, answer_of) -> None:
    for value in (b"", b"a", b"a.b.c", b"AAAA.1.BBBB"):
        with pytest.raises(CsrfError, match="cookie"):
            answer_of(csrf(plain), b"Cookie: __Host-csrf=" + value, b"X-CSRF-Token: " + value, method=b"POST")


def test_tokens_age_and_the_cookie_is_renewed_in_time(answer_of) -> None:
    clock = Clock()
    csrf = Csrf(KEY, max_age=100, clock=clock)
    token, cookie = page(csrf, answer_of)
    clock.now += 60
    _, renewed = page(csrf, answer_of, cookie)
    assert renewed is not None
    assert answer_of(csrf(plain), renewed, b"X-CSRF-Token: " + token, method=b"POST").status == 200
    clock.now += 60
    with pytest.raises(CsrfError, match="token is missing, forged, too old"):
        answer_of(csrf(plain), renewed, b"X-CSRF-Token: " + token, method=b"POST")
    with pytest.raises(CsrfError, match="cookie"):
        answer_of(csrf(plain), cookie, b"X-CSRF-Token: " + token, method=b"POST")


def test_a_token_is_bound_to_a_session(answer_of) -> None:
    csrf = Csrf(KEY, binding=lambda request, response: request.header("x-session") or b"")
    token, cookie = page(csrf, answer_of, b"X-Session: a")
    send = [cookie, b"X-CSRF-Token: " + token]
    assert answer_of(csrf(plain), *send, b"X-Session: a", method=b"POST").status == 200
    for session in (b"X-Session: b", b"X-Other: a"):
        with pytest.raises(CsrfError, match="another session"):
            answer_of(csrf(plain), *send, session, method=b"POST")
    _, renewed = page(csrf, answer_of, cookie, b"X-Session: b")
    assert renewed is not None


def test_an_exempt_handler_may_check_by_itself(answer_of) -> None:
    csrf = Csrf(KEY, exempt=lambda request: request.header("content-type") == b"multipart/form-data")

    def handle(request, response, worker):
        csrf.check(request, response, request.body)
        response.reply(200)

    token, cookie = page(csrf, answer_of)
    multipart = b"Content-Type: multipart/form-data"
    assert answer_of(csrf(handle), cookie, multipart, method=b"POST", body=token).status == 200
    for lines, body in (([cookie], b"x"), ([cookie, b"Origin: http://evil"], token)):
        with pytest.raises(CsrfError):
            answer_of(csrf(handle), multipart, *lines, method=b"POST", body=body)


@pytest.mark.parametrize("given", [{"keys": b"short"}, {"secure": False}, {"cookie": "a b"}])
def test_what_cannot_be_is_refused_at_the_start(given: dict) -> None:
    with pytest.raises(ValueError, match=r"keys|cookie"):
        Csrf(**{"keys": KEY, **given})


def test_without_tls_there_is_a_cookie_too(answer_of) -> None:
    csrf = Csrf(KEY, cookie="csrf", secure=False)
    token, cookie = page(csrf, answer_of)
    assert answer_of(csrf(plain), cookie, b"X-CSRF-Token: " + token, method=b"POST").status == 200


def test_over_a_socket_a_forged_request_is_answered_403() -> None:
    csrf = Csrf(KEY)
    request, response = Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Response()
    token = csrf.token(request, response).encode()
    response.reply(200)
    response.recorded_hooks[0](request, response, Worker())
    cookie = (response.header("set-cookie") or b"").partition(b";")[0]

    @streaming
    async def upload(request, response, worker):
        response.reply(200, b"%d" % len(await request.read()))

    router = Router()
    router.post("/a", plain)
    server = Server(ServerConfig(compose(router, csrf)))
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nCookie: " + cookie + b"\r\n"
    form = b"csrf_token=" + token
    forged, sent, in_a_form = server.test(
        [
            head + b"Content-Length: 0\r\n\r\n",
            head + b"X-CSRF-Token: " + token + b"\r\nContent-Length: 0\r\n\r\n",
            head + FORM + b"\r\nContent-Length: %d\r\n\r\n" % len(form) + form,
        ]
    )
    statuses = [answer.split(b" ", 2)[1] for answer in (forged, sent, in_a_form)]
    assert statuses == [b"403", b"200", b"200"]
    upload_head = head + b"Content-Length: 300000\r\n"
    content = b"\r\n" + b"x" * 300000
    server = Server(ServerConfig(compose(upload, csrf)))
    forged, sent = server.test([upload_head + content, upload_head + b"X-CSRF-Token: " + token + b"\r\n" + content])
    assert forged.startswith(b"HTTP/1.1 403 ")
    assert sent.endswith(b"\r\n\r\n300000")
