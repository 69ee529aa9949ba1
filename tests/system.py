"""What tests ask of the system, on each platform in its own way: descriptors that can be watched, what a process holds,
signals, that other threads go on, and what there is at all.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vanilla import Event

IS_WINDOWS = sys.platform == "win32"
if not IS_WINDOWS:
    import resource

ADDRESS_IN_USE = "the network address is in use" if IS_WINDOWS else "address already in use"

# Marks of tests for which a platform lacks something.
needs_unix_sockets = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="Python has no unix sockets here")
needs_descriptor_limit = pytest.mark.skipif(IS_WINDOWS, reason="nobody can lower a limit of descriptors here")
needs_shared_ports = pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no two sockets share a port here")
needs_abstract_sockets = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux has abstract unix sockets"
)
needs_affinity = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no thread is bound to a CPU here")
needs_links = pytest.mark.skipif(IS_WINDOWS, reason="a symbolic link takes privileges here, which Wine has none of")
needs_open_folders = pytest.mark.skipif(IS_WINDOWS, reason="an open folder is no descriptor here")
needs_freed_memory = pytest.mark.skipif(
    "VANILLA_SANITIZE" in os.environ, reason="the sanitizers keep what is freed for a while"
)
needs_watched_pipes = pytest.mark.skipif(IS_WINDOWS, reason="only sockets can be watched here")


# Descriptors that can be watched: pipes; in Windows sockets, of which os.read and its like know nothing.


def open_pair() -> tuple[int, int]:
    """A reader, and a writer to it."""
    if not IS_WINDOWS:
        return os.pipe()
    reader, writer = socket.socketpair()
    return reader.detach(), writer.detach()


def ready_reader(data: bytes = b"x") -> int:
    """A reader that holds `data` and whose writer is closed."""
    reader, writer = open_pair()
    write(writer, data)
    close(writer)
    return reader


def with_end(event: Event) -> Event:
    """What a watch of a `ready_reader` was told, with the end: Wine tells that once what stands before it is read."""
    return event | Event.HANGUP if IS_WINDOWS else event


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    one = socket.socket(fileno=fd)
    try:
        yield one
    finally:
        one.detach()


def read(fd: int, size: int) -> bytes:
    """What is there, up to `size` bytes."""
    if not IS_WINDOWS:
        return os.read(fd, size)
    with _borrowed(fd) as one:
        return one.recv(size)


def write(fd: int, data: bytes) -> int:
    """How many of the bytes were taken."""
    if not IS_WINDOWS:
        return os.write(fd, data)
    with _borrowed(fd) as one:
        return one.send(data)


def close(fd: int) -> None:
    """Close it, be it a socket or anything else that can be watched. Raises: OSError if it is not open."""
    socket.close(fd)


def duplicate(fd: int) -> int:
    """Another descriptor of the same."""
    if not IS_WINDOWS:
        return os.dup(fd)
    with _borrowed(fd) as one:
        return one.dup().detach()


def is_open(fd: int) -> bool:
    """Whether a descriptor that could be watched is open."""
    with contextlib.suppress(OSError):
        if not IS_WINDOWS:
            os.fstat(fd)
            return True
        with _borrowed(fd):
            return True
    return False


def reset(client: socket.socket) -> None:
    """Go away without a word: the server sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


# What this process holds.


def open_descriptors() -> set[int]:
    """Those that are open, in Windows handles of files and sockets; what garbage holds is closed first."""
    gc.collect()
    return _file_handles() if IS_WINDOWS else set(map(int, os.listdir("/proc/self/fd")))


def count_descriptors() -> int:
    """How many are open."""
    return len(open_descriptors())


def count_held(path: Path) -> int:
    """How many of the descriptors are of that file."""
    fds = range(_FILES_MAX) if IS_WINDOWS else map(int, os.listdir("/proc/self/fd"))
    count = 0
    for fd in fds:
        with contextlib.suppress(OSError):  # not open, or not any more
            count += os.path.samestat(os.fstat(fd), path.stat())
    return count


def resident_bytes() -> int:
    """Memory of this process that is not swapped out."""
    if not IS_WINDOWS:
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    counters = (ctypes.c_size_t * 9)()  # PROCESS_MEMORY_COUNTERS: two of 32 bits, then the peak, then what we want
    windows = ctypes.windll.kernel32
    windows.K32GetProcessMemoryInfo(ctypes.c_void_p(-1), counters, ctypes.sizeof(counters))
    return counters[2]


def private_bytes() -> int:
    """What this process has in memory that is its own: proc_pid_smaps(5)."""
    if IS_WINDOWS:
        return resident_bytes()
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_Dirty:"))


class _Handle(ctypes.Structure):
    """SYSTEM_HANDLE_TABLE_ENTRY_INFO_EX."""

    _fields_ = (
        ("object", ctypes.c_void_p),
        ("process", ctypes.c_size_t),
        ("handle", ctypes.c_size_t),
        ("access", ctypes.c_ulong),
        ("trace", ctypes.c_ushort),
        ("type", ctypes.c_ushort),
        ("attributes", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


_FILES_MAX = 1024  # of the descriptors that the C runtime gives out, from 0 on
_EXTENDED_HANDLE_INFORMATION, _INFO_LENGTH_MISMATCH = 64, 0xC0000004


def _file_handles() -> set[int]:
    """Handles of this process of the kind that a file has: sockets are of the same."""
    import msvcrt

    with open(os.devnull) as file:
        known = msvcrt.get_osfhandle(file.fileno())
        size = 1 << 16
        while True:
            found = ctypes.create_string_buffer(size)
            status = ctypes.windll.ntdll.NtQuerySystemInformation(_EXTENDED_HANDLE_INFORMATION, found, size, None)
            if status & 0xFFFFFFFF != _INFO_LENGTH_MISMATCH:
                break
            size *= 2
        assert status == 0, hex(status & 0xFFFFFFFF)
        count = ctypes.c_size_t.from_buffer(found).value
        handles = (_Handle * count).from_buffer(found, 2 * ctypes.sizeof(ctypes.c_size_t))
        own = {entry.handle: entry.type for entry in handles if entry.process == os.getpid()}
    return {handle for handle, kind in own.items() if kind == own[known] and handle != known}


# Signals. In Windows only a console can send one, so a process raises it itself.

OBEYS_SIGNALS = """
import os, signal, threading

def obey():
    while number := os.read(0, 16):
        signal.raise_signal(int(number))

threading.Thread(target=obey, daemon=True).start()
"""


def signal_self(number: int) -> None:
    """Send this process a signal."""
    if IS_WINDOWS:
        signal.raise_signal(number)
    else:
        os.kill(os.getpid(), number)


def start_process(command: list[str], **options: Any) -> subprocess.Popen[Any]:
    """A process that `send_signal` reaches, if it runs OBEYS_SIGNALS where IS_WINDOWS."""
    return subprocess.Popen(command, stdin=subprocess.PIPE if IS_WINDOWS else None, **options)


def send_signal(process: subprocess.Popen[Any], number: int) -> None:
    """Send it a signal."""
    if IS_WINDOWS:
        assert process.stdin is not None
        os.write(process.stdin.fileno(), b"%d\n" % number)
    else:
        process.send_signal(number)


# Other threads.


def give_way() -> None:
    """Let another thread run."""
    if IS_WINDOWS:
        time.sleep(0)
    else:
        os.sched_yield()


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does; the test's own time limit ends it."""
    while not condition():
        give_way()
