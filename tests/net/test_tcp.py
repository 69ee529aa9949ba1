"""TCP groups over real sockets: one port for all workers, and no second server on it by accident."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest

from system import ADDRESS_IN_USE, IS_WINDOWS, needs_shared_ports, open_descriptors
from vanilla.errors import BindError
from vanilla.net import tcp
from vanilla.net.listen import Listener
from vanilla.net.sockets import OpenListener, open_listener, shown


@contextlib.contextmanager
def opened(listener: Listener, workers: int = 1) -> Iterator[OpenListener]:
    one = open_listener(listener, workers, backlog=64)
    try:
        yield one
    finally:
        one.close()
        one.remove_files()


def taken(one: OpenListener, workers: int) -> list[socket.socket]:
    """Every worker's sockets as Python's."""
    return [socket.socket(fileno=fd) for index in range(workers) for fd in one.take(index)]


@pytest.fixture(params=["win32"] if IS_WINDOWS else ["linux", "freebsd", "darwin"])
def sharing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has workers share a port as on that platform, as far as this one lets them."""
    found = tcp.port_sharing(request.param)
    if found.option is not None:
        found = found._replace(option=socket.SO_REUSEPORT)
    monkeypatch.setattr(tcp, "port_sharing", lambda: found)
    return request.param


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.usefixtures("sharing")
def test_port_0_is_one_real_port_for_every_worker(workers: int) -> None:
    with opened(Listener(port=0), workers) as one:
        ((host, port),) = one.addresses
        sockets = taken(one, workers)
        assert host == "127.0.0.1"
        assert port != 0
        assert [each.getsockname() for each in sockets] == [(host, port)] * workers
        assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for each in sockets)
        assert not any(each.get_inheritable() for each in sockets)
        for each in sockets:
            with pytest.raises(BlockingIOError):
                each.accept()  # one that blocked would wait for ever
            each.close()


@needs_shared_ports
@pytest.mark.parametrize("sharing", ["linux", "freebsd"], indirect=True)
@pytest.mark.usefixtures("sharing")
def test_the_kernel_spreads_connections_over_the_whole_group() -> None:
    with opened(Listener(port=0), 2) as one, contextlib.ExitStack() as clients:
        first, second = taken(one, 2)
        accepted = {first: 0, second: 0}
        for _ in range(64):  # with even odds, all on one side is a chance of 2**-63
            clients.enter_context(socket.create_connection(first.getsockname()))
            for each in accepted:
                with contextlib.suppress(BlockingIOError):
                    each.accept()[0].close()
                    accepted[each] += 1
        first.close()
        second.close()
    assert sum(accepted.values()) == 64
    assert min(accepted.values()) > 0


@pytest.mark.parametrize(
    ("platform", "option", "joins_late"),
    [
        pytest.param("linux", getattr(socket, "SO_REUSEPORT", None), True, id="linux", marks=needs_shared_ports),
        pytest.param("freebsd14", 0x10000, False, id="freebsd"),
        pytest.param("darwin", None, False, id="macos"),
        pytest.param("win32", None, False, id="windows"),
    ],
)
def test_workers_share_a_port_as_their_platform_lets_them(platform: str, option: int | None, joins_late: bool) -> None:
    assert tcp.port_sharing(platform) == (option, joins_late)


def test_workers_accept_from_one_socket_where_the_kernel_does_not_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "port_sharing", lambda: tcp.PortSharing(None, joins_late=False))
    with opened(Listener(port=0), 3) as one:
        for each in taken(one, 3):  # all get every connection, and the last one still listens
            for _ in range(4):
                with socket.create_connection(each.getsockname()) as client:
                    accepted, address = each.accept()
                    accepted.close()
                    assert address == client.getsockname()
            each.close()


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("second_workers", [1, 3])
@pytest.mark.usefixtures("sharing")
def test_a_port_in_use_is_refused(workers: int, second_workers: int) -> None:
    with opened(Listener(port=0), workers) as one:
        port = one.addresses[0][1]
        before = open_descriptors()
        with pytest.raises(BindError) as caught:
            open_listener(Listener(port=int(port)), second_workers, backlog=64)
        assert open_descriptors() == before
    assert caught.value.errno == errno.EADDRINUSE
    assert str(caught.value.strerror).startswith(f"127.0.0.1:{port}: {ADDRESS_IN_USE}; ")


@needs_shared_ports
@pytest.mark.usefixtures("sharing")
def test_a_port_shared_by_a_server_of_another_kind_is_refused_too() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(BindError, match="already in use"):
            open_listener(Listener(port=other.getsockname()[1]), 2, backlog=64)


@needs_shared_ports
@pytest.mark.usefixtures("sharing")
def test_reuse_port_on_both_sides_shares_the_port() -> None:
    with opened(Listener(port=0, reuse_port=True), 2) as one:
        port = int(one.addresses[0][1])
        with opened(Listener(port=port, reuse_port=True), 2) as two:
            assert two.addresses == one.addresses


@pytest.mark.usefixtures("sharing")
def test_a_port_whose_old_connections_linger_is_free_again_at_once() -> None:
    with opened(Listener(port=0), 2) as one:
        port = int(one.addresses[0][1])
        first, second = taken(one, 2)
        with socket.create_connection(("127.0.0.1", port)) as client:
            for each in (first, second):
                with contextlib.suppress(BlockingIOError):
                    each.accept()[0].close()  # closed by the server first: TIME_WAIT is on its port
            assert client.recv(1) == b""
        first.close()
        second.close()
    with opened(Listener(port=port), 2) as again:
        assert again.addresses == [("127.0.0.1", port)]


def test_ipv6_is_ipv6_only_whatever_the_system_default() -> None:
    with opened(Listener("::", 0)) as six:
        port = int(six.addresses[0][1])
        with opened(Listener("0.0.0.0", port)) as four, socket.create_connection(("::1", port)):
            assert six.addresses == [("::", port)]
            assert four.addresses == [("0.0.0.0", port)]


def resolver(*addresses: str) -> object:
    """A getaddrinfo that knows one name."""

    def getaddrinfo(_host: str, port: int, **_: object) -> list[object]:
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        kind = socket.SOCK_STREAM
        return [
            (family, kind, 6, "", (each, port, 0, 0) if ":" in each else (each, port))
            for family, each in zip(families, addresses, strict=True)
        ]

    return getaddrinfo


def test_a_name_stands_for_all_its_addresses_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1", "::1", "127.0.0.1"))
    with opened(Listener("both.example", 0), 2) as one:
        (host, port), (other_host, other_port) = one.addresses
        assert (host, other_host) == ("127.0.0.1", "::1")
        assert port == other_port
        assert len(one.take(0)) == len(one.take(1)) == 2


def test_a_name_may_have_addresses_that_this_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("192.0.2.1", "127.0.0.1"))
    with opened(Listener("partly.example", 0)) as one:
        assert [address[0] for address in one.addresses] == ["127.0.0.1"]


def test_a_name_without_any_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("192.0.2.1"))
    with pytest.raises(BindError, match=r"192\.0\.2\.1:0: .*no interface of this machine has it"):
        open_listener(Listener("elsewhere.example", 0), 1, backlog=64)


def test_port_0_on_a_name_is_tried_again_when_taken_on_the_second_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", resolver("127.0.0.1", "::1"))
    refusals = [BindError(errno.EADDRINUSE, "taken")]
    open_group = tcp._open_group

    def taken_once(family: int, *arguments: object, **options: object) -> list[socket.socket]:
        for refusal in refusals[:] if family == socket.AF_INET6 else []:
            refusals.remove(refusal)
            raise refusal
        return open_group(family, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(tcp, "_open_group", taken_once)
    before = open_descriptors()
    with opened(Listener("both.example", 0)) as one:
        assert len(one.addresses) == 2
    assert not refusals
    assert open_descriptors() == before


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 64 + ".example"])
def test_a_name_that_does_not_resolve_is_refused(host: str) -> None:
    with pytest.raises(BindError, match=f"host '{host}': "):
        open_listener(Listener(host, 0), 1, backlog=64)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        pytest.param(("127.0.0.1", 80), "http://127.0.0.1:80", id="ipv4"),
        pytest.param(("::1", 80), "http://[::1]:80", id="ipv6"),
        pytest.param("/run/a.sock", "unix:/run/a.sock", id="unix"),
        pytest.param("@a", "unix:@a", id="abstract"),
    ],
)
def test_an_address_is_shown_as_a_person_types_it(address: tuple[str, int] | str, text: str) -> None:
    assert shown(address) == text
