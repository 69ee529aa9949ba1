"""upload, called by hand and over sockets."""

import hashlib
import pathlib
import runpy

import pytest

from vanilla import BodyError, Event, Request, Response, Step, Worker
from vanilla.testing import Round, Script, Session, ask, drive, eof, repeat, sent

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
CONTENT = bytes(range(256)) * 4096  # 1 MiB


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Where uploads go."""
    monkeypatch.setitem(APP["answer"].__globals__, "FOLDER", tmp_path)
    return tmp_path


def put(content: bytes, line: bytes = b"PUT /upload") -> bytes:
    return b"%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (line, len(content), content)


def name_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def line_of(content: bytes) -> bytes:
    return b"%d bytes, sha256 %b\n" % (len(content), name_of(content).encode())


@pytest.mark.parametrize("content", [b"", b"hello", CONTENT], ids=["empty", "small", "large"])
def test_an_upload_is_kept_under_its_digest(folder, content: bytes) -> None:
    pieces = [put(content)[at : at + 100_000] for at in range(0, len(put(content)), 100_000)]
    results = drive(APP["config"], [Script(rounds=[Round(send=pieces), Round(send=pieces)])])
    assert (results[0].statuses, results[0].bodies) == ([201] * 2, [line_of(content)] * 2)
    assert [path.name for path in folder.iterdir()] == [name_of(content)]
    assert (folder / name_of(content)).read_bytes() == content
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        pytest.param(put(b"hello", b"PUT /"), 404, id="no_such_path"),
        pytest.param(put(b"", b"GET /upload"), 405, id="wrong_method"),
        pytest.param(put(b"").replace(b"Length: 0", b"Length: 2000000000"), 413, id="too_long"),
        pytest.param(b"garbage\r\n\r\n", 400, id="garbage"),
    ],
)
def test_what_is_not_wanted_is_refused_and_leaves_nothing(folder, wire: bytes, status: int) -> None:
    results = drive(APP["config"], [ask(wire)])
    assert results[0].statuses == [status]
    assert list(folder.iterdir()) == []


def test_malformed_content_leaves_nothing(folder) -> None:
    head = b"PUT /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    results = drive(APP["config"], [ask([head + b"5\r\nhello\r\n", b"zz\r\n"], eof)])
    assert results[0].statuses == [400]
    assert list(folder.iterdir()) == []


def test_a_client_that_leaves_leaves_nothing(folder) -> None:
    with Session(APP["config"]) as session:
        group = session.fire(repeat(4, ask(put(CONTENT)[:500_000], sent)))
        session.await_counters(lambda counters: counters.parked == 4)
        session.close(group, reset=True)
        session.await_counters(lambda counters: (counters.parked, list(folder.iterdir())) == (0, []))


def test_the_handler_called_by_hand(folder) -> None:
    request, response, worker = Request(put(b"hello")), Response(), Worker()
    assert APP["answer"](request, response, worker) is Step.SUSPEND
    assert request.recorded(request, response, worker, b"hello", Event.READABLE) is Step.SUSPEND
    assert request.recorded(request, response, worker, b"", Event.READABLE) is None
    assert bytes(response).endswith(line_of(b"hello"))
    assert APP["answer"](request, response, worker) is Step.SUSPEND
    with pytest.raises(BodyError):
        request.recorded(request, response, worker, BodyError(413, "too long"), Event.ERROR)
    assert [path.name for path in folder.iterdir()] == [name_of(b"hello")]
