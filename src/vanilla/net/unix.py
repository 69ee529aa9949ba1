"""Unix listening sockets: unix(7). A stale socket file is replaced, a live one never; only ours is removed."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import stat

from vanilla.errors import BindError
from vanilla.net.tcp import bind_error

_ADVICE = {
    errno.EADDRINUSE: "stop the server that listens there, or give another path",
    errno.EACCES: "give a directory that this user may write to",
    errno.ENOENT: "make its directory first",
}


@dataclasses.dataclass(frozen=True, slots=True)
class SocketFile:
    """The file of a unix socket, as it was when we made it."""

    path: str
    device: int
    inode: int
    modified_ns: int  # an inode number is given out again after unlink, its time of birth is not

    @classmethod
    def at(cls, path: str) -> SocketFile:
        """The file that is there now."""
        status = os.lstat(path)
        return cls(path, status.st_dev, status.st_ino, status.st_mtime_ns)

    def remove(self) -> None:
        """Remove the file, unless somebody else's is there by now; one that is gone already is as well."""
        with contextlib.suppress(OSError):
            if SocketFile.at(self.path) == self:
                os.unlink(self.path)


def open_unix(path: str, mode: int | None, backlog: int) -> tuple[socket.socket, SocketFile | None]:
    """The listening socket and its file; None for the file of an abstract name ("@name").

    Raises: BindError if something is there that we may not replace, or the kernel refuses.
    """
    with contextlib.ExitStack() as on_failure:
        try:
            one = on_failure.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            one.setblocking(False)
            file = None
            if path.startswith("@"):
                one.bind("\0" + path[1:])
            else:
                _clear_stale(path)
                one.bind(path)
                file = SocketFile.at(path)
                on_failure.callback(file.remove)
                # Between bind and listen nobody can connect: the mode holds from the first connection on, and the
                # umask, which all threads share, is left alone.
                if mode is not None:
                    os.chmod(path, mode)
            one.listen(backlog)
        except BindError:
            raise
        except OSError as error:
            raise bind_error(f"unix:{path}", error, _ADVICE) from error
        on_failure.pop_all()
    return one, file


def _clear_stale(path: str) -> None:
    """Remove a socket file that nobody listens on."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise BindError(errno.EADDRINUSE, f"unix:{path}: a file that is not a socket is there; give another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a live server with a full backlog answers EAGAIN; blocking would wait for it
        reason = probe.connect_ex(path)
    if reason == errno.ECONNREFUSED:  # on macOS and FreeBSD a live server's full backlog cannot be told from this
        os.unlink(path)
    elif reason in (0, errno.EAGAIN):
        raise bind_error(f"unix:{path}", OSError(errno.EADDRINUSE, ""), _ADVICE)
    elif reason != errno.ENOENT:  # gone since lstat
        raise bind_error(f"unix:{path}", OSError(reason, ""), _ADVICE)
