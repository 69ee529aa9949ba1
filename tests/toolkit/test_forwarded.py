"""The client behind proxies: who is believed what, and what strangers send in vain."""

import socket
from collections.abc import Callable

import pytest

from vanilla import Request, Response, Server, ServerConfig, Worker
from vanilla.toolkit.forwarded import Client, TrustedProxies, find_client, read_address

# A request made by hand has no peer, as one of a unix socket: who trusts those believes its fields.
TRUSTED = TrustedProxies(["unix", "10.0.0.0/8", "2001:db8:aa::/48"])
NOBODY = TrustedProxies([])

# X-Forwarded-For, and who the client is.
LISTS = [
    pytest.param([b"203.0.113.9"], "203.0.113.9", id="one"),
    pytest.param([b"203.0.113.9, 10.0.0.1"], "203.0.113.9", id="behind_two_proxies"),
    pytest.param([b"198.51.100.1, 203.0.113.9"], "203.0.113.9", id="what_the_client_sent_is_left_of_it"),
    pytest.param([b"10.0.0.99, 203.0.113.9"], "203.0.113.9", id="the_client_claims_to_be_a_proxy"),
    pytest.param([b"6.6.6.6, 203.0.113.9, 10.0.0.2, 10.0.0.1"], "203.0.113.9", id="behind_three_proxies"),
    pytest.param([b"10.0.0.3, 10.0.0.2, 10.0.0.1"], "10.0.0.3", id="all_trusted"),
    pytest.param([b"6.6.6.6", b"203.0.113.9"], "203.0.113.9", id="two_lines"),
    pytest.param([b"6.6.6.6", b"203.0.113.9, 10.0.0.1", b"10.0.0.2"], "203.0.113.9", id="three_lines"),
    pytest.param([b" 203.0.113.9 ,\t10.0.0.1 ,, ,"], "203.0.113.9", id="space_and_empty_elements"),
    pytest.param([b"203.0.113.9:4711"], "203.0.113.9", id="with_a_port"),
    pytest.param([b"[2001:db8::9]:4711"], "2001:db8::9", id="ipv6_with_a_port"),
    pytest.param([b"[2001:db8::9]"], "2001:db8::9", id="ipv6_in_brackets"),
    pytest.param([b"2001:DB8:0::9"], "2001:db8::9", id="ipv6_in_one_spelling"),
    pytest.param([b"2001:db8::9, 2001:db8:aa::1"], "2001:db8::9", id="behind_an_ipv6_proxy"),
    pytest.param([b"203.0.113.9, ::ffff:10.0.0.1"], "203.0.113.9", id="behind_a_mapped_proxy"),
    pytest.param([b"::ffff:203.0.113.9"], "203.0.113.9", id="mapped"),
    pytest.param([b"unknown"], None, id="unknown"),
    pytest.param([b"unknown, 10.0.0.1"], "10.0.0.1", id="unknown_behind_a_proxy"),
    pytest.param([b"6.6.6.6, <script>, 10.0.0.1"], "10.0.0.1", id="garbage_ends_the_list"),
    pytest.param([b"203.0.113.009"], None, id="leading_zeros"),
    pytest.param([b"0xCB007109"], None, id="hexadecimal"),
    pytest.param([b"3405803785"], None, id="a_number"),
    pytest.param([b"203.0.113"], None, id="three_octets"),
    pytest.param([b"203.0.113.9.1"], None, id="five_octets"),
    pytest.param([b"203.0.113.256"], None, id="octet_of_256"),
    pytest.param([b"203.0.113.9/32"], None, id="network"),
    pytest.param([b"fe80::1%eth0"], None, id="zone"),
    pytest.param([b"[2001:db8::9"], None, id="open_bracket"),
    pytest.param([b"203.0.113.9]"], None, id="closing_bracket"),
    pytest.param(["203.0.113.９".encode()], None, id="digits_of_unicode"),
    pytest.param([b"localhost"], None, id="name"),
    pytest.param([b""], None, id="empty"),
    pytest.param([b", ,"], None, id="empty_elements_alone"),
    pytest.param([], None, id="missing"),
]
BESIDE = [
    pytest.param([b"For: 203.0.113.9", b"Proto: https"], "https", b"here", id="scheme"),
    pytest.param([b"For: 203.0.113.9", b"Proto: HTTPS"], "https", b"here", id="scheme_in_any_case"),
    pytest.param([b"For: 203.0.113.9", b"Proto: wss"], "https", b"here", id="websocket"),
    pytest.param([b"For: 203.0.113.9", b"Proto: gopher"], "http", b"here", id="another_scheme"),
    pytest.param([b"For: 203.0.113.9", b"Proto:"], "http", b"here", id="no_scheme"),
    pytest.param([b"Proto: https"], "https", b"here", id="scheme_alone"),
    pytest.param([b"For: 6.6.6.6, 203.0.113.9", b"Proto: https, http"], "http", b"here", id="at_the_clients_place"),
    pytest.param([b"For: 203.0.113.9, 10.0.0.1", b"Proto: https, http"], "https", b"here", id="seen_by_the_outermost"),
    pytest.param([b"For: 6.6.6.6, 203.0.113.9", b"Proto: https"], "https", b"here", id="one_for_all"),
    pytest.param([b"For: 203.0.113.9", b"Proto: http, https"], "https", b"here", id="the_right_one_of_too_many"),
    pytest.param([b"For: 203.0.113.9", b"Host: a.example"], "http", b"a.example", id="host"),
    pytest.param([b"For: 203.0.113.9", b"Host: a.example:8080"], "http", b"a.example:8080", id="host_with_its_port"),
    pytest.param([b"For: 203.0.113.9", b"Host: [::1]:8080"], "http", b"[::1]:8080", id="ipv6_host"),
    pytest.param([b"For: 203.0.113.9", b"Host: a.example", b"Port: 8080"], "http", b"a.example:8080", id="port"),
    pytest.param([b"For: 203.0.113.9", b"Host: [::1]", b"Port: 8080"], "http", b"[::1]:8080", id="port_of_ipv6"),
    pytest.param([b"For: 203.0.113.9", b"Port: 8080"], "http", b"here:8080", id="port_of_our_own_host"),
    pytest.param([b"For: 203.0.113.9", b"Port: 80"], "http", b"here", id="default_port"),
    pytest.param([b"For: 203.0.113.9", b"Proto: https", b"Port: 443"], "https", b"here", id="default_port_of_https"),
    pytest.param([b"For: 203.0.113.9", b"Proto: https", b"Port: 80"], "https", b"here:80", id="not_its_default"),
    pytest.param([b"For: 203.0.113.9", b"Host: a:1", b"Port: 2"], "http", b"a:1", id="the_hosts_own_port_counts"),
    pytest.param([b"For: 203.0.113.9", b"Port: 65536"], "http", b"here", id="port_beyond_all"),
    pytest.param([b"For: 203.0.113.9", b"Port: 0"], "http", b"here", id="port_0"),
    pytest.param([b"For: 203.0.113.9", b"Port: 1a"], "http", b"here", id="no_port"),
    pytest.param([b"For: 203.0.113.9", b"Host: evil/path"], "http", b"here", id="host_with_a_slash"),
    pytest.param([b"For: 203.0.113.9", b"Host: user@evil"], "http", b"here", id="host_with_a_user"),
    pytest.param([b"For: 203.0.113.9", b'Host: "a"'], "http", b"here", id="host_in_quotes"),
    pytest.param([b"For: 203.0.113.9", b"Host:"], "http", b"here", id="no_host"),
]
# Forwarded, and who the client is: the values of RFC 7239 and what is wrong with others.
FORWARDED = [
    pytest.param(
        [b"for=192.0.2.60;proto=http;by=203.0.113.43"], ("192.0.2.60", "http", b"here"), id="the_rfcs_example"
    ),
    pytest.param([b'For="[2001:db8:cafe::17]:4711"'], ("2001:db8:cafe::17", "http", b"here"), id="ipv6_with_a_port"),
    pytest.param([b"for=192.0.2.43, for=198.51.100.17"], ("198.51.100.17", "http", b"here"), id="the_right_one_of_two"),
    pytest.param([b"for=192.0.2.43", b"for=198.51.100.17"], ("198.51.100.17", "http", b"here"), id="two_lines"),
    pytest.param(
        [b"for=203.0.113.9;proto=https;host=a.example, for=10.0.0.1;proto=http;host=b.example"],
        ("203.0.113.9", "https", b"a.example"),
        id="all_is_of_the_clients_own_element",
    ),
    pytest.param([b"for=6.6.6.6;proto=https, for=203.0.113.9"], ("203.0.113.9", "http", b"here"), id="not_of_anothers"),
    pytest.param([b'for="203.0.113.9:80";host="a:81"'], ("203.0.113.9", "http", b"a:81"), id="quoted"),
    pytest.param([b"FOR=203.0.113.9;PROTO=HTTPS"], ("203.0.113.9", "https", b"here"), id="any_case"),
    pytest.param([b"for=unknown;proto=https"], (None, "https", b"here"), id="unknown"),
    pytest.param([b"for=_hidden, for=10.0.0.1"], ("10.0.0.1", "http", b"here"), id="obfuscated"),
    pytest.param([b"proto=https;host=a"], (None, "https", b"a"), id="no_for"),
    pytest.param([b'for=203.0.113.9;host="evil/path"'], ("203.0.113.9", "http", b"here"), id="no_host"),
    pytest.param([b"for = 203.0.113.9"], (None, "http", b"here"), id="space_around_equals"),
    pytest.param(
        [b"for=[2001:db8::9]:1;host=a:80"], ("2001:db8::9", "http", b"a:80"), id="no_quotes_where_they_belong"
    ),
    pytest.param([b'for="x, for=203.0.113.9;proto=https'], ("203.0.113.9", "https", b"here"), id="a_quote_left_open"),
    pytest.param([b'for="x", for="203.0.113.9:1"'], ("203.0.113.9", "http", b"here"), id="quotes_on_both_sides"),
    pytest.param([b'for="a,b", for="[2001:db8::9]"'], ("2001:db8::9", "http", b"here"), id="comma_in_quotes"),
    pytest.param([b"for=6.6.6.6;;=, for=10.0.0.1"], ("10.0.0.1", "http", b"here"), id="malformed_element"),
    pytest.param([b""], (None, "http", b"here"), id="empty"),
    pytest.param([], (None, "http", b"here"), id="missing"),
]


def lines(prefix: bytes, fields: list[bytes]) -> list[bytes]:
    return [prefix + field for field in fields]


@pytest.mark.parametrize(("values", "address"), LISTS)
def test_the_client_is_the_first_from_the_right_that_is_not_trusted(
    request_with: Callable[..., Request], values: list[bytes], address: str | None
) -> None:
    request = request_with(*lines(b"X-Forwarded-For: ", values))
    assert find_client(request, TRUSTED) == Client(address, "http", b"here")


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"http://asked.example/path?a=b", b"asked.example"),
        (b"HTTPS://asked.example:8443", b"asked.example:8443"),
        (b"http://asked.example?a=/b", b"asked.example"),
        (b"http://[::1]:80/", b"[::1]:80"),
        (b"/path?next=http://evil.example/", b"here"),
        (b"*", b"here"),
    ],
)
def test_a_target_that_names_a_host_beats_the_field(target: bytes, host: bytes) -> None:
    request = Request(b"OPTIONS %b HTTP/1.1\r\nHost: here\r\n\r\n" % target)
    assert find_client(request, TrustedProxies(["10.0.0.0/8"])).host == host


@pytest.mark.parametrize(("fields", "scheme", "host"), BESIDE)
def test_scheme_and_host_are_those_that_the_client_used(
    request_with: Callable[..., Request], fields: list[bytes], scheme: str, host: bytes
) -> None:
    client = find_client(request_with(*lines(b"X-Forwarded-", fields)), TRUSTED)
    assert (client.scheme, client.host) == (scheme, host)


@pytest.mark.parametrize(("values", "expected"), FORWARDED)
def test_forwarded_is_read_by_its_elements(
    request_with: Callable[..., Request], values: list[bytes], expected: tuple[str | None, str, bytes]
) -> None:
    request = request_with(*lines(b"Forwarded: ", values))
    assert find_client(request, TRUSTED, fields="forwarded") == expected


@pytest.mark.parametrize("fields", ["x-forwarded", "forwarded"])
@pytest.mark.parametrize(
    "line",
    [
        b"X-Forwarded-For: 6.6.6.6",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-Port: 1",
        b"Forwarded: for=6.6.6.6;proto=https;host=evil",
        b"X-Real-IP: 6.6.6.6",
    ],
)
def test_what_a_stranger_sends_is_ignored(request_with: Callable[..., Request], fields, line: bytes) -> None:
    assert find_client(request_with(line), NOBODY, fields=fields) == Client(None, "http", b"here")


def test_only_the_fields_that_your_proxies_write_are_read(request_with: Callable[..., Request]) -> None:
    request = request_with(b"Forwarded: for=6.6.6.6;proto=https;host=evil", b"X-Forwarded-For: 203.0.113.9")
    assert find_client(request, TRUSTED) == Client("203.0.113.9", "http", b"here")
    request = request_with(b"Forwarded: for=203.0.113.9", b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Host: evil")
    assert find_client(request, TRUSTED, fields="forwarded") == Client("203.0.113.9", "http", b"here")


def test_every_peer_may_be_trusted_and_yet_not_what_its_client_sent(request_with: Callable[..., Request]) -> None:
    request = request_with(b"X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.1")
    assert find_client(request, TrustedProxies("*")).address == "10.0.0.1"
    assert find_client(request, TrustedProxies(["*", "10.0.0.0/8"])).address == "203.0.113.9"


@pytest.mark.parametrize(
    ("networks", "address", "is_trusted"),
    [
        pytest.param(["10.0.0.0/8"], "10.255.255.255", True, id="last_of_a_network"),
        pytest.param(["10.0.0.0/8"], "11.0.0.0", False, id="one_beyond"),
        pytest.param(["172.16.0.0/12"], "172.31.255.254", True, id="twelve_bits"),
        pytest.param(["172.16.0.0/12"], "172.32.0.1", False, id="beyond_twelve_bits"),
        pytest.param(["127.0.0.1"], "127.0.0.1", True, id="one_address"),
        pytest.param(["127.0.0.1"], "127.0.0.2", False, id="another_address"),
        pytest.param(["10.0.0.0/8"], "::ffff:10.0.0.1", True, id="mapped_address"),
        pytest.param(["::ffff:10.0.0.0/104"], "10.0.0.1", True, id="mapped_network"),
        pytest.param(["::ffff:10.0.0.0/104"], "11.0.0.1", False, id="beyond_a_mapped_network"),
        pytest.param(["::/0"], "10.0.0.1", False, id="all_of_ipv6_is_not_ipv4"),
        pytest.param(["2001:db8::/32"], "2001:db8:ffff::1", True, id="ipv6"),
        pytest.param(["2001:db8::/32"], "2001:db9::1", False, id="beyond_ipv6"),
        pytest.param(["unix"], None, True, id="unix"),
        pytest.param(["10.0.0.0/8"], None, False, id="no_unix"),
        pytest.param(["unix"], "10.0.0.1", False, id="only_unix"),
        pytest.param(["*"], "10.0.0.1", True, id="everybody"),
        pytest.param(["*"], None, True, id="everybody_on_unix"),
        pytest.param(["*"], "garbage", False, id="no_address"),
        pytest.param([], "10.0.0.1", False, id="nobody"),
    ],
)
def test_networks_hold_addresses(networks: list[str], address: str | None, is_trusted: bool) -> None:
    assert (address in TrustedProxies(networks)) is is_trusted


@pytest.mark.parametrize("network", ["10.0.0.1/8", "10.0.0.0/33", "localhost", "", "10.0.0", "::1%lo", "UNIX"])
def test_what_is_no_network_is_refused(network: str) -> None:
    with pytest.raises(ValueError, match=r"network .*give one such as '10\.0\.0\.0/8', or 'unix'"):
        TrustedProxies([network])


@pytest.mark.parametrize("piece", [b",", b'",', b'"', b"1,", b"[", b":", b"10.0.0.1,", b";", b"for=10.0.0.1,"])
@pytest.mark.parametrize("name", [b"X-Forwarded-For", b"Forwarded", b"X-Forwarded-Proto"])
def test_a_long_list_is_read_in_time(request_with: Callable[..., Request], name: bytes, piece: bytes) -> None:
    request = request_with(name + b": " + piece * (30_000 // len(piece)))
    for fields in ("x-forwarded", "forwarded"):
        assert find_client(request, TRUSTED, fields=fields).address in (None, "10.0.0.1")


def test_an_address_has_one_spelling() -> None:
    assert str(read_address("2001:DB8:0:0::9")) == "2001:db8::9"
    assert str(read_address("::ffff:10.0.0.1")) == "10.0.0.1"
    assert read_address("1" * 1000) is None


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("127.0.0.1", b"203.0.113.9 https a.example", id="trusted"),
        pytest.param("127.0.0.2", b"127.0.0.2 http here", id="stranger"),
    ],
)
def test_the_peer_of_a_real_connection_decides(source: str, expected: bytes) -> None:
    trusted = TrustedProxies(["127.0.0.1"])

    def handle(request: Request, response: Response, worker: Worker) -> None:
        client = find_client(request, trusted)
        response.reply(200, b"%b %b %b" % (str(client.address).encode(), client.scheme.encode(), client.host))

    wire = (
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX-Forwarded-For: 203.0.113.9\r\n"
        b"X-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n\r\n"
    )
    with (
        Server(ServerConfig(handle, host="127.0.0.1", port=0, workers=1)) as server,
        socket.create_connection(server.addresses[0], 10, (source, 0)) as client,
    ):
        client.sendall(wire)
        answer = b""
        while data := client.recv(4096):
            answer += data
    assert answer.endswith(b"\r\n\r\n" + expected)


@pytest.mark.parametrize(
    ("networks", "expected"),
    [(["127.0.0.0/8"], b"203.0.113.9"), ("*", b"203.0.113.9"), (["::1"], b"127.0.0.1"), ((), b"127.0.0.1")],
)
def test_a_worker_believes_those_that_its_server_was_told_of(networks: object, expected: bytes) -> None:
    def handle(request: Request, response: Response, worker: Worker) -> None:
        response.reply(200, str(find_client(request, worker).address).encode())

    config = ServerConfig(handle, workers=1, forwarded_allow_ips=networks)
    [answer] = Server(config).test([b"GET / HTTP/1.1\r\nHost: here\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"])
    assert answer.endswith(b"\r\n\r\n" + expected)


def test_a_worker_made_by_hand_believes_whom_it_is_told_to(request_with: Callable[..., Request]) -> None:
    request = request_with(b"X-Forwarded-For: 203.0.113.9")
    assert find_client(request, Worker()).address is None
    assert find_client(request, Worker(forwarded_allow_ips=["unix"])).address == "203.0.113.9"
