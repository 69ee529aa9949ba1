"""Configurations, handlers and processes for the socket-level suite: one suite, every backend."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from system import IS_WINDOWS, OBEYS_SIGNALS, send_signal, start_process
from vanilla import Request, Response, ServerConfig, Worker
from vanilla.testing import Received

Handler = Callable[[Request, Response, Worker], object]


@pytest.fixture
def configure(backend: str) -> Callable[..., ServerConfig]:
    """A config with one worker on a free port; keywords are ServerConfig's."""

    def configure(handler: Handler, **settings: object) -> ServerConfig:
        return ServerConfig(handler, **({"workers": 1, "backend": backend} | settings))

    return configure


@pytest.fixture
def echo() -> Handler:
    """Answers with the request's method, target, version and content."""

    def echo(request: Request, response: Response, worker: Worker) -> None:
        line = b"%b %b %b\n" % (request.method, request.target, request.version)
        response.reply(200, line + request.body, content_type="text/plain")

    return echo


@pytest.fixture
def mirror() -> Handler:
    """Answers with the request's content and nothing that changes with time."""

    def mirror(request: Request, response: Response, worker: Worker) -> None:
        response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request.body), request.body)

    return mirror


@pytest.fixture
def numbered() -> Handler:
    """Answers with the path without its slash: which answer is whose."""

    def numbered(request: Request, response: Response, worker: Worker) -> None:
        response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request.path) - 1, request.path[1:])

    return numbered


@pytest.fixture
def receive_answer() -> Callable[[socket.socket], bytes]:
    """Takes one whole answer from a client, in however many pieces it comes, or what came before the end."""

    def receive_answer(client: socket.socket) -> bytes:
        received = Received()
        while not received.frames and (piece := client.recv(65_536)):
            received.append(piece)
        return bytes(received.raw)

    return receive_answer


class Command:
    """`python -m vanilla app.py` as a process of its own, listening on a free port."""

    def __init__(self, app: Path, options: tuple[str, ...]) -> None:
        self.process = start_process(
            [sys.executable, "-m", "vanilla", str(app), "--bind", "127.0.0.1:0", "--workers", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={name: value for name, value in os.environ.items() if not name.startswith("VANILLA_")},
        )
        self.log = b""
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        match = self.await_log(rb"http://127\.0\.0\.1:([0-9]+)")
        self.address = ("127.0.0.1", int(match[1]))

    def await_log(self, pattern: bytes) -> re.Match[bytes]:
        """The first match of `pattern` in what the process writes; it may still have to write it."""
        with self._news:
            self._news.wait_for(lambda: re.search(pattern, self.log) or self.has_closed, timeout=20)
            match = re.search(pattern, self.log)
        assert match is not None, f"{pattern!r} is not in {self.log!r}"
        return match

    def signal(self, number: signal.Signals) -> None:
        send_signal(self.process, number)

    def wait(self) -> int:
        """Its exit code."""
        code = self.process.wait(timeout=20)
        self._reader.join()
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self.process.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()

    @property
    def has_closed(self) -> bool:
        return self.process.stdout.closed or not self._reader.is_alive()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self._news:
                self.log += line
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@pytest.fixture
def command(tmp_path: Path, backend: str) -> Iterator[Callable[..., Command]]:
    """Starts the command with an app's source and further options; killed at the end of the test."""
    started: list[Command] = []

    def command(source: str, *options: str) -> Command:
        app = tmp_path / "app.py"
        app.write_text(textwrap.dedent(source) + (OBEYS_SIGNALS if IS_WINDOWS else ""))
        started.append(Command(app, ("--backend", backend, *options)))
        return started[-1]

    yield command
    for one in started:
        one.close()
