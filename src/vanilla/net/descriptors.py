"""Descriptors as the platform has them: what its errors are called, and which file one is of.

# Facts about Windows
# The C runtime, whose words os.strerror has, knows nothing of sockets; Python's socket module does.
# Below the descriptor of a file is a handle that knows its name.
"""

from __future__ import annotations

import os
import socket
import sys

if sys.platform == "win32":
    import msvcrt

NAME_LETTERS_MAX = 32_768  # of a path in Windows

_SOCKET_ERRORS: dict[int, str] = getattr(socket, "errorTab", {})


def explain(error: int) -> str:
    """An errno in words."""
    words = _SOCKET_ERRORS.get(error)
    return os.strerror(error) if words is None else words.removesuffix(".")


def name_file(fd: int) -> str:
    """The path of an open file, as far as it can be known."""
    if sys.platform == "win32":
        import ctypes  # for the rare case: it is never else needed

        name = ctypes.create_unicode_buffer(NAME_LETTERS_MAX)
        handle = ctypes.c_void_p(msvcrt.get_osfhandle(fd))
        if ctypes.windll.kernel32.GetFinalPathNameByHandleW(handle, name, NAME_LETTERS_MAX, 0):
            return name.value.removeprefix("\\\\?\\")
        return f"fd {fd}"
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return f"fd {fd}"
