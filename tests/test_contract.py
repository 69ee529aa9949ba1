"""Request, Response and Worker made by hand, as a handler's own test makes them."""

from __future__ import annotations

import copy
import email.utils
import gc
import http
import os
import pathlib
import pickle
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest

from vanilla import OpenFile, Request, Response, Worker

HOST = b"Host: a\r\n"


def get(target: bytes = b"/", *fields: bytes, method: bytes = b"GET") -> Request:
    """A request with these field lines."""
    return Request(
        method + b" " + target + b" HTTP/1.1\r\n" + HOST + b"".join(b"%b\r\n" % line for line in fields) + b"\r\n"
    )


def post(body: bytes) -> Request:
    return Request(b"POST /p HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % len(body) + body)


class TestRequest:
    def test_every_part_is_there(self) -> None:
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

    def test_a_request_by_hand_has_no_client(self) -> None:
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
    def test_the_target_is_split_as_its_form_says(
        self, method: bytes, target: bytes, path: bytes, query: bytes
    ) -> None:
        assert (get(target, method=method).path, get(target, method=method).query) == (path, query)
        assert (get(target, method=method).query, get(target, method=method).target) == (query, target)

    @pytest.mark.parametrize("method", [*(str(method).encode() for method in http.HTTPMethod), b"PURGE", b"get", b"M"])
    def test_the_method_is_what_was_sent(self, method: bytes) -> None:
        target = b"a:1" if method == b"CONNECT" else b"/"
        assert get(target, method=method).method == method

    def test_values_are_made_once(self) -> None:
        request = get(b"/a?b")
        for name in ("method", "target", "path", "query", "body"):
            assert getattr(request, name) is getattr(request, name)
        assert get().method is get().method  # a common method is one constant

    def test_version_1_0_needs_no_host(self) -> None:
        request = Request(b"GET / HTTP/1.0\r\n\r\n")
        assert (request.version, request.headers(), request.body) == (b"HTTP/1.0", [], b"")

    def test_one_empty_line_before_is_no_part_of_it(self) -> None:
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
    def test_a_field_is_found_by_its_name(self, name: str | bytes, value: bytes | None) -> None:
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

    def test_a_name_in_the_content_is_not_found(self) -> None:
        assert post(b"\r\nX: y\r\n").header("x") is None

    def test_a_name_that_is_not_ascii_is_refused(self) -> None:
        with pytest.raises(UnicodeEncodeError):
            get().header("ä")

    @pytest.mark.parametrize("body", [b"", b"x", b"\0" * 100, bytes(range(256)) * 4096])
    def test_the_body_is_whole(self, body: bytes) -> None:
        request = post(body)
        assert request.body == body
        assert bytes(request.body_view) == body
        assert bytes(request.raw).endswith(b"\r\n\r\n" + body)

    def test_a_chunked_body_is_decoded(self) -> None:
        request = Request(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX: y\r\n\r\n"
        )
        assert request.body == b"hello world"
        assert bytes(request.body_view) == b"hello world"
        assert bytes(request.raw).endswith(b"chunked\r\n\r\nhello world")

    def test_views_are_read_only_and_outlive_the_request(self) -> None:
        request = post(b"hello")
        views = [request.raw, request.body_view, request.body_view[1:3]]
        assert all(view.readonly and view.contiguous and view.format == "B" for view in views)
        with pytest.raises(TypeError):
            views[0][0] = 0
        del request
        gc.collect()
        assert [bytes(view) for view in views[1:]] == [b"hello", b"el"]
        assert bytes(views[0]).startswith(b"POST /p HTTP/1.1\r\n")

    def test_an_empty_view_is_a_view(self) -> None:
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
    def test_what_is_no_whole_request_is_refused(self, raw: bytes, words: str) -> None:
        with pytest.raises(ValueError, match=re.escape(words)):
            Request(raw)

    @pytest.mark.parametrize("raw", [None, "GET / HTTP/1.0\r\n\r\n", 1.5, object()])
    def test_a_request_is_made_of_bytes(self, raw: object) -> None:
        with pytest.raises(TypeError):
            Request(raw)

    def test_a_request_is_filled_once(self) -> None:
        request = get(b"/first")
        with pytest.raises(ValueError, match="make another"):
            request.__init__(b"GET / HTTP/1.0\r\n\r\n")
        assert request.target == b"/first"

    @pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, pickle.dumps])
    @pytest.mark.parametrize("thing", [get(), Response(), Worker()], ids=["request", "response", "worker"])
    def test_what_belongs_to_the_engine_is_not_copied(self, make: object, thing: object) -> None:
        with pytest.raises(TypeError):
            make(thing)  # type: ignore[operator]

    def test_nothing_can_be_assigned(self) -> None:
        for name in ("method", "body", "client_fd", "other"):
            with pytest.raises(AttributeError):
                setattr(get(), name, b"x")

    def test_a_request_may_be_read_on_another_thread(self) -> None:
        request, seen = post(b"hello"), []
        thread = threading.Thread(target=lambda: seen.append((request.method, request.body, bytes(request.raw)[:4])))
        thread.start()
        thread.join()
        assert seen == [(b"POST", b"hello", b"POST")]


# https://www.iana.org/assignments/http-status-codes, final ones; "(Unused)" for 306 and 418.
STATUSES = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    203: "Non-Authoritative Information",
    204: "No Content",
    205: "Reset Content",
    206: "Partial Content",
    207: "Multi-Status",
    208: "Already Reported",
    226: "IM Used",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    305: "Use Proxy",
    306: "Unused",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    418: "I'm a Teapot",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    423: "Locked",
    424: "Failed Dependency",
    425: "Too Early",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    506: "Variant Also Negotiates",
    507: "Insufficient Storage",
    508: "Loop Detected",
    510: "Not Extended",
    511: "Network Authentication Required",
}
WITHOUT_CONTENT = (204, 205, 304)


def parse(wire: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Status line, fields and content of one response."""
    head, content = wire.split(b"\r\n\r\n", 1)
    line, *fields = head.split(b"\r\n")
    return line, [(name, value) for name, _, value in (field.partition(b": ") for field in fields)], content


def reply(status: int = 200, body: object = b"", **options: object) -> bytes:
    response = Response()
    response.reply(status, body, **options)  # type: ignore[arg-type]
    return bytes(response)


class TestReply:
    @pytest.mark.parametrize("status", STATUSES)
    def test_every_registered_status_has_its_line(self, status: int) -> None:
        content = b"" if status in WITHOUT_CONTENT else b"hello"
        line, fields, sent = parse(reply(status, content, content_type="text/plain"))
        assert line == b"HTTP/1.1 %d %b" % (status, STATUSES[status].encode())
        assert sent == content
        names = [name for name, _ in fields]
        assert names == [b"Content-Type", b"Date", b"Content-Length"][: 2 if status in (204, 304) else 3]
        assert dict(fields).get(b"Content-Length", b"0") == b"%d" % len(content)

    @pytest.mark.parametrize("status", sorted(set(range(-1, 1002)) - set(STATUSES)))
    def test_no_other_status_is_taken(self, status: int) -> None:
        with pytest.raises(ValueError, match=rf"status {status}: give a final status"):
            reply(status)

    def test_the_standard_library_s_status_is_taken(self) -> None:
        assert reply(http.HTTPStatus.NOT_FOUND).startswith(b"HTTP/1.1 404 Not Found\r\n")

    @pytest.mark.parametrize("status", ["200", b"200", None])
    def test_a_status_is_a_whole_number(self, status: object) -> None:
        with pytest.raises(TypeError):
            reply(status)  # type: ignore[arg-type]

    @pytest.mark.parametrize("status", [2**31, 2**64, -(2**64)])
    def test_an_absurd_status_is_refused(self, status: int) -> None:
        with pytest.raises((ValueError, OverflowError)):
            reply(status)

    @pytest.mark.parametrize("status", WITHOUT_CONTENT)
    def test_content_where_there_is_none_is_refused(self, status: int) -> None:
        with pytest.raises(ValueError, match=rf"status {status} has no content, but 1 bytes were given"):
            reply(status, b"x")

    def test_date_is_now(self) -> None:
        before = int(time.time()) - 1  # the coarse clock may lag
        line = dict(parse(reply())[1])[b"Date"].decode()
        assert before <= email.utils.parsedate_to_datetime(line).timestamp() <= time.time()

    def test_the_order_of_the_fields_is_fixed(self) -> None:
        wire = reply(200, b"ok", content_type="text/plain", headers={"X-A": "1", "X-B": b"2"})
        assert re.fullmatch(
            rb"HTTP/1\.1 200 OK\r\nContent-Type: text/plain\r\nX-A: 1\r\nX-B: 2\r\n"
            rb"Date: [A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT\r\nContent-Length: 2\r\n\r\nok",
            wire,
        )

    @pytest.mark.parametrize(
        "headers",
        [
            {"X-A": "1", b"X-B": b"2"},
            [("X-A", "1"), (b"X-B", b"2")],
            ((name, value) for name, value in [("X-A", b"1"), ("X-B", "2")]),
        ],
        ids=["mapping", "pairs", "generator"],
    )
    def test_fields_come_as_a_mapping_or_as_pairs(self, headers: object) -> None:
        assert parse(reply(headers=headers))[1][:2] == [(b"X-A", b"1"), (b"X-B", b"2")]

    def test_a_field_may_be_repeated(self) -> None:
        fields = parse(reply(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))[1]
        assert fields[:2] == [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]

    def test_a_date_of_ones_own_replaces_the_server_s(self) -> None:
        fields = parse(reply(headers={"date": "Thu, 01 Jan 1970 00:00:00 GMT"}))[1]
        assert [value for name, value in fields if name.lower() == b"date"] == [b"Thu, 01 Jan 1970 00:00:00 GMT"]

    @pytest.mark.parametrize(
        "body",
        [
            b"hello",
            bytearray(b"hello"),
            memoryview(b"hello"),
            memoryview(b"xhellox")[1:-1],
            memoryview(b"h.e.l.l.o")[::2],
        ],
        ids=["bytes", "bytearray", "memoryview", "slice", "strided"],
    )
    def test_content_is_anything_that_holds_bytes(self, body: object) -> None:
        _, fields, content = parse(reply(200, body))
        assert content == b"hello"
        assert dict(fields)[b"Content-Length"] == b"5"

    def test_content_of_a_subclass_of_bytes(self) -> None:
        class Bytes(bytes):
            pass

        assert parse(reply(200, Bytes(b"hello")))[2] == b"hello"

    @pytest.mark.parametrize("size", [0, 1, 9, 10, 65_535, 65_536, 65_537, 3_000_000])
    def test_content_of_any_size_is_whole(self, size: int) -> None:
        body = b"x" * size
        _, fields, content = parse(reply(200, body))
        assert dict(fields)[b"Content-Length"] == b"%d" % size
        assert content == body

    @pytest.mark.parametrize("body", ["text", None, 5, [b"a"]])
    def test_content_is_bytes(self, body: object) -> None:
        with pytest.raises(TypeError):
            reply(200, body)

    @pytest.mark.parametrize("octet", [*range(9), *range(10, 32), 127])
    def test_a_value_with_a_control_byte_would_split_the_response(self, octet: int) -> None:
        for value in (b"a" + bytes([octet]) + b"b", chr(octet), "a" + chr(octet)):
            with pytest.raises(ValueError, match="holds a control byte"):
                reply(headers={"X": value})
            with pytest.raises(ValueError, match="holds a control byte"):
                reply(content_type=value)

    @pytest.mark.parametrize(
        "octet", [octet for octet in range(128) if not re.match(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]", chr(octet))]
    )
    def test_a_name_is_a_token(self, octet: int) -> None:
        for name in (b"X" + bytes([octet]), bytes([octet]) + b"X", "X" + chr(octet) + "Y"):
            with pytest.raises(ValueError, match="only letters, digits"):
                reply(headers=[(name, "v")])

    @pytest.mark.parametrize("name", ["", b"", b"\x80", b"\xff"])
    def test_an_empty_or_high_name_is_refused(self, name: object) -> None:
        with pytest.raises(ValueError, match="only letters, digits"):
            reply(headers=[(name, "v")])

    @pytest.mark.parametrize("pair", [("ä", "v"), ("X", "ä")])
    def test_text_is_ascii(self, pair: tuple[str, str]) -> None:
        with pytest.raises(UnicodeEncodeError):
            reply(headers=[pair])

    def test_high_bytes_may_stand_in_a_value(self) -> None:
        assert (b"X", b"\xc3\xa4") in parse(reply(headers={"X": b"\xc3\xa4"}))[1]

    @pytest.mark.parametrize("name", ["Content-Length", "content-length", b"CONTENT-LENGTH", "Transfer-Encoding"])
    def test_framing_is_the_server_s(self, name: object) -> None:
        with pytest.raises(ValueError, match=re.escape("reply() writes it itself")):
            reply(headers=[(name, "5")])

    @pytest.mark.parametrize("pair", [("X", 1), (1, "v"), ("X", None), (None, "v"), ("X", bytearray(b"v"))])
    def test_names_and_values_are_text_or_bytes(self, pair: object) -> None:
        with pytest.raises(TypeError):
            reply(headers=[pair])

    @pytest.mark.parametrize("headers", [5, ["ab", "c"], [("a",)], [("a", "b", "c")]])
    def test_fields_are_pairs(self, headers: object) -> None:
        with pytest.raises((TypeError, ValueError)):
            reply(headers=headers)

    def test_a_refused_reply_appends_nothing(self) -> None:
        response = Response()
        response += b"before"
        for options in ({"headers": {"X": "a\r\nY: b"}}, {"content_type": "\n"}, {"headers": [("A", "b"), 5]}):
            with pytest.raises((ValueError, TypeError)):
                response.reply(200, b"body", **options)
            assert bytes(response) == b"before"
        with pytest.raises(TypeError):
            response.reply(200, "text")  # type: ignore[arg-type]
        assert bytes(response) == b"before"

    def test_fields_that_raise_append_nothing(self) -> None:
        def fields() -> Iterator[tuple[str, str]]:
            yield "A", "b"
            raise KeyError("the handler's own words")

        response = Response()
        with pytest.raises(KeyError):
            response.reply(200, headers=fields())
        assert bytes(response) == b""


class TestResponse:
    def test_what_is_appended_is_what_is_there(self) -> None:
        response = Response()
        assert len(response) == 0
        assert bytes(response) == b""
        response += b"a"
        response.write(b"bc")
        response.write(bytearray(b"d"))
        response += memoryview(b"xefx")[1:3]
        assert bytes(response) == b"abcdef"
        assert len(response) == 6
        response.clear()
        assert bytes(response) == b""

    def test_nothing_may_be_appended_to_nothing(self) -> None:
        response = Response()
        response += b""
        response.write(bytearray())
        assert bytes(response) == b""

    def test_a_copy_is_a_copy(self) -> None:
        response = Response()
        response += b"a"
        before = bytes(response)
        response.clear()
        response += b"b"
        assert (before, bytes(response)) == (b"a", b"b")

    def test_it_grows_to_any_size(self) -> None:
        response, expected = Response(), bytearray()
        for size in (1, 65_535, 1, 0, 65_536, 1_000_000, 3):
            response += b"%d" % (size % 7) * size
            expected += b"%d" % (size % 7) * size
            assert len(response) == len(expected)
        assert bytes(response) == expected

    @pytest.mark.parametrize("data", ["text", 5, None, [1], object()])
    def test_only_bytes_are_appended(self, data: object) -> None:
        response = Response()
        with pytest.raises(TypeError):
            response += data  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            response.write(data)  # type: ignore[arg-type]
        assert bytes(response) == b""

    def test_text_is_told_to_be_encoded(self) -> None:
        with pytest.raises(TypeError, match="encode it first"):
            Response().write("text")  # type: ignore[arg-type]

    def test_raw_bytes_and_replies_mix(self) -> None:
        response = Response()
        response += b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        response.reply(200, b"ok")
        assert bytes(response).startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")

    def test_a_response_is_set_up_once(self) -> None:
        response = Response()
        response += b"a"
        with pytest.raises(ValueError, match="make another"):
            response.__init__()  # type: ignore[misc]
        assert bytes(response) == b"a"


class TestStart:
    DATE = re.compile(rb"Date: [^\r]+\r\n")

    def wire(self, response: Response) -> bytes:
        return self.DATE.sub(b"", bytes(response))

    @pytest.mark.parametrize(
        ("status", "length", "head"),
        [
            pytest.param(200, None, b"200 OK\r\nTransfer-Encoding: chunked\r\n", id="unknown_length"),
            pytest.param(200, 0, b"200 OK\r\nContent-Length: 0\r\n", id="empty"),
            pytest.param(200, 2**63 - 1, b"200 OK\r\nContent-Length: 9223372036854775807\r\n", id="the_most"),
            pytest.param(599, None, None, id="unregistered"),
            pytest.param(204, None, b"204 No Content\r\n", id="204"),
            pytest.param(304, 7, b"304 Not Modified\r\n", id="304"),
            pytest.param(205, None, b"205 Reset Content\r\nContent-Length: 0\r\n", id="205"),
            pytest.param(205, 0, b"205 Reset Content\r\nContent-Length: 0\r\n", id="205_of_nothing"),
            pytest.param(205, 5, None, id="205_of_something"),
            pytest.param(199, None, None, id="interim"),
            pytest.param(101, None, None, id="switching"),
            pytest.param(1000, None, None, id="no_status"),
            pytest.param(200, -1, None, id="negative_length"),
            pytest.param(200, 1.5, None, id="length_that_is_not_whole"),
            pytest.param(200, "5", None, id="length_that_is_text"),
            pytest.param(200, True, None, id="length_that_is_a_truth"),
            pytest.param(200, 2**63, None, id="one_too_many"),
            pytest.param(200, 2**70, None, id="far_too_many"),
        ],
    )
    def test_the_head_says_how_the_content_is_framed(self, status: int, length: object, head: bytes | None) -> None:
        response = Response()
        if head is None:
            with pytest.raises(ValueError, match=r"status|length"):
                response.start(status, length=length)  # type: ignore[arg-type]
            response.start(200, length=2)  # nothing of the refused one is left
            response.write(b"ok")
            assert self.wire(response) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        else:
            response.start(status, length=length)  # type: ignore[arg-type]
            assert self.wire(response) == b"HTTP/1.1 " + head + b"\r\n"

    @pytest.mark.parametrize("status", [204, 304])
    def test_what_is_written_where_there_is_no_content_is_dropped(self, status: int) -> None:
        response = Response()
        response.start(status)
        head = bytes(response)
        response.write(b"dropped")
        assert bytes(response) == head

    def test_a_205_takes_no_content(self) -> None:
        response = Response()
        response.start(205)
        with pytest.raises(ValueError, match="1 bytes more"):
            response.write(b"x")

    @pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 65_535, 65_536, 1_048_576])
    def test_a_piece_is_a_chunk_with_its_size_in_hexadecimal(self, size: int) -> None:
        response, piece = Response(), b"x" * size
        response.start(200)
        head = len(response)
        response.write(piece)
        response += memoryview(piece)
        assert bytes(response)[head:] == b"%x\r\n%b\r\n" % (size, piece) * 2

    def test_an_empty_piece_is_no_chunk(self) -> None:
        response = Response()
        response.start(200)
        head = bytes(response)
        response.write(b"")
        response += bytearray()
        assert bytes(response) == head  # an empty chunk would be the last one

    def test_more_than_the_length_is_refused_and_the_rest_may_still_come(self) -> None:
        response = Response()
        response.start(200, length=3)
        response.write(b"ab")
        with pytest.raises(ValueError, match="1 bytes more than the length"):
            response.write(b"cd")
        response.write(b"c")
        assert bytes(response).endswith(b"\r\n\r\nabc")

    @pytest.mark.parametrize("data", ["text", 5, None])
    def test_pieces_are_bytes(self, data: object) -> None:
        response = Response()
        response.start(200)
        head = bytes(response)
        with pytest.raises(TypeError):
            response.write(data)  # type: ignore[arg-type]
        assert bytes(response) == head

    @pytest.mark.parametrize("call", ["start", "inform", "reply"])
    def test_an_answer_begins_once(self, call: str) -> None:
        response = Response()
        response.start(200)
        before = bytes(response)
        with pytest.raises(RuntimeError, match="begun"):
            getattr(response, call)(*(() if call == "inform" else (200,)))
        assert bytes(response) == before

    @pytest.mark.parametrize("call", ["start", "inform"])
    def test_nothing_begins_behind_raw_bytes(self, call: str) -> None:
        response = Response()
        response += b"raw"
        with pytest.raises(RuntimeError, match="begun"):
            getattr(response, call)(*(() if call == "inform" else (200,)))
        assert bytes(response) == b"raw"

    @pytest.mark.parametrize(
        "headers",
        [
            {"A": "b\r\nC: d"},
            {"A": b"b\n"},
            {"A\r\nB": "c"},
            {"": "a"},
            {"Content-Length": "3"},
            {"transfer-encoding": "chunked"},
        ],
    )
    @pytest.mark.parametrize("call", ["start", "inform", "trailers"])
    def test_a_field_that_would_split_or_reframe_the_answer_is_refused(self, call: str, headers: dict) -> None:
        response = Response()
        if call == "trailers":
            response.start(200)
        before = bytes(response)
        with pytest.raises(ValueError, match="header"):
            getattr(response, call)(*(() if call == "trailers" else (200 if call == "start" else 103,)), headers)
        assert bytes(response) == before

    def test_interim_answers_come_before_the_final_one(self) -> None:
        response = Response()
        response.inform(headers={"Link": "</a>"})
        response.inform(102)
        response.start(200)
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
        assert self.wire(response) == hints + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    @pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 200, 1000])
    def test_other_statuses_inform_nobody(self, status: int) -> None:
        response = Response()
        with pytest.raises(ValueError, match="interim status"):
            response.inform(status)
        assert bytes(response) == b""

    def test_trailers_need_a_start_and_leave_no_bytes_before_the_end(self) -> None:
        response = Response()
        with pytest.raises(RuntimeError, match=r"start\(\)"):
            response.trailers({"A": "b"})
        response.start(200)
        before = bytes(response)
        response.trailers([(b"A", b"b"), ("A", "c")])
        assert bytes(response) == before

    def test_a_cleared_answer_begins_anew(self) -> None:
        response = Response()
        response.inform()
        response.start(200, length=1)
        response.trailers({"A": "b"})
        response.stream([b"a"])
        response.clear()
        assert (bytes(response), response.recorded) == (b"", None)
        response.start(404)
        response.write(b"a")
        assert self.wire(response) == b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"

    @pytest.mark.parametrize("source", [b"a", bytearray(), memoryview(b""), "a", 5, None])
    def test_what_is_no_iterable_of_pieces_is_refused(self, source: object) -> None:
        response = Response()
        with pytest.raises(TypeError):
            response.stream(source)
        assert (bytes(response), response.recorded) == (b"", None)

    def test_what_it_waits_for_is_recorded(self) -> None:
        response = Response()
        assert response.recorded is None
        response.on_drained(print, 5)
        assert response.recorded == (print, 5)
        parked = response.park()
        assert response.recorded is parked
        response.stream([b"a", b"b"])
        assert list(response.recorded) == [b"a", b"b"]  # type: ignore[call-overload]
        assert bytes(response).startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n")
        with pytest.raises(TypeError, match="continuation 5"):
            response.on_drained(5)


class TestSendFile:
    HEAD = b"HTTP/1.1 200 OK\r\n\r\n"

    @pytest.fixture
    def file(self, tmp_path: pathlib.Path) -> Iterator[BinaryIO]:
        """100,000 bytes that all differ from their neighbours."""
        path = tmp_path / "file"
        path.write_bytes(bytes(range(250)) * 400)
        with path.open("rb") as file:
            yield file

    @pytest.mark.parametrize(
        ("offset", "count"),
        [(0, None), (0, 0), (0, 16_384), (0, 16_385), (7, 1), (7, 50_000), (7, None), (100_000, None), (99_999, 1)],
    )
    @pytest.mark.parametrize(
        "given",
        [
            pytest.param(lambda file: file, id="object"),
            pytest.param(lambda file: file.fileno(), id="number"),
            pytest.param(lambda file: OpenFile(file.fileno()), id="open_file"),
        ],
    )
    def test_made_by_hand_a_response_holds_the_bytes(
        self, file: BinaryIO, offset: int, count: int | None, given: Callable[[BinaryIO], Any]
    ) -> None:
        content = file.read()[offset:][:count]
        position = file.tell()
        response = Response()
        response += self.HEAD
        response.send_file(given(file), offset, count)
        response += b">"
        assert bytes(response) == self.HEAD + content + b">"
        assert len(response) == len(bytes(response))
        assert file.tell() == position

    @pytest.mark.parametrize("count", [10, 50_000])
    def test_it_is_framed_like_any_content(self, file: BinaryIO, count: int) -> None:
        content = file.read(count)
        chunked, sized, bodyless = Response(), Response(), Response()
        chunked.start(200)
        chunked.send_file(file, 0, count)
        sized.start(200, length=count)
        sized.send_file(file, 0, count)
        bodyless.start(304)
        bodyless.send_file(file, 0, count)
        assert bytes(chunked).endswith(b"\r\n\r\n%x\r\n%b\r\n" % (count, content))
        assert bytes(sized).endswith(b"\r\n\r\n" + content)
        assert bytes(bodyless).endswith(b"\r\n\r\n")

    @pytest.mark.parametrize(
        ("offset", "count"), [(-1, None), (100_001, None), (0, 100_001), (1, 100_000), (0, -1), (2**70, None)]
    )
    def test_a_range_beyond_the_file_is_refused(self, file: BinaryIO, offset: int, count: int | None) -> None:
        response = Response()
        response += self.HEAD
        with pytest.raises(ValueError, match="the file has 100000 bytes"):
            response.send_file(file, offset, count)
        assert bytes(response) == self.HEAD

    def test_more_than_the_length_that_was_given_is_refused(self, file: BinaryIO) -> None:
        response = Response()
        response.start(200, length=99_999)
        head = bytes(response)
        with pytest.raises(ValueError, match="1 bytes more than the length"):
            response.send_file(file)
        assert bytes(response) == head
        response.send_file(file, 1)

    def test_what_is_no_regular_file_is_refused(self) -> None:
        reader, writer = os.pipe()
        response = Response()
        response += self.HEAD
        with pytest.raises(ValueError, match="only regular files"):
            response.send_file(reader)
        os.close(reader)
        os.close(writer)
        with pytest.raises(OSError, match="Bad file descriptor"):
            response.send_file(reader)
        with pytest.raises(TypeError, match="give a descriptor, an open file, or an OpenFile"):
            response.send_file("path")  # type: ignore[arg-type]

    def test_a_file_open_for_writing_only_is_refused(self, tmp_path: pathlib.Path) -> None:
        response = Response()
        response += self.HEAD
        with (tmp_path / "file").open("wb") as file, pytest.raises(ValueError, match="open it for reading"):
            response.send_file(file)

    @pytest.mark.parametrize("appended", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
    def test_a_file_without_a_head_before_it_is_refused(self, file: BinaryIO, appended: bytes) -> None:
        response = Response()
        response += appended
        with pytest.raises(RuntimeError, match="append the head first"):
            response.send_file(file)
        assert bytes(response) == appended

    def test_clearing_and_dropping_a_response_closes_its_files(self, file: BinaryIO) -> None:
        before = len(os.listdir("/proc/self/fd"))
        response = Response()
        for _ in range(20):
            response += self.HEAD
            response.send_file(file)
        assert len(os.listdir("/proc/self/fd")) == before + 20
        response.clear()
        assert len(os.listdir("/proc/self/fd")) == before
        response += self.HEAD
        response.send_file(file)
        del response
        assert len(os.listdir("/proc/self/fd")) == before

    def test_a_file_that_shrank_cannot_be_copied(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x" * 50_000)
        response = Response()
        response += self.HEAD
        with path.open("rb") as file:
            response.send_file(file)
        os.truncate(path, 1000)
        with pytest.raises(OSError, match="49000 bytes shorter"):
            bytes(response)


class TestWorker:
    def test_state_is_what_it_was_given(self) -> None:
        state = object()
        worker = Worker(state, index=3)
        assert (worker.state, worker.index, bool(worker.draining)) == (state, 3, False)
        assert repr(worker) == "<Worker 3>"
        worker.state = None
        assert worker.state is None

    def test_without_arguments_it_is_the_first_with_no_state(self) -> None:
        assert (Worker().state, Worker().index) == (None, 0)

    def test_what_the_engine_decides_cannot_be_assigned(self) -> None:
        for name in ("index", "draining", "other"):
            with pytest.raises(AttributeError):
                setattr(Worker(), name, 1)

    def test_nothing_is_counted_yet(self) -> None:
        counters = Worker().counters()
        assert counters.limits_reached == {}
        assert set(counters[:-1]) == {0}

    def test_a_handler_is_tested_by_calling_it(self) -> None:
        def handle(request: Request, response: Response, worker: Worker) -> None:
            response.reply(200, request.path + worker.state, content_type="text/plain")

        response = Response()
        handle(get(b"/a"), response, Worker(b"!"))
        assert bytes(response).endswith(b"\r\n\r\n/a!")
