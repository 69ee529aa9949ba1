"""Framing of responses, fed whole, at every split, and with a neighbour behind."""

import pytest

from vanilla.testing import Received

NEIGHBOUR = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
WIRE = [
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b"", id="empty_body"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello", id="content_length"),
    pytest.param(b"HTTP/1.0 200 \r\ncontent-length: \t5 \r\n\r\nhello", 200, b"hello", id="no_reason_and_whitespace"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n",
        200,
        b"hello!",
        id="chunked",
    ),
    pytest.param(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\nX-Sum: 1\r\nX-End: 2\r\n\r\n",
        200,
        b"",
        id="chunked_with_trailers",
    ),
    pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", 100, b"", id="interim"),
    pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", id="no_content"),
    pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, b"", id="not_modified"),
]


@pytest.mark.parametrize(("wire", "status", "body"), WIRE)
def test_a_response_is_a_frame_once_its_last_byte_arrived(wire: bytes, status: int, body: bytes) -> None:
    for split in range(len(wire)):
        received = Received()
        received.append(wire[:split])
        assert received.frames == [], split
        assert received.rest == wire[:split]
        received.append(wire[split:] + NEIGHBOUR)
        assert [(frame.raw, frame.status, frame.body) for frame in received.frames] == [
            (wire, status, body),
            (NEIGHBOUR, 404, b"no"),
        ], split
        assert received.rest == b""


@pytest.mark.parametrize(("wire", "status", "body"), WIRE)
def test_bytes_that_come_singly_make_the_same_frame(wire: bytes, status: int, body: bytes) -> None:
    received = Received()
    for at in range(len(wire)):
        received.append(wire[at : at + 1])
    assert [(frame.raw, frame.body) for frame in received.frames] == [(wire, body)]


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    received = Received()
    received.append(b"HTTP/1.1 200 OK\r\n\r\nhel")
    received.append(b"lo")
    assert received.frames == []
    received.end(reset=False)
    assert received.frames[0].body == b"hello"


def test_an_answer_to_head_has_no_body_whatever_its_length_says() -> None:
    received = Received(heads={1})
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    received.append(head + b"hello" + b"HTTP/1.1 103 Early Hints\r\n\r\n" + head + head + b"world")
    assert [frame.body for frame in received.frames] == [b"hello", b"", b"", b"world"]


def test_trailers_and_fields_are_given_without_their_whitespace() -> None:
    received = Received()
    received.append(b"HTTP/1.1 200 OK\r\nA: \t b c \r\nTransfer-Encoding: chunked\r\n\r\n0\r\nD:\r\n\r\n")
    assert received.frames[0].header("a") == b"b c"
    assert received.frames[0].header("b") is None
    assert received.frames[0].trailers == ((b"D", b""),)


def test_what_follows_a_switch_of_protocols_is_left_raw() -> None:
    received = Received()
    received.append(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + NEIGHBOUR)
    assert [frame.status for frame in received.frames] == [101]
    assert received.rest == NEIGHBOUR


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"hello", id="no_status_line"),
        pytest.param(b"HTTP/1.1 20 OK\r\n\r\n", id="short_status"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n", id="space_before_colon"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="bad_length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", id="two_lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", id="unknown_coding"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", id="bad_chunk_size"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", id="chunk_without_crlf"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na b\r\n\r\n", id="bad_trailer"),
    ],
)
def test_what_is_no_response_never_becomes_a_frame(wire: bytes) -> None:
    received = Received()
    received.append(wire + NEIGHBOUR)
    received.end(reset=False)
    assert received.frames == []
    assert received.rest == wire + NEIGHBOUR
