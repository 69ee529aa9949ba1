"""Answers made piece by piece, by hand: what start, inform, trailers and stream append and refuse."""

from __future__ import annotations

import pytest

from vanilla import Response, Step, Worker

DATE = (b"Date", b"now")
HEAD = b"HTTP/1.1 200 OK\r\nDate: now\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def begun(status: int = 200, length: int | None = None) -> Response:
    """A response whose head is appended, the same at all times."""
    response = Response()
    response.start(status, [DATE], length=length)
    return response


@pytest.mark.parametrize(
    ("status", "length", "wire"),
    [
        pytest.param(200, None, CHUNKED + b"3\r\nabc\r\n", id="chunked"),
        pytest.param(200, 3, HEAD + b"Content-Length: 3\r\n\r\nabc", id="of_a_length"),
        pytest.param(204, None, b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n", id="no_content"),
        pytest.param(304, None, b"HTTP/1.1 304 Not Modified\r\nDate: now\r\n\r\n", id="not_modified"),
        pytest.param(304, 3, b"HTTP/1.1 304 Not Modified\r\nDate: now\r\n\r\n", id="not_modified_of_a_length"),
    ],
)
def test_content_is_framed_as_the_head_says(status: int, length: int | None, wire: bytes) -> None:
    response = begun(status, length)
    response.write(b"abc")
    assert bytes(response) == wire


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 65_535, 2**20])
@pytest.mark.parametrize("make", [bytes, bytearray, lambda data: memoryview(data)], ids=["bytes", "bytearray", "view"])
def test_each_write_is_a_chunk_of_its_size(size: int, make) -> None:
    content = b"x" * size
    response = begun()
    response.write(make(content))
    response += make(content)
    assert bytes(response) == CHUNKED + b"%x\r\n%b\r\n" % (size, content) * 2


@pytest.mark.parametrize("length", [None, 0])
def test_an_empty_piece_is_nothing(length: int | None) -> None:
    response = begun(length=length)
    before = bytes(response)
    response.write(b"")
    assert bytes(response) == before


def test_a_205_has_no_content() -> None:
    response = begun(205)
    assert bytes(response) == b"HTTP/1.1 205 Reset Content\r\nDate: now\r\nContent-Length: 0\r\n\r\n"
    with pytest.raises(ValueError, match="1 bytes more than the length"):
        response.write(b"x")


@pytest.mark.parametrize(
    ("length", "pieces", "too_much"),
    [(0, [], b"x"), (3, [], b"abcd"), (3, [b"abc"], b"d"), (3, [b"a", b"b"], b"cd")],
)
def test_more_than_the_length_is_refused_and_appends_nothing(length: int, pieces, too_much: bytes) -> None:
    response = begun(length=length)
    for piece in pieces:
        response.write(piece)
    before = bytes(response)
    with pytest.raises(ValueError, match="1 bytes more than the length"):
        response.write(too_much)
    assert bytes(response) == before


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 103, 199, 299, 600, 999])
def test_start_takes_final_statuses_only(status: int) -> None:
    response = Response()
    with pytest.raises(ValueError, match="final status"):
        response.start(status)
    assert bytes(response) == b""


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 200, 204, 500])
def test_inform_takes_interim_statuses_only(status: int) -> None:
    response = Response()
    with pytest.raises(ValueError, match="interim status"):
        response.inform(status)
    assert bytes(response) == b""


@pytest.mark.parametrize("length", [-1, 1.0, "3", b"3", True])
def test_a_length_is_a_whole_number(length: object) -> None:
    response = Response()
    with pytest.raises(ValueError, match="number of bytes"):
        response.start(200, length=length)
    assert bytes(response) == b""


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"X": "a\r\nY: b"}, id="crlf_in_a_value"),
        pytest.param({"X": "a\rb"}, id="cr_in_a_value"),
        pytest.param({"X": "a\nb"}, id="lf_in_a_value"),
        pytest.param({"X": "a\0b"}, id="nul_in_a_value"),
        pytest.param({"X\r\nY": "a"}, id="crlf_in_a_name"),
        pytest.param({"": "a"}, id="no_name"),
        pytest.param({"Content-Length": "3"}, id="content_length"),
        pytest.param({"transfer-encoding": "chunked"}, id="transfer_encoding"),
    ],
)
def test_a_field_that_would_split_or_frame_the_answer_is_refused(fields) -> None:
    response = Response()
    for append in (response.start, response.inform):
        with pytest.raises(ValueError, match="header"):
            append(200 if append == response.start else 103, {"A": "b"} | fields)
        assert bytes(response) == b""
    response.start(200, [DATE])
    with pytest.raises(ValueError, match="header"):
        response.trailers({"A": "b"} | fields)
    assert bytes(response) == CHUNKED


def test_interim_answers_stand_before_the_final_one() -> None:
    response = Response()
    response.inform(103, {"Link": "</a.css>"})
    response.inform(102)
    response.start(200, [DATE])
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    assert bytes(response) == early + CHUNKED


def test_a_start_that_was_refused_may_be_tried_again() -> None:
    response = Response()
    with pytest.raises(ValueError, match="control byte"):
        response.start(200, {"X": "\n"})
    response.start(200, [DATE])
    assert bytes(response) == CHUNKED


@pytest.mark.parametrize("first", ["write", "reply", "start"])
def test_start_and_inform_come_before_everything_else(first: str) -> None:
    response = Response()
    getattr(response, first)(b"HTTP/1.1" if first == "write" else 200)
    before = bytes(response)
    with pytest.raises(RuntimeError, match="start: this answer has begun"):
        response.start(200)
    with pytest.raises(RuntimeError, match="inform: the final answer has begun"):
        response.inform(103)
    assert bytes(response) == before


def test_reply_after_start_is_refused() -> None:
    response = begun()
    with pytest.raises(RuntimeError, match="begun with start"):
        response.reply(200, b"x")
    assert bytes(response) == CHUNKED


def test_trailers_need_a_start() -> None:
    with pytest.raises(RuntimeError, match="call start"):
        Response().trailers({"A": "b"})


@pytest.mark.parametrize("length", [None, 3])
def test_after_clear_another_answer_may_begin(length: int | None) -> None:
    response = begun(500, length)
    response.write(b"abc")
    response.clear()
    assert bytes(response) == b""
    response.inform(103)
    response.start(200, [DATE])
    response.write(b"abcd")
    assert bytes(response) == b"HTTP/1.1 103 Early Hints\r\n\r\n" + CHUNKED + b"4\r\nabcd\r\n"
    response.clear()
    response.reply(200, headers=[DATE])
    assert bytes(response) == HEAD + b"Content-Length: 0\r\n\r\n"


def test_what_is_streamed_is_recorded_and_without_start_is_a_200() -> None:
    response = Response()
    source = iter([b"a"])
    response.stream(source)
    assert response.recorded is source
    assert bytes(response).startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n")
    assert bytes(response).endswith(b"Transfer-Encoding: chunked\r\n\r\n")
    response.clear()
    assert response.recorded is None


@pytest.mark.parametrize("source", [b"a", bytearray(b"a"), memoryview(b"a"), "a", 1, None])
def test_what_is_no_iterable_of_bytes_is_refused(source: object) -> None:
    response = Response()
    with pytest.raises(TypeError):
        response.stream(source)
    assert (bytes(response), response.recorded) == (b"", None)


def test_what_a_response_waits_for_is_recorded() -> None:
    def go_on(*_: object) -> Step:
        return Step.DONE

    response = begun()
    assert response.recorded is None
    response.on_drained(go_on, 7)
    assert response.recorded == (go_on, 7)
    with pytest.raises(TypeError, match="continuation"):
        response.on_drained(7)
    parked = response.park()
    assert response.recorded is parked
    assert response.unsent == 0


def test_what_is_written_to_a_handle_is_recorded() -> None:
    parked = Worker().park()
    parked.write(b"abc")
    assert (parked.written, parked.unsent) == ([b"abc"], 3)
    parked.finish()
    assert not parked.is_active
