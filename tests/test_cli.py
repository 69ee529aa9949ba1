"""The command as its users meet it: what it prints, what it serves, and its exit code."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from system import ADDRESS_IN_USE, IS_WINDOWS, OBEYS_SIGNALS, needs_shared_ports, send_signal, start_process
from vanilla.backends.choose import available_backends
from vanilla.cli import main
from vanilla.version import VERSION

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
APP = """
import sys
from vanilla.limits import Limits
from vanilla.server.config import ServerConfig
def handle(request, response, worker): response.reply(200, worker.state or b"hello")
def fail(*_): raise LookupError("no database")
config = ServerConfig(handle, make_state=lambda: b"config", workers=1)
failing = ServerConfig(handle, make_state=fail, workers=1)
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Without the caller's VANILLA_*; main() configures logging for a whole process, which is put back."""
    for name in [name for name in os.environ if name.startswith("VANILLA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "path", [*sys.path])
    log = logging.getLogger("vanilla")
    before = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.level, log.propagate = before


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "served_app.py"
    path.write_text(APP + (OBEYS_SIGNALS if IS_WINDOWS else ""))
    yield path
    sys.modules.pop("served_app", None)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        pytest.param(["absent.py"], "vanilla: absent.py: no such file; ", id="missing_file"),
        pytest.param(["absent_module"], "vanilla: absent_module: no module named 'absent_module'", id="missing_module"),
        pytest.param(["APP:absent"], "has no 'absent'; name your handler", id="missing_name"),
        pytest.param(["APP", "--port", "x"], "vanilla: --port: 'x' is not a whole number", id="bad_port"),
        pytest.param(
            ["APP", "--port", "70000"], "vanilla: port=70000: give a whole number from 0 to 65535", id="port_range"
        ),
        pytest.param(["APP", "--workers", "0"], "vanilla: workers=0: ", id="no_workers"),
        pytest.param(["APP", "--backend", "magic"], "vanilla: backend='magic': ", id="unknown_backend"),
        pytest.param(["APP", "--limit-max-headers", "0"], "vanilla: max_headers=0: ", id="bad_limit"),
        pytest.param(
            ["APP", "--workers", "2", "--limit-max-connections", "1"],
            "vanilla: max_connections=1: ",
            id="few_connections",
        ),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    words: list[str], line: str, app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.replace("APP", str(app)) for word in words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert line in err


@pytest.mark.parametrize("words", [[], ["app.py", "--no-such-option"], ["app.py", "--port"]])
def test_an_unknown_option_is_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: vanilla" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"vanilla {VERSION}\n"


def test_an_exception_in_the_application_shows_its_own_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken_app.py"
    path.write_text("def fail():\n    raise ValueError('mine')\nfail()\n")
    assert main([str(path)]) == 2
    err = capsys.readouterr().err
    files = re.findall(r'File "([^"]+)"', err)
    assert files == [str(path)] * 2
    assert "ValueError: mine" in err
    assert err.endswith("broken_app.py: could not be imported, see above\n")


def test_a_port_in_use_is_one_line_and_exit_code_1(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([str(app), "--port", str(port), "--workers", "2"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"vanilla: 127.0.0.1:{port}: {ADDRESS_IN_USE}; ")
    assert err.count("\n") == 1


def test_an_exception_in_a_hook_shows_its_traceback_and_is_exit_code_1(
    app: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([f"{app}:failing", "--port", "0"]) == 1
    assert capsys.readouterr().err.endswith("LookupError: no database\n")


class Running:
    """The command as a process; `address` is read from what it prints."""

    def __init__(self, *words: str, **variables: str) -> None:
        self.process = start_process(
            [sys.executable, "-m", "vanilla", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | variables,
            text=True,
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()

    def ask(self) -> bytes:
        found = re.search(r"http://([0-9.]+):([0-9]+)", self.line)
        assert found is not None, self.line
        with socket.create_connection((found[1], int(found[2])), timeout=20) as peer:
            peer.sendall(GET)
            peer.shutdown(socket.SHUT_WR)
            received = b""
            while data := peer.recv(65_536):
                received += data
        return received

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and the rest of what it printed."""
        send_signal(self.process, number)
        rest, _ = self.process.communicate(timeout=20)
        return self.process.returncode, rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_serves_and_ends_with_0(app: Path, number: signal.Signals) -> None:
    running = Running(str(app), "--port", "0", "--workers", "2")
    assert re.search(
        rf" INFO listening on http://127\.0\.0\.1:[0-9]+ with 2 workers on {available_backends()[0]}; "
        rf"stop with Ctrl-C or SIGTERM \(process {running.process.pid}\)\n$",
        running.line,
    )
    assert running.ask().endswith(b"\r\n\r\nhello")
    code, rest = running.stop(number)
    assert code == 0
    assert f"{number.name}: draining" in rest
    assert "Traceback" not in rest


def test_a_config_is_served_with_options_over_it_and_variables_too(app: Path) -> None:
    running = Running(f"{app}:config", "--workers", "3", VANILLA_PORT="0")
    assert "with 3 workers" in running.line
    assert running.ask().endswith(b"\r\n\r\nconfig")
    assert running.stop()[0] == 0


@needs_shared_ports
def test_two_processes_share_a_port_that_both_were_told_to_share(app: Path) -> None:
    one = Running(str(app), "--port", "0", "--reuse-port", "--workers", "1")
    port = re.search(r":([0-9]+) with", one.line)
    assert port is not None
    two = Running(str(app), "--port", port[1], "--reuse-port", "--workers", "1")
    assert f":{port[1]} with" in two.line
    assert two.stop()[0] == one.stop()[0] == 0


# The variables name the very process that serves, so they are set between its fork and its exec.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "vanilla", *sys.argv[2:]])
"""


@pytest.mark.skipif(IS_WINDOWS, reason="there is no systemd")
def test_a_socket_passed_as_systemd_does_is_served(app: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        port = passed.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(passed.fileno()), str(app), "--bind", "systemd", "--workers", "2"],
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=(passed.fileno(),),
        )
        assert process.stderr is not None
        with process.stderr:
            assert f"listening on http://127.0.0.1:{port} with 2 workers" in process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        assert process.wait(timeout=20) == 0
