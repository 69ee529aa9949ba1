"""io_uring_demo, called by hand, over sockets on every mechanism, and as the program that measures."""

import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig, Worker
from vanilla.backends import choose
from vanilla.backends.choose import available_backends, why_not
from vanilla.backends.ring_settings import FEATURES
from vanilla.testing import ask, drive, eof, frames, repeat

PATH = pathlib.Path(__file__).with_name("app.py")
APP = runpy.run_path(str(PATH))
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def test_the_handler_greets() -> None:
    response = Response()
    assert APP["greet"](Request(GET), response, Worker()) is None
    assert bytes(response).endswith(b"\r\nContent-Length: 13\r\n\r\nHello, World!")


@pytest.mark.parametrize("backend", available_backends())
def test_it_answers_alike_on_every_mechanism(backend: str) -> None:
    results = drive(ServerConfig(APP["greet"], workers=1, backend=backend), repeat(20, ask(GET * 8, frames(8))))
    assert [result.bodies for result in results] == [[b"Hello, World!"] * 8] * 20
    assert results.counters.in_flight == 0


@pytest.mark.parametrize("wire", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"], ids=["garbage", "no_host"])
def test_what_is_no_request_is_refused(wire: bytes) -> None:
    results = drive(ServerConfig(APP["greet"], workers=1), [ask(wire, eof)])
    assert (results[0].statuses, results[0].frames[0].closes) == ([400], True)


def test_its_config_takes_io_uring_where_that_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    assert APP["config"].backend == ("io_uring" if why_not("io_uring") is None else "auto")
    monkeypatch.setattr(choose, "why_not", lambda name: "forbidden" if name == "io_uring" else None)
    module = runpy.run_path(str(PATH))
    assert module["config"].backend == "auto"
    assert module["describe"]() == ["no: forbidden"]


@pytest.mark.skipif(why_not("io_uring") is not None, reason=str(why_not("io_uring")))
def test_it_says_of_each_feature_whether_the_kernel_has_it() -> None:
    lines = APP["describe"]()
    assert [line[5:] for line in lines] == list(FEATURES.values())
    assert {line[:5] for line in lines} <= {"yes  ", "no   "}


def test_it_measures_every_mechanism_one_by_one_and_pipelined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(APP["compare"].__globals__, "ROUNDS", 2)
    monkeypatch.setitem(APP["compare"].__globals__, "CONNECTIONS", 4)
    lines = list(APP["compare"]())
    assert [tuple(line.split()[:2]) for line in lines] == [
        (backend, depth) for depth in ("1", "16") for backend in available_backends()
    ]
    assert all(float(line.split()[3]) > 0 for line in lines)
