"""efficient_date, called by hand and over sockets."""

import pathlib
import re
import runpy

from vanilla import Request, Response, Worker
from vanilla.testing import ask, drive, repeat

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_within_a_second_the_line_is_the_same_object() -> None:
    now = [784111777.0]
    cache = APP["DateCache"](lambda: now[0])
    first = cache.get()
    assert first == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    now[0] += 0.999
    assert cache.get() is first
    now[0] += 0.001
    assert cache.get() == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_each_worker_has_its_own() -> None:
    assert APP["make_state"]() is not APP["make_state"]()


def test_the_handler_called_by_hand() -> None:
    response, worker = Response(), Worker()
    worker.state = APP["DateCache"](lambda: 784111777)
    APP["answer"](Request(GET), response, worker)
    assert response.header("date") == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert response.content == b"ok\n"


def test_over_sockets() -> None:
    results = drive(APP["config"], repeat(16, ask(GET * 3, lambda received: len(received.frames) == 3)))
    for result in results:
        assert result.statuses == [200] * 3
        for frame in result.frames:
            assert re.fullmatch(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", frame.header("date"))
