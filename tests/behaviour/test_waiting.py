"""Requests that wait: on descriptors, timers, and calls from other threads. Nobody else waits with them."""

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
    is_open,
    open_pair,
    read,
    ready_reader,
    reset,
    until,
    with_end,
    write,
)
from vanilla import Event, Interest, Limits, Server, Step
from vanilla.testing import Round, Script, ask, count, drive, eof, frames, repeat


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def answer(request, response, worker, payload, event):
    """A continuation that answers with what it was handed."""
    response.reply(200, b"%b after %b" % (request.path, payload))


@contextlib.contextmanager
def connected(config):
    """A running server, and a client of it."""
    with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        yield server, client


def on_pipe(request, response, worker):
    """Parks on a pipe for /async, answers everything else at once."""

    def finish(request, response, worker, fd, event):
        data = read(fd, 100)
        close(fd)
        response.reply(200, b"async " + data + b" %d" % with_end(event))

    if request.path != b"/async":
        response.reply(200, request.path)
        return Step.DONE
    fd = ready_reader()
    worker.watch_fd(fd, Interest.READABLE, finish, fd)
    return Step.SUSPEND


def test_a_request_that_waits_is_answered_by_its_continuation_only(configure) -> None:
    results = drive(configure(on_pipe), repeat(16, ask(get("/async"))))
    assert [result.bodies for result in results] == [[b"async x %d" % (Event.READABLE | Event.HANGUP)]] * 16
    assert (results.counters.parked, results.counters.in_flight, results.counters.open) == (0, 0, 0)


def test_pipelined_requests_behind_one_that_waits_are_answered_in_order(configure) -> None:
    paths = ["/async", "/1", "/async", "/async", "/2", "/3"] * 10
    results = drive(configure(on_pipe), [ask(b"".join(map(get, paths)), frames(60))])
    wanted = [b"async x 5" if path == "/async" else path.encode() for path in paths]
    assert results[0].bodies == wanted


def test_a_request_split_behind_one_that_waits_is_answered_once_it_is_whole(configure) -> None:
    rounds = [Round(send=[get("/async") + get("/1")[:9], get("/1")[9:]], until=frames(2))]
    results = drive(configure(on_pipe), [Script(rounds=rounds)])
    assert results[0].bodies == [b"async x 5", b"/1"]


def test_others_are_served_while_one_waits(configure, receive_answer) -> None:
    handles = {}

    def handle(request, response, worker):
        if request.path == b"/wait":
            handles["parked"] = worker.park()
            return Step.SUSPEND
        if request.path == b"/go":
            handles["parked"].resume(answer, b"go")
        response.reply(200, request.path)
        return Step.DONE

    with Server(configure(handle, port=0)) as server, contextlib.ExitStack() as stack:
        one, two = (
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)) for _ in range(2)
        )
        one.sendall(get("/wait"))
        until(lambda: server.counters().parked)
        for path in (b"/1", b"/2", b"/go"):
            two.sendall(get(path.decode()))
            assert receive_answer(two).endswith(path)
        assert receive_answer(one).endswith(b"/wait after go")
        assert server.counters().parked == 0


def test_a_chain_of_waits_uses_one_descriptor_after_the_other(configure) -> None:
    def second(request, response, worker, fd, event):
        close(fd)
        response.reply(200, b"chained")

    def first(request, response, worker, fd, event):
        close(fd)
        following = ready_reader()
        worker.watch_fd(following, Interest.READABLE, second, following)
        return Step.SUSPEND

    def handle(request, response, worker):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, first, fd)
        return Step.SUSPEND

    results = drive(configure(handle), repeat(8, ask(get("/") * 3, frames(3))))
    assert [result.bodies for result in results] == [[b"chained"] * 3] * 8


def test_a_descriptor_is_read_piece_by_piece_by_watching_it_again(configure) -> None:
    def more(request, response, worker, fd, event):
        data = read(fd, 3)
        if data:
            response.write(b"%x\r\n%b\r\n" % (len(data), data))
            worker.watch_fd(fd, Interest.READABLE, more, fd)
            return Step.SUSPEND
        close(fd)
        response.write(b"0\r\n\r\n")
        return Step.DONE

    def handle(request, response, worker):
        fd = ready_reader(b"piece by piece")
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        worker.watch_fd(fd, Interest.READABLE, more, fd)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(get("/") * 2, frames(2))])
    assert results[0].bodies == [b"piece by piece"] * 2


def test_what_was_appended_before_waiting_is_sent_at_once(configure) -> None:
    handles = []

    def end(request, response, worker, payload, event):
        response.write(b"end")
        return Step.CLOSE

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nbegin\n")
        handles.append(worker.park())
        return Step.SUSPEND

    with connected(configure(handle, port=0)) as (server, client), client.makefile("rb") as received:
        client.sendall(get("/"))
        while (line := received.readline()) != b"begin\n":
            assert line
        server.workers[0].post(handles[0].resume, end)
        assert received.read() == b"end"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_the_head_of_an_answer_that_waits_says_whether_the_connection_goes_on(configure, version) -> None:
    def end(request, response, worker, payload, event):
        response.write(b"two")

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")
        worker.park().resume(end)
        return Step.SUSPEND

    request = f"GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    results = drive(configure(handle), [ask(request, eof)])
    assert results[0].bodies == [b"onetwo"]
    assert results[0].frames[0].closes


@pytest.mark.parametrize("request_end", [b"1.1\r\nHost: a\r\n\r\n", b"1.0\r\nConnection: keep-alive\r\n\r\n"])
def test_an_answer_of_unknown_length_ends_with_the_connection(configure, request_end) -> None:
    def end(request, response, worker, payload, event):
        response.write(b"two")

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\none")
        worker.park().resume(end)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(b"GET / HTTP/" + request_end + get("/never"), eof)])
    assert results[0].raw.endswith(b"\r\n\r\nonetwo")
    assert results[0].raw.count(b"Connection: close") == 1


def test_an_answer_to_head_has_no_content_however_late_it_comes(configure) -> None:
    def end(request, response, worker, payload, event):
        response.write(b"content")

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
        worker.park().resume(end)
        return Step.SUSPEND

    head = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
    results = drive(configure(handle), [ask(head + head, count(b"\r\n\r\n", 2))])
    assert results[0].raw.count(b"content") == 0


def test_a_request_that_waited_is_timed_like_any_other(configure) -> None:
    timings = []

    def end(request, response, worker, payload, event):
        response.write(payload)

    def handle(request, response, worker):
        parked = worker.park()
        if request.path == b"/streams":
            response.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nab")
            worker.call_later(0.01, parked.resume, end, b"cde")
        elif request.path == b"/ends_empty":
            response.write(b"HTTP/1.1 203 OK\r\nContent-Length: 2\r\n\r\nab")
            worker.call_later(0.01, parked.resume, end, b"")
        else:
            worker.call_later(0.01, parked.resume, answer, b"a timer")
        return Step.SUSPEND

    paths = ["/streams", "/ends_empty", "/at_once"]
    results = drive(configure(handle, on_timing=timings.append), [ask(b"".join(map(get, paths)), frames(3))])
    assert [timing.target.decode() for timing in timings] == paths
    assert [timing.status for timing in timings] == [202, 203, 200]
    assert sum(timing.response_bytes for timing in timings) == len(results[0].raw)
    for timing in timings[:1] + timings[2:]:
        assert timing.received_ns <= timing.entered_ns < timing.returned_ns <= timing.sent_ns
    assert 0 < timings[1].sent_ns <= timings[1].returned_ns  # its last byte was taken before it was over


def test_a_watch_whose_time_is_up_says_so(configure) -> None:
    def late(request, response, worker, ends, event):
        for fd in ends:
            close(fd)
        response.reply(504, b"%d" % event)

    def handle(request, response, worker):
        ends = open_pair()
        worker.watch_fd(ends[0], Interest.READABLE, late, ends, timeout=0.02)
        return Step.SUSPEND

    results = drive(configure(handle), repeat(8, ask(get("/"))))
    assert [result.bodies for result in results] == [[b"%d" % Event.TIMEOUT]] * 8


def test_a_watch_without_a_time_of_its_own_has_the_listeners(configure) -> None:
    def late(request, response, worker, ends, event):
        for fd in ends:
            close(fd)
        response.reply(504, b"%d" % event)

    def handle(request, response, worker):
        ends = open_pair()
        worker.watch_fd(ends[0], Interest.READABLE, late, ends)
        return Step.SUSPEND

    results = drive(configure(handle, limits=Limits(suspend_timeout=0.02)), [ask(get("/"))])
    assert results[0].bodies == [b"%d" % Event.TIMEOUT]
    assert results.counters.limits_reached == {"suspend_timeout": 1}


def test_the_time_that_a_listener_gives_a_watch_is_not_cut_to_whole_seconds(configure) -> None:
    seconds = 0.05

    def late(request, response, worker, waited, event):
        for fd in waited[:2]:
            close(fd)
        response.reply(504, b"%d" % (time.monotonic() - waited[2] >= seconds))

    def handle(request, response, worker):
        reader, writer = open_pair()
        worker.watch_fd(reader, Interest.READABLE, late, (reader, writer, time.monotonic()))
        return Step.SUSPEND

    results = drive(configure(handle, limits=Limits(suspend_timeout=seconds)), [ask(get("/"))])
    assert results[0].bodies == [b"1"]


def test_of_several_watches_the_first_that_is_ready_goes_on_and_the_rest_are_dropped(configure) -> None:
    silent: list[int] = []

    def finish(request, response, worker, fd, event):
        close(fd)
        response.reply(200, b"ready")

    def handle(request, response, worker):
        fd, (reader, writer) = ready_reader(), open_pair()
        silent.extend((reader, writer))
        worker.watch_fd(reader, Interest.READABLE, finish, reader)
        worker.watch_fd(fd, Interest.READABLE, finish, fd)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(get("/"))])
    assert results[0].bodies == [b"ready"]
    assert [is_open(fd) for fd in silent] == [True, True]  # a watch that was dropped leaves its descriptor alone
    for fd in silent:
        close(fd)


def test_a_persistent_watch_answers_any_number_of_requests(configure) -> None:
    waiting = []

    def make_state():
        return open_pair()

    def tell(request, response, worker, payload, event):
        response.reply(200, payload)

    def on_data(request, response, worker, payload, event):
        data = read(worker.state[0], 100)
        while waiting:
            waiting.pop().resume(tell, data)

    def on_worker_start(worker):
        worker.watch_fd_persistent(worker.state[0], Interest.READABLE, on_data)

    def handle(request, response, worker):
        waiting.append(worker.park())
        if len(waiting) == 4:
            write(worker.state[1], b"news")
        return Step.SUSPEND

    config = configure(handle, make_state=make_state, on_worker_start=on_worker_start)
    results = drive(config, repeat(4, Script(rounds=[Round(send=get("/"), until=frames(n)) for n in (1, 2, 3)])))
    assert [result.bodies for result in results] == [[b"news"] * 3] * 4


def test_a_client_that_goes_away_while_its_request_waits_leaves_nothing_behind(configure) -> None:
    seen: list[object] = []

    def never(request, response, worker, payload, event):
        seen.append("continuation")

    def handle(request, response, worker):
        reader, writer = open_pair()
        seen.append((request, reader, writer))
        worker.watch_fd(reader, Interest.READABLE, never, "payload", on_disconnect=seen.append)
        return Step.SUSPEND

    with Server(configure(handle, port=0)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        until(lambda: server.counters().parked)
        request, reader, writer = seen[0]
        assert not request.disconnected
        reset(client)
        until(lambda: server.counters().open == 0 and server.counters().parked == 0)
        assert seen[1:] == ["payload"]
        assert (request.disconnected, request.client_fd) == (True, -1)
        until(lambda: not is_open(reader))
        assert is_open(writer)
        close(writer)
        assert server.counters().in_flight == 0


def test_a_client_that_only_shuts_its_writing_side_while_it_waits_is_answered(configure, receive_answer) -> None:
    handles = []

    def handle(request, response, worker):
        handles.append(worker.park())
        return Step.SUSPEND

    with connected(configure(handle, port=0)) as (server, client):
        client.sendall(get("/half"))
        until(lambda: server.counters().parked)
        client.shutdown(socket.SHUT_WR)
        server.workers[0].post(handles[0].resume, answer, b"half")
        assert receive_answer(client).endswith(b"/half after half")
        assert client.recv(1000) == b""


def test_resuming_a_request_whose_client_is_gone_does_nothing(configure) -> None:
    handles, called = [], []

    def handle(request, response, worker):
        handles.append(worker.park())
        return Step.SUSPEND

    with Server(configure(handle, port=0)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(get("/"))
        until(lambda: server.counters().parked)
        reset(client)
        until(lambda: server.counters().open == 0)
        worker = server.workers[0]
        worker.post(handles[0].resume, lambda *_: called.append(1))
        done = threading.Event()
        worker.post(worker.post, done.set)
        assert done.wait(20)
        assert (called, handles[0].is_active) == ([], False)


@pytest.mark.parametrize(
    ("outcome", "logged"),
    [
        pytest.param(ValueError("no"), "a continuation raised", id="raises"),
        pytest.param("nonsense", "returned 'nonsense'", id="returns_nonsense"),
        pytest.param(Step.SUSPEND, "watches nothing", id="suspends_on_nothing"),
        pytest.param(None, "appended no response", id="appends_nothing"),
    ],
)
def test_a_continuation_that_fails_before_it_has_sent_anything_is_a_500(configure, caplog, outcome, logged) -> None:
    def fail(request, response, worker, fd, event):
        close(fd)
        if isinstance(outcome, Exception):
            response.write(b"HTTP/1.1 200 OK\r\n")
            raise outcome
        return outcome

    def handle(request, response, worker):
        if request.path == b"/":
            fd = ready_reader()
            worker.watch_fd(fd, Interest.READABLE, fail, fd)
            return Step.SUSPEND
        response.reply(200, b"fine")
        return Step.DONE

    results = drive(configure(handle), [ask(get("/") + get("/2"), eof), ask(get("/3"))])
    assert [result.statuses for result in results] == [[500], [200]]
    assert logged in caplog.text
    assert results.counters.parked == 0


def test_a_continuation_that_fails_after_the_head_was_sent_cuts_the_answer_visibly(configure, caplog) -> None:
    def fail(request, response, worker, payload, event):
        response.write(b"5\r\nnever\r\n")
        raise ValueError("too late")

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        worker.park().resume(fail)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(get("/") + get("/2"), eof)])
    assert results[0].raw.endswith(b"4\r\npart\r\n")
    assert "too late" in caplog.text


def closed_fd() -> int:
    fd = ready_reader()
    close(fd)
    return fd


def file_fd() -> int:
    return os.open(__file__, os.O_RDONLY)


NO_FILES = "no socket" if IS_WINDOWS else "regular file"


@pytest.mark.parametrize(
    ("make_fd", "interest", "error", "reason"),
    [
        pytest.param(closed_fd, Interest.READABLE, OSError, "not open", id="closed"),
        pytest.param(lambda: -1, Interest.READABLE, OSError, "not open", id="negative"),
        pytest.param(file_fd, Interest.READABLE, OSError, NO_FILES, id="file"),
        pytest.param(ready_reader, 0, ValueError, "interest 0", id="no_interest"),
        pytest.param(ready_reader, 7, ValueError, "interest 7", id="unknown_interest"),
    ],
)
def test_what_cannot_be_watched_is_said_at_once(configure, make_fd, interest, error, reason) -> None:
    def handle(request, response, worker):
        fd = make_fd()
        try:
            worker.watch_fd(fd, interest, answer)
        except error as refusal:
            response.reply(200, str(refusal).encode())
        with contextlib.suppress(OSError):
            (os.close if make_fd is file_fd else close)(fd)

    results = drive(configure(handle), [ask(get("/") * 2, frames(2))])
    assert [reason in body.decode() for body in results[0].bodies] == [True, True]


def test_a_descriptor_that_is_watched_already_is_refused(configure) -> None:
    def finish(request, response, worker, fd, event):
        close(fd)
        response.reply(200, b"once")

    def handle(request, response, worker):
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, finish, fd)
        with pytest.raises(ValueError, match="watched already"):
            worker.watch_fd(fd, Interest.READABLE, finish, fd)
        return Step.SUSPEND

    assert drive(configure(handle), [ask(get("/"))])[0].bodies == [b"once"]


def test_a_handler_that_watches_and_then_answers_leaves_no_watch(configure) -> None:
    fds: list[int] = []

    def handle(request, response, worker):
        fd = ready_reader()
        fds.append(fd)
        worker.watch_fd(fd, Interest.READABLE, answer)
        response.reply(200, b"at once")

    results = drive(configure(handle), [ask(get("/") * 3, frames(3))])
    assert results[0].bodies == [b"at once"] * 3
    for fd in fds:
        close(fd)


def test_watching_outside_a_request_takes_a_persistent_watch(configure) -> None:
    refused: list[str] = []

    def on_worker_start(worker):
        for register in (lambda: worker.watch_fd(0, Interest.READABLE, answer), worker.park):
            with pytest.raises(RuntimeError) as refusal:
                register()
            refused.append(str(refusal.value))

    def handle(request, response, worker):
        response.reply(200)

    drive(configure(handle, on_worker_start=on_worker_start), [ask(get("/"))])
    assert ["outside a request" in text for text in refused] == [True, True]


def test_timers_are_called_in_the_order_they_are_due_and_never_early(configure) -> None:
    called: list[tuple[int, bool]] = []
    over = threading.Event()

    def on_worker_start(worker):
        began = time.monotonic()
        for index, seconds in enumerate((0.03, 0.01, 0.02, 0.0)):
            worker.call_later(seconds, lambda i=index, at=began + seconds: called.append((i, time.monotonic() >= at)))
        worker.call_later(0.015, called.append, "cancelled").cancel()
        worker.call_later(0.016, lambda: 1 / 0)
        worker.call_at(began + 0.04, over.set)

    with Server(configure(on_pipe, port=0, on_worker_start=on_worker_start)):
        assert over.wait(20)
    assert called == [(3, True), (1, True), (2, True), (0, True)]


def test_a_timer_may_cancel_another_that_is_due_with_it(configure) -> None:
    called: list[str] = []
    over = threading.Event()

    def on_worker_start(worker):
        timers = []
        when = time.monotonic() + 0.01
        worker.call_at(when - 0.001, lambda: timers[0].cancel())
        timers.append(worker.call_at(when, called.append, "cancelled"))
        until(lambda: time.monotonic() > when)  # both are due in the first tick
        worker.call_later(0.01, over.set)

    with Server(configure(on_pipe, port=0, on_worker_start=on_worker_start)):
        assert over.wait(20)
    assert called == []


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e12])
def test_a_timer_for_a_time_that_cannot_be_is_refused(configure, seconds) -> None:
    def on_worker_start(worker):
        with pytest.raises(ValueError, match="seconds"):
            worker.call_later(seconds, print)

    with Server(configure(on_pipe, port=0, on_worker_start=on_worker_start)):
        pass


def test_posts_from_many_threads_all_run_on_the_worker_in_each_threads_order(configure) -> None:
    got: list[tuple[int, int]] = []
    threads_seen: set[int] = set()

    def note(thread: int, number: int) -> None:
        threads_seen.add(threading.get_ident())
        got.append((thread, number))

    with Server(configure(on_pipe, port=0)) as server:
        worker = server.workers[0]

        def post_all(thread: int) -> None:
            for number in range(500):
                worker.post(note, thread, number)

        threads = [threading.Thread(target=post_all, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: len(got) == 2000)
    assert [sorted(got)[i::1][0:0] for i in (0,)] == [[]]
    assert [[number for thread, number in got if thread == index] for index in range(4)] == [list(range(500))] * 4
    assert len(threads_seen) == 1


def test_a_worker_that_has_ended_takes_no_more_calls(configure) -> None:
    with Server(configure(on_pipe, port=0)) as server:
        worker = server.workers[0]
    with pytest.raises(RuntimeError, match="ended"):
        worker.post(print)


def test_many_requests_wait_at_once(configure) -> None:
    def finish(parked):
        parked.resume(answer, b"timer")

    def handle(request, response, worker):
        worker.call_later(0.05, finish, worker.park())
        return Step.SUSPEND

    results = drive(configure(handle), repeat(1000, ask(get("/"))))
    assert {tuple(result.bodies) for result in results} == {(b"/ after timer",)}
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


def test_a_shutdown_waits_for_requests_that_wait_and_abandons_them_after_its_grace(configure, receive_answer) -> None:
    seen: list[object] = []

    def handle(request, response, worker):
        reader, writer = open_pair()
        seen.append((request, reader, writer))
        if request.path == b"/soon":
            worker.call_later(0.1, worker.park().resume, answer, b"a moment")
        worker.watch_fd(reader, Interest.READABLE, answer, b"never", on_disconnect=seen.append)
        return Step.SUSPEND

    server = Server(configure(handle, port=0))
    server.start()
    clients = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(2)]
    for client, path in zip(clients, ("/soon", "/never"), strict=True):
        client.sendall(get(path))
    until(lambda: server.counters().parked == 2)
    server.shutdown(0.5)
    assert receive_answer(clients[0]).endswith(b"/soon after a moment")
    assert clients[1].recv(1000) == b""
    assert seen[2:] == [b"never"]
    assert server.counters().parked == 0
    for request, reader, writer in seen[:2]:
        assert is_open(reader) == (request.path == b"/soon")
        for fd in (reader, writer):
            with contextlib.suppress(OSError):
                close(fd)
    for client in clients:
        client.close()
