"""Listening sockets that this process was started with: a descriptor by number, or systemd's sd_listen_fds(3)."""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from vanilla.errors import BindError
from vanilla.net.tcp import bind_error

_FAMILIES = [socket.AF_INET, socket.AF_INET6]
if hasattr(socket, "AF_UNIX"):  # Python has it on POSIX only
    _FAMILIES.append(socket.AF_UNIX)
SYSTEMD_FDS_START = 3  # SD_LISTEN_FDS_START
_ADVICE = {
    errno.EBADF: "no such descriptor is open in this process; pass a listening socket with that number",
    errno.ENOTSOCK: "pass a listening stream socket",
}

# What systemd passed belongs to the process for good, while its variables are removed on first use (so that a child
# does not take them for its own): a second server in this process finds the descriptors here.
_passed: list[tuple[str, int]] = []


def adopt(fd: int, backlog: int) -> socket.socket:
    """A duplicate of the stream socket `fd`, listening and non-blocking; `fd` itself stays open and its owner's.

    Raises: BindError if `fd` is not open, not a stream socket, or cannot listen.
    """
    with contextlib.ExitStack() as on_failure:
        try:
            duplicate = os.dup(fd)  # close-on-exec
            with contextlib.ExitStack() as until_socket:
                until_socket.callback(os.close, duplicate)
                one = on_failure.enter_context(socket.socket(fileno=duplicate))
                until_socket.pop_all()
            if one.type != socket.SOCK_STREAM or one.family not in _FAMILIES:
                raise OSError(errno.ENOTSOCK, "")
            one.setblocking(False)
            if not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                one.listen(backlog)
        except OSError as error:
            raise bind_error(f"fd:{fd}", error, _ADVICE) from error
        on_failure.pop_all()
    return one


def systemd_fds(name: str | None) -> list[int]:
    """The descriptors that systemd passed, or those of that FileDescriptorName.

    Raises: BindError if there is none.
    """
    _passed.extend(_take_passed())
    found = [fd for given, fd in _passed if name is None or given == name]
    if not found and not _passed:
        message = "systemd: no socket was passed to this process; start it by its .socket unit, or give an address"
        raise BindError(errno.ENOENT, message)
    if not found:
        names = ", ".join(sorted({given for given, _ in _passed}))
        raise BindError(errno.ENOENT, f"systemd:{name}: no socket of that name was passed; there are {names}")
    return found


def _take_passed() -> list[tuple[str, int]]:
    """(name, fd) of each socket passed to this very process; children get neither variables nor descriptors."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []  # not for us, but perhaps for a child: leave it
    del os.environ["LISTEN_PID"]
    count = os.environ.pop("LISTEN_FDS", "")
    names = os.environ.pop("LISTEN_FDNAMES", "").split(":")
    if not (count.isascii() and count.isdigit()):
        return []
    fds = range(SYSTEMD_FDS_START, SYSTEMD_FDS_START + int(count))
    for fd in fds:
        try:
            os.set_inheritable(fd, False)
        except OSError as error:
            raise bind_error(f"systemd (fd:{fd})", error, _ADVICE) from error
    names += ["unknown"] * (len(fds) - len(names))  # systemd's own word for a socket without a name
    return [(name or "unknown", fd) for name, fd in zip(names, fds, strict=False)]
