"""Ten thousand requests that wait at once, of every kind, over real sockets: each is answered, and nothing stays."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from system import IS_WINDOWS, close, count_descriptors, is_open, open_pair, read, resident_bytes, write
from vanilla import Event, Interest, Limits, Request, Response, Server, ServerConfig, Step, Worker

COUNT = 2_000 if IS_WINDOWS else 10_000  # Wine has one table of descriptors for both sides and more
KINDS = 4  # of waiting; request number n waits in way n % KINDS
ROUNDS = 4
BLOCKS_GROWTH_MAX = 1000  # one object left by each request would be ten times that
# ASan keeps freed memory aside, for longer than a test takes.
MEMORY_GROWTH_BYTES_MAX = (400 if "VANILLA_SANITIZE" in os.environ else 8) * 2**20
STARTED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# The clients are a process of their own: with the server's they would not fit into one table of descriptors everywhere.
CLIENTS = r"""
import socket, struct, sys

port, count = map(int, sys.argv[1:])
if sys.platform != "win32":
    import resource
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
clients = [socket.create_connection(("127.0.0.1", port), timeout=100) for _ in range(count)]
print("connected", flush=True)
for command in map(str.strip, sys.stdin):
    report = []
    for number, client in enumerate(clients):
        if command == "send":
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        elif command == "read":
            got = b""
            while not got.endswith((b"\r\n\r\n%d." % number, b"\r\n%d.\r\n0\r\n\r\n" % number)):
                piece = client.recv(65536)
                got += piece
                if not piece:
                    report.append(b"%d: %b" % (number, got))
                    break
        elif command == "read to the end":
            got = b""
            try:
                while piece := client.recv(65536):
                    got += piece
            except ConnectionResetError:
                got += b" reset"
            report.append(b"%d" % got.endswith(b"\r\n\r\n%d." % number))
        elif command == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
    print(b" ".join(report).decode(), flush=True)
"""


if not IS_WINDOWS:
    import resource


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    """As many as the system lets this process have."""
    if IS_WINDOWS:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Clients:
    """All of them, told by a line what to do next."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENTS, str(port), str(COUNT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
        )
        assert self.process.stdout.readline().strip() == b"connected"

    def begin(self, command: str) -> None:
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()

    def end(self) -> list[str]:
        """What they report of the command that has begun."""
        return self.process.stdout.readline().decode().split()

    def do(self, command: str) -> list[str]:
        self.begin(command)
        return self.end()

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(20)
        self.process.stdout.close()


class Waits:
    """Parks each request in one of four ways, and lets them go on when told."""

    def __init__(self) -> None:
        self.ends = open_pair()
        self.own: dict[int, tuple[int, int]] = {}  # by request: what it watches, and what makes that readable
        self.told: list[int] = []
        self.handles: list[tuple[int, object]] = []
        self.for_timer: list[tuple[int, object]] = []
        self.begun: list[tuple[int, object]] = []

    def __call__(self, request: Request, response: Response, worker: Worker) -> Step:
        number = int(request.path[1:])
        kind = number % KINDS
        if kind == 0:
            fd, _ = self.own[number] = open_own()
            worker.watch_fd(fd, Interest.READABLE, self.on_own, number, timeout=1000, on_disconnect=self.told.append)
        elif kind == 1:
            self.handles.append((number, worker.park()))
        elif kind == 2:
            self.for_timer.append((number, worker.park()))
        else:
            response.write(STARTED)
            self.begun.append((number, worker.park()))
        return Step.SUSPEND

    def on_own(self, request: Request, response: Response, worker: Worker, number: int, event: Event) -> None:
        for fd in set(self.own.pop(number)):
            close(fd)
        response.reply(200, b"%d." % number)

    def on_data(self, request: None, response: None, worker: Worker, payload: None, event: Event) -> None:
        read(self.ends[0], 100)
        handles, self.handles = self.handles, []
        for number, parked in reversed(handles):
            parked.resume(answer, number)

    def go_on(self, worker: Worker) -> None:
        """On the worker's thread: everything becomes ready at once."""
        for _, fd in self.own.values():
            write(fd, (1).to_bytes(8, sys.byteorder))
        write(self.ends[1], b"x")
        waiting, self.for_timer = self.for_timer, []
        for number, parked in waiting:
            worker.call_later(number % 7 / 1000, parked.resume, answer, number)
        waiting, self.begun = self.begun, []
        for number, parked in waiting:
            parked.resume(end, number)

    def on_worker_start(self, worker: Worker) -> None:
        worker.watch_fd_persistent(self.ends[0], Interest.READABLE, self.on_data)

    def close(self) -> None:
        """Let go of what the test holds: a handle keeps its worker's engine."""
        self.handles.clear()
        self.for_timer.clear()
        self.begun.clear()
        for fd in self.ends:
            close(fd)
        for fd, writer in self.own.values():  # the one that was watched is the engine's to close
            if writer != fd:
                close(writer)


OWN_COUNT = 2 if IS_WINDOWS else 1


def open_own() -> tuple[int, int]:
    """A descriptor to be watched, and the one to write to that makes it readable: the same, if it is an eventfd."""
    if IS_WINDOWS:
        return open_pair()
    fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    return fd, fd


def answer(request: Request, response: Response, worker: Worker, number: int, event: Event) -> None:
    assert request.path == b"/%d" % number
    response.reply(200, b"%d." % number)


def end(request: Request, response: Response, worker: Worker, number: int, event: Event) -> None:
    content = b"%d." % number
    response.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread does, without keeping the interpreter from it."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


@pytest.fixture
def running(configure: Callable[..., ServerConfig]) -> Iterator[tuple[Server, Clients, Waits]]:
    """A server and its clients, all connected; when it is down the descriptors are back to where they were."""
    gc.collect()
    fds = count_descriptors()
    waits = Waits()
    limits = Limits(read_timeout=None, keepalive_timeout=None)  # a slow machine is no slow client
    server = Server(configure(waits, port=0, limits=limits, on_worker_start=waits.on_worker_start))
    server.start()
    with contextlib.closing(waits), contextlib.closing(Clients(server.port)) as clients:
        until(lambda: server.counters().open == COUNT)
        yield server, clients, waits
        server.shutdown(0)
        counters = server.counters()
        assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
    assert count_descriptors() == fds


def park_all(server: Server, clients: Clients) -> None:
    assert clients.do("send") == []
    until(lambda: server.counters().parked == COUNT)


def test_ten_thousand_requests_that_wait_at_once_are_all_answered_and_leave_nothing(running) -> None:
    server, clients, waits = running
    worker = server.workers[0]
    fds = count_descriptors()
    seen = []
    for _ in range(ROUNDS):
        park_all(server, clients)
        assert server.counters().in_flight == COUNT
        assert count_descriptors() == fds + COUNT // KINDS * OWN_COUNT
        clients.begin("read")
        worker.post(waits.go_on, worker)
        assert clients.end() == []
        until(lambda: server.counters().parked == server.counters().in_flight == 0)
        assert count_descriptors() == fds
        gc.collect()
        seen.append((sys.getallocatedblocks(), resident_bytes()))
    counters = server.counters()
    assert (counters.requests, counters.responses_2xx) == (ROUNDS * COUNT, ROUNDS * COUNT)
    assert (counters.open, counters.limits_reached, waits.told) == (COUNT, {}, [])
    (blocks, memory), (blocks_later, memory_later) = seen[1], seen[-1]  # the first ones warm up
    assert blocks_later - blocks < BLOCKS_GROWTH_MAX, seen
    assert memory_later - memory < MEMORY_GROWTH_BYTES_MAX, seen


def test_ten_thousand_clients_that_leave_at_once_while_they_wait_leave_nothing(running) -> None:
    server, clients, waits = running
    fds = count_descriptors()
    park_all(server, clients)
    parked = [handle for _, handle in waits.handles + waits.for_timer + waits.begun]
    assert [handle.is_active for handle in parked] == [True] * len(parked)
    assert clients.do("reset") == []
    until(lambda: server.counters().open == server.counters().parked == server.counters().in_flight == 0)
    told = threading.Event()
    server.workers[0].post(told.set)
    assert told.wait(20)
    assert sorted(waits.told) == list(range(0, COUNT, KINDS))
    assert [handle.is_active for handle in parked] == [False] * len(parked)
    assert count_descriptors() == fds - COUNT + COUNT // KINDS * (OWN_COUNT - 1)
    parked.clear()


@pytest.mark.parametrize("grace", [0, 1], ids=["cut", "grace"])
def test_a_shutdown_with_ten_thousand_requests_that_wait_tells_and_closes_all(running, grace) -> None:
    server, clients, waits = running
    worker = server.workers[0]
    park_all(server, clients)
    clients.begin("read to the end")

    def answer_some() -> None:
        """Once the server drains: those that wait for the persistent descriptor are still answered."""
        if worker.draining:
            write(waits.ends[1], b"x")
        else:
            worker.call_later(0.001, answer_some)

    worker.post(answer_some)
    server.shutdown(grace)
    answered = {1} if grace else set()
    assert clients.end() == [str(int(number % KINDS in answered)) for number in range(COUNT)]
    assert sorted(waits.told) == list(range(0, COUNT, KINDS))
    counters = server.counters()
    assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
    assert [is_open(fd) for fd, _ in waits.own.values()] == [False] * (COUNT // KINDS)
