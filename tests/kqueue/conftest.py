"""The emulation as a shared library, called as C calls it; flags and notes go by their names in <sys/event.h>."""

from __future__ import annotations

import array
import contextlib
import ctypes
import fcntl
import os
import re
import select
import shlex
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INCLUDE = HERE / "include"
SOURCE = HERE / "kqueue.c"
WARNINGS = ("-Wall", "-Wextra", "-Werror")
DEFINED = {
    name: int(value.strip("()U"), 0)
    for name, value in re.findall(
        r"#define ((?:EVFILT|EV|NOTE)_\w+) ([-\w()]+)", (INCLUDE / "sys" / "event.h").read_text()
    )
}
FILTER_NAMES = {DEFINED[f"EVFILT_{name}"]: name for name in ("READ", "WRITE", "TIMER", "USER")}
FLAGS = {name.removeprefix("EV_"): value for name, value in DEFINED.items() if name.startswith("EV_")}
SECOND_NS = 1_000_000_000
SOON = 5.0  # how long a test waits for what must come
SETTLED = 0.05  # and for what a kernel may still do: its delayed acknowledgement takes 0.04


class _Kevent(ctypes.Structure):
    _fields_ = (
        ("ident", ctypes.c_size_t),
        ("filter", ctypes.c_int16),
        ("flags", ctypes.c_uint16),
        ("fflags", ctypes.c_uint32),
        ("data", ctypes.c_ssize_t),
        ("udata", ctypes.c_void_p),
    )


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


def combine(prefix: str, names: str) -> int:
    """What the names stand for together: of "ADD CLEAR", EV_ADD | EV_CLEAR."""
    value = 0
    for name in names.split():
        value |= DEFINED[f"{prefix}_{name}"]
    return value


class Event(NamedTuple):
    """One kevent as it was told; `flags` are names."""

    ident: int
    filter: str
    flags: set[str]
    data: int
    fflags: int
    udata: int


class Change(NamedTuple):
    """One kevent as it is asked for; flags and notes are names, a number stands for what has none."""

    ident: int
    filter: str | int
    flags: str
    fflags: str | int = ""
    data: int = 0
    udata: int = 0

    def write(self, target: _Kevent) -> None:
        filter_ = DEFINED[f"EVFILT_{self.filter}"] if isinstance(self.filter, str) else self.filter
        fflags = combine("NOTE", self.fflags) if isinstance(self.fflags, str) else self.fflags
        flags = combine("EV", self.flags)
        target.ident, target.filter, target.flags, target.fflags = self.ident, filter_, flags, fflags
        target.data, target.udata = self.data, self.udata


class Queue:
    """One kqueue and its descriptor."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.library = library
        self.fd = library.kqueue()
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "kqueue")

    def kevent(self, *changes: tuple, room: int = 64, timeout: float | tuple[int, int] | None = 0.0) -> list[Event]:
        """The one call. changes: the fields of a Change; timeout: seconds, a timespec as it is, or None for ever."""
        kevents = (_Kevent * max(len(changes), room))()  # changelist and eventlist are one array
        for change, kevent in zip(changes, kevents, strict=False):
            Change(*change).write(kevent)
        if isinstance(timeout, float):
            timeout = divmod(round(timeout * SECOND_NS), SECOND_NS)
        timespec = None if timeout is None else ctypes.byref(_Timespec(*timeout))
        count = self.library.kevent(self.fd, kevents, len(changes), kevents, room, timespec)
        if count < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return [
            Event(
                one.ident,
                FILTER_NAMES.get(one.filter, str(one.filter)),
                {name for name, value in FLAGS.items() if one.flags & value == value},
                one.data,
                one.fflags,
                one.udata or 0,
            )
            for one in kevents[:count]
        ]

    def change(self, *change: object) -> None:
        """One change, given by its fields, and no events."""
        assert self.kevent(change, room=0) == []

    def error_of(self, *changes: tuple) -> int:
        """The errno that is answered to the changes where there is no room for events."""
        with pytest.raises(OSError, match=r"\[Errno") as caught:
            self.kevent(*changes, room=0)
        assert caught.value.errno is not None
        return caught.value.errno

    def wait(self, room: int = 64) -> list[Event]:
        """The events that come soon; there must be some."""
        events = self.kevent(room=room, timeout=SOON)
        assert events, "no event came"
        return events

    def wait_for_one(self) -> Event:
        [event] = self.wait()
        return event

    def wait_for_data(self, data: int) -> Event:
        """The one knote's event that tells so much; what tells of less comes before it."""
        while (event := self.wait_for_one()).data < data:
            pass
        return event

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@pytest.fixture(scope="session")
def compiler() -> list[str]:
    """The command that setup.py compiles with, and what `make sanitize` adds to it."""
    script = "import setup; print(setup.find_compiler()); print(*setup.FLAGS if setup.SANITIZE else ())"
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return shlex.split(found.stdout)


@pytest.fixture(scope="session")
def compile_library(compiler: list[str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles kqueue.c with further flags to a shared library."""

    def compile_library(*flags: str) -> Path:
        path = tmp_path_factory.mktemp("kqueue") / "libkqueue.so"
        shared = ("-O2", "-shared", "-fPIC", "-pthread", f"-I{INCLUDE}", str(SOURCE), "-o", str(path))
        subprocess.run([*compiler, *WARNINGS, *flags, *shared], check=True)
        return path

    return compile_library


@pytest.fixture(scope="session")
def load_library(compile_library: Callable[..., Path]) -> Callable[..., ctypes.CDLL]:
    """Compiles likewise, and loads the library."""

    def load_library(*flags: str) -> ctypes.CDLL:
        library = ctypes.CDLL(str(compile_library(*flags)), use_errno=True)
        kevents = ctypes.POINTER(_Kevent)
        timespec = ctypes.POINTER(_Timespec)
        library.kevent.argtypes = (ctypes.c_int, kevents, ctypes.c_int, kevents, ctypes.c_int, timespec)
        return library

    return load_library


@pytest.fixture(scope="session")
def library(load_library: Callable[..., ctypes.CDLL]) -> ctypes.CDLL:
    return load_library()


@pytest.fixture
def make_queue(library: ctypes.CDLL) -> Iterator[Callable[..., Queue]]:
    """Makes kqueues, of the library or of another one."""
    made: list[Queue] = []

    def make_queue(other: ctypes.CDLL | None = None) -> Queue:
        made.append(Queue(other or library))
        return made[-1]

    yield make_queue
    for queue in made:
        queue.close()


@pytest.fixture
def queue(make_queue: Callable[..., Queue]) -> Queue:
    return make_queue()


class Pair:
    """Two connected stream sockets that do not block: `ours` is watched, `theirs` is the peer."""

    def __init__(self, family: str) -> None:
        if family == "unix":
            self.ours, self.theirs = socket.socketpair()
        else:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                self.theirs = socket.create_connection(listener.getsockname())
                self.ours = listener.accept()[0]
            for one in (self.ours, self.theirs):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ours.setblocking(False)
        self.fd = self.ours.fileno()
        self.unread = 0  # bytes sent by `fill`

    def give(self, data: bytes) -> None:
        """Let the peer send that much, and wait until it is here."""
        before = self.readable_bytes()
        self.theirs.sendall(data)
        while self.readable_bytes() < before + len(data):
            select.select([self.ours], [], [])

    def readable_bytes(self) -> int:
        [count] = array.array("i", fcntl.ioctl(self.fd, termios.FIONREAD, bytes(4)))
        return count

    def fill(self) -> None:
        """Send until the kernel takes no more, and the peer's half of the buffers is full too."""
        while select.select([], [self.ours], [], SETTLED)[1]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    self.unread += self.ours.send(bytes(65536))

    def drain(self) -> None:
        """Let the peer read all that was sent."""
        while self.unread > 0:
            self.unread -= len(self.theirs.recv(1 << 20))

    def reset(self) -> None:
        """Let the peer close with a RST."""
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.theirs.close()

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()


@pytest.fixture
def make_pair() -> Iterator[Callable[[str], Pair]]:
    made: list[Pair] = []

    def make_pair(family: str) -> Pair:
        made.append(Pair(family))
        return made[-1]

    yield make_pair
    for pair in made:
        pair.close()


@pytest.fixture(params=["tcp", "unix"])
def pair(request: pytest.FixtureRequest, make_pair: Callable[[str], Pair]) -> Pair:
    return make_pair(request.param)


@pytest.fixture
def tcp(make_pair: Callable[[str], Pair]) -> Pair:
    return make_pair("tcp")
