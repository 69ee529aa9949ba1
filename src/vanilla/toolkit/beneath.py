"""Opening files that a client names, and never one outside of a folder: openat2(2) with RESOLVE_BENEATH, or its equal.

# Facts about names
Whatever a name says, by dots, symbolic links or links that are changed meanwhile, openat2 opens nothing outside: it is
the kernel that walks. Where it is missing, each folder on the way is opened by itself, and no symbolic link is
followed. Windows has neither; there the name that the file really has is asked for, and compared.
A FIFO would wait for its writer, so files are opened without blocking; a device may do something when it is opened, so
keep them out of folders that are served.
"""

from __future__ import annotations

import errno
import os
import sys

import cython

_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NO_OPENAT2 = (errno.ENOSYS, errno.EPERM)  # an old kernel, or a container that forbids what it does not know

# Names that stand for devices in Windows, in every folder and with any ending.
_DEVICES = frozenset(
    ["con", "prn", "aux", "nul", *(f"{kind}{number}" for kind in ("com", "lpt") for number in "123456789¹²³")]
)


def split_path(path: bytes, platform: str = sys.platform) -> list[str] | None:
    """The names that a decoded path consists of; None for one that no file can have, or that leads up or astray.

    Args:
        path: decoded, without a slash at its beginning. One at its end is a name that is empty, and comes last.
        platform: as sys.platform says it.
    """
    if b"\0" in path or b"\\" in path:  # the latter separates in Windows, and fools some clients elsewhere
        return None
    try:
        names = path.decode().split("/")
    except UnicodeDecodeError:
        return None
    for number, name in enumerate(names):
        if name in (".", "..") or (not name and number < len(names) - 1):
            return None
        if platform == "win32" and _is_special(name):
            return None
    return names


def _is_special(name: str) -> bool:
    """Whether Windows takes a name for something else than the file of that name."""
    return (
        any(character in '<>:"|?*' or character < " " for character in name)
        or name.endswith((".", " "))
        or name.partition(".")[0].rstrip(" ").lower() in _DEVICES
    )


class Folder:
    """A folder that files are opened below.

    Args:
        path: of the folder.

    Raises: OSError if it is no folder that can be opened.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(path)
        if not os.path.isdir(self.path):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
        self._fd = -1 if sys.platform == "win32" else os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self, close: object = os.close) -> None:  # at the end of the process `os` may be gone
        if getattr(self, "_fd", -1) >= 0:
            close(self._fd)  # type: ignore[operator]

    def open(self, names: list[str]) -> int:
        """A descriptor of what the names lead to, opened for reading.

        Raises: OSError, such as FileNotFoundError; PermissionError or one with EXDEV or ELOOP where they lead outside;
            in Windows IsADirectoryError for a folder, which has no descriptor there.
        """
        if sys.platform == "win32":
            return self._open_real(names)
        return open_below(self._fd, names)

    def stat(self, names: list[str]) -> os.stat_result:
        """What os.stat says of it: to be compared, for it may be anywhere. Raises: OSError."""
        if self._fd < 0:
            return os.stat(os.path.join(self.path, *names))
        return os.stat("/".join(names) or ".", dir_fd=self._fd)

    def list(self, names: list[str]) -> list[os.DirEntry[str]]:
        """What is in a folder below. Raises: OSError."""
        if sys.platform == "win32":
            with os.scandir(os.path.join(self.path, *names)) as entries:
                return list(entries)
        fd = self.open(names)
        try:
            with os.scandir(fd) as entries:
                return list(entries)
        finally:
            os.close(fd)

    def _open_real(self, names: list[str]) -> int:
        path = os.path.join(self.path, *names)
        real = os.path.realpath(path, strict=True)
        if os.path.normcase(real) != os.path.normcase(os.path.normpath(path)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        return os.open(path, _FLAGS | getattr(os, "O_BINARY", 0))


def open_below(folder: int, names: list[str]) -> int:
    """Folder.open of POSIX systems, from the descriptor of a folder."""
    encoded: bytes = os.fsencode("/".join(names) or ".")
    path: cython.p_const_char = encoded
    fd: cython.int = open_by_openat2(folder, path)
    if fd >= 0:
        return fd
    if -fd in _NO_OPENAT2:
        return walk_below(folder, names)
    raise OSError(-fd, os.strerror(-fd), "/".join(names))


def walk_below(folder: int, names: list[str]) -> int:
    """The same, one name after another, following no symbolic link."""
    current: int = os.dup(folder)
    try:
        for number, name in enumerate(names):
            flags: int = _FLAGS | os.O_NOFOLLOW
            if number < len(names) - 1:
                flags |= os.O_DIRECTORY
            below: int = os.open(name or ".", flags, dir_fd=current)
            os.close(current)
            current = below
    except BaseException:
        os.close(current)
        raise
    return current
