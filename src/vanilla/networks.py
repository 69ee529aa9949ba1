"""Networks in text, as configurations name them: addresses of both families with the length of a prefix."""

from __future__ import annotations

import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MAPPED_PREFIX = 96  # ::ffff:0:0/96, IPv4 addresses seen by a socket of both families


def read_network(name: str) -> Network:
    """A network, or an address as one of a single address; IPv4 ones in IPv6's clothes as what they are.

    Raises: ValueError for what is none, has bits set beyond its prefix, or is of one machine alone (a zone).
    """
    try:
        network = ipaddress.ip_network(name)
        if "%" in name:
            raise ValueError("a zone is of one machine")
    except ValueError as error:
        raise ValueError(f"network {name!r}: {error}; give one such as '10.0.0.0/8', or 'unix'") from error
    mapped = network.network_address.ipv4_mapped if isinstance(network, ipaddress.IPv6Network) else None
    if mapped is not None and network.prefixlen >= _MAPPED_PREFIX:
        return ipaddress.ip_network(f"{mapped}/{network.prefixlen - _MAPPED_PREFIX}")
    return network


def to_prefix(name: str) -> tuple[bytes, int]:
    """A network as the bits that its addresses begin with, as many of 16 octets; IPv4 in IPv6's clothes (RFC 4291).

    Raises: ValueError as `read_network`.
    """
    network = read_network(name)
    if isinstance(network, ipaddress.IPv4Network):
        return bytes(10) + b"\xff\xff" + network.network_address.packed, _MAPPED_PREFIX + network.prefixlen
    return network.network_address.packed, network.prefixlen
