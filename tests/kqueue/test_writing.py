"""EVFILT_WRITE: room, the lack of it, and when there will never be any; and that the two directions are told apart."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Pair, Queue


def test_data_is_the_room_in_the_buffer(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "WRITE", "ADD", "", 0, 3)
    event = queue.wait_for_one()
    assert (event.ident, event.filter, event.flags, event.udata) == (pair.fd, "WRITE", set(), 3)
    assert 4096 < event.data <= pair.ours.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR", "ADD ONESHOT", "ADD DISPATCH"])
def test_a_full_socket_is_told_once_the_peer_has_read(queue: Queue, pair: Pair, flags: str) -> None:
    pair.fill()
    queue.change(pair.fd, "WRITE", flags)
    assert queue.kevent() == []
    pair.drain()
    event = queue.wait_for_one()
    assert event.filter == "WRITE"
    assert event.data > 0


def test_a_cleared_knote_is_told_each_time_that_room_comes_back(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "WRITE", "ADD CLEAR")
    queue.wait_for_one()
    for _ in range(3):
        pair.fill()
        queue.kevent()  # what room there was in between may be told
        pair.drain()
        assert queue.wait_for_one().filter == "WRITE"


def test_room_to_write_does_not_tell_again_of_bytes_left_unread(queue: Queue, pair: Pair) -> None:
    pair.give(b"abc")
    queue.change(pair.fd, "READ", "ADD CLEAR")
    assert queue.wait_for_one().filter == "READ"
    pair.fill()
    queue.change(pair.fd, "WRITE", "ADD CLEAR")
    assert queue.kevent() == []
    pair.drain()
    assert queue.wait_for_one().filter == "WRITE"
    assert {event.filter for event in queue.kevent(timeout=0.01)} <= {"WRITE"}


def test_bytes_to_read_do_not_tell_again_of_room_to_write(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "WRITE", "ADD CLEAR")
    assert queue.wait_for_one().filter == "WRITE"
    queue.change(pair.fd, "READ", "ADD CLEAR")
    pair.give(b"abc")
    assert queue.wait_for_one().filter == "READ"
    assert queue.kevent() == []


def test_a_peer_that_only_stops_sending_does_not_end_writing(queue: Queue, pair: Pair) -> None:
    pair.theirs.shutdown(socket.SHUT_WR)
    select.select([pair.ours], [], [])
    queue.change(pair.fd, "WRITE", "ADD")
    assert queue.wait_for_one().flags == set()


def test_an_own_shutdown_of_writing_is_an_end(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "WRITE", "ADD")
    queue.wait_for_one()
    pair.ours.shutdown(socket.SHUT_WR)
    assert [queue.wait_for_one().flags for _ in range(2)] == [{"EOF"}] * 2


def test_a_connection_closed_in_both_directions_is_an_end_of_both(queue: Queue, pair: Pair) -> None:
    queue.change(pair.fd, "WRITE", "ADD CLEAR")
    queue.change(pair.fd, "READ", "ADD CLEAR")
    queue.kevent()
    pair.ours.shutdown(socket.SHUT_WR)
    pair.theirs.close()
    ended: set[str] = set()
    while ended != {"READ", "WRITE"}:
        ended |= {event.filter for event in queue.wait() if "EOF" in event.flags}


def test_a_reset_is_an_end_with_its_error(queue: Queue, tcp: Pair) -> None:
    tcp.fill()
    queue.change(tcp.fd, "WRITE", "ADD")
    tcp.reset()
    event = queue.wait_for_one()
    assert (event.flags, event.fflags) == ({"EOF"}, errno.ECONNRESET)
    with pytest.raises(ConnectionResetError):
        tcp.ours.send(b"a")


def test_a_connection_is_told_once_it_stands(queue: Queue) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        queue.change(client.fileno(), "WRITE", "ADD ONESHOT")
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        event = queue.wait_for_one()
        assert (event.filter, event.flags) == ("WRITE", {"ONESHOT"})
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


def test_a_pipe_tells_its_room_and_that_nobody_reads_it(queue: Queue) -> None:
    theirs, ours = os.pipe2(os.O_NONBLOCK)
    queue.change(ours, "WRITE", "ADD")
    room = queue.wait_for_one().data
    os.write(ours, bytes(1000))
    assert queue.wait_for_one().data == room - 1000
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(ours, bytes(4096))
    assert queue.kevent() == []
    os.read(theirs, room)
    assert queue.wait_for_one().flags == set()
    os.close(theirs)
    assert queue.wait_for_one() == (ours, "WRITE", {"EOF"}, 0, 0, 0)
    queue.change(ours, "WRITE", "DELETE")
    assert queue.error_of((ours, "WRITE", "ADD")) == errno.EPIPE
    os.close(ours)


def test_an_eventfd_tells_that_it_takes_more(queue: Queue) -> None:
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    os.eventfd_write(eventfd, 2**64 - 2)
    queue.change(eventfd, "WRITE", "ADD")
    assert queue.kevent() == []
    os.eventfd_read(eventfd)
    assert queue.wait_for_one() == (eventfd, "WRITE", set(), 1, 0, 0)
    os.close(eventfd)
