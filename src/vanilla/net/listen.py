"""What a server listens on: one `Listener` for each address, checked when made, opened by `vanilla.net.sockets`."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from collections.abc import Iterable

from vanilla.errors import ConfigError
from vanilla.limits import Limits

DEFAULT_HOST = "127.0.0.1"  # reachable from this machine only: nobody is published by accident
DEFAULT_PORT = 3000
BACKLOG_DEFAULT = 4096  # Linux's own net.core.somaxconn since 5.4, to which listen(2) cuts any more: see ServerConfig
BACKLOG_MAX = 2**31 - 1  # listen(2) takes a C int
UDS_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103  # sockaddr_un.sun_path without its NUL, unix(7)

NETWORKS_MAX = 256  # each connection is compared with all
ANY_PEER = ("*", "unix")

_BIND_SYNTAX = "HOST:PORT, [IPV6]:PORT, unix:PATH, fd:NUMBER, systemd or systemd:NAME"
_HOST_AND_PORT = re.compile(r"(?:\[(?P<ipv6>[^\[\]]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[0-9]{1,5})", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on, with limits of its own.

    It is one of four things: `host` and `port` (the default), `uds`, `fd`, or `systemd`.

    Attributes:
        host: an IPv4 or IPv6 address, or a name, which stands for every address it resolves to. Default 127.0.0.1;
            "0.0.0.0" is every IPv4 interface, "::" every IPv6 one. IPv6 sockets are IPv6 only (IPV6_V6ONLY), whatever
            net.ipv6.bindv6only says: for both families give two listeners.
        port: 0 to 65535, default 3000. 0 is any free one; `Server.port` and `Server.addresses` give the real one.
        uds: path of a unix socket, at most 107 bytes (103 outside Linux); "@name" is one in Linux's abstract namespace.
            A stale socket file is replaced; a live one, or a file that is no socket, is refused. The file is removed at
            the end if it is still ours.
        uds_mode: permission bits of that file, such as 0o660; default: what the umask leaves. They hold from the first
            connection on.
        fd: number of a stream socket that this process inherited. It is duplicated, never closed: it stays its giver's.
            One that does not listen yet is made to.
        systemd: True for every socket that systemd passed (sd_listen_fds(3)), or the FileDescriptorName of some.
        limits: this listener's own; default: the server's.
        backlog: this listener's own; default: the server's.
        reuse_port: share the port with other processes that ask for the same, by SO_REUSEPORT, on FreeBSD
            SO_REUSEPORT_LB; the kernel then spreads connections over all of them. macOS shares the port and does not
            spread. Off by default, because a second server on the same port would start without
            a word and take half of the connections: without it a port in use is refused.
        proxy_protocol: the networks of load balancers that put a PROXY header, version 1 or 2, before a connection's
            own bytes, such as `["10.0.0.0/8"]`; "unix" for the peers of unix sockets, "*" for everybody, where nobody
            else can connect. `request.peer` is then the client that the header names. A connection from there that
            begins without one is answered 400 and closed; from elsewhere none is taken. Default: nowhere.

    Raises: ConfigError for a value out of range, or for two addresses in one.
    Source: ip(7), ipv6(7), unix(7), socket(7), sd_listen_fds(3); HAProxy's proxy-protocol.txt, 2020/03/05.
    """

    host: str | None = None
    port: int | None = None
    _: dataclasses.KW_ONLY
    uds: str | os.PathLike[str] | None = None
    uds_mode: int | None = None
    fd: int | None = None
    systemd: bool | str = False
    limits: Limits | None = None
    backlog: int | None = None
    reuse_port: bool = False
    proxy_protocol: Iterable[str] = ()

    def __post_init__(self) -> None:
        _check_one_address(self)
        if self.uds is not None:
            object.__setattr__(self, "uds", _checked_path(self.uds))
        elif self.fd is not None:
            check_whole("fd", self.fd, 0, BACKLOG_MAX)
        elif not self.systemd:
            object.__setattr__(self, "host", _checked_host(DEFAULT_HOST if self.host is None else self.host))
            object.__setattr__(self, "port", DEFAULT_PORT if self.port is None else self.port)
            check_whole("port", self.port, 0, 65_535, instead="0 takes any free one")
        if not isinstance(self.systemd, bool | str):
            raise ConfigError(f"systemd={self.systemd!r}: give True, or the name of a socket that systemd passes")
        if self.uds_mode is not None:
            if self.uds is None or self.uds.startswith("@"):  # type: ignore[union-attr]  # a str since _checked_path
                raise ConfigError(f"uds_mode={self.uds_mode!r}: only a unix socket file has one; give uds as well")
            check_whole("uds_mode", self.uds_mode, 0, 0o777, instead="such as 0o660")
        if self.backlog is not None:
            check_whole("backlog", self.backlog, 1, BACKLOG_MAX)
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ConfigError(f"limits={self.limits!r}: give a Limits object, such as Limits(max_body_bytes=10_000)")
        proxies = check_networks("proxy_protocol", self.proxy_protocol)
        if len(proxies) > NETWORKS_MAX:
            raise ConfigError(f"proxy_protocol: {len(proxies)} networks, {NETWORKS_MAX} are taken; give larger ones")
        object.__setattr__(self, "proxy_protocol", proxies)
        if self.reuse_port and self.host is None:
            raise ConfigError("reuse_port: only host and port can be shared; leave it out for other addresses")

    @property
    def address(self) -> str:
        """What was asked for, in the syntax of --bind: 127.0.0.1:0, [::1]:3000, unix:/run/app.sock, fd:3, systemd."""
        if self.uds is not None:
            return f"unix:{self.uds}"
        if self.fd is not None:
            return f"fd:{self.fd}"
        if self.systemd:
            return "systemd" if self.systemd is True else f"systemd:{self.systemd}"
        return f"[{self.host}]:{self.port}" if ":" in str(self.host) else f"{self.host}:{self.port}"


def parse_bind(text: str) -> Listener:
    """The listener that a --bind option describes.

    Args:
        text: HOST:PORT, [IPV6]:PORT, unix:PATH, fd:NUMBER, systemd or systemd:NAME.

    Raises: ConfigError if it is none of these.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix":
        return Listener(uds=rest)
    if kind == "fd" and rest.isascii() and rest.isdigit():
        return Listener(fd=int(rest))
    if kind == "systemd":
        return Listener(systemd=rest or True)
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or kind == "fd":
        raise ConfigError(f"bind {text!r}: cannot be read; give {_BIND_SYNTAX}")
    return Listener(found["ipv6"] or found["host"], int(found["port"]))


def check_platform(listener: Listener, platform: str = sys.platform) -> None:
    """Refuse what cannot be listened on here. Raises: ConfigError."""
    if platform != "win32":
        return
    for name, is_given, reason in (
        ("uds", listener.uds is not None, "Python has no unix sockets in Windows"),
        ("fd", listener.fd is not None, "in Windows no socket is inherited by its number"),
        ("systemd", listener.systemd is not False, "there is no systemd in Windows"),
        ("reuse_port", listener.reuse_port, "Windows shares no port between processes"),
    ):
        if is_given:
            raise ConfigError(f"{name}={getattr(listener, name)!r}: {reason}; give host and port alone")


def check_whole(name: str, value: object, least: int, most: int, *, instead: str = "") -> None:
    """Refuse what is not a whole number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        shown = f"{value:#o}" if name == "uds_mode" and isinstance(value, int) else repr(value)
        raise ConfigError(f"{name}={shown}: give a whole number from {least} to {most}{instead and '; ' + instead}")


def check_networks(name: str, given: object) -> tuple[str, ...]:
    """Networks of trusted peers as a tuple of texts; refuse what is none. "unix" and "*" are some, too."""
    networks = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    for network in networks:
        if not isinstance(network, str):
            raise ConfigError(f"{name}={given!r}: give networks of your proxies, such as ['10.0.0.0/8']")
        if network not in ANY_PEER:
            try:
                importlib.import_module("vanilla.networks").read_network(network)  # few have a proxy
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from error
    return networks


def _check_one_address(listener: Listener) -> None:
    given = [
        name
        for name, is_given in (
            ("host/port", listener.host is not None or listener.port is not None),
            ("uds", listener.uds is not None),
            ("fd", listener.fd is not None),
            ("systemd", listener.systemd is not False),
        )
        if is_given
    ]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)}: one listener has one address; give a Listener for each")


def _checked_host(host: object) -> str:
    if not isinstance(host, str):
        raise ConfigError(f"host={host!r}: give a text such as '0.0.0.0', '::' or 'localhost'")
    name = host.removeprefix("[").removesuffix("]")
    if not name or "\0" in name or any(letter.isspace() for letter in name):
        raise ConfigError(f"host={host!r}: not an address; for every interface give '0.0.0.0' or '::'")
    return name


def _checked_path(uds: str | os.PathLike[str]) -> str:
    path = os.fspath(uds)
    if not isinstance(path, str) or not path.strip("@") or "\0" in path:
        raise ConfigError(f"uds={uds!r}: give the path of a socket file, or '@name' for an abstract one")
    if path.startswith("@") and sys.platform != "linux":
        raise ConfigError(f"uds={uds!r}: only Linux has abstract sockets; give a path")
    length = len(os.fsencode(path))
    if length > UDS_PATH_BYTES_MAX:
        raise ConfigError(f"uds={path!r}: {length} bytes, the kernel takes {UDS_PATH_BYTES_MAX}; give a shorter path")
    return path
