"""A listener opened: who owns its descriptors until the workers take them, and which addresses it really has."""

from __future__ import annotations

import contextlib
import socket

from vanilla.net.inherit import adopt, systemd_fds
from vanilla.net.listen import Listener
from vanilla.net.tcp import open_tcp
from vanilla.net.unix import SocketFile, open_unix

Address = tuple[str, int] | str
"""Where a server listens: (host, port), or the path of a unix socket ("@name": an abstract one)."""


class OpenListener:
    """Sockets in groups, one group for each address and in it one descriptor for each worker; owned until taken."""

    def __init__(self, listener: Listener, groups: list[list[socket.socket]], files: list[SocketFile]) -> None:
        self.listener = listener
        self.addresses = [address_of(group[0]) for group in groups]
        self._groups = groups
        self._files = files

    def take(self, index: int) -> list[int]:
        """The descriptors of worker `index`, one for each address; from here on the caller closes them."""
        return [group[index].detach() for group in self._groups]

    def close(self) -> None:
        """Close what nobody took."""
        for group in self._groups:
            for one in group:
                one.close()

    def remove_files(self) -> None:
        """Remove the unix socket files that are still ours."""
        for file in self._files:
            file.remove()


def open_listener(listener: Listener, workers: int, backlog: int) -> OpenListener:
    """Open every socket of `listener`, listening and non-blocking.

    Raises: BindError if it cannot be listened on; nothing is left open then.
    """
    backlog = listener.backlog or backlog
    if listener.host is not None and listener.port is not None:
        groups = open_tcp(listener.host, listener.port, workers, backlog, reuse_port=listener.reuse_port)
        return OpenListener(listener, groups, [])
    with contextlib.ExitStack() as on_failure:
        files = []
        if listener.uds is not None:
            one, file = open_unix(str(listener.uds), listener.uds_mode, backlog)
            on_failure.callback(one.close)
            ones = [one]
            if file is not None:
                files.append(file)
                on_failure.callback(file.remove)
        else:
            name = listener.systemd if isinstance(listener.systemd, str) else None
            fds = systemd_fds(name) if listener.fd is None else [listener.fd]
            ones = [on_failure.enter_context(adopt(fd, backlog)) for fd in fds]
        # One socket cannot be split as a port can be: the workers share it through duplicates.
        groups = [[one, *(on_failure.enter_context(one.dup()) for _ in range(workers - 1))] for one in ones]
        on_failure.pop_all()
    return OpenListener(listener, groups, files)


def address_of(one: socket.socket) -> Address:
    """Where a socket really is bound."""
    name = one.getsockname()
    if isinstance(name, bytes):  # abstract: a NUL, then the name
        return "@" + name[1:].decode("utf-8", "surrogateescape")
    return name if isinstance(name, str) else (name[0], name[1])


def shown(address: Address) -> str:
    """An address as a person types it: http://127.0.0.1:3000, http://[::1]:3000, unix:/run/app.sock."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
