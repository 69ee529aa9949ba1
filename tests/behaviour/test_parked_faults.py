"""What goes wrong while requests wait: clients leave, continuations fail, descriptors are reused, the server ends.

After each nothing is left: no parked request, no descriptor, nothing in flight.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
import time

import pytest

from vanilla import Event, Interest, Limits, Server, Step
from vanilla.testing import Round, Script, ask, drive, eof, frames, repeat

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWERS_END = b"\r\n\r\n"


def get(path: str, version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n\r\n".encode()


def ready_pipe(data: bytes = b"x") -> int:
    """The read end of a pipe that holds `data` and is closed at its other end."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def is_open(fd: int) -> bool:
    with contextlib.suppress(OSError):
        os.fstat(fd)
        return True
    return False


def count_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


def reset(client: socket.socket) -> None:
    """Go away without a word: the server sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def until(condition) -> None:
    """Wait for what another thread does; the test's own time limit ends it."""
    while not condition():
        os.sched_yield()


def read_to_end(client: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65536):
            data += piece
    return data


class Site:
    """A running server of one worker that must leave nothing behind, and clients of it."""

    def __init__(self, config) -> None:
        self.fds_before = count_fds()
        self.config = config
        self.clients: list[socket.socket] = []

    def __enter__(self) -> Site:
        self.server = Server(self.config)
        self.server.start()
        self.worker = self.server.workers[0]
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.end(5)
            counters = self.server.counters()
            assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
            assert count_fds() == self.fds_before
        else:
            self.end(0)

    def end(self, grace: float) -> None:
        """Close the clients and shut down; what happens to what still waits is for the grace to say."""
        for client in self.clients:
            client.close()
        self.server.shutdown(grace)

    def connect(self, sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.server.port), timeout=20)
        self.clients.append(client)
        client.sendall(sent)
        return client

    def run(self, function, *args):
        """Call it on the worker's thread, and wait for what it returns."""
        done = threading.Event()
        results = []

        def call() -> None:
            try:
                results.append(function(*args))
            finally:
                done.set()

        self.worker.post(call)
        assert done.wait(20)
        return results[0]

    @contextlib.contextmanager
    def busy(self):
        """The worker is inside a call: all that happens meanwhile comes to it in one wait."""
        entered, leave = threading.Event(), threading.Event()

        def stay() -> None:
            entered.set()
            assert leave.wait(20)

        self.worker.post(stay)
        assert entered.wait(20)
        try:
            yield
        finally:
            leave.set()

    def await_parked(self, count: int) -> None:
        until(lambda: self.server.counters().parked == count)

    def await_idle(self) -> None:
        """Nothing waits any more, and whoever is told of that has been told."""
        until(lambda: (counters := self.server.counters()).parked == counters.in_flight == 0)
        self.run(int)


@pytest.fixture
def site(configure):
    return lambda handler, **settings: Site(configure(handler, port=0, **settings))


# Clients that leave.


class Pipes:
    """Parks each request on a pipe of its own, whose writer stays here; notes whatever is called."""

    def __init__(self, **watching) -> None:
        self.watching = watching
        self.writers: list[int] = []
        self.readers: list[int] = []
        self.requests: list[object] = []
        self.seen: list[object] = []

    def __call__(self, request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        return self.watch(request, worker)

    def watch(self, request, worker):
        reader, writer = os.pipe()
        self.readers.append(reader)
        self.writers.append(writer)
        self.requests.append(request)
        worker.watch_fd(
            reader, Interest.READABLE, self.go_on, reader, on_disconnect=self.on_disconnect, **self.watching
        )
        return Step.SUSPEND

    def go_on(self, request, response, worker, fd, event):
        self.seen.append(("continuation", event))
        data = os.read(fd, 100) if event & Event.READABLE else b"nothing"
        os.close(fd)
        if data == b"again":
            return self.watch(request, worker)
        response.reply(200, data)
        return Step.DONE

    def on_disconnect(self, fd) -> None:
        self.seen.append(("disconnected", fd, is_open(fd)))

    def close(self) -> None:
        for fd in self.writers:
            os.close(fd)
        self.writers.clear()


def test_a_client_that_leaves_in_the_same_tick_as_the_readiness_is_not_gone_on_with(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        with running.busy():
            os.write(pipes.writers[0], b"too late")
            reset(client)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert not is_open(pipes.readers[0])
        assert (pipes.requests[0].disconnected, pipes.requests[0].client_fd) == (True, -1)
        pipes.close()


def test_a_client_that_leaves_in_the_same_tick_as_the_timeout_is_not_gone_on_with(site) -> None:
    pipes = Pipes(timeout=0.005)
    clients: list[socket.socket] = []

    def handle(request, response, worker):
        step = pipes(request, response, worker)
        due = time.monotonic() + 0.01
        reset(clients.pop())
        until(lambda: time.monotonic() > due)
        return step

    with site(handle) as running:
        for number in range(1, 21):
            clients.append(running.connect())
            clients[0].sendall(TINY)
            until(lambda number=number: len(pipes.seen) == number)
        assert {kind for kind, *_ in pipes.seen} == {"disconnected"}
        running.await_idle()
        assert [is_open(fd) for fd in set(pipes.readers)] == [False] * len(set(pipes.readers))
        pipes.close()


def test_a_client_whose_request_and_reset_come_at_once_is_gone_all_the_same(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(get("/plain"))
        assert client.recv(1000).endswith(b"plain")
        with running.busy():
            client.sendall(TINY)
            reset(client)
        until(lambda: running.server.counters().open == 0)
        running.await_idle()
        assert {kind for kind, *_ in pipes.seen} <= {"disconnected"}  # what is known to be gone need not be begun
        assert [is_open(fd) for fd in pipes.readers] == [False] * len(pipes.readers)
        pipes.close()


def test_a_unix_client_whose_request_and_end_come_at_once_is_gone_all_the_same(configure, tmp_path) -> None:
    pipes = Pipes()
    path = str(tmp_path / "socket")
    with Server(configure(pipes, uds=path)) as server:
        worker = server.workers[0]
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(20)
        client.connect(path)
        client.sendall(get("/plain"))
        assert client.recv(1000).endswith(b"plain")
        entered, leave = threading.Event(), threading.Event()
        worker.post(lambda: (entered.set(), leave.wait(20)))
        assert entered.wait(20)
        client.sendall(TINY)
        client.close()
        leave.set()
        until(lambda: server.counters().open == 0)
        until(lambda: server.counters().parked == 0)
        assert {kind for kind, *_ in pipes.seen} <= {"disconnected"}
    pipes.close()


def test_a_client_that_leaves_between_two_watches_has_the_second_one_closed(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        os.write(pipes.writers[0], b"again")
        until(lambda: len(pipes.readers) == 2)
        reset(client)
        running.await_idle()
        assert pipes.seen == [("continuation", Event.READABLE), ("disconnected", pipes.readers[1], True)]
        assert not is_open(pipes.readers[1])
        pipes.close()


def test_a_client_that_leaves_while_its_continuation_runs_has_the_next_watch_closed(site) -> None:
    pipes = Pipes()
    clients: list[socket.socket] = []

    def go_on(request, response, worker, fd, event):
        os.close(fd)
        reset(clients[0])
        return pipes.watch(request, worker)

    def handle(request, response, worker):
        fd = ready_pipe()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    with site(handle) as running:
        clients.append(running.connect())
        clients[0].sendall(TINY)
        until(lambda: running.server.counters().open == 0 and running.server.counters().requests == 1)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert not is_open(pipes.readers[0])
        pipes.close()


def test_a_client_found_gone_by_what_is_sent_to_it_ends_the_wait_at_once(site) -> None:
    pipes = Pipes()
    clients: list[socket.socket] = []

    def go_on(request, response, worker, fd, event):
        os.close(fd)
        reset(clients[0])
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart")
        return pipes.watch(request, worker)

    def handle(request, response, worker):
        fd = ready_pipe()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    with site(handle) as running:
        clients.append(running.connect())
        clients[0].sendall(TINY)
        until(lambda: running.server.counters().requests == 1)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        pipes.close()


def test_a_client_that_leaves_with_requests_behind_the_one_that_waits_leaves_none_of_them(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(TINY + get("/plain") * 5 + TINY[:7])
        running.await_parked(1)
        assert running.server.counters().in_flight == 6
        client.sendall(TINY[7:] + get("/plain") * 1000)  # these stay in the kernel: nobody reads them
        reset(client)
        running.await_idle()
        assert running.server.counters().requests == 1
        pipes.close()


def test_a_client_that_shut_its_writing_side_and_is_reset_later_is_gone(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        client.shutdown(socket.SHUT_WR)
        running.run(int)  # a tick that has seen the end
        assert running.server.counters().parked == 1
        reset(client)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        pipes.close()


def test_a_client_that_closed_in_order_is_gone_once_something_is_sent_to_it(site) -> None:
    pipes = Pipes()

    def more(request, response, worker, payload, event):
        response.write(b"4\r\nmore\r\n")
        worker.call_later(0.001, payload.resume, more, payload)
        return Step.SUSPEND

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        pipes.watch(request, worker)
        parked = worker.park()
        parked.resume(more, parked)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        while b"more" not in client.recv(1000):
            pass
        client.close()
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert pipes.requests[0].disconnected
        pipes.close()


def test_a_client_that_does_not_take_what_a_waiting_request_sent_is_let_go_of(site) -> None:
    pipes = Pipes()

    def handle(request, response, worker):
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n" + bytes(30_000_000))
        return pipes.watch(request, worker)

    with site(handle, limits=Limits(write_timeout=0.05)) as running:
        running.connect(TINY)
        until(lambda: running.server.counters().requests == 1)
        running.await_idle()
        assert pipes.seen == [("disconnected", pipes.readers[0], True)]
        assert running.server.counters().limits_reached == {"write_timeout": 1}
        pipes.close()


def test_a_client_that_sent_its_end_with_its_request_is_answered(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect()
        with running.busy():
            client.sendall(TINY * 2 + get("/plain"))
            client.shutdown(socket.SHUT_WR)
        for number in range(2):
            until(lambda number=number: len(pipes.writers) == number + 1)
            os.write(pipes.writers[number], b"answer %d" % number)
        bodies = [part.partition(ANSWERS_END)[2] for part in read_to_end(client).split(b"HTTP/1.1 200 OK\r\n")[1:]]
        assert bodies == [b"answer 0", b"answer 1", b"plain"]
        pipes.close()


def test_what_on_disconnect_raises_is_logged_and_the_descriptors_are_closed(site, caplog) -> None:
    pipes = Pipes()
    pipes.on_disconnect = lambda fd: 1 / 0
    with site(pipes) as running:
        reset(running.connect(TINY))
        until(lambda: running.server.counters().requests == 1)
        running.await_idle()
        pipes.close()
    assert "ZeroDivisionError" in caplog.text


def test_on_disconnect_may_close_the_descriptors_itself(site) -> None:
    fds: list[int] = []

    def close_both(payload) -> None:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)

    def handle(request, response, worker):
        for fd in (*os.pipe(), *os.pipe()):
            fds.append(fd)
        worker.watch_fd(fds[0], Interest.READABLE, print, on_disconnect=close_both)
        worker.watch_fd(fds[2], Interest.READABLE, print, on_disconnect=close_both)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        reset(client)
        running.await_idle()


# Descriptor numbers that are used again.


def test_an_event_of_a_closed_descriptor_never_reaches_a_watch_of_the_same_number(site) -> None:
    first, called = Pipes(), []
    second: list[int] = []

    def reuse(running_worker) -> None:
        """In the tick in which the first watch was ready and its client gone: its number is free now."""
        reader, writer = os.pipe()
        assert not is_open(first.readers[0])
        second.extend((os.dup2(reader, first.readers[0]), writer))
        os.close(reader)
        running_worker.watch_fd_persistent(second[0], Interest.READABLE, lambda *arguments: called.append(arguments))

    with site(first) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        with running.busy():
            os.write(first.writers[0], b"x")
            reset(client)
            running.worker.post(reuse, running.worker)
        running.run(int)
        assert called == []
        assert second
        running.run(lambda: os.write(second[1], b"y"))
        until(lambda: called)
        running.server.shutdown(0)
        for fd in second:
            os.close(fd)
        first.close()


def test_a_connection_that_gets_the_number_of_a_watched_descriptor_hears_nothing_of_it(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        for _ in range(20):
            bystander = running.connect(TINY)
            running.await_parked(1)
            os.write(pipes.writers[-1], b"own")
            assert bystander.recv(1000).endswith(b"own")  # its continuation has closed the descriptor
            others = [running.connect(get("/plain")) for _ in range(3)]  # one of these has got the number
            for other in others:
                assert other.recv(1000).endswith(b"plain")
            for other in others:
                other.sendall(get("/plain") * 2)
                data = b""
                while data.count(b"plain") < 2:
                    data += other.recv(1000)
        assert running.server.counters().responses_5xx == 0
        pipes.close()


def test_a_readiness_goes_before_a_timeout_that_the_worker_was_too_busy_to_notice(site) -> None:
    pipes = Pipes(timeout=0.005)

    def handle(request, response, worker):
        step = pipes(request, response, worker)
        due = time.monotonic() + 0.01
        os.write(pipes.writers[-1], b"both")
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
        duplicates.append(os.dup(fd))
        os.close(fd)
        response.reply(200, b"%d" % event)

    def handle(request, response, worker):
        fd = ready_pipe()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY * 20)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).count(b"200 OK") == 20
        for fd in duplicates:
            os.close(fd)


# Continuations that fail.


def fails_by(outcome):
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


OUTCOMES = [
    pytest.param(ValueError("its own words"), "its own words", id="raises"),
    pytest.param(SystemExit("its own words"), "its own words", id="exits"),
    pytest.param(b"nonsense", "returned b'nonsense'", id="returns_bytes"),
    pytest.param(Interest.READABLE, "READABLE", id="returns_an_interest"),
    pytest.param(Step.SUSPEND, "SUSPEND", id="suspends_on_nothing"),
]


@pytest.mark.parametrize(("outcome", "logged"), OUTCOMES)
def test_a_continuation_that_fails_after_the_head_was_sent_cuts_its_answer_and_nothing_else(
    configure, caplog, outcome, logged
) -> None:
    """By a watch: a request that suspends again without another one waits for nothing."""

    def fail(request, response, worker, fd, event):
        os.close(fd)
        response.write(b"5\r\nnever\r\n")
        return fails_by(outcome)

    def handle(request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        fd = ready_pipe()
        worker.watch_fd(fd, Interest.READABLE, fail, fd)
        return Step.SUSPEND

    fds = count_fds()
    results = drive(configure(handle), [ask(get("/plain") + get("/") + get("/plain"), eof), ask(get("/plain"))] * 4)
    assert [result.statuses for result in results[1::2]] == [[200]] * 4
    for result in results[0::2]:
        assert result.bodies[0] == b"plain"
        assert result.raw.endswith(b"4\r\npart\r\n")
    assert logged in caplog.text
    assert len([record for record in caplog.records if record.name == "vanilla"]) == 4
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)
    assert count_fds() == fds


@pytest.mark.parametrize(("outcome", "logged"), OUTCOMES)
def test_a_second_continuation_that_fails_before_anything_was_sent_is_a_500(configure, caplog, outcome, logged) -> None:
    def fail(request, response, worker, fd, event):
        os.close(fd)
        response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return fails_by(outcome)

    def go_on(request, response, worker, fd, event):
        os.close(fd)
        return watch(worker, fail)

    def watch(worker, continuation):
        fd = ready_pipe()
        worker.watch_fd(fd, Interest.READABLE, continuation, fd)
        return Step.SUSPEND

    def handle(request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        return watch(worker, go_on)

    fds = count_fds()
    results = drive(configure(handle), repeat(4, ask(get("/plain") + get("/") + get("/plain"), eof)))
    assert [result.statuses for result in results] == [[200, 500]] * 4
    assert {(result.rest, result.reset) for result in results} == {(b"", False)}
    assert logged in caplog.text
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)
    assert count_fds() == fds


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="half_a_head"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n", id="only_an_interim_one"),
        pytest.param(b"no head", id="no_head"),
    ],
)
@pytest.mark.parametrize("where", ["handler", "continuation"])
def test_what_suspends_behind_no_whole_head_is_a_500(configure, caplog, wire, where) -> None:
    def go_on(request, response, worker, payload, event):
        return suspend(response, worker)

    def suspend(response, worker):
        reader, writer = os.pipe()
        response.write(wire)
        worker.watch_fd(reader, Interest.READABLE, print)
        for fd in (reader, writer):
            os.close(fd)
        return Step.SUSPEND

    def handle(request, response, worker):
        if where == "handler":
            return suspend(response, worker)
        worker.park().resume(go_on)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(TINY, eof)])
    assert (results[0].statuses, results[0].rest) == ([500], b"")
    assert [record.levelname for record in caplog.records if record.name == "vanilla"] == ["ERROR"]
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


def test_a_handler_that_suspends_on_a_watch_it_has_cancelled_is_a_500_that_says_so(configure, caplog) -> None:
    def handle(request, response, worker):
        reader, writer = os.pipe()
        worker.watch_fd(reader, Interest.READABLE, print).cancel()
        for fd in (reader, writer):
            os.close(fd)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(TINY, eof)])
    assert results[0].statuses == [500]
    assert "watches nothing" in caplog.text


def test_a_handler_that_fails_behind_its_watch_leaves_none(configure, caplog) -> None:
    fds: list[int] = []

    def handle(request, response, worker):
        fds.append(ready_pipe())
        worker.watch_fd(fds[-1], Interest.READABLE, lambda *_: fds.append(-1))
        raise ValueError("behind its watch")

    results = drive(configure(handle), repeat(4, ask(TINY, eof)))
    assert [result.statuses for result in results] == [[500]] * 4
    assert len(fds) == 4
    assert [os.close(fd) for fd in fds] == [None] * 4
    assert "behind its watch" in caplog.text


@pytest.mark.parametrize("step", [Step.DONE, Step.CLOSE, None])
def test_a_continuation_that_watches_and_then_answers_leaves_no_watch(configure, step) -> None:
    fds: list[int] = []

    def go_on(request, response, worker, fd, event):
        os.close(fd)
        fds.append(ready_pipe())
        worker.watch_fd(fds[-1], Interest.READABLE, lambda *_: fds.append(-1))
        response.reply(200, b"at once")
        return step

    def handle(request, response, worker):
        fd = ready_pipe()
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)
        return Step.SUSPEND

    results = drive(configure(handle), repeat(4, ask(TINY)))
    assert [result.bodies for result in results] == [[b"at once"]] * 4
    assert len(fds) == 4
    assert [os.close(fd) for fd in fds] == [None] * 4


def test_a_request_kept_by_its_handler_names_no_descriptor_once_it_is_answered(site) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(TINY)
        running.await_parked(1)
        assert is_open(pipes.requests[0].client_fd)
        os.write(pipes.writers[0], b"done")
        assert client.recv(1000).endswith(b"done")
        assert pipes.requests[0].client_fd == -1
        assert not pipes.requests[0].disconnected
        pipes.close()


# Watches that never fire, and ones that cannot be.


def test_a_watch_that_never_fires_waits_until_its_client_leaves(site) -> None:
    """No limit of the connection's covers a request that waits: none of these ends it."""
    limits = Limits(read_timeout=0.02, keepalive_timeout=0.02, write_timeout=0.02)
    pipes = Pipes()
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


def test_a_time_given_to_the_watch_wins_over_the_listeners(site) -> None:
    pipes = Pipes(timeout=0.02)
    with site(pipes, limits=Limits(suspend_timeout=1000)) as running:
        client = running.connect(TINY)
        assert client.recv(1000).endswith(b"nothing")
        assert pipes.seen == [("continuation", Event.TIMEOUT)]
        assert running.server.counters().limits_reached == {}
        pipes.close()


def test_each_watch_of_a_chain_has_the_listeners_time_anew(site) -> None:
    pipes = Pipes()

    def handle(request, response, worker):
        step = pipes(request, response, worker)
        os.write(pipes.writers[0], b"again")
        return step

    with site(handle, limits=Limits(suspend_timeout=0.2)) as running:
        client = running.connect(TINY)
        assert client.recv(1000).endswith(b"nothing")
        assert pipes.seen == [("continuation", Event.READABLE), ("continuation", Event.TIMEOUT)]
        assert running.server.counters().limits_reached == {"suspend_timeout": 1}
        pipes.close()


def test_a_persistent_watch_whose_time_is_up_is_told_once_and_goes_on(site) -> None:
    told: list[Event] = []
    ends = os.pipe()

    def tell(request, response, worker, payload, event):
        told.append(event)
        if event & Event.READABLE:
            os.read(ends[0], 100)

    def on_worker_start(worker):
        worker.watch_fd_persistent(ends[0], Interest.READABLE, tell, timeout=0.01)

    with site(print, on_worker_start=on_worker_start) as running:
        until(lambda: told == [Event.TIMEOUT])
        os.write(ends[1], b"x")
        until(lambda: told == [Event.TIMEOUT, Event.READABLE])
        running.run(int)
        assert len(told) == 2
    for fd in ends:
        os.close(fd)


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "soon"])
def test_a_watch_refused_for_its_timeout_watches_nothing(site, timeout) -> None:
    outcomes: list[object] = []

    def go_on(request, response, worker, fd, event):
        os.close(fd)
        response.reply(200, b"%d" % event)

    def handle(request, response, worker):
        fd = ready_pipe()
        with pytest.raises((ValueError, TypeError)) as refusal:
            worker.watch_fd(fd, Interest.READABLE, print, timeout=timeout)
        with pytest.raises((ValueError, TypeError)):
            worker.watch_fd_persistent(fd, Interest.READABLE, print, timeout=timeout)
        outcomes.append(refusal.type)
        worker.watch_fd(fd, Interest.READABLE, go_on, fd)  # not "watched already"
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        assert client.recv(1000).endswith(b"%d" % (Event.READABLE | Event.HANGUP))
        assert len(outcomes) == 1


def test_the_clients_own_descriptor_cannot_be_watched(site) -> None:
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
            assert client.recv(1000).endswith(path)
        assert len(refusals) == 6


def test_a_descriptor_may_be_watched_again_once_its_watch_is_cancelled(configure) -> None:
    def go_on(request, response, worker, fd, event):
        os.close(fd)
        response.reply(200, b"once")

    def handle(request, response, worker):
        fd = ready_pipe()
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
    duplicate = os.dup(far.fileno())
    far.close()
    os.set_inheritable(duplicate, False)
    FAR_ENDS.append(duplicate)
    return near.detach()


FAR_ENDS: list[int] = []
BOTH = Interest.READABLE | Interest.WRITABLE


@pytest.mark.parametrize(
    ("make_fd", "interest", "event"),
    [
        pytest.param(ready_pipe, Interest.READABLE, Event.READABLE | Event.HANGUP, id="data_then_end"),
        pytest.param(reader_without_writer, Interest.READABLE, Event.HANGUP, id="end"),
        pytest.param(writer_without_reader, Interest.WRITABLE, Event.WRITABLE | Event.ERROR, id="nobody_reads"),
        pytest.param(half_closed_socket, BOTH, Event.READABLE | Event.WRITABLE | Event.HANGUP, id="socket_end"),
        pytest.param(writable_socket, BOTH, Event.WRITABLE, id="room"),
    ],
)
def test_a_continuation_is_told_what_its_descriptor_came_to(configure, make_fd, interest, event) -> None:
    def tell(request, response, worker, fd, event):
        os.close(fd)
        response.reply(200, b"%d" % event)

    def handle(request, response, worker):
        fd = make_fd()
        worker.watch_fd(fd, interest, tell, fd)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(TINY * 3, frames(3))])
    assert results[0].bodies == [b"%d" % event] * 3
    while FAR_ENDS:
        os.close(FAR_ENDS.pop())


# Several watches, many times.


@pytest.mark.parametrize("rounds", [300])
def test_a_continuation_may_watch_the_same_descriptor_any_number_of_times(site, rounds) -> None:
    left: list[int] = []

    def go_on(request, response, worker, ends, event):
        os.read(ends[0], 1)
        left[0] -= 1
        if left[0]:
            os.write(ends[1], b"x")
            worker.watch_fd(ends[0], Interest.READABLE, go_on, ends, timeout=50)
            return Step.SUSPEND
        for fd in ends:
            os.close(fd)
        response.reply(200, b"at last")
        return Step.DONE

    def handle(request, response, worker):
        ends = os.pipe()
        os.write(ends[1], b"x")
        left[:] = [rounds]
        worker.watch_fd(ends[0], Interest.READABLE, go_on, ends, timeout=50)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        assert client.recv(1000).endswith(b"at last")
        client.sendall(TINY)
        assert client.recv(1000).endswith(b"at last")


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
            fds.append(ready_pipe())
            worker.watch_fd(fds[-1], Interest.READABLE, go_on, number)
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).endswith(b"\r\n\r\n3" if goes_on else b"\r\n\r\n1")
        assert len(called) == (3 if goes_on else 1)
        for fd in fds:
            os.close(fd)


def test_a_continuation_may_cancel_another_watch_that_is_ready_with_it(site) -> None:
    called: list[object] = []
    watches: list[object] = []

    def go_on(request, response, worker, fds, event):
        called.append(event)
        for watch in watches:
            watch.cancel()
        for fd in fds:
            os.close(fd)
        response.reply(200, b"one of them")

    def handle(request, response, worker):
        fds = [ready_pipe() for _ in range(5)]
        watches[:] = [worker.watch_fd(fd, Interest.READABLE, go_on, fds) for fd in fds]
        return Step.SUSPEND

    with site(handle) as running:
        client = running.connect(TINY * 4)
        client.shutdown(socket.SHUT_WR)
        assert read_to_end(client).count(b"one of them") == 4
        assert len(called) == 4
        watches.clear()  # a handle keeps its worker's engine


# Pipelines behind a request that waits.


@pytest.mark.parametrize(
    ("behind", "statuses"),
    [
        pytest.param(b"", [200], id="nothing"),
        pytest.param(get("/plain") + b"GET / HTTP/1.1\r\n\r\n", [200, 200, 400], id="a_refused_one"),
        pytest.param(b"\0", [200, 400], id="garbage"),
        pytest.param(get("/plain") * 40 + b"BAD\r\n\r\n" + get("/plain"), [200] * 41 + [400], id="a_refused_one_late"),
        pytest.param(
            get("/plain") + b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", [200] * 2, id="half"
        ),
    ],
)
def test_what_stands_behind_a_request_that_waits_is_answered_after_it(site, behind, statuses) -> None:
    pipes = Pipes()
    with site(pipes) as running:
        client = running.connect(TINY + behind)
        running.await_parked(1)
        client.shutdown(socket.SHUT_WR)
        running.run(int)
        os.write(pipes.writers[0], b"first")
        data = read_to_end(client)
        assert [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]] == statuses
        assert data.partition(ANSWERS_END)[2].startswith(b"first")
        pipes.close()


def test_an_incomplete_request_behind_one_that_waits_is_prompted_and_answered_in_its_turn(site) -> None:
    pipes = Pipes()
    content = b"c" * 100_000
    post = b"POST /plain HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
    with site(pipes) as running:
        client = running.connect(TINY + post)
        running.await_parked(1)
        os.write(pipes.writers[0], b"first")
        data = b""
        while not data.endswith(b"HTTP/1.1 100 Continue\r\n\r\n"):
            data += client.recv(1000)
        assert data.count(b"first") == 1
        client.sendall(content)
        assert client.recv(1000).endswith(b"plain")
        pipes.close()


def test_the_time_for_a_request_that_has_begun_behind_one_that_waits_counts_from_its_turn(site) -> None:
    pipes = Pipes()
    over = threading.Event()
    with site(pipes, limits=Limits(read_timeout=0.05)) as running:
        with running.busy():
            client = running.connect(TINY + TINY[:9])
        running.await_parked(1)
        running.worker.post(running.worker.call_later, 0.1, over.set)
        assert over.wait(20)
        os.write(pipes.writers[0], b"first")
        data = read_to_end(client)
        assert [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:]] == [200, 408]
        pipes.close()


def test_a_pipeline_of_requests_that_all_wait_is_answered_in_its_order_whatever_is_ready_first(configure) -> None:
    def finish(parked, path):
        parked.resume(answer, path)

    def answer(request, response, worker, payload, event):
        response.reply(200, request.path + payload)

    def handle(request, response, worker):
        worker.call_later(int(request.path[1:]) % 3 / 1000, finish, worker.park(), request.path)
        return Step.SUSPEND

    wire = b"".join(get(f"/{number}") for number in range(30))
    results = drive(configure(handle), repeat(8, Script(rounds=[Round(send=wire, until=frames(30))])))
    assert [result.bodies for result in results] == [[b"/%d/%d" % (n, n) for n in range(30)]] * 8


# One descriptor for many requests.


def test_a_persistent_descriptor_answers_requests_in_whatever_order_it_likes(site) -> None:
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
                assert clients[number].recv(1000).endswith(b"\r\n\r\nanswer to %d" % number)
                clients[number].sendall(get(f"/{number}"))
            running.await_parked(57)
        far.sendall(b" ".join(waiting) + b" ")
        running.await_idle()
    near.close()
    far.close()


def test_a_persistent_watch_may_cancel_itself_and_another_that_is_ready_with_it(site) -> None:
    ends = [os.pipe(), os.pipe()]
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
                os.write(writer, b"x")
        running.run(int)
        running.run(int)
        assert len(called) == 1
        watches.clear()
    for pair in ends:
        for fd in pair:
            os.close(fd)


def test_what_a_persistent_continuation_raises_is_logged_and_its_watch_goes_on(site, caplog) -> None:
    ends = os.pipe()

    def tell(request, response, worker, number, event):
        raise ValueError(os.read(ends[0], 100))

    def on_worker_start(worker):
        worker.watch_fd_persistent(ends[0], Interest.READABLE, tell)

    with site(print, on_worker_start=on_worker_start):
        for word in ("one", "two"):
            os.write(ends[1], word.encode())
            until(lambda word=word: word in caplog.text)
    for fd in ends:
        os.close(fd)


# Timers and posts.


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "forgotten"])
@pytest.mark.parametrize("how", ["post", "timer", "on_disconnect"])
def test_a_timer_cancelled_in_the_tick_in_which_it_is_due_is_not_called(site, how, keeps) -> None:
    """Nobody holds a forgotten timer any more: what was noted about it must hold it until it is looked at."""
    called: list[str] = []
    timers: list[object] = []

    def cancel(payload=None) -> None:
        for timer in timers:
            timer.cancel()
        if not keeps:
            timers.clear()

    def begin(worker, due: float) -> None:
        if how == "timer":
            worker.call_at(due - 0.005, cancel)
        timers.extend(worker.call_at(due, called.append, "due") for _ in range(100))

    def handle(request, response, worker):
        reader, writer = os.pipe()
        os.close(writer) if how != "on_disconnect" else writers.append(writer)
        worker.watch_fd(reader, Interest.READABLE, answer, reader, on_disconnect=cancel)
        return Step.SUSPEND

    def answer(request, response, worker, fd, event):
        os.close(fd)
        response.reply(200)

    writers: list[int] = []
    with site(handle) as running:
        client = running.connect(TINY)
        until(lambda: running.server.counters().requests == 1)
        due = time.monotonic() + 0.02
        running.run(begin, running.worker, due)
        with running.busy():
            if how == "post":
                running.worker.post(cancel)
            elif how == "on_disconnect":
                reset(client)
            until(lambda: time.monotonic() > due + 0.005)
        running.run(int)
        running.run(int)
        # A post of the tick may come before or after what is due in it, a timer that is due earlier comes before.
        assert len(called) == 0 or (how != "timer" and len(called) == 100)
        for fd in writers:
            os.close(fd)


def test_timers_made_and_cancelled_by_timers_come_due_as_said(site) -> None:
    called: list[int] = []

    def tick(worker, number: int) -> None:
        called.append(number)
        worker.call_later(0, called.append, -1).cancel()
        if number:
            worker.call_later(0, tick, worker, number - 1)

    with site(print) as running:
        running.worker.post(tick, running.worker, 50)
        until(lambda: len(called) == 51)
        assert called == list(range(50, -1, -1))


@pytest.mark.parametrize("when", [float("nan"), float("inf"), 1e11, 1e300, -1e300])
def test_a_timer_at_a_time_that_cannot_be_is_refused(site, when) -> None:
    def refuse() -> None:
        with pytest.raises(ValueError, match="when"):
            running.worker.call_at(when, print)

    with site(print) as running:
        running.run(refuse)


@pytest.mark.parametrize("grace", [0, 5], ids=["cut", "drained"])
def test_every_post_that_was_taken_is_called_however_the_server_ends(site, grace) -> None:
    called: list[tuple[int, int]] = []
    taken: list[list[int]] = [[] for _ in range(6)]
    refused: list[str] = []
    began = threading.Barrier(7)

    def post_until_refused(thread: int) -> None:
        """A hundred at most ahead of the worker: a flood would be a test of the interpreter's fairness."""
        began.wait(20)
        number = 0
        try:
            while True:
                running.worker.post(lambda number=number: called.append((thread, number)))
                taken[thread].append(number)
                number += 1
                if number % 100 == 0:
                    done = threading.Event()
                    running.worker.post(done.set)
                    assert done.wait(20)
        except RuntimeError as refusal:
            refused.append(str(refusal))

    with site(lambda *_: None) as running:
        threads = [threading.Thread(target=post_until_refused, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        began.wait(20)
        until(lambda: len(called) > 100)
        running.server.shutdown(grace)
        for thread in threads:
            thread.join()
        assert ["ended" in text for text in refused] == [True] * 6
        for index in range(6):
            assert [number for thread, number in called if thread == index] == taken[index]


# The server ends with all of that in flight.


class Everything:
    """Does what the path says, and keeps count of what must be closed and told."""

    def __init__(self) -> None:
        self.handles: list[object] = []
        self.silent: list[int] = []
        self.writers: list[int] = []
        self.told: list[bytes] = []
        self.soon: list[object] = []

    def __call__(self, request, response, worker):
        path = request.path
        if path == b"/streams":
            response.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
        elif path == b"/big":
            response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + b"b" * 20_000_000)
        if path in (b"/watches", b"/streams", b"/big", b"/timed", b"/two"):
            for _ in range(1 + (path == b"/two")):
                reader, writer = os.pipe()
                self.silent.append(reader)
                self.writers.append(writer)
                worker.watch_fd(
                    reader,
                    Interest.READABLE,
                    self.never,
                    path,
                    timeout=1000 if path == b"/timed" else None,
                    on_disconnect=self.told.append,
                )
            return Step.SUSPEND
        if path == b"/parks":
            self.handles.append(worker.park())
            return Step.SUSPEND
        if path == b"/soon":
            self.soon.append(worker.park())
            return Step.SUSPEND
        response.reply(200, path)
        return Step.DONE

    def never(self, request, response, worker, payload, event):
        self.told.append(b"continuation")

    def finish_once_it_drains(self, worker) -> None:
        if worker.draining:
            self.soon[0].resume(self.finish, b"soon")
        else:
            worker.call_later(0.001, self.finish_once_it_drains, worker)

    def finish(self, request, response, worker, payload, event):
        response.reply(200, payload)


WATCHING = ["/watches", "/streams", "/big", "/timed", "/two"]


@pytest.mark.parametrize("grace", [0, 0.5], ids=["cut", "grace"])
def test_a_shutdown_with_all_of_that_in_flight_leaves_nothing(configure, grace) -> None:
    everything = Everything()
    fds = count_fds()
    server = Server(configure(everything, port=0))
    server.start()
    address = ("127.0.0.1", server.port)
    paths = [*WATCHING, "/parks"] * 4
    clients = [socket.create_connection(address, timeout=20) for _ in paths]
    for index, (client, path) in enumerate(zip(clients, paths, strict=True)):
        client.sendall(get(path) + [b"", get("/plain") * 3, b"BAD\r\n\r\n", TINY[:9]][index // len(WATCHING) % 4])
    halves = [socket.create_connection(address, timeout=20) for _ in range(4)]
    for client in halves:
        client.sendall(get("/watches"))
        client.shutdown(socket.SHUT_WR)
    soon = socket.create_connection(address, timeout=20)
    soon.sendall(get("/soon") + get("/plain"))
    until(lambda: server.counters().parked == len(paths) + 5)
    if grace:
        server.workers[0].post(everything.finish_once_it_drains, server.workers[0])
    server.shutdown(grace)

    assert sorted(everything.told) == sorted(
        [path.encode() for path in WATCHING] * 4 + [b"/two"] * 4 + [b"/watches"] * 4
    )
    assert [is_open(fd) for fd in everything.silent] == [False] * len(everything.silent)
    assert [handle.is_active for handle in everything.handles] == [False] * 4
    everything.handles.clear()  # a handle keeps its worker's engine
    everything.soon.clear()
    counters = server.counters()
    assert (counters.parked, counters.in_flight, counters.open, counters.handler_since_ns) == (0, 0, 0, 0)
    data = read_to_end(soon)
    assert (data.count(b"soon") == 1) == bool(grace)
    for client, path in zip(clients, paths, strict=True):
        data = read_to_end(client)
        assert data.count(b"200 OK") == (path in ("/streams", "/big"))
        assert not data.endswith(b"0\r\n\r\n")
    for client in [*clients, *halves, soon]:
        client.close()
    for fd in everything.writers:
        os.close(fd)
    assert count_fds() == fds


def test_what_on_disconnect_posts_at_the_end_is_still_called(configure) -> None:
    writers: list[int] = []
    called: list[str] = []

    def handle(request, response, worker):
        reader, writer = os.pipe()
        writers.append(writer)
        worker.watch_fd(
            reader,
            Interest.READABLE,
            print,
            worker,
            on_disconnect=lambda worker: worker.post(called.append, "posted"),
        )
        return Step.SUSPEND

    fds = count_fds()
    server = Server(configure(handle, port=0))
    server.start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(TINY)
        until(lambda: server.counters().parked == 1)
        server.shutdown(0)
        assert read_to_end(client) == b""
    assert called == ["posted"]
    os.close(writers[0])
    assert count_fds() == fds


def test_a_server_that_ends_while_its_clients_leave_is_told_of_each_once(configure) -> None:
    for _ in range(10):
        pipes = Pipes()
        fds = count_fds()
        server = Server(configure(pipes, port=0))
        server.start()
        clients = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(10)]
        for client in clients:
            client.sendall(TINY)
        until(lambda server=server: server.counters().parked == 10)
        leaving = threading.Thread(target=lambda clients=clients: [reset(client) for client in clients])
        leaving.start()
        server.shutdown(0.05)
        leaving.join()
        assert sorted(fd for _, fd, _ in pipes.seen) == sorted(pipes.readers)
        counters = server.counters()
        assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
        pipes.close()
        assert count_fds() == fds
