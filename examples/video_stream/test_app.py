"""video_stream, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, Worker
from vanilla.testing import Round, Script, ask, drive, eof, frames

FOLDER = pathlib.Path(__file__).parent
APP = runpy.run_path(str(FOLDER / "app.py"))
FILM = (FOLDER / "film.webm").read_bytes()
LENGTH = len(FILM)
END = b"/%d" % LENGTH


def wire(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


def etag() -> bytes:
    found = drive(APP["config"], [ask(wire(b"HEAD /film"), heads={0})])[0].frames[0].header("etag")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("asked", "status", "content", "content_range"),
    [
        pytest.param(b"bytes=0-3", 206, FILM[:4], b"bytes 0-3" + END, id="first_bytes"),
        pytest.param(b"bytes=0-0", 206, FILM[:1], b"bytes 0-0" + END, id="one_byte"),
        pytest.param(b"BYTES= 5-9 ", 206, FILM[5:10], b"bytes 5-9" + END, id="case_and_spaces"),
        pytest.param(b"bytes=100-", 206, FILM[100:], b"bytes 100-%d" % (LENGTH - 1) + END, id="open_ended"),
        pytest.param(b"bytes=0-", 206, FILM, b"bytes 0-%d" % (LENGTH - 1) + END, id="all_of_it"),
        pytest.param(b"bytes=9-999999999", 206, FILM[9:], b"bytes 9-%d" % (LENGTH - 1) + END, id="beyond_the_end"),
        pytest.param(b"bytes=-4", 206, FILM[-4:], b"bytes %d-%d" % (LENGTH - 4, LENGTH - 1) + END, id="suffix"),
        pytest.param(b"bytes=-999999999", 206, FILM, b"bytes 0-%d" % (LENGTH - 1) + END, id="suffix_too_long"),
        pytest.param(b"bytes=%d-" % LENGTH, 416, b"", b"bytes *" + END, id="behind_the_end"),
        pytest.param(b"bytes=-0", 416, b"", b"bytes *" + END, id="empty_suffix"),
        pytest.param(b"bytes=5-2", 200, FILM, None, id="last_before_first"),
        pytest.param(b"bytes=0-1,4-5", 200, FILM, None, id="several"),
        pytest.param(b"bytes=-", 200, FILM, None, id="no_numbers"),
        pytest.param(b"bytes=a-b", 200, FILM, None, id="not_numbers"),
        pytest.param(b"bytes=" + b"9" * 50 + b"-", 200, FILM, None, id="absurd"),
        pytest.param(b"seconds=0-3", 200, FILM, None, id="another_unit"),
    ],
)
def test_a_range_is_answered_and_the_connection_goes_on(asked, status, content, content_range) -> None:
    send = wire(b"GET /film", b"Range: " + asked)
    result = drive(APP["config"], [Script(rounds=[Round(send=send), Round(send=send)])])[0]
    assert (result.statuses, result.bodies) == ([status] * 2, [content] * 2)
    assert [frame.header("content-range") for frame in result.frames] == [content_range] * 2


def test_the_whole_film_says_that_it_has_ranges() -> None:
    result = drive(APP["config"], [ask(wire(b"GET /film?t=1"))])[0]
    (frame,) = result.frames
    assert (frame.status, frame.body) == (200, FILM)
    assert (frame.header("accept-ranges"), frame.header("content-type")) == (b"bytes", b"video/webm")


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param(lambda: etag(), 206, id="the_same"),
        pytest.param(lambda: b'"another"', 200, id="another"),
        pytest.param(lambda: b"W/" + etag(), 200, id="weak"),
        pytest.param(lambda: b"Sun, 06 Nov 1994 08:49:37 GMT", 200, id="a_date"),
    ],
)
def test_a_part_is_sent_only_of_the_film_that_if_range_names(condition, status) -> None:
    asked = wire(b"GET /film", b"Range: bytes=0-3", b"If-Range: " + condition())
    assert drive(APP["config"], [ask(asked)])[0].statuses == [status]


def test_head_has_the_length_of_the_whole_film_and_no_content() -> None:
    asked = wire(b"HEAD /film", b"Range: bytes=0-3") + wire(b"GET /film", b"Range: bytes=0-3")
    result = drive(APP["config"], [ask(asked, frames(2), heads={0})])[0]
    assert (result.statuses, result.bodies) == ([200, 206], [b"", FILM[:4]])
    assert result.frames[0].header("content-length") == b"%d" % LENGTH


def test_a_film_that_was_replaced_has_another_etag(tmp_path, monkeypatch) -> None:
    film = tmp_path / "film.mp4"
    monkeypatch.setitem(APP["answer"].__globals__, "FILM", film)
    film.write_bytes(b"first")
    before = etag()
    (tmp_path / "next").write_bytes(b"other")
    (tmp_path / "next").replace(film)
    assert etag() != before
    result = drive(APP["config"], [ask(wire(b"GET /film", b"Range: bytes=1-", b"If-Range: " + before))])[0]
    assert (result.statuses, result.bodies) == ([200], [b"other"])


def test_without_a_film_the_answer_says_what_to_do(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(APP["answer"].__globals__, "FILM", tmp_path / "absent")
    result = drive(APP["config"], [ask(wire(b"GET /film"))])[0]
    assert (result.statuses, result.bodies) == ([404], [b"no film: name one in FILM\n"])


@pytest.mark.parametrize(
    ("line", "status", "allow"),
    [
        pytest.param(b"GET /", 200, None, id="page"),
        pytest.param(b"POST /film", 405, b"GET, HEAD", id="wrong_method"),
        pytest.param(b"GET /films", 404, None, id="no_such_path"),
    ],
)
def test_every_path_is_answered(line, status, allow) -> None:
    result = drive(APP["config"], [ask(wire(line))])[0]
    assert (result.statuses, result.frames[0].header("allow")) == ([status], allow)


def test_what_is_malformed_is_refused_by_the_server() -> None:
    assert drive(APP["config"], [ask(b"garbage\r\n\r\n", eof)])[0].statuses == [400]


def test_the_handler_called_by_hand() -> None:
    response = Response()
    assert APP["answer"](Request(wire(b"GET /film", b"Range: bytes=-4")), response, Worker()) is None
    assert bytes(response).startswith(b"HTTP/1.1 206 ")
    assert bytes(response).endswith(FILM[-4:])
