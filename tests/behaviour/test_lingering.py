"""Closing with input unread: the client still reads its answer (RFC 9112 section 9.6)."""

import socket

import pytest

from vanilla import Limits, Server, Step, streaming
from vanilla.testing import ask, drive, eof, repeat

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000


def last_word(request, response, worker):
    """Answers and closes: much, or little on the path /short."""
    if request.path == b"/short":
        response.reply(200, b"short")
    else:
        response += ANSWER
    return Step.CLOSE


def read_to_the_end(client: socket.socket) -> bytes:
    received = bytearray()
    while piece := client.recv(65536):
        received += piece
    return bytes(received)


def test_a_client_that_is_slow_to_read_its_last_answer_may_send_meanwhile(configure) -> None:
    with Server(configure(last_word, port=0, limits=Limits(linger_timeout=0.05))) as server:
        worker = server.workers[0]
        with socket.socket() as slow:
            slow.settimeout(20)
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.port))
            slow.sendall(GET % b"/much")
            while worker.counters().bytes_sent < len(ANSWER):  # until the kernel has all of it
                assert slow.recv(4096, socket.MSG_PEEK)
            # A neighbour that lingers with nothing queued is closed after linger_timeout: by then it is over for both.
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as neighbour:
                neighbour.sendall(GET % b"/short")
                assert b"short" in read_to_the_end(neighbour)
                while not worker.counters().limits_reached:
                    assert slow.recv(4096, socket.MSG_PEEK)
            slow.sendall(GET % b"/more")
            assert read_to_the_end(slow).endswith(b"x" * 1000)


LAST = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
IN_PIECES = [
    pytest.param([LAST + b"Content-Length: 5\r\n\r\n", b"hello\r\n"], id="sized"),
    pytest.param([LAST + b"Content-Length: 5\r\n\r\nhe", b"llo\r\n"], id="sized_and_begun"),
    pytest.param([LAST + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n\r\n"], id="chunked"),
    pytest.param([LAST.replace(b"1.1", b"1.0") + b"Content-Length: 5\r\n\r\n", b"hello\r\n"], id="http_1_0"),
]


def take_at_once(request, response, worker):
    response.reply(200, request.body)


@streaming
def take_by_pieces(request, response, worker):
    def take(request, response, worker, piece, event):
        pieces.append(piece)
        if not piece:
            return response.reply(200, b"".join(pieces))
        request.on_body(take)
        return Step.SUSPEND

    pieces = []
    request.on_body(take)
    return Step.SUSPEND


def suspend(request, response, worker):
    body = request.body
    worker.call_later(0.01, response.park().resume, lambda request, response, *_: response.reply(200, body))
    return Step.SUSPEND


@pytest.mark.parametrize("handler", [take_at_once, take_by_pieces, suspend])
@pytest.mark.parametrize("pieces", IN_PIECES)
def test_an_empty_line_behind_the_last_content_does_not_reset_the_connection(configure, handler, pieces) -> None:
    """Old clients send it: RFC 9112 section 2.2."""
    results = drive(configure(handler), repeat(8, ask(pieces, eof)))
    assert {(tuple(result.bodies), result.reset) for result in results} == {((b"hello",), False)}
