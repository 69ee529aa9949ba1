"""Response.start: the head, and how it frames the content behind it; interim answers, trailers, sources."""

from __future__ import annotations

import re

import pytest

from vanilla import Response

DATE = re.compile(rb"Date: [^\r]+\r\n")


def wire(response: Response) -> bytes:
    return DATE.sub(b"", bytes(response))


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
def test_the_head_says_how_the_content_is_framed(status: int, length: object, head: bytes | None) -> None:
    response = Response()
    if head is None:
        with pytest.raises(ValueError, match=r"status|length"):
            response.start(status, length=length)  # type: ignore[arg-type]
        response.start(200, length=2)  # nothing of the refused one is left
        response.write(b"ok")
        assert wire(response) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    else:
        response.start(status, length=length)  # type: ignore[arg-type]
        assert wire(response) == b"HTTP/1.1 " + head + b"\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_what_is_written_where_there_is_no_content_is_dropped(status: int) -> None:
    response = Response()
    response.start(status)
    head = bytes(response)
    response.write(b"dropped")
    assert bytes(response) == head


def test_a_205_takes_no_content() -> None:
    response = Response()
    response.start(205)
    with pytest.raises(ValueError, match="1 bytes more"):
        response.write(b"x")


@pytest.mark.parametrize("size", [1, 15, 16, 255, 256, 65_535, 65_536, 1_048_576])
def test_a_piece_is_a_chunk_with_its_size_in_hexadecimal(size: int) -> None:
    response, piece = Response(), b"x" * size
    response.start(200)
    head = len(response)
    response.write(piece)
    response += memoryview(piece)
    assert bytes(response)[head:] == b"%x\r\n%b\r\n" % (size, piece) * 2


def test_an_empty_piece_is_no_chunk() -> None:
    response = Response()
    response.start(200)
    head = bytes(response)
    response.write(b"")
    response += bytearray()
    assert bytes(response) == head  # an empty chunk would be the last one


def test_more_than_the_length_is_refused_and_the_rest_may_still_come() -> None:
    response = Response()
    response.start(200, length=3)
    response.write(b"ab")
    with pytest.raises(ValueError, match="1 bytes more than the length"):
        response.write(b"cd")
    response.write(b"c")
    assert bytes(response).endswith(b"\r\n\r\nabc")


@pytest.mark.parametrize("data", ["text", 5, None])
def test_pieces_are_bytes(data: object) -> None:
    response = Response()
    response.start(200)
    head = bytes(response)
    with pytest.raises(TypeError):
        response.write(data)  # type: ignore[arg-type]
    assert bytes(response) == head


@pytest.mark.parametrize("call", ["start", "inform", "reply"])
def test_an_answer_begins_once(call: str) -> None:
    response = Response()
    response.start(200)
    before = bytes(response)
    with pytest.raises(RuntimeError, match="begun"):
        getattr(response, call)(*(() if call == "inform" else (200,)))
    assert bytes(response) == before


@pytest.mark.parametrize("call", ["start", "inform"])
def test_nothing_begins_behind_raw_bytes(call: str) -> None:
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
def test_a_field_that_would_split_or_reframe_the_answer_is_refused(call: str, headers: dict) -> None:
    response = Response()
    if call == "trailers":
        response.start(200)
    before = bytes(response)
    with pytest.raises(ValueError, match="header"):
        getattr(response, call)(*(() if call == "trailers" else (200 if call == "start" else 103,)), headers)
    assert bytes(response) == before


def test_interim_answers_come_before_the_final_one() -> None:
    response = Response()
    response.inform(headers={"Link": "</a>"})
    response.inform(102)
    response.start(200)
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    assert wire(response) == hints + b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 199, 200, 1000])
def test_other_statuses_inform_nobody(status: int) -> None:
    response = Response()
    with pytest.raises(ValueError, match="interim status"):
        response.inform(status)
    assert bytes(response) == b""


def test_trailers_need_a_start_and_leave_no_bytes_before_the_end() -> None:
    response = Response()
    with pytest.raises(RuntimeError, match=r"start\(\)"):
        response.trailers({"A": "b"})
    response.start(200)
    before = bytes(response)
    response.trailers([(b"A", b"b"), ("A", "c")])
    assert bytes(response) == before


def test_a_cleared_answer_begins_anew() -> None:
    response = Response()
    response.inform()
    response.start(200, length=1)
    response.trailers({"A": "b"})
    response.stream([b"a"])
    response.clear()
    assert (bytes(response), response.recorded) == (b"", None)
    response.start(404)
    response.write(b"a")
    assert wire(response) == b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"


@pytest.mark.parametrize("source", [b"a", bytearray(), memoryview(b""), "a", 5, None])
def test_what_is_no_iterable_of_pieces_is_refused(source: object) -> None:
    response = Response()
    with pytest.raises(TypeError):
        response.stream(source)
    assert (bytes(response), response.recorded) == (b"", None)


def test_what_it_waits_for_is_recorded() -> None:
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
