"""chunked_streaming, called by hand and over sockets."""

import pathlib
import runpy

import pytest

from vanilla import BodyError, Event, Request, Response, Step, Worker
from vanilla.testing import Predicate, Round, Script, Session, ask, count, drive, eof, frames

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
PIECES = b"first piece\nsecond piece\nthird piece\n"


@pytest.mark.parametrize(
    ("chunks", "content"),
    [
        pytest.param(b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n", b"Wikipedia", id="two_chunks"),
        pytest.param(b"0\r\n\r\n", b"", id="empty"),
        pytest.param(b"4;name=value\r\nWiki\r\n0\r\n\r\n", b"Wiki", id="extension"),
        pytest.param(b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2, id="both_cases"),
        pytest.param(b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n", b"x", id="trailers"),
        pytest.param(b"100000\r\n%b\r\n0\r\n\r\n" % (b"x" * 2**20), b"x" * 2**20, id="large"),
    ],
)
@pytest.mark.parametrize("name", [b"chunked", b"Chunked"])
def test_what_comes_in_chunks_goes_back_in_chunks(chunks: bytes, content: bytes, name: bytes) -> None:
    wire = HEAD.replace(b"chunked", name) + chunks
    result = drive(APP["config"], [Script(rounds=[Round(send=wire), Round(send=wire), Round(send=GET)])])[0]
    assert result.bodies == [content, content, PIECES]
    assert {frame.header("transfer-encoding") for frame in result.frames} == {b"chunked"}
    assert [frame.header("content-length") for frame in result.frames] == [None] * 3


def came_back(content: bytes) -> Predicate:
    """Whether that has come back, in whatever chunks."""
    return lambda received: b"".join(received.raw.partition(b"\r\n\r\n")[2].split(b"\r\n")[1::2]) == content


def test_a_piece_comes_back_before_the_next_is_sent() -> None:
    with Session(APP["config"]) as session:
        group = session.fire([ask(HEAD + b"4\r\nWiki\r\n", came_back(b"Wiki"))])
        session.go_on(group, Round(send=b"5\r\npedia\r\n", until=came_back(b"Wikipedia")))
        assert session.go_on(group, Round(send=b"0\r\n\r\n", until=frames(1)))[0].bodies == [b"Wikipedia"]


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(HEAD + b"zz\r\n", id="no_size"),
        pytest.param(HEAD + b"fffffffffffffffff\r\n", id="size_too_large"),
        pytest.param(HEAD.replace(b"Transfer", b"Content-Length: 5\r\nTransfer") + b"0\r\n\r\n", id="two_framings"),
        pytest.param(HEAD.replace(b"Host: a\r\n", b""), id="no_host"),
        pytest.param(b"garbage\r\n\r\n", id="garbage"),
    ],
)
def test_what_is_malformed_is_refused(wire: bytes) -> None:
    result = drive(APP["config"], [ask(wire, eof)])[0]
    assert result.frames[0].status in (400, 413)
    assert result.frames[0].closes


@pytest.mark.parametrize("wrong", [b"zz\r\n", b"4\r\nWikipedia\r\n"], ids=["no_size", "no_line_end_after_data"])
def test_what_is_malformed_later_cuts_the_answer_visibly(wrong: bytes) -> None:
    with Session(APP["config"]) as session:
        group = session.fire([ask(HEAD + b"1\r\nx\r\n", count(b"1\r\nx\r\n", 1))])
        assert session.go_on(group, Round(send=wrong, until=eof))[0].frames == ()


def test_an_http_1_0_client_gets_no_chunks() -> None:
    result = drive(APP["config"], [ask(b"GET / HTTP/1.0\r\n\r\n", eof)])[0]
    assert (result.bodies, result.frames[0].header("transfer-encoding")) == ([PIECES], None)


def test_the_handler_called_by_hand() -> None:
    request, response, worker = Request(HEAD + b"0\r\n\r\n"), Response(), Worker()
    assert APP["answer"](request, response, worker) is Step.SUSPEND
    assert request.recorded(request, response, worker, b"Wiki", Event.READABLE) is Step.SUSPEND
    assert request.recorded(request, response, worker, b"", Event.READABLE) is Step.DONE
    assert bytes(response).endswith(b"Transfer-Encoding: chunked\r\n\r\n4\r\nWiki\r\n")
    with pytest.raises(BodyError):
        request.recorded(request, response, worker, BodyError(400, "malformed"), Event.ERROR)


def test_without_chunks_the_three_pieces_are_streamed_by_hand() -> None:
    request, response = Request(GET), Response()
    assert APP["answer"](request, response, Worker()) is None
    assert b"".join(response.recorded) == PIECES
