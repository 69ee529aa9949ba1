"""Descriptors come and go unseen: what is closed tells nothing, nor does what has got its number. There may be many."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import resource
import socket
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Pair, Queue

MANY = 1200
NUMBER_MIN = 200
FILTERS = ("READ", "WRITE")
KINDS = ["socket", "pipe", "eventfd"]


class Readable:
    """A descriptor with something to read, made anew at the lowest free number."""

    def __init__(self, kind: str) -> None:
        self.others: list[int] = []
        if kind == "socket":
            ours, theirs = socket.socketpair()
            theirs.send(b"a")
            self.fd, self.others = ours.detach(), [theirs.detach()]
        elif kind == "pipe":
            self.fd, other = os.pipe()
            os.write(other, b"a")
            self.others = [other]
        else:
            self.fd = os.eventfd(1)

    def close(self) -> None:
        for fd in (self.fd, *self.others):
            os.close(fd)


def place(kind: str, fd: int) -> None:
    """Another such file at this very number."""
    other = Readable(kind)
    os.dup2(other.fd, fd)
    os.close(other.fd)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def fd(kind: str) -> Iterator[int]:
    """The number of a readable descriptor, far above those in use; a test may close it."""
    readable = Readable(kind)
    number = fcntl.fcntl(readable.fd, fcntl.F_DUPFD, NUMBER_MIN)
    os.close(readable.fd)
    yield number
    with contextlib.suppress(OSError):
        os.close(number)


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR", "ADD DISPATCH"])
def test_a_closed_descriptor_tells_nothing(queue: Queue, fd: int, flags: str) -> None:
    queue.change(fd, "READ", flags)
    os.close(fd)
    assert queue.kevent() == []


@pytest.mark.parametrize("operation", ["DELETE", "ENABLE", "DISABLE", "ADD", ""])
def test_a_change_of_a_closed_descriptor_is_refused(queue: Queue, fd: int, operation: str) -> None:
    queue.change(fd, "READ", "ADD")
    os.close(fd)
    assert queue.error_of((fd, "READ", operation)) == errno.EBADF


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR", "ADD DISABLE"])
@pytest.mark.parametrize("was_told", [True, False])
def test_a_number_that_is_used_again_starts_without_knotes(
    queue: Queue, kind: str, fd: int, flags: str, was_told: bool
) -> None:
    queue.kevent(*((fd, filter_, flags) for filter_ in FILTERS), room=0)
    if was_told:
        queue.kevent()
    os.close(fd)
    place(kind, fd)
    assert queue.kevent() == []
    for filter_ in FILTERS:
        for operation in ("DELETE", "ENABLE", ""):
            assert queue.error_of((fd, filter_, operation)) == errno.ENOENT
    queue.change(fd, "READ", "ADD", "", 0, 8)
    assert [(event.ident, event.udata) for event in queue.kevent()] == [(fd, 8)]


@pytest.mark.parametrize("operation", ["DELETE", "ENABLE", "DISABLE", ""])
def test_a_change_is_the_first_to_learn_that_a_number_is_used_again(
    queue: Queue, kind: str, fd: int, operation: str
) -> None:
    queue.change(fd, "READ", "ADD DISABLE")
    place(kind, fd)  # closes it in the same call
    assert queue.error_of((fd, "READ", operation)) == errno.ENOENT
    assert queue.kevent() == []


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR"])
def test_a_duplicate_does_not_keep_the_knotes_of_a_closed_number(queue: Queue, pair: Pair, flags: str) -> None:
    fd = fcntl.fcntl(pair.fd, fcntl.F_DUPFD, NUMBER_MIN)  # the pair's own stays open: epoll keeps the registration
    queue.change(fd, "READ", flags)
    queue.change(fd, "WRITE", flags)
    queue.kevent()
    os.close(fd)
    pair.give(b"a")
    assert queue.kevent(timeout=0.01) == []
    other = Readable("pipe")
    os.dup2(other.fd, fd)
    pair.give(b"b")
    assert queue.kevent(timeout=0.01) == []
    queue.change(fd, "READ", "ADD", "", 0, 1)
    pair.give(b"c")
    assert [(event.ident, event.udata, event.data) for event in queue.kevent()] == [(fd, 1, 1)]
    other.close()
    os.close(fd)


def test_what_a_number_stood_for_does_not_speak_for_its_new_knote(queue: Queue, pair: Pair) -> None:
    fd = fcntl.fcntl(pair.fd, fcntl.F_DUPFD, NUMBER_MIN)
    queue.change(fd, "READ", "ADD CLEAR")
    os.close(fd)
    pipe = Readable("pipe")
    os.dup2(pipe.fd, fd)
    queue.change(fd, "READ", "ADD CLEAR")
    assert len(queue.kevent()) == 1  # and what it told of stays unread
    pair.give(b"a")
    assert queue.kevent(timeout=0.01) == []
    pipe.close()
    os.close(fd)


def test_a_number_may_get_back_the_file_that_epoll_still_knows_by_it(queue: Queue, pair: Pair) -> None:
    fd = fcntl.fcntl(pair.fd, fcntl.F_DUPFD, NUMBER_MIN)
    queue.change(fd, "READ", "ADD")
    os.close(fd)
    assert queue.error_of((fd, "READ", "ENABLE")) == errno.EBADF
    os.dup2(pair.fd, fd)
    assert queue.error_of((fd, "READ", "ENABLE")) == errno.ENOENT
    queue.change(fd, "READ", "ADD CLEAR")
    for count in (1, 2):
        pair.give(b"a")
        assert [event.data for event in queue.kevent()] == [count]
    os.close(fd)


def test_both_descriptors_of_one_file_have_knotes_of_their_own(queue: Queue, pair: Pair) -> None:
    fd = os.dup(pair.fd)
    queue.change(pair.fd, "READ", "ADD")
    queue.change(fd, "READ", "ADD")
    pair.give(b"a")
    assert {event.ident for event in queue.wait()} == {pair.fd, fd}
    os.close(fd)
    assert {event.ident for event in queue.wait()} == {pair.fd}


def test_a_closed_kqueue_leaves_nothing_behind_once_the_next_is_made(
    make_queue: Callable[[], Queue], pair: Pair
) -> None:
    counts = set()
    for _ in range(20):
        queue = make_queue()
        queue.kevent((1, "USER", "ADD"), (1, "TIMER", "ADD", "", 1), (pair.fd, "READ", "ADD"), room=0)
        counts.add(len(os.listdir("/proc/self/fd")))
        queue.close()
    assert len(counts) == 1


def test_a_kqueue_that_got_the_number_of_a_closed_one_has_none_of_its_knotes(make_queue: Callable[[], Queue]) -> None:
    first = make_queue()
    first.change(1, "USER", "ADD")
    fd = first.fd
    first.close()
    second = make_queue()
    assert second.fd == fd
    assert second.error_of((1, "USER", "", "TRIGGER")) == errno.ENOENT


def test_a_child_does_not_inherit_the_kqueue(queue: Queue) -> None:
    queue.change(1, "USER", "ADD")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that other tests have left
        child = os.fork()
    if child == 0:  # nothing of pytest may run here
        try:
            refused = queue.error_of((1, "USER", "", "TRIGGER")) == errno.EBADF
            own = type(queue)(queue.library)
            own.change(1, "USER", "ADD")
            os._exit(0 if refused and own.kevent() == [] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    queue.change(1, "USER", "", "TRIGGER")
    assert len(queue.kevent()) == 1


@pytest.fixture
def many() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """Pairs of sockets, more than the usual limit of descriptors allows."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    pairs = [socket.socketpair() for _ in range(MANY)]
    yield pairs
    for pair in pairs:
        for one in pair:
            one.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("flags", ["ADD", "ADD CLEAR", "ADD ONESHOT", "ADD DISPATCH"])
def test_many_descriptors_are_each_told_once_in_a_round(
    queue: Queue, many: list[tuple[socket.socket, socket.socket]], flags: str
) -> None:
    queue.kevent(*((ours.fileno(), "READ", flags, "", 0, at) for at, (ours, _) in enumerate(many, 1)), room=0)
    assert queue.kevent() == []
    for _, theirs in many:
        theirs.send(b"ab")
    taken = [event.udata for _ in range(MANY // 100) for event in queue.kevent(room=100)]
    assert sorted(taken) == list(range(1, MANY + 1))
    assert len(queue.kevent(room=MANY)) == (MANY if flags == "ADD" else 0)


def test_many_descriptors_may_be_closed_and_used_again(
    queue: Queue, many: list[tuple[socket.socket, socket.socket]]
) -> None:
    queue.kevent(*((ours.fileno(), "READ", "ADD") for ours, _ in many), room=0)
    for ours, theirs in many[::2]:
        theirs.send(b"a")
        quiet = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        os.dup2(quiet.fileno(), ours.fileno())
        quiet.close()
    for _, theirs in many[1::2]:
        theirs.send(b"a")
    told = {event.ident for event in queue.kevent(room=MANY)}
    assert told == {ours.fileno() for ours, _ in many[1::2]}


def test_many_timers_and_user_events_are_told(queue: Queue) -> None:
    queue.kevent(*((number, "TIMER", "ADD ONESHOT", "NSECONDS", number) for number in range(MANY)), room=0)
    queue.kevent(*((number, "USER", "ADD ONESHOT") for number in range(MANY)), room=0)
    queue.kevent(*((number, "USER", "", "TRIGGER") for number in range(MANY)), room=0)
    told: list[tuple[int, str]] = []
    while len(told) < 2 * MANY:
        told += [(event.ident, event.filter) for event in queue.wait(room=100)]
    assert sorted(told) == [(number, filter_) for number in range(MANY) for filter_ in ("TIMER", "USER")]
