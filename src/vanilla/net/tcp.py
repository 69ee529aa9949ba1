"""TCP listening sockets: a group per address with one descriptor for each worker, over which the kernel spreads.

Windows has no such thing: there the workers share one socket through duplicates, and whoever is ready takes the next.

# Facts about SO_REUSEPORT (socket(7); Linux net/ipv4/inet_connection_sock.c)
# A second server that sets it on a taken port starts without an error and takes a share of the connections. So the
# first socket of a group binds and listens without it, which the kernel refuses if anybody listens there; only then is
# it set, and the rest of the group joins. There is no moment at which two servers could both have passed a check.
# SO_REUSEADDR lets a port be bound whose old connections are in TIME_WAIT; two sockets may then be bound at once, but
# the second listen(2) fails. Hence listen belongs to the check.
# FreeBSD (setsockopt(2)) spreads over those that set SO_REUSEPORT_LB, and a socket joins them when it is bound. So the
# check is a socket of its own, closed before the group is bound: two servers that start in the same instant may both
# pass it. macOS spreads over no group: there the workers accept from one socket, each through a duplicate.
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
from typing import Any, NamedTuple

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


class PortSharing(NamedTuple):
    """How the workers of one server share a port."""

    option: int | None  # has the kernel spread connections over the sockets that set it; None: there is none
    joins_late: bool  # whether a socket that listens already may still set it


def port_sharing(platform: str = sys.platform) -> PortSharing:
    """What a platform has for that; see the facts above."""
    if platform.startswith("linux"):
        return PortSharing(socket.SO_REUSEPORT, joins_late=True)
    if platform.startswith("freebsd"):
        return PortSharing(getattr(socket, "SO_REUSEPORT_LB", 0x10000), joins_late=False)  # named from Python 3.14 on
    return PortSharing(None, joins_late=False)


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
    sharing = port_sharing()
    option = sharing.option
    with contextlib.ExitStack() as on_failure:
        if option is None or workers == 1:
            # What others may share a port by: without an option that spreads, the kernel chooses one of the servers.
            shared_by = (option or socket.SO_REUSEPORT) if reuse_port else None
            first = on_failure.enter_context(_listening(family, address, backlog, shared_by))
            group = [first, *(on_failure.enter_context(first.dup()) for _ in range(workers - 1))]
        else:
            group = []
            if not reuse_port:
                first = on_failure.enter_context(_listening(family, address, backlog, None))
                address = first.getsockname()
                if sharing.joins_late:
                    group.append(first)
                    first.setsockopt(socket.SOL_SOCKET, option, 1)
                else:
                    first.close()
            while len(group) < workers:
                group.append(on_failure.enter_context(_listening(family, address, backlog, option)))
                address = group[0].getsockname()
        on_failure.pop_all()
    return group


def _listening(
    family: socket.AddressFamily, address: tuple[Any, ...], backlog: int, shared_by: int | None
) -> socket.socket:
    with contextlib.ExitStack() as on_failure:
        try:
            one = on_failure.enter_context(socket.socket(family, socket.SOCK_STREAM))
            one.setblocking(False)
            if sys.platform == "win32":
                one.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared_by is not None:
                one.setsockopt(socket.SOL_SOCKET, shared_by, 1)
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
