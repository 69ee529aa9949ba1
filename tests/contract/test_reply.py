"""Response.reply: one complete answer in one call, and what no answer may hold."""

from __future__ import annotations

import email.utils
import http
import re
import time
from collections.abc import Iterator

import pytest

from vanilla import Response

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


@pytest.mark.parametrize("status", STATUSES)
def test_every_registered_status_has_its_line(status: int) -> None:
    content = b"" if status in WITHOUT_CONTENT else b"hello"
    line, fields, sent = parse(reply(status, content, content_type="text/plain"))
    assert line == b"HTTP/1.1 %d %b" % (status, STATUSES[status].encode())
    assert sent == content
    names = [name for name, _ in fields]
    assert names == [b"Content-Type", b"Date", b"Content-Length"][: 2 if status in (204, 304) else 3]
    assert dict(fields).get(b"Content-Length", b"0") == b"%d" % len(content)


@pytest.mark.parametrize("status", sorted(set(range(-1, 1002)) - set(STATUSES)))
def test_no_other_status_is_taken(status: int) -> None:
    with pytest.raises(ValueError, match=rf"status {status}: give a final status"):
        reply(status)


def test_the_standard_library_s_status_is_taken() -> None:
    assert reply(http.HTTPStatus.NOT_FOUND).startswith(b"HTTP/1.1 404 Not Found\r\n")


@pytest.mark.parametrize("status", ["200", b"200", None])
def test_a_status_is_a_whole_number(status: object) -> None:
    with pytest.raises(TypeError):
        reply(status)  # type: ignore[arg-type]


@pytest.mark.parametrize("status", [2**31, 2**64, -(2**64)])
def test_an_absurd_status_is_refused(status: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        reply(status)


@pytest.mark.parametrize("status", WITHOUT_CONTENT)
def test_content_where_there_is_none_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match=rf"status {status} has no content, but 1 bytes were given"):
        reply(status, b"x")


def test_date_is_now() -> None:
    before = int(time.time()) - 1  # the coarse clock may lag
    line = dict(parse(reply())[1])[b"Date"].decode()
    assert before <= email.utils.parsedate_to_datetime(line).timestamp() <= time.time()


def test_the_order_of_the_fields_is_fixed() -> None:
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
def test_fields_come_as_a_mapping_or_as_pairs(headers: object) -> None:
    assert parse(reply(headers=headers))[1][:2] == [(b"X-A", b"1"), (b"X-B", b"2")]


def test_a_field_may_be_repeated() -> None:
    fields = parse(reply(headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))[1]
    assert fields[:2] == [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")]


def test_a_date_of_ones_own_replaces_the_server_s() -> None:
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
def test_content_is_anything_that_holds_bytes(body: object) -> None:
    _, fields, content = parse(reply(200, body))
    assert content == b"hello"
    assert dict(fields)[b"Content-Length"] == b"5"


def test_content_of_a_subclass_of_bytes() -> None:
    class Bytes(bytes):
        pass

    assert parse(reply(200, Bytes(b"hello")))[2] == b"hello"


@pytest.mark.parametrize("size", [0, 1, 9, 10, 65_535, 65_536, 65_537, 3_000_000])
def test_content_of_any_size_is_whole(size: int) -> None:
    body = b"x" * size
    _, fields, content = parse(reply(200, body))
    assert dict(fields)[b"Content-Length"] == b"%d" % size
    assert content == body


@pytest.mark.parametrize("body", ["text", None, 5, [b"a"]])
def test_content_is_bytes(body: object) -> None:
    with pytest.raises(TypeError):
        reply(200, body)


@pytest.mark.parametrize("octet", [*range(9), *range(10, 32), 127])
def test_a_value_with_a_control_byte_would_split_the_response(octet: int) -> None:
    for value in (b"a" + bytes([octet]) + b"b", chr(octet), "a" + chr(octet)):
        with pytest.raises(ValueError, match="holds a control byte"):
            reply(headers={"X": value})
        with pytest.raises(ValueError, match="holds a control byte"):
            reply(content_type=value)


@pytest.mark.parametrize(
    "octet", [octet for octet in range(128) if not re.match(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]", chr(octet))]
)
def test_a_name_is_a_token(octet: int) -> None:
    for name in (b"X" + bytes([octet]), bytes([octet]) + b"X", "X" + chr(octet) + "Y"):
        with pytest.raises(ValueError, match="only letters, digits"):
            reply(headers=[(name, "v")])


@pytest.mark.parametrize("name", ["", b"", b"\x80", b"\xff"])
def test_an_empty_or_high_name_is_refused(name: object) -> None:
    with pytest.raises(ValueError, match="only letters, digits"):
        reply(headers=[(name, "v")])


@pytest.mark.parametrize("pair", [("ä", "v"), ("X", "ä")])
def test_text_is_ascii(pair: tuple[str, str]) -> None:
    with pytest.raises(UnicodeEncodeError):
        reply(headers=[pair])


def test_high_bytes_may_stand_in_a_value() -> None:
    assert (b"X", b"\xc3\xa4") in parse(reply(headers={"X": b"\xc3\xa4"}))[1]


@pytest.mark.parametrize("name", ["Content-Length", "content-length", b"CONTENT-LENGTH", "Transfer-Encoding"])
def test_framing_is_the_server_s(name: object) -> None:
    with pytest.raises(ValueError, match=re.escape("the server writes it itself")):
        reply(headers=[(name, "5")])


@pytest.mark.parametrize("pair", [("X", 1), (1, "v"), ("X", None), (None, "v"), ("X", bytearray(b"v"))])
def test_names_and_values_are_text_or_bytes(pair: object) -> None:
    with pytest.raises(TypeError):
        reply(headers=[pair])


@pytest.mark.parametrize("headers", [5, ["ab", "c"], [("a",)], [("a", "b", "c")]])
def test_fields_are_pairs(headers: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        reply(headers=headers)


def test_a_refused_reply_appends_nothing() -> None:
    response = Response()
    response += b"before"
    for options in ({"headers": {"X": "a\r\nY: b"}}, {"content_type": "\n"}, {"headers": [("A", "b"), 5]}):
        with pytest.raises((ValueError, TypeError)):
            response.reply(200, b"body", **options)
        assert bytes(response) == b"before"
    with pytest.raises(TypeError):
        response.reply(200, "text")  # type: ignore[arg-type]
    assert bytes(response) == b"before"


def test_fields_that_raise_append_nothing() -> None:
    def fields() -> Iterator[tuple[str, str]]:
        yield "A", "b"
        raise KeyError("the handler's own words")

    response = Response()
    with pytest.raises(KeyError):
        response.reply(200, headers=fields())
    assert bytes(response) == b""
