"""Connections behind load balancers: the PROXY header comes first, and names the client."""

import socket
import struct

import pytest

from system import needs_unix_sockets
from vanilla import Limits, Listener, Server
from vanilla.testing import ask, drive, eof, frames

HEADERS = [
    pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 54321 443\r\n", b"192.0.2.7 54321", id="line"),
    pytest.param(b"PROXY TCP6 2001:db8::7 2001:db8::1 54321 443\r\n", b"2001:db8::7 54321", id="line_of_ipv6"),
    pytest.param(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0f" + bytes([192, 0, 2, 7, 1, 1, 1, 1]) + b"\xd4\x31\x01\xbb\x04\x00\x00",
        b"192.0.2.7 54321",
        id="binary",
    ),
    pytest.param(
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x24"
        + socket.inet_pton(socket.AF_INET6, "2001:db8:0:ff::7")
        + bytes(16)
        + b"\xd4\x31\x01\xbb",
        b"2001:db8:0:ff::7 54321",
        id="binary_of_ipv6",
    ),
    pytest.param(b"\r\n\r\n\0\r\nQUIT\n\x21\x31\x00\xd8" + bytes(216), b"nobody", id="binary_of_a_unix_socket"),
]
ITSELF = [
    pytest.param(b"PROXY UNKNOWN\r\n", id="unknown"),
    pytest.param(b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00", id="local"),
]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LOOPBACK = ["10.0.0.0/8", "127.0.0.0/8", "::1"]


def name_peer(request, response, worker) -> None:
    peer = request.peer
    response.reply(200, b"nobody" if peer is None else f"{peer[0]} {peer[1]}".encode())


def by(proxies: object = LOOPBACK, **settings: object) -> dict[str, object]:
    return {"listeners": [Listener(port=0, proxy_protocol=proxies, **settings)]}


@pytest.mark.parametrize(("header", "peer"), HEADERS)
def test_the_peer_is_the_client_that_the_header_names(configure, header: bytes, peer: bytes) -> None:
    [result] = drive(configure(name_peer, **by()), [ask(header + GET + GET, frames(2))])
    assert result.bodies == [peer, peer]


@pytest.mark.parametrize(("header", "peer"), HEADERS)
def test_a_header_is_taken_however_it_is_split(configure, header: bytes, peer: bytes) -> None:
    stream = header + GET
    scripts = [ask([stream[:at], stream[at:]], frames(1)) for at in range(1, len(header) + 3)]
    results = drive(configure(name_peer, **by()), scripts)
    assert {tuple(result.bodies) for result in results} == {(peer,)}
    assert (results.counters.in_flight, results.counters.open) == (0, 0)


@pytest.mark.parametrize(("header", "peer"), HEADERS)
def test_a_header_is_taken_byte_by_byte(configure, header: bytes, peer: bytes) -> None:
    stream = header + GET
    [result] = drive(configure(name_peer, **by()), [ask([stream[at : at + 1] for at in range(len(stream))], frames(1))])
    assert result.bodies == [peer]


@pytest.mark.parametrize("header", ITSELF)
def test_a_proxy_that_speaks_for_itself_is_the_peer(configure, header: bytes) -> None:
    [result] = drive(configure(name_peer, **by()), [ask(header + GET)])
    assert result.bodies[0].startswith(b"127.0.0.1 ")


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(GET, id="a_request"),
        pytest.param(b"PROXY TCP4 192.0.2.7 198.51.100.1 54321\r\n" + GET, id="a_word_missing"),
        pytest.param(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x02..", id="binary_cut_short"),
        pytest.param(b"PROXY UNKNOWN " + b"x" * 5000, id="a_line_without_end"),
        pytest.param(b"PROXY UNKNOWN\r\nPROXY UNKNOWN\r\n" + GET, id="a_second_header"),
        pytest.param(b"\r\n" + GET, id="an_empty_line"),
    ],
)
def test_a_proxy_that_says_nothing_of_its_client_is_refused(configure, stream: bytes) -> None:
    [result] = drive(configure(name_peer, **by()), [ask(stream, eof)])
    assert result.statuses == [400]
    assert result.eof


@pytest.mark.parametrize(("header", "peer"), HEADERS)
@pytest.mark.parametrize("proxies", [["10.0.0.0/8", "127.0.0.2", "::/0", "unix"], []], ids=["others", "nobody"])
def test_a_header_from_elsewhere_is_refused(configure, header: bytes, peer: bytes, proxies: list[str]) -> None:
    refused, plain = drive(configure(name_peer, **by(proxies)), [ask(header + GET, frames(1)), ask(GET)])
    assert refused.statuses == [400]
    assert plain.bodies[0].startswith(b"127.0.0.1 ")


@pytest.mark.parametrize(
    ("networks", "is_one"),
    [
        (["127.0.0.1"], True),
        (["127.0.0.1/32"], True),
        (["126.0.0.0/7"], True),
        (["127.0.0.0/25"], True),
        (["::ffff:127.0.0.0/120"], True),
        (["0.0.0.0/0"], True),
        (["*"], True),
        (["127.0.0.128/25"], False),
        (["127.0.0.0/32", "127.0.0.2/31"], False),
        (["::/1"], False),
        (["unix"], False),
    ],
)
def test_networks_are_compared_bit_by_bit(configure, networks: list[str], is_one: bool) -> None:
    [result] = drive(
        configure(name_peer, **by(networks)), [ask(b"PROXY TCP4 192.0.2.7 1.1.1.1 1 2\r\n" + GET, frames(1))]
    )
    assert result.statuses == [200 if is_one else 400]


@needs_unix_sockets
@pytest.mark.parametrize("proxies", [["unix"], ["*"]])
def test_a_proxy_at_a_unix_socket_names_its_client(configure, tmp_path, proxies: list[str]) -> None:
    listener = Listener(uds=str(tmp_path / "s"), proxy_protocol=proxies)
    [result] = drive(configure(name_peer, listeners=[listener]), [ask(b"PROXY TCP4 192.0.2.7 1.1.1.1 1 2\r\n" + GET)])
    assert result.bodies == [b"192.0.2.7 1"]


def test_each_listener_has_its_own_proxies(configure, receive_answer) -> None:
    config = configure(name_peer, listeners=[Listener(port=0, proxy_protocol="127.0.0.1"), Listener(port=0)])
    with Server(config) as server:
        bodies = []
        for (host, port), header in zip(server.addresses, (b"PROXY TCP4 192.0.2.7 1.1.1.1 1 2\r\n", b""), strict=True):
            with socket.create_connection((host, port)) as client:
                client.settimeout(10)
                client.sendall(header + GET)
                bodies.append(receive_answer(client).rpartition(b"\r\n\r\n")[2].split()[0])
    assert bodies == [b"192.0.2.7", b"127.0.0.1"]


def test_a_header_without_a_request_waits_as_long_as_one_without_anything(configure) -> None:
    limits = Limits(read_timeout=0.1)
    scripts = [ask(piece, frames(1)) for piece in (b"PROXY UNKNOWN\r\n", b"PROXY UNKN")]
    whole, part = drive(configure(name_peer, limits=limits, **by()), scripts)
    assert (whole.raw, whole.eof) == (b"", True)
    assert part.statuses == [408]


def test_a_streamed_upload_behind_a_header_has_its_peer(configure) -> None:
    async def handle(request, response, worker):
        size = 0
        async for piece in request.stream():
            size += len(piece)
        response.reply(200, f"{request.peer[0]} {size}".encode())

    handle.streams_requests = True
    post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    stream = [b"PROXY TCP4 192.0.2.7 1.1.1.1 1 2\r\n" + post, bytes(50_000), bytes(50_000) + GET.replace(b"/ ", b"/b ")]
    [result] = drive(configure(handle, **by()), [ask(stream, frames(2))])
    assert result.bodies == [b"192.0.2.7 100000", b"192.0.2.7 0"]


def test_a_client_that_resets_before_its_header_is_whole_leaves_nothing(configure, receive_answer) -> None:
    with Server(configure(name_peer, **by())) as server:
        client = socket.create_connection(server.addresses[0])
        client.sendall(b"PROXY TCP4 ")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with socket.create_connection(server.addresses[0]) as other:
            other.settimeout(10)
            other.sendall(b"PROXY UNKNOWN\r\n" + GET)
            assert receive_answer(other).startswith(b"HTTP/1.1 200")
