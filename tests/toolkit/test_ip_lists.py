"""Lists of networks: which addresses are in them, and who is answered 403."""

from __future__ import annotations

import ipaddress
import random

import pytest

from vanilla import Request, Response, Server, ServerConfig, Worker
from vanilla.toolkit.composition import compose
from vanilla.toolkit.forwarded import TrustedProxies
from vanilla.toolkit.ip_lists import IpList, ip_filter


def plain(request, response, worker):
    response.reply(200)


@pytest.mark.parametrize(
    ("networks", "inside", "outside"),
    [
        pytest.param(["192.0.2.0/24"], ["192.0.2.0", "192.0.2.255"], ["192.0.1.255", "192.0.3.0"], id="ipv4"),
        pytest.param(["192.0.2.7"], ["192.0.2.7"], ["192.0.2.6", "192.0.2.8"], id="one_address"),
        pytest.param("192.0.2.7", ["192.0.2.7"], ["192.0.2.8"], id="given_alone"),
        pytest.param(["2001:db8::/32"], ["2001:db8::1", "2001:DB8:ffff::"], ["2001:db9::", "::1"], id="ipv6"),
        pytest.param(["192.0.2.0/24"], ["::ffff:192.0.2.9", "::FFFF:C000:0209"], ["::192.0.2.9"], id="mapped_address"),
        pytest.param(["::ffff:192.0.2.0/120"], ["192.0.2.9", "::ffff:192.0.2.9"], ["192.0.3.9"], id="mapped_network"),
        pytest.param(["0.0.0.0/0"], ["192.0.2.1", "::ffff:192.0.2.1"], ["::1", None], id="all_of_ipv4"),
        pytest.param(["::/0"], ["::1", "2001:db8::1"], ["192.0.2.1", "::ffff:192.0.2.1", None], id="all_of_ipv6"),
        pytest.param(["10.0.0.0/8", "10.1.0.0/16", "::1"], ["10.1.2.3", "10.2.3.4", "::1"], ["11.0.0.0"], id="several"),
        pytest.param(["unix"], [None], ["127.0.0.1", "unix", ""], id="unix"),
        pytest.param([], [], ["192.0.2.1", "::1", None], id="none"),
        pytest.param(
            ["0.0.0.0/0", "::/0"],
            [],
            ["", "a", "192.0.2", "192.0.2.01", "1" * 50, "fe80::1%eth0", "192.0.2.1/32", 3221225985, b"192.0.2.1"],
            id="what_is_no_address",
        ),
    ],
)
def test_an_address_is_in_a_list_or_not(networks, inside: list, outside: list) -> None:
    listed = IpList(networks)
    for _ in range(2):  # judged, and remembered
        assert [address for address in inside if address not in listed] == []
        assert [address for address in outside if address in listed] == []
    for text in filter(None, inside):
        assert ipaddress.ip_address(text) in listed


def test_it_agrees_with_the_standard_library_on_any_networks() -> None:
    chance = random.Random(7)
    found = 0
    for _ in range(200):
        networks = [
            ipaddress.ip_network((kind(chance.getrandbits(8) << width - 8), chance.randrange(9)), strict=False)
            for kind, width in ((ipaddress.IPv4Address, 32), (ipaddress.IPv6Address, 128))
        ]
        listed = IpList(str(network) for network in networks)
        for kind, width in ((ipaddress.IPv4Address, 32), (ipaddress.IPv6Address, 128)):
            address = kind(chance.getrandbits(width))
            expected = any(address in network for network in networks)
            assert (str(address) in listed) is expected
            found += expected
    assert 0 < found < 400


@pytest.mark.parametrize("network", ["", "a", "192.0.2.1/24", "192.0.2.0/33", "fe80::1%eth0", "*"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match="network"):
        IpList([network])


PROXY = TrustedProxies(["unix", "10.0.0.0/8"])  # a request made by hand comes as from a unix socket
CLIENT = b"X-Forwarded-For: 203.0.113.9"


@pytest.mark.parametrize(
    ("given", "lines", "status"),
    [
        pytest.param({"allow": ["203.0.113.0/24"]}, [CLIENT], 200, id="allowed"),
        pytest.param({"allow": ["192.0.2.0/24"]}, [CLIENT], 403, id="not_allowed"),
        pytest.param({"allow": []}, [CLIENT], 403, id="nobody_allowed"),
        pytest.param({"block": ["203.0.113.9"]}, [CLIENT], 403, id="blocked"),
        pytest.param({"block": IpList(["192.0.2.0/24"])}, [CLIENT], 200, id="not_blocked"),
        pytest.param({"allow": ["203.0.113.0/24"], "block": ["203.0.113.9"]}, [CLIENT], 403, id="block_beats_allow"),
        pytest.param(
            {"block": ["203.0.113.9"]}, [b"X-Forwarded-For: ::ffff:203.0.113.9"], 403, id="blocked_in_other_clothes"
        ),
        pytest.param({"block": ["203.0.113.9"]}, [b"X-Forwarded-For: 1.2.3.4, 203.0.113.9"], 403, id="claims_another"),
        pytest.param({"block": ["203.0.113.9"]}, [CLIENT, b"X-Forwarded-For: 10.1.1.1"], 403, id="two_proxies"),
        pytest.param({"allow": ["10.0.0.0/8"]}, [], 403, id="unknown_where_some_are_allowed"),
        pytest.param({"allow": ["unix"]}, [], 200, id="unix"),
        pytest.param({"block": ["10.0.0.0/8"]}, [], 200, id="unknown_where_some_are_blocked"),
        pytest.param(
            {"block": ["203.0.113.9"], "fields": "forwarded"}, [b"Forwarded: for=203.0.113.9"], 403, id="rfc_7239"
        ),
    ],
)
def test_a_client_is_let_in_by_its_address(given: dict, lines: list, status: int, answer_of) -> None:
    assert answer_of(ip_filter(trusted=PROXY, **given)(plain), *lines).status == status


def test_a_list_may_change_while_it_is_used(answer_of) -> None:
    class Changing:
        found: frozenset = frozenset()

        def __contains__(self, address: object) -> bool:
            return address in self.found

    blocked = Changing()
    handle = ip_filter(block=blocked, trusted=PROXY)(plain)
    assert answer_of(handle, CLIENT).status == 200
    blocked.found = frozenset(["203.0.113.9"])
    assert answer_of(handle, CLIENT).status == 403


def test_without_a_list_it_is_refused() -> None:
    with pytest.raises(ValueError, match="give allow, block"):
        ip_filter()


def test_over_a_socket_it_is_the_peer_and_strangers_forward_in_vain() -> None:
    asked = [b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"]
    for given, status in (({"allow": ["127.0.0.0/8"]}, b"200"), ({"block": ["127.0.0.1"]}, b"403")):
        for trusted in (None, TrustedProxies(["10.0.0.0/8"])):
            handle = compose(plain, ip_filter(trusted=trusted, **given))
            [answer] = Server(ServerConfig(handle)).test(asked)
            assert answer.split(b" ", 2)[1] == status


def test_the_proxies_of_the_server_are_believed() -> None:
    handle = ip_filter(block=["203.0.113.0/24"])(lambda request, response, worker: response.reply(204))
    request = Request(b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
    for proxies, status in ((["unix"], 403), (["10.0.0.0/8"], 204), ([], 204)):
        response = Response()
        handle(request, response, Worker(forwarded_allow_ips=proxies))
        assert response.status == status, proxies
