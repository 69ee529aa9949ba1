"""tiny, called by hand and over a socket."""

import pathlib
import runpy

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Round, Script, ask, drive, eof, frames, repeat

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\nConnection: keep-alive\r\n\r\nHello, World!"
)


def test_the_handler_appends_the_constant_and_nothing_else() -> None:
    response = Response()
    assert APP["handle"](Request(GET), response, Worker()) is None
    assert bytes(response) == HELLO


def test_every_request_gets_the_same_bytes() -> None:
    pipelined = Script(
        rounds=[Round(send=GET * 16, until=frames(16)), Round(send=b"POST /any HTTP/1.1\r\nHost: a\r\n\r\n")]
    )
    results = drive(ServerConfig(APP["handle"], workers=1), repeat(8, pipelined))
    assert [result.raw for result in results] == [HELLO * 17] * 8
    assert results.counters.in_flight == 0


def test_what_is_malformed_is_refused_before_the_handler_is_called() -> None:
    results = drive(ServerConfig(APP["handle"], workers=1), [ask(b"garbage\r\n\r\n", eof)])
    assert results[0].statuses == [400]
    assert results.counters.requests == 0
