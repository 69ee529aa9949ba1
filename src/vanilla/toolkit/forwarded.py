"""The client behind proxies that you trust: X-Forwarded-* and Forwarded (RFC 7239). What others send is ignored.

# Facts about forwarding
Each proxy appends the address that it was connected from, so only the right end of the list is known to be true: as far
as the addresses there are those of your own proxies. The first from the right that is not is the client; whatever
stands further left is what that client sent. A proxy that appends to one of these fields passes the others on as it got
them, so what is read is the one that yours write.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

from vanilla.contract import Request, Worker
from vanilla.networks import read_network
from vanilla.toolkit.fields import combined
from vanilla.toolkit.grammar import unquote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_ADDRESS_CHARACTERS_MAX = 45  # of an IPv6 address that holds an IPv4 one
_KEPT_ADDRESSES = 1024
_KEPT_CONFIGURATIONS = 16  # of the servers in one process
_PORT = re.compile(rb"[0-9]{1,5}")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::[^:]*)?")
_PAIR = re.compile(rb'[ \t]*+(?:([A-Za-z-]+)=("(?:[^"\\]|\\.)*+"|[^;,"\s]*+)[ \t]*+)?(?:;|\Z)', re.DOTALL)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::[0-9]*)?")
_AUTHORITY_END = re.compile(rb"[/?]")
_SCHEMES: dict[bytes, Literal["http", "https"]] = {b"http": "http", b"https": "https", b"ws": "http", b"wss": "https"}


class Client(NamedTuple):
    """Who asks, and for what, as the outermost trusted proxy saw it."""

    address: str | None  # None for a unix socket behind which no proxy named anybody
    scheme: Literal["http", "https"]
    host: bytes  # with its port if there is one, as in Host; b"" where there is none


class Hop(NamedTuple):
    """One address of a list: in its one spelling, None for what is none, and whether it is a proxy of yours."""

    address: str | None
    is_trusted: bool


_NOBODY = Hop(None, False)


class TrustedProxies:
    """The networks whose word is taken for who their clients are.

    `address in trusted` tells whether a peer, as in `request.peer[0]`, is one of them; None is that of a unix socket.

    Args:
        networks: addresses and networks such as `"10.0.0.0/8"`, `"::1"`; `"unix"` for the peers of unix sockets; `"*"`
            for every peer, where nobody but your proxy can connect. An IPv4 network also holds its addresses as IPv6
            writes them (`::ffff:10.0.0.1`).

    Raises: ValueError for what is no network, or has bits set beyond its prefix.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        names = [networks] if isinstance(networks, str) else list(networks)
        self._takes_all = "*" in names
        self._takes_unix = "unix" in names
        self._networks = [read_network(name) for name in names if name not in ("*", "unix")]
        # Parsing an address takes ten times as long as all the rest. What is kept is bounded, in number and in length.
        self.look_up: Callable[[str], Hop] = functools.lru_cache(_KEPT_ADDRESSES)(self._judge)

    def __contains__(self, peer: object) -> bool:
        if isinstance(peer, str):
            address, is_trusted = self.look_up(peer)
            return is_trusted or (self._takes_all and address is not None)
        return peer is None and (self._takes_all or self._takes_unix)

    def _judge(self, text: str) -> Hop:
        """What an address is; `"*"` says nothing about those that stand in a list."""
        address = read_address(text)
        is_trusted = address is not None and any(address in network for network in self._networks)
        return Hop(None if address is None else str(address), is_trusted)


def find_client(
    request: Request, trusted: TrustedProxies | Worker, *, fields: Literal["x-forwarded", "forwarded"] = "x-forwarded"
) -> Client:
    """Who sent a request, through whatever proxies you trust.

    A peer that is not trusted is the client, over plain HTTP, for the host in Host, or in an absolute target; what it
    sent of these fields is ignored. A trusted peer's list is read from the right, up to the first address that is not
    trusted: the client. It is the leftmost where all are trusted, and the last that was good where one cannot be read.
    Scheme and host are those that belong to the client's place in the list, else the ones furthest right.

    Args:
        request: its peer and its fields are read.
        trusted: your proxies; or the worker, for those that the server was started with: `--forwarded-allow-ips`,
            `ServerConfig.forwarded_allow_ips`.
        fields: `"x-forwarded"` for X-Forwarded-For, -Proto, -Host and -Port; `"forwarded"` for Forwarded. The one that
            your proxies write: of the other, what the client made up may have come through.

    Returns: address, scheme and host; what was not forwarded, or is malformed, is the connection's own.
    Source: RFC 7239 for Forwarded; the others are customs of proxies.
    """
    if isinstance(trusted, Worker):
        trusted = _proxies_of(trusted.forwarded_allow_ips)
    peer = None if request.peer is None else request.peer[0]
    own = None if peer is None else trusted.look_up(peer).address
    client = Client(own, "http", _find_host(request))
    if peer not in trusted:
        return client
    return _read_forwarded(request, trusted, client) if fields == "forwarded" else _read_x(request, trusted, client)


@functools.lru_cache(_KEPT_CONFIGURATIONS)
def _proxies_of(networks: tuple[str, ...]) -> TrustedProxies:
    """Those of a server, made once."""
    return TrustedProxies(networks)


def find_address(
    request: Request,
    trusted: TrustedProxies | None,
    worker: Worker | None,
    *,
    fields: Literal["x-forwarded", "forwarded"] = "x-forwarded",
) -> str | None:
    """The client's address: what middleware asks that was told of proxies, or else goes by those of the server.

    Args:
        request: its peer and its fields are read.
        trusted: the proxies; None for those that `worker` was started with, as `find_client` has it.
        worker: None for nobody's.
        fields: as for `find_client`.
    """
    if trusted is not None:
        return find_client(request, trusted, fields=fields).address
    if worker is not None and worker.forwarded_allow_ips:
        return find_client(request, worker, fields=fields).address
    peer = request.peer
    return None if peer is None else peer[0]


def _find_host(request: Request) -> bytes:
    """The host that a request is for. Where the target names one it is that, and not Host: RFC 9112 section 3.2.2."""
    target = request.target
    if not target.startswith(b"/"):
        _, separator, rest = target.partition(b"://")
        if separator:
            return _AUTHORITY_END.split(rest, 1)[0]
    return request.header(b"host", b"") or b""


def read_address(text: str) -> Address | None:
    """An address; an IPv4 one in IPv6's clothes as what it is. None for anything else, zones included."""
    if len(text) > _ADDRESS_CHARACTERS_MAX or "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _read_x(request: Request, trusted: TrustedProxies, client: Client) -> Client:
    """The client by X-Forwarded-For, and its scheme and host by the fields beside it."""
    hops = _split(combined(request, b"x-forwarded-for"))
    place, address = _find_hop(hops, _read_node, trusted)
    scheme = _SCHEMES.get(_at_place(combined(request, b"x-forwarded-proto"), place, len(hops)).lower(), client.scheme)
    host = _at_place(combined(request, b"x-forwarded-host"), place, len(hops))
    port = _at_place(combined(request, b"x-forwarded-port"), place, len(hops))
    if not host or _HOST.fullmatch(host) is None:
        host = client.host
    if port and host and _PORT.fullmatch(port) and b":" not in host.rpartition(b"]")[2]:
        is_default = int(port) == (443 if scheme == "https" else 80)
        host += b"" if is_default or not 0 < int(port) < 65536 else b":" + port
    return Client(address or client.address, scheme, host)


def _read_forwarded(request: Request, trusted: TrustedProxies, client: Client) -> Client:
    """The client by Forwarded, each of whose elements says all that one proxy knew."""
    hops = _split(combined(request, b"forwarded"))
    place, address = _find_hop(hops, lambda hop: _read_node(_read_element(hop).get(b"for", b"")), trusted)
    said = _read_element(hops[place]) if hops else {}
    host = said.get(b"host", b"")
    return Client(
        address or client.address,
        _SCHEMES.get(said.get(b"proto", b"").lower(), client.scheme),
        client.host if _HOST.fullmatch(host) is None else host,
    )


def _read_element(element: bytes) -> dict[bytes, bytes]:
    """The parameters of one element of Forwarded; none of a malformed one.

    Values without their quotes are taken too, beyond the grammar of RFC 7239: proxies are configured to write
    `for=192.0.2.1:80` and `host=a:80`, and a client that is not found is one that nobody can block.
    """
    said: dict[bytes, bytes] = {}
    at = 0
    while at < len(element):
        match = _PAIR.match(element, at)
        if match is None:
            return {}
        if match[1] is not None:
            said.setdefault(match[1].lower(), unquote(match[2]))
        at = match.end()
    return said


def _split(value: bytes | None) -> list[bytes]:
    """The elements of a list, cut from the right: a quote that a client left open takes in nothing behind it."""
    if not value:
        return []
    if b'"' not in value:
        return [element for piece in value.split(b",") if (element := piece.strip(b" \t"))]
    found: list[bytes] = []
    pieces: list[bytes] = []
    quotes = 0
    for piece in reversed(value.split(b",")):
        pieces.append(piece)
        quotes += piece.count(b'"')
        if quotes % 2 == 0:
            found.append(b",".join(reversed(pieces)).strip(b" \t"))
            pieces.clear()
    found.append(b",".join(reversed(pieces)).strip(b" \t"))
    found.reverse()
    return [element for element in found if element]


def _find_hop(hops: list[bytes], read: Callable[[bytes], str], trusted: TrustedProxies) -> tuple[int, str | None]:
    """Where in the list the client stands, and its address; -1, the right end, and None where nothing can be read."""
    place, found = -1, None
    for at in range(len(hops) - 1, -1, -1):
        text = read(hops[at])
        hop = trusted.look_up(text) if len(text) <= _ADDRESS_CHARACTERS_MAX else _NOBODY
        if hop.address is None:
            break
        place, found = at, hop.address
        if not hop.is_trusted:
            break
    return place, found


def _read_node(node: bytes) -> str:
    """What should be the address of `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`."""
    text = node.decode("latin-1")
    if text.startswith("["):
        match = _BRACKETED.fullmatch(text)
        return match[1] if match is not None else ""
    return text.partition(":")[0] if text.count(":") == 1 else text


def _at_place(value: bytes | None, place: int, count: int) -> bytes:
    """The element at the client's place in a list as long as that of the addresses; else the last one, or nothing."""
    elements = _split(value)
    if not elements:
        return b""
    return elements[place] if len(elements) == count else elements[-1]
