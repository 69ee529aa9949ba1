"""EVFILT_READ: how much there is, the end of it, and what the peer's end looks like while bytes are left."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Pair, Queue

POLLRDHUP = 0x2000


def wait_for_end(one: socket.socket) -> None:
    """Until the peer's FIN or RST is here."""
    poll = select.poll()
    poll.register(one, POLLRDHUP)
    assert poll.poll(5000)


def test_data_counts_the_unread_bytes(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD", "", 0, 5)
    for unread in (3, 6):
        pair.give(b"abc")
        assert queue.wait_for_one() == (pair.fd, "READ", set(), unread, 0, 5)
    pair.ours.recv(6)
    assert queue.kevent() == []


ENDS = [
    pytest.param(lambda peer: peer.shutdown(socket.SHUT_WR), id="half_closed"),
    pytest.param(lambda peer: peer.close(), id="closed"),
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR"])
def test_the_end_is_told_with_the_bytes_before_it(
    queue: Queue, pair: Pair, end: Callable[[socket.socket], None], flags: str
) -> None:
    queue.change(pair.fd, "READ", flags)
    pair.give(b"abc")
    end(pair.theirs)
    wait_for_end(pair.ours)
    event = queue.wait_for_one()
    assert (event.flags - {"CLEAR"}, event.data, event.fflags) == ({"EOF"}, 3, 0)
    assert pair.ours.recv(8) == b"abc"
    assert pair.ours.recv(8) == b""


@pytest.mark.parametrize("end", ENDS)
def test_the_end_alone_is_an_event(queue: Queue, pair: Pair, end: Callable[[socket.socket], None]) -> None:
    queue.change(pair.fd, "READ", "ADD CLEAR")
    assert queue.kevent() == []
    end(pair.theirs)
    event = queue.wait_for_one()
    assert ("EOF" in event.flags, event.data) == (True, 0)
    assert queue.kevent() == []


def test_the_end_is_told_again_and_again_if_level_triggered(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD")
    pair.theirs.shutdown(socket.SHUT_WR)
    assert [queue.wait_for_one().flags for _ in range(3)] == [{"EOF"}] * 3


def test_an_own_shutdown_of_reading_is_an_end(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD")
    pair.ours.shutdown(socket.SHUT_RD)
    assert queue.wait_for_one().flags == {"EOF"}


def test_a_reset_is_an_end_with_its_error_which_recv_still_gets(queue: Queue, tcp: Pair) -> None:
    queue.change(tcp.fd, "READ", "ADD")
    tcp.give(b"abc")
    tcp.reset()
    wait_for_end(tcp.ours)
    assert queue.wait_for_one() == (tcp.fd, "READ", {"EOF"}, 3, errno.ECONNRESET, 0)
    assert tcp.ours.recv(8) == b"abc"
    with pytest.raises(ConnectionResetError):
        tcp.ours.recv(8)
    assert queue.wait_for_one() == (tcp.fd, "READ", {"EOF"}, 0, 0, 0)


def test_a_peer_that_closes_with_bytes_unread_is_a_reset(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "READ", "ADD")
    pair.ours.send(b"abc")
    select.select([pair.theirs], [], [])
    pair.theirs.close()
    event = queue.wait_for_one()
    assert (event.flags, event.fflags) == ({"EOF"}, errno.ECONNRESET)


def test_a_refused_connection_is_an_end_with_its_error(queue: Queue) -> None:
    with socket.socket() as nobody, socket.socket() as client:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        client.setblocking(False)
        client.connect_ex(nobody.getsockname())
        for filter_ in ("READ", "WRITE"):
            queue.change(client.fileno(), filter_, "ADD ONESHOT")
            event = queue.wait_for_one()
            assert (event.filter, "EOF" in event.flags, event.fflags) == (filter_, True, errno.ECONNREFUSED)
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX])
def test_a_socket_that_was_never_connected_tells_nothing(queue: Queue, family: socket.AddressFamily) -> None:
    with socket.socket(family) as fresh:
        queue.change(fresh.fileno(), "READ", "ADD")
        queue.change(fresh.fileno(), "WRITE", "ADD")
        assert queue.kevent() == []


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR"])
def test_a_tcp_listener_tells_its_backlog(queue: Queue, flags: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        queue.change(listener.fileno(), "READ", flags)
        assert queue.kevent() == []
        for count in (1, 2, 3):
            with socket.create_connection(listener.getsockname()):
                pass
            event = queue.wait_for_data(count)
            assert (event.flags - {"CLEAR"}, event.data) == (set(), count)
        for left in (2, 1, 0):
            listener.accept()[0].close()
            queue.change(listener.fileno(), "READ", "ENABLE")
            assert [event.data for event in queue.kevent()] == [left] * (left > 0)


def test_a_unix_listener_tells_that_somebody_waits(queue: Queue, tmp_path: object) -> None:
    path = f"{tmp_path}/socket"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind(path)
        queue.change(listener.fileno(), "READ", "ADD")
        listener.listen(1)  # after EV_ADD, as macOS allows
        queue.change(listener.fileno(), "WRITE", "ADD")
        assert queue.kevent() == []
        client.connect(path)
        assert queue.wait_for_one() == (listener.fileno(), "READ", set(), 1, 0, 0)
        listener.accept()[0].close()
        assert queue.kevent() == []


def test_a_datagram_counts_as_its_bytes(queue: Queue) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as ours, socket.socket(type=socket.SOCK_DGRAM) as theirs:
        ours.bind(("127.0.0.1", 0))
        queue.change(ours.fileno(), "READ", "ADD")
        assert queue.kevent() == []
        for datagram in (b"abc", b""):
            theirs.sendto(datagram, ours.getsockname())
            assert queue.wait_for_one() == (ours.fileno(), "READ", set(), len(datagram), 0, 0)
            ours.recv(8)


# What is no socket.


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that does not block: its reading and its writing end, which a test may close."""
    ends = os.pipe2(os.O_NONBLOCK)
    yield ends
    for fd in ends:
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR"])
def test_a_pipe_tells_its_bytes_and_then_its_end(queue: Queue, pipe: tuple[int, int], flags: str) -> None:
    ours, theirs = pipe
    queue.change(ours, "READ", flags)
    assert queue.kevent() == []
    for unread in (3, 6):
        os.write(theirs, b"abc")
        event = queue.wait_for_one()
        assert (event.flags - {"CLEAR"}, event.data) == (set(), unread)
    os.close(theirs)
    event = queue.wait_for_one()
    assert (event.flags - {"CLEAR"}, event.data, event.fflags) == ({"EOF"}, 6, 0)


def test_the_wrong_end_of_a_pipe_never_tells_anything(queue: Queue, pipe: tuple[int, int]) -> None:
    ours, theirs = pipe
    queue.change(theirs, "READ", "ADD")
    queue.change(ours, "WRITE", "ADD")
    os.write(theirs, b"abc")
    assert queue.kevent() == []
    os.close(ours)
    assert queue.kevent() == []


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR"])
def test_an_eventfd_tells_that_it_counted(queue: Queue, flags: str) -> None:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    queue.change(eventfd, "READ", flags)
    assert queue.kevent() == []
    for _ in range(2):
        os.eventfd_write(eventfd, 5)
        assert queue.wait_for_one().data == 1
    os.eventfd_read(eventfd)
    assert queue.kevent() == []
    os.close(eventfd)


def test_a_terminal_tells_its_bytes_and_its_end(queue: Queue) -> None:
    ours, theirs = os.openpty()
    queue.change(ours, "READ", "ADD")
    assert queue.kevent() == []
    os.write(theirs, b"abc")
    assert queue.wait_for_one() == (ours, "READ", set(), 3, 0, 0)
    os.close(theirs)
    assert queue.wait_for_one().flags == {"EOF"}
    os.close(ours)
