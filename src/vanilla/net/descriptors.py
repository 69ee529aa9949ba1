"""Descriptors as the platform has them: what its errors are called, what can be watched, and which file one is of.

# Facts about Windows
# The C runtime, whose words os.strerror has, knows nothing of sockets; Python's socket module does.
# Below the descriptor of a file is a handle that knows its name.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys
from typing import Any

if sys.platform == "win32":
    import msvcrt

NAME_LETTERS_MAX = 32_768  # of a path in Windows
MAC_PATH_BYTES_MAX = 1024  # MAXPATHLEN: what fcntl(2) fills for F_GETPATH

# Why some descriptors cannot be watched, and what to do instead.
UNWATCHABLE = (
    "no socket, and Windows can watch sockets only; use worker.offload, or a socket.socketpair"
    if sys.platform == "win32"
    else "a regular file is always ready and cannot be watched; read it, or use worker.offload"
)

_SOCKET_ERRORS: dict[int, str] = getattr(socket, "errorTab", {})


def explain(error: int) -> str:
    """An errno in words."""
    words = _SOCKET_ERRORS.get(error)
    return os.strerror(error) if words is None else words.removesuffix(".")


def name_file(fd: int) -> str:
    """The path of an open file, as far as it can be known."""
    try:
        if sys.platform == "win32":
            return _name_handle(msvcrt.get_osfhandle(fd))
        if sys.platform == "darwin":
            fcntl = importlib.import_module("fcntl")
            return os.fsdecode(fcntl.fcntl(fd, fcntl.F_GETPATH, bytes(MAC_PATH_BYTES_MAX)).rstrip(b"\0"))
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return "a file"


def _name_handle(handle: int) -> str:
    """The path of an open file in Windows."""
    ctypes: Any = importlib.import_module("ctypes")  # for a rare case: it is never else needed
    name = ctypes.create_unicode_buffer(NAME_LETTERS_MAX)
    if ctypes.windll.kernel32.GetFinalPathNameByHandleW(ctypes.c_void_p(handle), name, NAME_LETTERS_MAX, 0):
        return str(name.value).removeprefix("\\\\?\\")
    raise OSError(handle)
