"""graceful_shutdown: as a process that gets real signals, and called by hand."""

import contextlib
import dataclasses
import os
import pathlib
import re
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from vanilla import Request, Response, Worker
from vanilla.testing import Client, Round, Script, Session, ask, count, drive, eof, frames, sent

PATH = pathlib.Path(__file__).with_name("app.py")
APP = runpy.run_path(str(PATH))
AT_ONCE = dataclasses.replace(APP["config"], drain_delay=0.0)
CONTINUE = "Content-Length: 5\r\nExpect: 100-continue"


def wire(line: str, field: str = "X: y") -> bytes:
    return f"{line} HTTP/1.1\r\nHost: a\r\n{field}\r\n\r\n".encode()


class Running:
    """The command as a process of its own, and a client of it."""

    def __init__(self, drain_delay: float) -> None:
        words = ["-m", "vanilla", str(PATH), "--port", "0", "--workers", "2", "--drain-delay", str(drain_delay)]
        self.process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
        self.client = Client(("127.0.0.1", int(self.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1])))

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The next line that it writes and that has this in it."""
        for line in self.process.stderr:
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"it ended without {pattern!r}: exit code {self.process.wait(20)}")

    def ask(self, path: str) -> tuple[int, bool]:
        """Status of a request on a connection of its own, and whether the answer closes that."""
        [frame] = self.client.fire([ask(wire(f"GET {path}"))]).results[0].frames
        return frame.status, frame.closes

    def send(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def refuses(self) -> bool:
        return isinstance(self.client.fire([ask(wire("GET /"), eof)]).results[0].connect_error, ConnectionRefusedError)

    def end(self) -> tuple[int, str]:
        """Its exit code, and what else it wrote."""
        _, rest = self.process.communicate(timeout=20)
        return self.process.returncode, rest


@contextlib.contextmanager
def running(drain_delay: float) -> Iterator[Running]:
    one = Running(drain_delay)
    try:
        with one.client:
            yield one
    finally:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_at_once(number: signal.Signals) -> None:
    with running(0) as server:
        assert server.ask("/readyz") == (200, False)
        server.send(number)
        code, rest = server.end()
        assert (code, "Traceback" in rest) == (0, False)
        assert server.refuses()


def test_a_signal_in_the_midst_of_a_request_is_noticed_by_no_client() -> None:
    """Slow: the drain delay is two seconds, in which all of this has to happen."""
    with running(2) as server:
        arriving, streamed = server.client.fire(
            [
                Script(
                    rounds=[Round(send=wire("POST /work", CONTINUE), until=frames(1))]
                ),  # the 100: the body is awaited
                Script(rounds=[Round(send=wire("GET /ticks"), until=count(b"tick\n", 1))]),
            ]
        )
        server.send()
        server.wait_for("SIGTERM")
        while server.ask("/readyz") != (503, True):
            pass  # the signal is on its way; the test has a timeout
        assert server.ask("/healthz") == (200, True)  # everything else is served on, to new clients too
        [answered] = server.client.go_on([arriving], Round(send=b"hello", until=eof))
        assert (answered.statuses, answered.frames[-1].body) == ([100, 200], b"done: 5 bytes\n")
        assert answered.frames[-1].closes
        [ended] = server.client.wait([streamed], eof)
        assert (ended.statuses, ended.bodies[0].endswith(b"tick\ngoodbye\n")) == ([200], True)
        assert server.end()[0] == 0
        assert server.refuses()


def test_a_second_signal_cuts_what_is_left() -> None:
    with running(60) as server:
        [arriving] = server.client.fire([Script(rounds=[Round(send=wire("POST /work", CONTINUE), until=frames(1))])])
        server.send()
        server.wait_for("SIGTERM")
        server.send()
        [cut] = server.client.wait([arriving], eof)
        assert cut.statuses == [100]
        assert server.end()[0] == 0


def test_systemd_is_told_when_it_is_ready(tmp_path, monkeypatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        with running(0) as server:
            assert supervisor.recv(100) == b"READY=1"
            assert server.ask("/readyz") == (200, False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract unix sockets")
def test_systemd_may_have_an_abstract_socket(monkeypatch) -> None:
    name = f"vanilla-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(f"\0{name}")
        supervisor.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        APP["notify"](b"READY=1")
        assert supervisor.recv(100) == b"READY=1"


def test_nobody_is_told_who_has_not_asked(monkeypatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    APP["notify"](b"READY=1")


def test_a_handler_that_waits_is_waited_for(monkeypatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    with Session(AT_ONCE) as session:
        group = session.fire([Script(rounds=[Round(send=wire("GET /work"), until=sent)])])
        session.await_counters(lambda counters: counters.parked == 1)
        session.server.workers[0].post(session.server.shutdown)  # on a worker's thread it only begins
        [result] = session.wait(group, eof)
        assert (result.statuses, result.frames[0].closes) == ([200], True)
        assert session.stop().in_flight == 0


def test_its_state_is_closed_with_the_worker() -> None:
    state = {"client": object()}
    APP["on_worker_stop"](Worker(state=state))
    assert state == {}


@pytest.mark.parametrize(
    ("raw", "status"),
    [(wire("GET /readyz"), 200), (wire("GET /nothing"), 404), (wire("PUT /work"), 405), (b"garbage\r\n\r\n", 400)],
)
def test_over_sockets(raw: bytes, status: int, monkeypatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    cut = Script(rounds=[Round(send=wire("GET /readyz")[:-2], half_close=True, until=eof)])
    results = drive(AT_ONCE, [ask(raw), cut])
    assert [result.statuses for result in results] == [[status], []]


def test_called_by_hand() -> None:
    response = Response()
    APP["answer_ready"](Request(wire("GET /readyz")), response, Worker())
    assert (response.status, response.content) == (200, b"ready\n")
