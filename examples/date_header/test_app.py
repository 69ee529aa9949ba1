"""date_header, called by hand and over sockets."""

import pathlib
import runpy
import threading

from vanilla import Request, Response
from vanilla.testing import Session, ask

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_line_is_there_before_the_first_second_is_over() -> None:
    line = APP["DateLine"](lambda: 784111777.9).line
    assert line == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    assert len(line) == 37


def test_it_is_made_anew_when_a_second_begins() -> None:
    times = iter([1.0, 1.999, 2.0, 2.9999, 3.0])
    line = APP["DateLine"](lambda: next(times))
    seen = []
    line.stopping.wait = lambda seconds: seen.append((round(seconds, 6), line.line)) or len(seen) > 2
    line.clock = lambda: next(times, 3.0)
    line.run()
    assert [seconds for seconds, _ in seen] == [0.001, 0.0001, 1.0]
    assert [text[-14:-6] for _, text in seen] == [b"00:00:01", b"00:00:02", b"00:00:03"]


def test_the_handler_called_by_hand() -> None:
    response = Response()
    APP["answer"](Request(GET), response, None)
    assert response.status == 200
    assert response.header("date").endswith(b" GMT")
    assert response.content == b"ok\n"


def test_over_sockets_and_the_thread_ends() -> None:
    with Session(APP["config"]) as session:
        assert any(thread.name == "date" for thread in threading.enumerate())
        [result] = session.fire([ask(GET)]).results
        assert result.frames[0].header("date").endswith(b" GMT")
    [thread] = [thread for thread in threading.enumerate() if thread.name == "date"] or [None]
    if thread is not None:
        thread.join(20)
        assert not thread.is_alive()
