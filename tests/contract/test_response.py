"""A Response made by hand: raw bytes are appended as they stand, and nothing but bytes."""

from __future__ import annotations

import pytest

from vanilla import Response


def test_what_is_appended_is_what_is_there() -> None:
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


def test_nothing_may_be_appended_to_nothing() -> None:
    response = Response()
    response += b""
    response.write(bytearray())
    assert bytes(response) == b""


def test_a_copy_is_a_copy() -> None:
    response = Response()
    response += b"a"
    before = bytes(response)
    response.clear()
    response += b"b"
    assert (before, bytes(response)) == (b"a", b"b")


def test_it_grows_to_any_size() -> None:
    response, expected = Response(), bytearray()
    for size in (1, 65_535, 1, 0, 65_536, 1_000_000, 3):
        response += b"%d" % (size % 7) * size
        expected += b"%d" % (size % 7) * size
        assert len(response) == len(expected)
    assert bytes(response) == expected


@pytest.mark.parametrize("data", ["text", 5, None, [1], object()])
def test_only_bytes_are_appended(data: object) -> None:
    response = Response()
    with pytest.raises(TypeError):
        response += data  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        response.write(data)  # type: ignore[arg-type]
    assert bytes(response) == b""


def test_text_is_told_to_be_encoded() -> None:
    with pytest.raises(TypeError, match="encode it first"):
        Response().write("text")  # type: ignore[arg-type]


def test_raw_bytes_and_replies_mix() -> None:
    response = Response()
    response += b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    response.reply(200, b"ok")
    assert bytes(response).startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_a_response_is_set_up_once() -> None:
    response = Response()
    response += b"a"
    with pytest.raises(ValueError, match="make another"):
        response.__init__()  # type: ignore[misc]
    assert bytes(response) == b"a"
