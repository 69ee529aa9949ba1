"""chunked_streaming, called by hand and over sockets."""

import pathlib
import re
import runpy
import socket

import pytest

from vanilla import Request, Response, Server, ServerConfig, Worker
from vanilla.testing import ask, drive, eof

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
CONFIG = ServerConfig(APP["handle"], workers=1)
THREE = b"c\r\nfirst piece\n\r\nd\r\nsecond piece\n\r\nc\r\nthird piece\n\r\n0\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = bytes(range(256)) * 400


def exchange(wire: bytes) -> bytes:
    """What is answered to `wire` until the server closes: the client has no more to say."""
    config = ServerConfig(APP["handle"], workers=1, port=0)
    with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(wire)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


def decode(content: bytes) -> bytes:
    decoded = b""
    while match := re.match(rb"([0-9a-f]+)\r\n", content):
        size = int(match[1], 16)
        decoded += content[match.end() : match.end() + size]
        content = content[match.end() + size + 2 :]
        if size == 0:
            break
    return decoded


@pytest.mark.parametrize(
    ("content", "decoded"),
    [
        pytest.param(b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n", b"Wikipedia", id="two_chunks"),
        pytest.param(b"0\r\n\r\n", b"", id="empty"),
        pytest.param(b"4;a=b\r\nWiki\r\n0\r\n\r\n", b"Wiki", id="extension"),
        pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="upper_case"),
        pytest.param(b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="lower_case"),
        pytest.param(b"%x\r\n%b\r\n0\r\n\r\n" % (len(LARGE), LARGE), LARGE, id="more_than_a_piece"),
    ],
)
def test_chunked_content_comes_back_in_chunks_and_the_connection_goes_on(content: bytes, decoded: bytes) -> None:
    head, _, rest = exchange(CHUNKED + content + b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")
    answered, _, behind = rest.partition(b"0\r\n\r\nHTTP/1.1 200 OK")
    assert b"\r\nTransfer-Encoding: chunked" in head
    assert b"Content-Length" not in head
    assert decode(answered + b"0\r\n\r\n") == decoded
    assert behind.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("line", [b"GET /", b"DELETE /any/path?a", b"OPTIONS *"])
def test_any_other_request_gets_three_chunks(line: bytes) -> None:
    assert exchange(line + b" HTTP/1.1\r\nHost: a\r\n\r\n").endswith(b"\r\n\r\n" + THREE)


def test_content_of_a_given_length_is_not_sent_back() -> None:
    assert exchange(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nWiki").endswith(THREE)


def test_an_http_1_0_client_reads_until_the_connection_closes() -> None:
    head, _, content = exchange(b"GET / HTTP/1.0\r\n\r\n").partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert content == b"first piece\nsecond piece\nthird piece\n"


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        pytest.param(CHUNKED + b"zz\r\n", 400, id="size_that_is_no_number"),
        pytest.param(CHUNKED + b"4\r\nWikiX\r\n", 400, id="no_line_end_behind_the_data"),
        pytest.param(CHUNKED + b"0\r\nX\r\n\r\n", 400, id="trailer_that_is_no_field"),
        pytest.param(CHUNKED + b"f" * 17 + b"\r\n", 400, id="size_of_too_many_digits"),
        pytest.param(CHUNKED + b"200000\r\n", 413, id="too_long"),
        pytest.param(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Length: 4\r\n\r\n"), 400, id="two_lengths"),
        pytest.param(CHUNKED.replace(b"Host: a", b"Host: a\r\nHost: b"), 400, id="two_hosts"),
        pytest.param(CHUNKED.replace(b"Host: a\r\n", b""), 400, id="no_host"),
        pytest.param(b"garbage\r\n\r\n", 400, id="garbage"),
    ],
)
def test_what_could_smuggle_or_is_malformed_is_refused_before_the_handler(wire: bytes, status: int) -> None:
    results = drive(CONFIG, [ask(wire, eof)])
    assert (results[0].statuses, results[0].frames[0].closes) == ([status], True)


def test_called_by_hand_the_source_gives_what_the_request_brought() -> None:
    response = Response()
    APP["handle"](Request(CHUNKED + b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"), response, Worker())
    assert b"".join(response.recorded) == b"Wikipedia"
    response = Response()
    APP["handle"](Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), response, Worker())
    assert tuple(response.recorded) == APP["PIECES"]
