"""Watched descriptors: their numbers used again, watches that never fire or cannot be, several at once."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time

import pytest

from system import (
    IS_WINDOWS,
    close,
    duplicate,
    is_open,
    needs_watched_pipes,
    open_pair,
    read,
    ready_reader,
    reset,
    until,
    with_end,
    write,
)
from vanilla import Event, Interest, Limits, Step
from vanilla.testing import ask, drive, frames

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def read_to_end(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


# Descriptor numbers that are used again.


@pytest.mark.exact("needs both events from one wait")
@pytest.mark.skipif(IS_WINDOWS, reason="a socket cannot be given a number of our choice here")
def test_an_event_of_a_closed_descriptor_never_reaches_a_watch_of_the_same_number(site, make_pipes) -> None:
    first, called = make_pipes(), []
    reader, writer = open_pair()
    second: list[int] = []

    def reuse(running_worker) -> None:
        """In the tick in which the first watch was ready and its client gone: its number is free now."""
        assert not is_open(first.readers[0])
        second.append(os.dup2(reader, first.readers[0]))
        running_worker.watch_fd_persistent(second[0], Interest.READABLE, lambda *arguments: called.append(arguments))

    with site(first) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        with running.busy():
            write(first.writers[0], b"x")
            reset(client)
            running.worker.post(reuse, running.worker)
        running.run(int)
        assert called == []
        assert second
        running.run(lambda: write(writer, b"y"))
        until(lambda: called)
        running.server.shutdown(0)
        first.close()
        close(second[0])
    close(reader)
    close(writer)


def test_a_connection_that_gets_the_number_of_a_watched_descriptor_hears_nothing_of_it(
    site, make_pipes, receive_answer
) -> None:
    pipes = make_pipes()
    with site(pipes) as running:
        for _ in range(20):
            bystander = running.connect(TINY)
            running.await_parked(1)
            write(pipes.writers[-1], b"own")
            assert receive_answer(bystander).endswith(b"own")  # its continuation has closed the descriptor
            others = [running.connect(get("/plain")) for _ in range(3)]  # one of these has got the number
            for other in others:
                assert receive_answer(other).endswith(b"plain")
            for other in others:
                other.sendall(get("/plain") * 2)
                data = b""
                while data.count(b"plain") < 2:
                    data += other.recv(1000)
        assert running.server.counters().responses_5xx == 0
        pipes.close()


def test_a_readiness_goes_before_a_timeout_that_the_worker_was_too_busy_to_notice(site, make_pipes) -> None:
    pipes = make_pipes(timeout=0.005)

    def handle(request, response, worker):
        step = pipes(request, response, worker)
        due = time.monotonic() + 0.01
        write(pipes.writers[-1], b"both")
        until(lambda: time.monotonic() > due)
        return step

    with site(handle) as running:
        client = running.connect(TINY * 5)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).count(b"200 OK") == 5
        assert pipes.seen == [("continuation", Event.READABLE)] * 5
        pipes.close()


def test_a_watch_whose_descriptor_the_kernel_has_duplicated_stays_silent_once_it_is_over(site) -> None:
    """As after a fork: closing one of two leaves the other in the kernel's set."""
    duplicates: list[int] = []

    def go_on(request, response, worker, fd, event):
        duplicates.append(duplicate(fd))
        close(fd)
        response.reply(200, b"%d" % event)

    def handle(request, response, worker):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY * 20)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).count(b"200 OK") == 20
        for fd in duplicates:
            close(fd)


# Watches that never fire, and ones that cannot be.


def test_a_watch_that_never_fires_waits_until_its_client_leaves(site, make_pipes) -> None:
    """No limit of the connection's covers a request that waits: none of these ends it."""
    limits = Limits(read_timeout=0.02, keepalive_timeout=0.02, write_timeout=0.02)
    pipes = make_pipes()
    over = threading.Event()
    with site(pipes, limits=limits) as running:
        with running.busy():  # so that all of it is there when it is accepted
            client = running.connect(TINY + TINY[:9])  # with the beginning of another behind it
        running.await_parked(1)
        running.worker.post(running.worker.call_later, 0.2, over.set)
        assert over.wait(20)
        assert (running.server.counters().parked, pipes.seen) == (1, [])
        reset(client)
        running.await_idle()
        assert running.server.counters().limits_reached == {}
        pipes.close()


def test_a_time_given_to_the_watch_wins_over_the_listeners(site, make_pipes, receive_answer) -> None:
    pipes = make_pipes(timeout=0.02)
    with site(pipes, limits=Limits(suspend_timeout=1000)) as running:
        client = running.connect(TINY)
        assert receive_answer(client).endswith(b"nothing")
        assert pipes.seen == [("continuation", Event.TIMEOUT)]
        assert running.server.counters().limits_reached == {}
        pipes.close()


def test_each_watch_of_a_chain_has_the_listeners_time_anew(site, make_pipes, receive_answer) -> None:
    pipes = make_pipes()

    def handle(request, response, worker):
        step = pipes(request, response, worker)
        write(pipes.writers[0], b"again")
        return step

    with site(handle, limits=Limits(suspend_timeout=0.2)) as running:
        client = running.connect(TINY)
        assert receive_answer(client).endswith(b"nothing")
        assert pipes.seen == [("continuation", Event.READABLE), ("continuation", Event.TIMEOUT)]
        assert running.server.counters().limits_reached == {"suspend_timeout": 1}
        pipes.close()


def test_a_persistent_watch_whose_time_is_up_is_told_once_and_goes_on(site) -> None:
    told: list[Event] = []
    ends = open_pair()

    def tell(request, response, worker, payload, event):
        told.append(event)
        if event & Event.READABLE:
            read(ends[0], 100)

    def on_worker_start(worker):
        worker.watch_fd_persistent(ends[0], Interest.READABLE, tell, timeout=0.01)

    with site(print, on_worker_start=on_worker_start) as running:
        until(lambda: told == [Event.TIMEOUT])
        write(ends[1], b"x")
        until(lambda: told == [Event.TIMEOUT, Event.READABLE])
        running.run(int)
        assert len(told) == 2
    for fd in ends:
        close(fd)


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "soon"])
def test_a_watch_refused_for_its_timeout_watches_nothing(site, timeout, receive_answer) -> None:
    outcomes: list[object] = []

    def go_on(request, response, worker, fd, event):
        close(fd)
        response.reply(200, b"%d" % with_end(event))

    def handle(request, response, worker):
        fd = ready_reader()
        with pytest.raises((ValueError, TypeError)) as refusal:
            worker.watch_fd(fd, Interest.READABLE, print, timeout=timeout)
        with pytest.raises((ValueError, TypeError)):
            worker.watch_fd_persistent(fd, Interest.READABLE, print, timeout=timeout)
        outcomes.append(refusal.type)
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)  # not "watched already"
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        assert receive_answer(client).endswith(b"%d" % (Event.READABLE | Event.HANGUP))
        assert len(outcomes) == 1


def test_the_clients_own_descriptor_cannot_be_watched(site, receive_answer) -> None:
    refusals: list[str] = []

    def handle(request, response, worker):
        for watch in (worker.watch_fd, worker.watch_fd_persistent):
            try:
                watch(request.client_fd, Interest.READABLE, print)
            except ValueError as refusal:
                refusals.append(str(refusal))
        response.reply(200, request.path)

    with site(handle) as running:
        client = running.connect()
        for path in (b"/1", b"/2", b"/3"):  # a connection that was watched would hear of nothing more
            client.sendall(get(path.decode()))
            assert receive_answer(client).endswith(path)
        assert len(refusals) == 6


def test_a_descriptor_may_be_watched_again_once_its_watch_is_cancelled(configure) -> None:
    def go_on(request, response, worker, fd, event):
        close(fd)
        response.reply(200, b"once")

    def handle(request, response, worker):
        fd = ready_reader()
        first = worker.watch_fd(fd, Interest.READABLE, print, fd)
        first.cancel()
        first.cancel()  # harmless
        assert not first.is_active
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        first.cancel()  # and no longer about this descriptor
        return Step.SUSPEND

    assert drive(configure(handle), [ask(TINY * 3, frames(3))])[0].bodies == [b"once"] * 3


def reader_without_writer() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def writer_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def half_closed_socket() -> int:
    near, far = socket.socketpair()
    far.sendall(b"x")
    far.close()
    return near.detach()


def writable_socket() -> int:
    near, far = socket.socketpair()
    FAR_ENDS.append(far.detach())
    return near.detach()


FAR_ENDS: list[int] = []
BOTH = Interest.READABLE | Interest.WRITABLE


@pytest.mark.parametrize(
    ("make_fd", "interest", "event"),
    [
        pytest.param(ready_reader, Interest.READABLE, Event.READABLE | Event.HANGUP, id="data_then_end"),
        pytest.param(reader_without_writer, Interest.READABLE, Event.HANGUP, id="end", marks=needs_watched_pipes),
        pytest.param(
            writer_without_reader,
            Interest.WRITABLE,
            Event.WRITABLE | Event.ERROR,
            id="nobody_reads",
            marks=needs_watched_pipes,
        ),
        pytest.param(half_closed_socket, BOTH, Event.READABLE | Event.WRITABLE | Event.HANGUP, id="socket_end"),
        pytest.param(writable_socket, BOTH, Event.WRITABLE, id="room"),
    ],
)
def test_a_continuation_is_told_what_its_descriptor_came_to(configure, make_fd, interest, event) -> None:
    def tell(request, response, worker, fd, event):
        close(fd)
        response.reply(200, b"%d" % (with_end(event) if make_fd in (ready_reader, half_closed_socket) else event))

    def handle(request, response, worker):
        fd = make_fd()
        worker.watch_fd(fd, interest, tell, fd)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(TINY * 3, frames(3))])
    assert results[0].bodies == [b"%d" % event] * 3
    while FAR_ENDS:
        close(FAR_ENDS.pop())


def test_a_descriptor_watched_once_for_both_may_be_watched_for_good_afterwards(site, receive_answer) -> None:
    near, far = socket.socketpair()
    seen = []

    def hear(request, response, worker, payload, event):
        seen.append((near.recv(1), event))

    def go_on(request, response, worker, payload, event):
        worker.watch_fd_persistent(near.fileno(), Interest.READABLE, hear)
        response.reply(200, b"%d" % event)

    def handle(request, response, worker):
        worker.watch_fd(near.fileno(), BOTH, go_on)
        return Step.SUSPEND

    with site(handle) as running:
        assert receive_answer(running.connect(TINY)).endswith(b"\r\n\r\n%d" % Event.WRITABLE)
        for count in (1, 2, 3):  # told once, its first watch would have ended with the first of these
            far.send(b"x")
            until(lambda count=count: len(seen) == count)
    assert seen == [(b"x", Event.READABLE)] * 3
    near.close()
    far.close()


# Several watches, many times.


@pytest.mark.parametrize("rounds", [300])
def test_a_continuation_may_watch_the_same_descriptor_any_number_of_times(site, rounds, receive_answer) -> None:
    left: list[int] = []

    def go_on(request, response, worker, ends, event):
        read(ends[0], 1)
        left[0] -= 1
        if left[0]:
            write(ends[1], b"x")
            worker.watch_fd(ends[0], Interest.READABLE, go_on, ends, timeout=50)
            return Step.SUSPEND
        for fd in ends:
            close(fd)
        response.reply(200, b"at last")
        return Step.DONE

    def handle(request, response, worker):
        ends = open_pair()
        write(ends[1], b"x")
        left[:] = [rounds]
        worker.watch_fd(ends[0], Interest.READABLE, go_on, ends, timeout=50)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        assert receive_answer(client).endswith(b"at last")
        client.sendall(TINY)
        assert receive_answer(client).endswith(b"at last")


@pytest.mark.parametrize("goes_on", [True, False], ids=["each_goes_on", "the_first_answers"])
def test_watches_of_one_request_that_are_ready_in_one_tick_are_called_in_turn(site, goes_on) -> None:
    called: list[int] = []
    fds: list[int] = []

    def go_on(request, response, worker, number, event):
        called.append(number)
        if goes_on and len(called) % 3:
            return Step.SUSPEND
        response.reply(200, b"%d" % len(called))
        return Step.DONE

    def handle(request, response, worker):
        for number in range(3):
            fds.append(ready_reader())
            worker.watch_fd(fds[-1], Interest.READABLE, go_on, number)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).endswith(b"\r\n\r\n3" if goes_on else b"\r\n\r\n1")
        assert len(called) == (3 if goes_on else 1)
        for fd in fds:
            close(fd)


def test_a_continuation_may_cancel_another_watch_that_is_ready_with_it(site) -> None:
    called: list[object] = []
    watches: list[object] = []

    def go_on(request, response, worker, fds, event):
        called.append(event)
        for watch in watches:
            watch.cancel()
        for fd in fds:
            close(fd)
        response.reply(200, b"one of them")

    def handle(request, response, worker):
        fds = [ready_reader() for _ in range(5)]
        watches[:] = [worker.watch_fd(fd, Interest.READABLE, go_on, fds) for fd in fds]
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY * 4)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).count(b"one of them") == 4
        assert len(called) == 4
        watches.clear()  # a handle keeps its worker's engine


# One descriptor for many requests.


def test_a_persistent_descriptor_answers_requests_in_whatever_order_it_likes(site, receive_answer) -> None:
    """Like a multiplexed upstream: requests go out over one socket with a number, answers come back out of order."""
    near, far = socket.socketpair()
    waiting: dict[bytes, object] = {}

    def answer(request, response, worker, payload, event):
        response.reply(200, payload)

    def on_data(request, response, worker, payload, event):
        for number in near.recv(65536).split():
            waiting.pop(number).resume(answer, b"answer to " + number)

    def on_worker_start(worker):
        worker.watch_fd_persistent(near.fileno(), Interest.READABLE, on_data)

    def handle(request, response, worker):
        waiting[request.path[1:]] = worker.park()
        return Step.SUSPEND

    with site(handle, on_worker_start=on_worker_start) as running:
        clients = [running.connect(get(f"/{number}")) for number in range(60)]
        running.await_parked(60)
        for gone in (7, 30, 59):
            reset(clients[gone])
        running.await_parked(57)
        assert [waiting[b"%d" % gone].is_active for gone in (7, 30, 59)] == [False] * 3
        for step in (7, 11, 13):  # 7 * 11 * 13 passes over 0..59 in an order of its own
            order = [number * step % 60 for number in range(60)]
            far.sendall(b" ".join(b"%d" % number for number in order if b"%d" % number in waiting) + b" ")
            until(lambda: not waiting)
            for number in sorted(set(range(60)) - {7, 30, 59}):
                assert receive_answer(clients[number]).endswith(b"\r\n\r\nanswer to %d" % number)
                clients[number].sendall(get(f"/{number}"))
            running.await_parked(57)
        far.sendall(b" ".join(waiting) + b" ")
        running.await_idle()
    near.close()
    far.close()


def test_a_persistent_watch_may_cancel_itself_and_another_that_is_ready_with_it(site) -> None:
    ends = [open_pair(), open_pair()]
    called: list[int] = []
    watches: list[object] = []

    def tell(request, response, worker, number, event):
        called.append(number)
        for watch in watches:
            watch.cancel()

    def on_worker_start(worker):
        for number, (reader, _) in enumerate(ends):
            watches.append(worker.watch_fd_persistent(reader, Interest.READABLE, tell, number))

    with site(print, on_worker_start=on_worker_start) as running:
        with running.busy():
            for _, writer in ends:
                write(writer, b"x")
        running.run(int)
        running.run(int)
        assert len(called) == 1
        watches.clear()
    for pair in ends:
        for fd in pair:
            close(fd)


def test_what_a_persistent_continuation_raises_is_logged_and_its_watch_goes_on(site, caplog) -> None:
    ends = open_pair()

    def tell(request, response, worker, number, event):
        raise ValueError(read(ends[0], 100))

    def on_worker_start(worker):
        worker.watch_fd_persistent(ends[0], Interest.READABLE, tell)

    with site(print, on_worker_start=on_worker_start):
        for word in ("one", "two"):
            write(ends[1], word.encode())
            until(lambda word=word: word in caplog.text)
    for fd in ends:
        close(fd)
