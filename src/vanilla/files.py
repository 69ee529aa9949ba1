"""Regular files that answers are sent from, and who keeps each of them open: fstat(2), fcntl(2).

A descriptor is counted like a slab. The last of those who claim it closes it: an answer that is still being sent, or an
`OpenFile` that its owner has not closed.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.vanilla.atomics import ACQUIRE_RELEASE, atomic_add
from cython.cimports.vanilla.net.platform import (
    ENOMEM,
    FILE_NOT_READABLE,
    FILE_NOT_REGULAR,
    check_file,
    close_file,
    duplicate_file,
)

CLOSED = "this OpenFile was closed; open the file again"


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def hold_duplicate(fd: cython.int, error: cython.p_int) -> cython.pointer[HeldFile]:
    """A duplicate of a descriptor, with one claim, the caller's; NULL, and the errno, if there can be none."""
    held: cython.pointer[HeldFile] = cython.cast(cython.pointer[HeldFile], malloc(cython.sizeof(HeldFile)))
    if held is cython.NULL:
        error[0] = ENOMEM
        return cython.NULL
    held.claims = 1
    held.fd = duplicate_file(fd)
    if held.fd < 0:
        error[0] = -held.fd
        free(held)
        return cython.NULL
    return held


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def claim_file(held: cython.pointer[HeldFile]) -> cython.void:
    """Keep the file open until `release_file`."""
    atomic_add(cython.address(held.claims), 1, ACQUIRE_RELEASE)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def release_file(held: cython.pointer[HeldFile]) -> cython.void:
    """Give up one claim; the last one closes the descriptor."""
    if atomic_add(cython.address(held.claims), -1, ACQUIRE_RELEASE) == 0:
        close_file(held.fd)
        free(held)


@cython.cfunc
@cython.exceptval(-1, check=False)
def measure_file(fd: cython.int, file: object) -> cython.longlong:
    """The size of a regular file that is open for reading; `file` is how the user calls it."""
    size: cython.longlong = 0
    result: cython.int = check_file(fd, cython.address(size))
    if result < 0:
        raise OSError(-result, f"send_file: fd {fd}: {os.strerror(-result)}")
    if result == FILE_NOT_REGULAR:
        raise ValueError(f"file {file!r}: only regular files can be sent; read others, and write() what they give")
    if result == FILE_NOT_READABLE:
        raise ValueError(f"file {file!r}: open for writing only; open it for reading")
    return size


@cython.final
@cython.cclass
class OpenFile:
    """A regular file that any number of answers share: `response.send_file(file)`, on any worker.

    `send_file` duplicates a plain descriptor for each answer, since you may close yours at once; this one it counts,
    which costs no system call. So it is what to keep for a file that is sent again and again. After `close`, and when
    the object is gone, answers that have begun are still sent to their end.

    Args:
        file: a path, or a descriptor, which is duplicated.

    Raises: OSError if it cannot be opened; ValueError for what is no regular file, or not open for reading.
    Source: open(2), fstat(2).
    """

    def __cinit__(self) -> None:
        self.held = cython.NULL

    def __init__(self, file: object) -> None:
        error: cython.int = 0
        fd: cython.int
        if self.held is not cython.NULL:
            raise ValueError("a file is opened once; make another")
        opened: object = None if isinstance(file, int) else os.open(file, os.O_RDONLY)
        fd = file if opened is None else opened
        try:
            self._size = measure_file(fd, file)
            self.held = hold_duplicate(fd, cython.address(error))
            if self.held is cython.NULL:
                raise OSError(error, f"file {file!r}: {os.strerror(error)}")
        finally:
            if opened is not None:
                os.close(opened)

    def __dealloc__(self) -> None:
        if self.held is not cython.NULL:
            release_file(self.held)

    def __enter__(self) -> OpenFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def size(self) -> int:
        """Bytes that the file had when it was opened here: what `send_file` sends, and refuses to go beyond."""
        return self._size

    @property
    def closed(self) -> bool:
        """Whether `close` was called: it is sent no more."""
        return self.held is cython.NULL

    def fileno(self) -> int:
        """The descriptor, for os.fstat and its like. Raises: ValueError once it is closed."""
        if self.held is cython.NULL:
            raise ValueError(CLOSED)
        return self.held.fd

    def close(self) -> None:
        """Send it no more. Any thread; once it is closed it stays so."""
        held: cython.pointer[HeldFile]
        with cython.critical_section(self):
            held = self.held
            self.held = cython.NULL
        if held is not cython.NULL:
            release_file(held)

    @cython.cfunc
    @cython.exceptval(check=False)
    def claim(self) -> cython.pointer[HeldFile]:
        """A claim on the file for one answer; NULL once it is closed."""
        held: cython.pointer[HeldFile]
        with cython.critical_section(self):
            held = self.held
            if held is not cython.NULL:
                claim_file(held)
        return held
