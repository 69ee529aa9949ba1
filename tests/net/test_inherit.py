"""Sockets that the process was started with stay their giver's: every worker gets a duplicate."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from vanilla.errors import BindError
from vanilla.net import inherit
from vanilla.net.listen import Listener
from vanilla.net.sockets import open_listener


@pytest.fixture
def inherited() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as one:
        one.set_inheritable(True)
        yield one


def test_a_descriptor_is_duplicated_for_each_worker_and_never_closed(inherited: socket.socket) -> None:
    one = open_listener(Listener(fd=inherited.fileno()), 2, backlog=8)
    fds = [*one.take(0), *one.take(1)]
    assert one.addresses == [inherited.getsockname()]
    assert inherited.fileno() not in fds
    assert not any(os.get_inheritable(fd) for fd in fds)
    for fd in fds:
        os.close(fd)
    assert inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)


def test_a_bound_socket_that_does_not_listen_is_made_to() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        one = open_listener(Listener(fd=bound.fileno()), 1, backlog=8)
        socket.create_connection(bound.getsockname()).close()
        one.close()


def test_a_closed_descriptor_is_one_clear_error() -> None:
    with socket.socket() as closed:
        fd = closed.fileno()
    with pytest.raises(BindError, match=f"fd:{fd}: bad file descriptor; no such descriptor is open"):
        open_listener(Listener(fd=fd), 1, backlog=8)


@pytest.mark.parametrize("kind", ["pipe", "datagram"])
def test_what_is_no_stream_socket_is_one_clear_error(kind: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, open(os.devnull) as file:
        fd = {"pipe": file.fileno(), "datagram": datagram.fileno()}[kind]
        before = os.listdir("/proc/self/fd")
        with pytest.raises(BindError, match="pass a listening stream socket"):
            open_listener(Listener(fd=fd), 1, backlog=8)
        assert os.listdir("/proc/self/fd") == before


@pytest.fixture
def activated(inherited: socket.socket, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """What systemd would have passed, though at another number than 3."""
    monkeypatch.setattr(inherit, "SYSTEMD_FDS_START", inherited.fileno())
    monkeypatch.setattr(inherit, "_passed", [])
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_FDNAMES", "web")
    return inherited


@pytest.mark.parametrize("wanted", [True, "web"])
def test_systemd_sockets_are_taken_and_their_variables_removed(activated: socket.socket, wanted: bool | str) -> None:
    for _ in range(2):  # a second server in this process finds them again
        one = open_listener(Listener(systemd=wanted), 2, backlog=8)
        assert one.addresses == [activated.getsockname()]
        one.close()
    assert not {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} & os.environ.keys()
    assert not activated.get_inheritable()


def test_a_systemd_name_that_was_not_passed_is_one_clear_error(activated: socket.socket) -> None:
    with pytest.raises(BindError, match="systemd:admin: no socket of that name was passed; there are web"):
        open_listener(Listener(systemd="admin"), 1, backlog=8)


def test_sockets_without_names_are_taken_all_together(
    activated: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LISTEN_FDNAMES")
    assert inherit.systemd_fds(None) == [activated.fileno()]
    assert inherit.systemd_fds("unknown") == [activated.fileno()]


@pytest.mark.parametrize("pid", ["", "1", "x"])
def test_what_systemd_passed_to_another_process_is_left_alone(
    activated: socket.socket, monkeypatch: pytest.MonkeyPatch, pid: str
) -> None:
    monkeypatch.setenv("LISTEN_PID", pid)
    with pytest.raises(BindError, match="no socket was passed to this process"):
        open_listener(Listener(systemd=True), 1, backlog=8)
    assert os.environ["LISTEN_PID"] == pid
    assert os.environ["LISTEN_FDS"] == "1"
    assert activated.get_inheritable()
