"""A Request made by hand, as a handler's own test makes one: its parts, and what is refused."""

from __future__ import annotations

import gc
import http
import re
import threading

import pytest

from vanilla import Request

HOST = b"Host: a\r\n"


def get(target: bytes = b"/", *fields: bytes, method: bytes = b"GET") -> Request:
    """A request with these field lines."""
    return Request(
        method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"".join(b"%b\r\n" % line for line in fields) + b"\r\n"
    )


def post(body: bytes) -> Request:
    return Request(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)


def test_every_part_is_there() -> None:
    raw = b"POST /a/b?c=d&e HTTP/1.1\r\nHost: a\r\nX-Y:  z \r\nContent-Length: 5\r\n\r\nhello"
    request = Request(raw)
    assert request.method == b"POST"
    assert request.target == b"/a/b?c=d&e"
    assert request.path == b"/a/b"
    assert request.query == b"c=d&e"
    assert request.version == b"HTTP/1.1"
    assert request.body == b"hello"
    assert request.headers() == [(b"Host", b"a"), (b"X-Y", b"z"), (b"Content-Length", b"5")]
    assert bytes(request.raw) == raw
    assert bytes(request.body_view) == b"hello"
    assert repr(request) == "<Request POST /a/b?c=d&e>"


def test_a_request_by_hand_has_no_client() -> None:
    request = get()
    assert request.client_fd == -1
    assert request.peer is None
    assert request.peer_credentials() is None
    assert request.tls is None


@pytest.mark.parametrize(
    ("method", "target", "path", "query"),
    [
        pytest.param(b"GET", b"/", b"/", b"", id="root"),
        pytest.param(b"GET", b"/?", b"/", b"", id="empty_query"),
        pytest.param(b"GET", b"/?a?b=/c", b"/", b"a?b=/c", id="question_marks"),
        pytest.param(b"GET", b"/%41?%42", b"/%41", b"%42", id="nothing_is_decoded"),
        pytest.param(b"GET", b"//a/b", b"//a/b", b"", id="two_slashes"),
        pytest.param(b"GET", b"/http://x/y", b"/http://x/y", b"", id="url_in_a_path"),
        pytest.param(b"GET", b"http://h:80/a?b", b"/a", b"b", id="absolute"),
        pytest.param(b"GET", b"http://h", b"/", b"", id="absolute_without_path"),
        pytest.param(b"GET", b"http://h?a", b"/", b"a", id="absolute_with_query_only"),
        pytest.param(b"GET", b"http://[::1]:8/a", b"/a", b"", id="absolute_with_ipv6"),
        pytest.param(b"OPTIONS", b"*", b"*", b"", id="asterisk"),
        pytest.param(b"CONNECT", b"h:443", b"", b"", id="authority"),
        pytest.param(b"CONNECT", b"*:443", b"", b"", id="authority_that_begins_with_an_asterisk"),
    ],
)
def test_the_target_is_split_as_its_form_says(method: bytes, target: bytes, path: bytes, query: bytes) -> None:
    assert (get(target, method=method).path, get(target, method=method).query) == (path, query)
    assert (get(target, method=method).query, get(target, method=method).target) == (query, target)


@pytest.mark.parametrize("method", [*(str(method).encode() for method in http.HTTPMethod), b"PURGE", b"get", b"M"])
def test_the_method_is_what_was_sent(method: bytes) -> None:
    target = b"a:1" if method == b"CONNECT" else b"/"
    assert get(target, method=method).method == method


def test_values_are_made_once() -> None:
    request = get(b"/a?b")
    for name in ("method", "target", "path", "query", "body"):
        assert getattr(request, name) is getattr(request, name)
    assert get().method is get().method  # a common method is one constant


def test_version_1_0_needs_no_host() -> None:
    request = Request(b"GET / HTTP/1.0\r\n\r\n")
    assert (request.version, request.headers(), request.body) == (b"HTTP/1.0", [], b"")


def test_one_empty_line_before_is_no_part_of_it() -> None:
    assert bytes(Request(b"\r\nGET / HTTP/1.0\r\n\r\n").raw) == b"GET / HTTP/1.0\r\n\r\n"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("X-One", b"1", id="exact"),
        pytest.param("x-one", b"1", id="lower_case"),
        pytest.param(b"X-ONE", b"1", id="upper_case_bytes"),
        pytest.param("x-two", b"a", id="the_first_of_two"),
        pytest.param("x-empty", b"", id="empty"),
        pytest.param("x-space", b"a \t b", id="space_around_is_dropped"),
        pytest.param("x-high", b"\xe4", id="high_bytes"),
        pytest.param("last", b"z", id="last"),
        pytest.param("x-on", None, id="prefix"),
        pytest.param("x-one-more", None, id="longer"),
        pytest.param("one", None, id="suffix"),
        pytest.param("", None, id="no_name"),
        pytest.param("x-one: 1", None, id="name_and_value"),
    ],
)
def test_a_field_is_found_by_its_name(name: str | bytes, value: bytes | None) -> None:
    fields = [
        b"X-One: 1",
        b"X-Two: a",
        b"x-two: b",
        b"X-Empty:",
        b"X-Space: \t a \t b\t ",
        b"X-High: \xe4",
        b"Last:z",
    ]
    request = get(b"/", *fields)
    assert request.header(name) == value
    assert request.header(name, b"?") == (b"?" if value is None else value)


def test_a_name_in_the_content_is_not_found() -> None:
    assert post(b"\r\nX: y\r\n").header("x") is None


def test_a_name_that_is_not_ascii_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        get().header("ä")


@pytest.mark.parametrize("body", [b"", b"x", b"\0" * 100, bytes(range(256)) * 4096])
def test_the_body_is_whole(body: bytes) -> None:
    request = post(body)
    assert request.body == body
    assert bytes(request.body_view) == body
    assert bytes(request.raw).endswith(b"\r\n\r\n" + body)


def test_a_chunked_body_is_decoded() -> None:
    request = Request(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n"
    )
    assert request.body == b"hello world"
    assert bytes(request.body_view) == b"hello world"
    assert bytes(request.raw).endswith(b"chunked\r\n\r\nhello world")


def test_views_are_read_only_and_outlive_the_request() -> None:
    request = post(b"hello")
    views = [request.raw, request.body_view, request.body_view[1:3]]
    assert all(view.readonly and view.contiguous and view.format == "B" for view in views)
    with pytest.raises(TypeError):
        views[0][0] = 0
    del request
    gc.collect()
    assert [bytes(view) for view in views[1:]] == [b"hello", b"el"]
    assert bytes(views[0]).startswith(b"POST /p HTTP/1.1\r\n")


def test_an_empty_view_is_a_view() -> None:
    assert bytes(get().body_view) == b""
    assert get().body_view.nbytes == 0


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"", "the head is not complete", id="nothing"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n", "the head is not complete", id="no_blank_line"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", "the head is malformed: a server answers 400", id="no_host"),
        pytest.param(b"hello, world!", "the head is malformed: a server answers 400", id="no_request"),
        pytest.param(b"GET / HTTP/2.0\r\n\r\n", "a server answers 505", id="another_version"),
        pytest.param(b"GET /" + b"x" * 8192 + b" HTTP/1.1\r\n\r\n", "a server answers 414", id="long_target"),
        pytest.param(b"GET / HTTP/1.1\r\nA: " + b"x" * 32768, "a server answers 431", id="long_field"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx",
            "the content is not complete",
            id="short_content",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4611686018427387904\r\n\r\nx",
            "the content is not complete",
            id="length_near_2_62",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell",
            "the chunked content is not complete",
            id="short_chunk",
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx",
            "the chunked content is malformed: a server answers 400",
            id="bad_chunk",
        ),
        pytest.param(b"GET / HTTP/1.0\r\n\r\nGET", "3 bytes after the end of the request", id="a_neighbour"),
    ],
)
def test_what_is_no_whole_request_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Request(raw)


@pytest.mark.parametrize("raw", [None, "GET / HTTP/1.0\r\n\r\n", 1.5, object()])
def test_a_request_is_made_of_bytes(raw: object) -> None:
    with pytest.raises(TypeError):
        Request(raw)


def test_a_request_is_filled_once() -> None:
    request = get(b"/first")
    with pytest.raises(ValueError, match="make another"):
        request.__init__(b"GET / HTTP/1.0\r\n\r\n")
    assert request.target == b"/first"


def test_nothing_can_be_assigned() -> None:
    for name in ("method", "body", "client_fd", "other"):
        with pytest.raises(AttributeError):
            setattr(get(), name, b"x")


def test_a_request_may_be_read_on_another_thread() -> None:
    request, seen = post(b"hello"), []
    thread = threading.Thread(target=lambda: seen.append((request.method, request.body, bytes(request.raw)[:4])))
    thread.start()
    thread.join()
    assert seen == [(b"POST", b"hello", b"POST")]
