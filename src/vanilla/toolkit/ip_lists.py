"""Addresses that may come in, and those that may not: lists of networks, and middleware that asks them."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Container, Iterable
from typing import Any, Literal

from vanilla.contract import Request, Response, Worker
from vanilla.networks import read_network
from vanilla.toolkit.composition import Handler, Middleware
from vanilla.toolkit.forwarded import Address, TrustedProxies, find_address, read_address

_KEPT_ADDRESSES = 4096
_ADDRESS_CHARACTERS_MAX = 45  # of an IPv6 address that holds an IPv4 one


class IpList:
    """Networks, such that `address in list` takes as long for a hundred thousand of them as for a hundred.

    An address is a `str`, such as `request.peer[0]`, an `ipaddress` object, or None for a unix socket's peer. One of
    IPv4 that IPv6 clothes (`::ffff:192.0.2.1`) is what it is in IPv4; so are networks of such. What is no address is in
    none.

    Args:
        networks: addresses and networks of both families, such as `"192.0.2.0/24"`, `"2001:db8::/32"`, `"::1"`; and
            `"unix"` for the peers of unix sockets. All of IPv4 is `"0.0.0.0/0"`, all of IPv6 `"::/0"`: neither holds
            the other.

    Raises: ValueError for what is no network, or has bits set beyond its prefix.
    """

    def __init__(self, networks: Iterable[str]) -> None:
        names = [networks] if isinstance(networks, str) else list(networks)
        self._holds_unix = "unix" in names
        # The networks of each length of prefix as a set of numbers: there are 33 and 129 lengths at most.
        sets: dict[int, dict[int, set[int]]] = {4: {}, 6: {}}
        for name in names:
            if name != "unix":
                network = read_network(name)
                shift = network.max_prefixlen - network.prefixlen
                sets[network.version].setdefault(shift, set()).add(int(network.network_address) >> shift)
        self._networks = {version: tuple(found.items()) for version, found in sets.items()}
        # Reading an address takes longer than finding it. What is kept is bounded, in number and in length.
        self._is_listed: Callable[[str], bool] = functools.lru_cache(_KEPT_ADDRESSES)(self._judge)

    def __contains__(self, address: object) -> bool:
        if isinstance(address, str):
            return len(address) <= _ADDRESS_CHARACTERS_MAX and self._is_listed(address)
        if isinstance(address, ipaddress.IPv6Address):
            return self._holds(address.ipv4_mapped or address)
        if isinstance(address, ipaddress.IPv4Address):
            return self._holds(address)
        return address is None and self._holds_unix

    def _judge(self, text: str) -> bool:
        address = read_address(text)
        return address is not None and self._holds(address)

    def _holds(self, address: Address) -> bool:
        number = int(address)
        return any(number >> shift in found for shift, found in self._networks[address.version])


def ip_filter(
    *,
    allow: Iterable[str] | Container[str | None] | None = None,
    block: Iterable[str] | Container[str | None] | None = None,
    trusted: TrustedProxies | None = None,
    fields: Literal["x-forwarded", "forwarded"] = "x-forwarded",
) -> Middleware:
    """Middleware that answers 403 to clients by their addresses.

    Args:
        allow: who alone may come in; None for everybody.
        block: who may not, even where `allow` has them. Both are networks as for `IpList`, an `IpList`, or anything
            that answers `address in it`, such as a list of your own that changes while the server runs.
        trusted: your proxies; those of `--forwarded-allow-ips` unless given. Of any other the address is the client's.
        fields: as for `find_client`.

    The address of a unix socket's peer is None, `"unix"` in a list: where there is an `allow`, it has to be there.

    Raises: ValueError for what is no network, and where neither list is given.
    """
    if allow is None and block is None:
        raise ValueError("ip_filter: give allow, block, or both")
    allowed = None if allow is None else _to_list(allow)
    blocked = IpList(()) if block is None else _to_list(block)

    def middleware(inner: Handler) -> Handler:
        def handle(request: Request, response: Response, worker: Worker) -> Any:
            address = find_address(request, trusted, worker, fields=fields)
            if address in blocked or (allowed is not None and address not in allowed):
                return response.reply(403)
            return inner(request, response, worker)

        return handle

    return middleware


def _to_list(given: Iterable[str] | Container[str | None]) -> Container[str | None]:
    """Networks as a list of them; what is one already as it is."""
    if isinstance(given, (str, list, tuple, set, frozenset)) or not isinstance(given, Container):
        return IpList(given)
    return given
