"""TCP listening sockets: a group per address with one socket for each worker, spread over by the kernel's SO_REUSEPORT.

Windows has no such thing: there the workers share one socket through duplicates, and whoever is ready takes the next.

# Facts about SO_REUSEPORT (socket(7); Linux net/ipv4/inet_connection_sock.c)
# A second server that sets it on a taken port starts without an error and takes a share of the connections. So the
# first socket of a group binds and listens without it, which the kernel refuses if anybody listens there; only then is
# it set, and the rest of the group joins. There is no moment at which two servers could both have passed a check.
# SO_REUSEADDR lets a port be bound whose old connections are in TIME_WAIT; two sockets may then be bound at once, but
# the second listen(2) fails. Hence listen belongs to the check.
#
# Facts about Windows
# There SO_REUSEADDR lets anybody take a port that somebody listens on, and needs no asking for ports in TIME_WAIT.
# SO_EXCLUSIVEADDRUSE refuses them. A port may stay taken while connections of its last listener go on.
# listen() takes 200 at most, but for SOMAXCONN, which stands for as many as the system sees fit.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import sys
from typing import Any

from vanilla.errors import BindError
from vanilla.net.descriptors import explain

LOG = logging.getLogger("vanilla")
BACKLOG_PLAIN_MAX, BACKLOG_MOST = 200, 2**31 - 1  # in Windows: see above
PORT_ATTEMPTS_MAX = 16  # for port 0 on a name with several addresses: the port must be free on all of them

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_ADVICE = {
    errno.EADDRINUSE: "stop the server that listens there, or give another port (0 takes any free one)",
    errno.EACCES: "give a port from 1024 up, or grant CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "no interface of this machine has it; give '0.0.0.0' or '::' for every interface",
    errno.EAFNOSUPPORT: "this machine does not have that address family",
}

Resolved = tuple[socket.AddressFamily, tuple[Any, ...]]


def open_tcp(host: str, port: int, workers: int, backlog: int, *, reuse_port: bool) -> list[list[socket.socket]]:
    """One group of `workers` listening sockets for each address that `host` stands for.

    Raises: BindError if the name does not resolve or an address cannot be listened on.
    """
    addresses = resolve(host, port)
    for attempt in range(1, PORT_ATTEMPTS_MAX + 1):
        try:
            return _open_groups(addresses, port, workers, backlog, reuse_port=reuse_port)
        except BindError as error:
            # The port that the first address was given may be taken on the second: take another.
            if port != 0 or error.errno != errno.EADDRINUSE or attempt == PORT_ATTEMPTS_MAX:
                raise
    raise AssertionError("unreachable")


def resolve(host: str, port: int) -> list[Resolved]:
    """Every address of `host`, in the resolver's order, each once. Raises: BindError if there is none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "not a host name"
        message = f"host {host!r}: {str(reason).lower()}; give an address of this machine, or '0.0.0.0' for every one"
        raise BindError(errno.EADDRNOTAVAIL, message) from error
    inet = (socket.AF_INET, socket.AF_INET6)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found if family in inet))


def _open_groups(
    addresses: list[Resolved], port: int, workers: int, backlog: int, *, reuse_port: bool
) -> list[list[socket.socket]]:
    groups: list[list[socket.socket]] = []
    absent: list[BindError] = []
    with contextlib.ExitStack() as on_failure:
        for family, address in addresses:
            bound = (address[0], port, *address[2:])
            try:
                group = _open_group(family, bound, workers, backlog, reuse_port=reuse_port)
            except BindError as error:
                if error.errno not in _NOT_HERE:
                    raise
                absent.append(error)  # localhost names ::1 also where IPv6 is switched off
                continue
            for one in group:
                on_failure.callback(one.close)
            port = group[0].getsockname()[1]  # the real one, where 0 was asked for
            groups.append(group)
        if not groups:
            raise absent[0]
        on_failure.pop_all()
    for reason in absent:
        LOG.warning("skipped one address of a name: %s", reason.strerror)
    return groups


def _open_group(
    family: socket.AddressFamily, address: tuple[Any, ...], workers: int, backlog: int, *, reuse_port: bool
) -> list[socket.socket]:
    with contextlib.ExitStack() as on_failure:
        group: list[socket.socket] = []
        if sys.platform == "win32":
            group.append(on_failure.enter_context(_listening(family, address, backlog, shared=False)))
            group += [on_failure.enter_context(group[0].dup()) for _ in range(workers - 1)]
            on_failure.pop_all()
            return group
        for index in range(workers):
            shared = reuse_port or index > 0
            one = on_failure.enter_context(_listening(family, address, backlog, shared=shared))
            group.append(one)
            address = one.getsockname()
            if workers > 1 and not shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        on_failure.pop_all()
    return group


def _listening(family: socket.AddressFamily, address: tuple[Any, ...], backlog: int, *, shared: bool) -> socket.socket:
    with contextlib.ExitStack() as on_failure:
        try:
            one = on_failure.enter_context(socket.socket(family, socket.SOCK_STREAM))
            one.setblocking(False)
            if sys.platform == "win32":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(address)
            one.listen(backlog if sys.platform != "win32" or backlog <= BACKLOG_PLAIN_MAX else BACKLOG_MOST)
        except OSError as error:
            raise bind_error(f"{address[0]}:{address[1]}", error, _ADVICE) from error
        on_failure.pop_all()
    return one


def bind_error(where: str, error: OSError, advice: dict[int, str]) -> BindError:
    """The kernel's refusal as what users catch: where, what, what instead."""
    code = error.errno or 0
    instead = advice.get(code, "")
    return BindError(code, f"{where}: {explain(code).lower()}{instead and '; ' + instead}")
