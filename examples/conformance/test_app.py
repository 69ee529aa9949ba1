"""conformance, called by hand and over sockets: what a probe asks, and what it should get."""

import importlib
import pathlib
import sys

import pytest

from vanilla import Request, Response, Step, Worker
from vanilla.testing import Round, Script, ask, drive, eof, frames

HERE = pathlib.Path(__file__).parent
MODULES = ("app", "strict")
ALLOW = b"GET, HEAD, POST, OPTIONS"


@pytest.fixture
def app(monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield importlib.import_module("app")
    for name in MODULES:
        del sys.modules[name]


def wire(line: bytes, *fields: bytes, content: bytes = b"") -> bytes:
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: a", *fields, b"", b""]) + content


def with_hosts(*fields: bytes) -> bytes:
    return b"\r\n".join([b"GET / HTTP/1.1", *fields, b"", b""])


ANSWERED = [
    # request, status, content, whether the connection closes
    pytest.param(wire(b"GET /"), 200, b"ok\n", False, id="root"),
    pytest.param(wire(b"GET /?a=/b"), 200, b"ok\n", False, id="query"),
    pytest.param(wire(b"GET http://a/"), 200, b"ok\n", False, id="absolute_form"),
    pytest.param(wire(b"GET HTTP://b:80/?c"), 200, b"ok\n", False, id="absolute_form_of_another_host"),
    pytest.param(wire(b"GET http://a"), 200, b"ok\n", False, id="absolute_form_without_a_path"),
    pytest.param(wire(b"GET http://[::1]:3000/"), 200, b"ok\n", False, id="absolute_form_of_ipv6"),
    pytest.param(wire(b"GET ftp://a/"), 404, b"not found\n", False, id="another_scheme"),
    pytest.param(wire(b"GET /absent"), 404, b"not found\n", False, id="another_path"),
    pytest.param(wire(b"GET /%41"), 404, b"not found\n", False, id="escaped_path"),
    pytest.param(wire(b"POST /any", b"Content-Length: 5", content=b"hello"), 200, b"ok\n", False, id="post"),
    pytest.param(wire(b"POST /"), 200, b"ok\n", False, id="post_without_content"),
    pytest.param(
        wire(b"POST /", b"Transfer-Encoding: Chunked", content=b"A;x=1\r\nhellohello\r\n0\r\nX: y\r\n\r\n"),
        200,
        b"ok\n",
        False,
        id="chunks_with_an_extension_and_a_trailer",
    ),
    pytest.param(wire(b"OPTIONS *"), 200, b"", False, id="options_of_the_server"),
    pytest.param(wire(b"OPTIONS /absent"), 200, b"", False, id="options_of_a_path"),
    pytest.param(wire(b"PUT /", b"Content-Length: 1", content=b"x"), 405, b"method not allowed\n", False, id="put"),
    pytest.param(wire(b"TRACE /"), 405, b"method not allowed\n", False, id="trace"),
    pytest.param(wire(b"CONNECT a:80"), 405, b"method not allowed\n", False, id="connect"),
    pytest.param(wire(b"get /"), 501, b"method not implemented\n", False, id="method_in_another_case"),
    pytest.param(wire(b"FROBNICATE /"), 501, b"method not implemented\n", False, id="unknown_method"),
    pytest.param(wire(b"GET /", b"X: a\tb"), 200, b"ok\n", False, id="tab_in_a_value"),
    pytest.param(wire(b"GET /", b"X: \xe9"), 200, b"ok\n", False, id="obs_text_in_a_value"),
    pytest.param(wire(b"GET /", b"X: a", b"X: b", b"Accept: a/b", b"Accept: c/d"), 200, b"ok\n", False, id="lists"),
    pytest.param(wire(b"GET /", b"Upgrade: h2c", b"Connection: upgrade"), 200, b"ok\n", False, id="upgrade_ignored"),
    pytest.param(b"\r\n" + wire(b"GET /"), 200, b"ok\n", False, id="an_empty_line_before"),
    pytest.param(wire(b"GET /", b"Connection: x, CLOSE"), 200, b"ok\n", True, id="close_in_a_list"),
    pytest.param(b"GET / HTTP/1.0\r\n\r\n", 200, b"ok\n", True, id="http_1_0"),
    pytest.param(b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", 200, b"ok\n", False, id="http_1_0_kept"),
]

# What the server refuses by itself.
REFUSED_BY_THE_SERVER = [
    pytest.param(b"garbage\r\n\r\n", 400, id="garbage"),
    pytest.param(b"GET /\r\nHost: a\r\n\r\n", 400, id="no_version"),
    pytest.param(with_hosts(), 400, id="no_host"),
    pytest.param(with_hosts(b"Host: a", b"Host: a"), 400, id="two_hosts"),
    pytest.param(with_hosts(b"Host: a b"), 400, id="space_in_host"),
    pytest.param(wire(b"POST /", b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, id="length_and_chunked"),
    pytest.param(wire(b"POST /", b"Content-Length: 5", b"Content-Length: 6"), 400, id="two_lengths"),
    pytest.param(wire(b"POST /", b"Content-Length: +5"), 400, id="signed_length"),
    pytest.param(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, id="chunked_on_http_1_0"),
    pytest.param(wire(b"POST /", b"Transfer-Encoding: chunked, gzip"), 400, id="chunked_not_last"),
    pytest.param(wire(b"POST /", b"Transfer-Encoding: chunked, chunked"), 400, id="chunked_twice"),
    pytest.param(wire(b"POST /", b"Transfer-Encoding:"), 400, id="no_transfer_coding"),
    pytest.param(wire(b"POST /", b"Transfer-Encoding: chunked", content=b"x\r\n"), 400, id="no_chunk_size"),
    pytest.param(wire(b"POST /", b"Transfer-Encoding: chunked", content=b"1\r\nab\r\n"), 400, id="no_end_of_chunk"),
    pytest.param(wire(b"GET /", b"A: b", b" c"), 400, id="folded"),
    pytest.param(wire(b"GET /", b"abc"), 400, id="no_colon"),
    pytest.param(wire(b"GET /", b": b"), 400, id="no_name"),
    pytest.param(wire(b"GET /", b"A : b"), 400, id="space_before_colon"),
    pytest.param(wire(b"GET /", b"A(b): c"), 400, id="name_is_no_token"),
    pytest.param(wire(b"GET /", b"A: b\x00"), 400, id="nul_in_a_value"),
    pytest.param(wire(b"GET /", b"A: b\x7f"), 400, id="delete_in_a_value"),
    pytest.param(wire(b"GET *"), 400, id="asterisk_form_for_get"),
    pytest.param(wire(b"CONNECT /"), 400, id="origin_form_for_connect"),
    pytest.param(wire(b"GET /#a"), 400, id="fragment"),
    pytest.param(wire(b"GET /" + b"a" * 9000), 414, id="long_target"),
    pytest.param(wire(b"GET /", b"A: " + b"b" * 40_000), 431, id="long_field"),
    pytest.param(wire(b"POST /", b"Content-Length: 2000000"), 413, id="long_content"),
    pytest.param(wire(b"GET /", b"Expect: 200-ok"), 417, id="expectation"),
    pytest.param(wire(b"POST /", b"Transfer-Encoding: xyz"), 501, id="unknown_transfer_coding"),
    pytest.param(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, id="version_1_2"),
    pytest.param(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, id="version_2_0"),
]

# What it would let through, as it may.
REFUSED_BY_THE_HANDLER = [
    pytest.param(wire(b"POST /", b"Content-Length: 1", b"content-length: 1", content=b"x"), b"two lines", id="lengths"),
    pytest.param(wire(b"POST /", b"Content-Length: 1, 1", content=b"x"), b"a list in Content-L", id="list_of_lengths"),
    pytest.param(wire(b"POST /", b"Content-Type: a/b", b"Content-Type: c/d"), b"two lines", id="two_types"),
    pytest.param(wire(b"GET /", b"Authorization: a", b"Authorization: b"), b"two lines", id="two_credentials"),
    pytest.param(with_hosts(b"Host: a,b"), b"a list in Host", id="list_of_hosts"),
    pytest.param(wire(b"GET /%zz"), b"a % without", id="escape_without_digits"),
    pytest.param(wire(b"GET /a%2"), b"a % without", id="escape_cut_off"),
    pytest.param(wire(b'GET /"a"'), b"has to be escaped", id="quote_in_target"),
    pytest.param(wire(b"GET /a|b"), b"has to be escaped", id="bar_in_target"),
    pytest.param(wire(b"GET /a[b]"), b"has to be escaped", id="brackets_in_a_path"),
    pytest.param(wire(b"GET /a\\b"), b"has to be escaped", id="backslash_in_target"),
]


@pytest.mark.parametrize(("raw", "status", "content", "closes"), ANSWERED)
def test_what_keeps_to_the_standards_is_answered(app, raw, status, content, closes) -> None:
    results = drive(app.config, [ask(raw)])
    frame = results[0].frames[0]
    assert (frame.status, frame.body, frame.closes) == (status, content, closes)
    allow = ALLOW if status in (405, 501) or raw.startswith(b"OPTIONS") else None
    assert frame.header("allow") == allow
    assert results.counters.in_flight == 0


@pytest.mark.parametrize(("raw", "status"), REFUSED_BY_THE_SERVER)
def test_what_does_not_is_refused_by_the_server(app, raw, status) -> None:
    results = drive(app.config, [ask(raw + wire(b"GET /smuggled"), eof)])
    assert (results[0].statuses, results[0].frames[0].closes) == ([status], True)
    assert results.counters.requests == 0


@pytest.mark.parametrize(("raw", "fault"), REFUSED_BY_THE_HANDLER)
def test_what_the_server_may_let_through_is_refused_by_the_handler(app, raw, fault) -> None:
    results = drive(app.config, [ask(raw + wire(b"GET /smuggled"), eof)])
    assert (results[0].statuses, results[0].frames[0].closes) == ([400], True)
    assert fault in results[0].bodies[0]
    response = Response()
    assert app.answer(Request(raw), response, Worker()) is Step.CLOSE
    assert response.status == 400


@pytest.mark.parametrize("path", [b"/", b"/absent"])
def test_head_has_the_fields_of_get_and_no_content(app, path: bytes) -> None:
    requests = wire(b"HEAD " + path) + wire(b"GET " + path)
    head, get = drive(app.config, [ask(requests, frames(2), heads={0})])[0].frames
    assert (head.status, head.body) == (get.status, b"")
    assert head.header("content-length") == get.header("content-length") == b"%d" % len(get.body)
    assert get.header("date") is not None


def test_fields_are_shown_as_they_came(app) -> None:
    raw = wire(b"POST /echo", b"X_Odd: 1", b"x-Case:  2 ", b"Content-Length: 0")
    assert drive(app.config, [ask(raw)])[0].bodies == [b"Host: a\nX_Odd: 1\nx-Case: 2\nContent-Length: 0\n"]


def test_who_waits_to_be_told_to_continue_is_told_once(app) -> None:
    head = wire(b"POST /", b"Content-Length: 5", b"Expect: 100-continue")
    script = Script(rounds=[Round(send=head, until=frames(1)), Round(send=b"hello", until=frames(2))])
    assert drive(app.config, [script])[0].statuses == [100, 200]
    old = head.replace(b"1.1", b"1.0") + b"hello"
    assert drive(app.config, [ask(old)])[0].statuses == [200]  # RFC 9110 section 10.1.1: HTTP/1.0 knows no 1xx


def test_a_client_that_has_no_more_to_say_gets_its_answers(app) -> None:
    script = Script(rounds=[Round(send=wire(b"GET /") * 3, half_close=True, until=eof)])
    assert drive(app.config, [script])[0].statuses == [200] * 3
    cut = Script(rounds=[Round(send=wire(b"GET /")[:-2], half_close=True, until=eof)])
    assert drive(app.config, [cut])[0].statuses == []


def test_requests_in_one_write_are_answered_in_order(app) -> None:
    requests = (
        wire(b"GET /") + wire(b"GET /absent") + wire(b"POST /", b"Content-Length: 2", content=b"ok") + wire(b"PUT /")
    )
    assert drive(app.config, [ask(requests, frames(4))])[0].statuses == [200, 404, 200, 405]
