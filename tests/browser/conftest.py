"""A real Chromium, and servers that it visits. Collected only where `make browser` has put what this needs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

CHROMIUM = os.environ.get("CHROMIUM", "")
ROOT = pathlib.Path(__file__).parents[2]
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
)

if not CHROMIUM or importlib.util.find_spec("playwright") is None:
    collect_ignore_glob = ["test_*.py"]


class Served:
    """An example in a process of its own, which can be stopped and started anew on the same port."""

    def __init__(self, example: str, **variables: str) -> None:
        self.port = 0
        self._command = [sys.executable, "-m", "vanilla", str(ROOT / "examples" / example / "app.py")]
        self._environment = os.environ | variables
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Come back once it listens."""
        self._process = subprocess.Popen(
            [*self._command, "--port", str(self.port)], env=self._environment, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"listening on http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                return
        raise RuntimeError("the example ended before it listened")

    def stop(self) -> None:
        """As an operator stops it, in order."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=40)
        assert self._process.returncode == 0


class Relay:
    """Stands between a browser and a server; its connections can be cut, as a network does it."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._is_up = True
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def cut(self) -> None:
        """Break every connection; new ones are broken at once until `mend`."""
        with self._lock:
            self._is_up = False
            for near in self._open:
                _break(near)

    def mend(self) -> None:
        """Let new connections through."""
        with self._lock:
            self._is_up = True

    def close(self) -> None:
        """Break everything, for good."""
        self.cut()
        _break(self._listener)
        for thread in self._threads:  # the first adds others, and ends first
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                near, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._connect, args=(near,)))
                self._threads[-1].start()

    def _connect(self, near: socket.socket) -> None:
        with near, socket.create_connection(self._target) as far:
            with self._lock:
                if not self._is_up:
                    return
                self._open.add(near)
            back = threading.Thread(target=_pass_on, args=(far, near))
            back.start()
            _pass_on(near, far)
            back.join()
            with self._lock:
                self._open.remove(near)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Until either end breaks; then the other one is broken, too."""
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    _break(source)
    _break(target)


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it is broken already
        end.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def serve() -> Iterator:
    """Starts an example; it is stopped at the end of the test."""
    with contextlib.ExitStack() as stack:

        def begin(example: str, **variables: str) -> Served:
            served = Served(example, **variables)
            stack.callback(served.stop)
            return served

        yield begin


@pytest.fixture
def relay() -> Iterator:
    """Opens a relay to a port; it is closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def begin(port: int) -> Relay:
            opened = Relay(port)
            stack.callback(opened.close)
            return opened

        yield begin


@pytest.fixture
def browser(tmp_path: pathlib.Path, serve, relay) -> Iterator:
    """A browser that has never been anywhere. It goes before the servers that it visits."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path / "profile", executable_path=CHROMIUM, headless=True, args=ARGUMENTS
        )
        context.set_default_timeout(30_000)
        yield context
        context.close()
