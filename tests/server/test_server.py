"""A server's life over real sockets: started, drained, shut down; nothing left behind, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from system import IS_WINDOWS, needs_affinity, needs_unix_sockets, open_descriptors, signal_self
from vanilla.backends.choose import available_backends
from vanilla.contract import Request, Response, Worker
from vanilla.engine import coroutines
from vanilla.errors import BindError, ConfigError
from vanilla.limits import Limits
from vanilla.net.listen import Listener
from vanilla.server import Server, ServerConfig, WorkerError
from vanilla.server import server as server_module
from vanilla.server import workers as workers_module

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def handle(request: Request, response: Response, worker: Worker) -> None:
    response.reply(200, b"hello")


def config(handler: Callable[..., Any] = handle, **settings: Any) -> ServerConfig:
    defaults: dict[str, Any] = {"workers": 1} if "listeners" in settings else {"port": 0, "workers": 1}
    return ServerConfig(handler, **(defaults | settings))


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def receive(peer: socket.socket) -> bytes:
    """One small response, or what came of it before the end."""
    received = b""
    while not received.endswith(b"hello"):
        try:
            data = peer.recv(65_536)
        except ConnectionResetError:
            break
        if not data:
            break
        received += data
    return received


def ask(server: Server) -> bytes:
    with connect(server) as peer:
        peer.sendall(GET)
        return receive(peer)


def held_resources() -> tuple[set[int], set[str]]:
    workers = {thread.name for thread in threading.enumerate() if thread.name.startswith("vanilla")}
    return open_descriptors(), workers


@pytest.mark.parametrize("workers", [1, 3])
def test_a_server_serves_between_start_and_shutdown_and_leaves_nothing(workers: int) -> None:
    before = held_resources()
    for _ in range(3):
        server = Server(config(workers=workers))
        server.start()
        assert ask(server).startswith(b"HTTP/1.1 200")
        assert [worker.index for worker in server.workers] == list(range(workers))
        server.shutdown()
        with pytest.raises(ConnectionRefusedError):
            connect(server)
        assert server.counters().requests == 1
        assert held_resources() == before


def test_several_servers_live_in_one_process() -> None:
    with Server(config(workers=2)) as one, Server(config(workers=1)) as two:
        assert one.port != two.port
        assert len(one.workers) == 2
        assert len(two.workers) == 1
        assert ask(one) == ask(two) != b""
    assert one.counters().requests == two.counters().requests == 1


@needs_unix_sockets
def test_addresses_are_the_real_ones_in_the_order_of_the_listeners() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        listeners = [Listener(uds=path), Listener(port=0), Listener("::1", 0)]
        with Server(config(listeners=listeners, workers=2)) as server:
            unix, (host, port), (host6, port6) = server.addresses
            assert (unix, host, host6) == (str(path), "127.0.0.1", "::1")
            assert server.port == port != 0
            assert server.backend == available_backends()[0]
            for family, address in (
                (socket.AF_UNIX, unix),
                (socket.AF_INET, (host, port)),
                (socket.AF_INET6, (host6, port6)),
            ):
                with socket.socket(family) as peer:
                    peer.connect(address)
                    peer.sendall(GET)
                    assert receive(peer).endswith(b"hello")
        assert not path.exists()


@needs_unix_sockets
def test_a_server_without_tcp_has_no_port(tmp_path: Path) -> None:
    with Server(config(listeners=[Listener(uds=f"@vanilla-{os.getpid()}")])) as server:
        with pytest.raises(RuntimeError, match="has no TCP port"):
            _ = server.port
        assert server.addresses == [f"@vanilla-{os.getpid()}"]


def test_states_are_made_on_each_workers_own_thread_and_hooks_run_in_order() -> None:
    calls: list[tuple[str, object]] = []

    def make_state() -> str:
        calls.append(("state", threading.current_thread().name))
        return threading.current_thread().name

    def on_worker_start(worker: Worker) -> None:
        calls.append(("worker", worker.state))

    def after_server_start(server: Server) -> None:
        calls.append(("server", threading.current_thread().name))
        assert ask(server).endswith(b"hello")

    hooks = {"make_state": make_state, "on_worker_start": on_worker_start, "after_server_start": after_server_start}
    with Server(config(workers=2, **hooks)) as server:
        names = ["vanilla-worker-0", "vanilla-worker-1"]
        assert [worker.state for worker in server.workers] == names
        for name in names:
            assert calls.index(("state", name)) < calls.index(("worker", name))
        assert calls[-1] == ("server", threading.current_thread().name)
        assert len(calls) == 5


@pytest.mark.parametrize("hook", ["make_state", "on_worker_start", "after_server_start"])
@pytest.mark.parametrize("workers", [1, 3])
def test_an_exception_in_a_hook_is_raised_by_start_and_leaves_nothing(hook: str, workers: int) -> None:
    def fail(*_: object) -> None:
        raise LookupError(hook)

    before = held_resources()
    server = Server(config(workers=workers, **{hook: fail}))
    with pytest.raises(LookupError, match=hook):
        server.start()
    assert held_resources() == before
    assert server.wait()
    server.shutdown()


def test_a_worker_that_fails_does_not_leave_one_behind_that_is_still_preparing() -> None:
    fails = threading.Event()

    def make_state() -> None:
        if threading.current_thread().name.endswith("0"):
            fails.set()
            raise LookupError
        fails.wait()

    before = held_resources()
    with pytest.raises(LookupError):
        Server(config(workers=3, make_state=make_state)).start()
    assert held_resources() == before


def test_a_taken_port_is_refused_before_any_state_is_made() -> None:
    made: list[int] = []
    before = held_resources()  # of neither: what the first one holds may change at any moment
    with Server(config()) as first:
        second = Server(config(port=first.port, workers=2, make_state=lambda: made.append(1)))
        with pytest.raises(BindError, match="in use"):
            second.start()
        assert ask(first).endswith(b"hello")
    assert held_resources() == before
    assert not made


def test_listeners_opened_before_one_that_fails_are_closed() -> None:
    before = held_resources()
    with Server(config()) as first, tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "s"
        other = Listener(port=0) if IS_WINDOWS else Listener(uds=path)
        with pytest.raises(BindError):
            Server(config(listeners=[other, Listener(port=first.port)])).start()
        assert not path.exists()
    assert held_resources() == before


def test_connections_are_shared_over_the_addresses_of_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = socket.SOCK_STREAM
    found = [(socket.AF_INET, kind, 6, "", ("127.0.0.1", 0)), (socket.AF_INET6, kind, 6, "", ("::1", 0, 0, 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    shares: list[int] = []
    engine = workers_module.Engine

    def counted(handler: Any, worker: Any, listeners: Any, **options: Any) -> Any:
        shares.extend(share for _, _, share, _ in listeners)
        return engine(handler, worker, listeners, **options)

    monkeypatch.setattr(workers_module, "Engine", counted)
    with Server(config(workers=2, limits=Limits(max_connections=7))):
        assert sorted(shares) == [1, 2, 2, 2]
    before = held_resources()
    with pytest.raises(ConfigError, match=r"max_connections=3: listener 127\.0\.0\.1:0 has 4 sockets"):
        Server(config(workers=2, limits=Limits(max_connections=3))).start()
    assert held_resources() == before


@pytest.mark.parametrize("is_started", [True, False])
def test_a_server_starts_once(is_started: bool) -> None:
    server = Server(config())
    with contextlib.ExitStack() as running:
        for one in [server] * is_started:
            running.enter_context(one)
        server.shutdown()
    with pytest.raises(RuntimeError, match="make another Server"):
        server.start()


def test_what_is_in_flight_is_finished_and_idle_connections_close_at_once() -> None:
    server = Server(config())
    server.start()
    with connect(server) as idle, connect(server) as busy:
        idle.sendall(GET)
        receive(idle)
        busy.sendall(GET + GET[:10])  # the answer to the first says that the half of the second has arrived
        receive(busy)
        ending = threading.Thread(target=server.shutdown)
        assert not server.draining
        ending.start()
        assert idle.recv(1) == b""
        assert server.draining
        busy.sendall(GET[10:])
        answer = receive(busy)
        assert b"connection: close\r\n" in answer.lower()
        assert answer.endswith(b"hello")
        assert busy.recv(1) == b""
    ending.join()
    assert server.wait(0.0)


def test_a_handler_that_is_running_when_the_shutdown_begins_is_waited_for() -> None:
    entered, may_answer = threading.Event(), threading.Event()

    def slow(request: Request, response: Response, worker: Worker) -> None:
        entered.set()
        may_answer.wait()
        response.reply(200, b"hello")

    server = Server(config(slow, workers=2))
    server.start()
    with connect(server) as busy:
        busy.sendall(GET)
        entered.wait()
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        while not any(worker.draining for worker in server.workers):  # the other worker has heard of it
            server.wait(0.0)
        may_answer.set()
        assert receive(busy).endswith(b"hello")
        assert busy.recv(1) == b""
    ending.join()


def test_a_handler_that_shuts_its_server_down_is_not_waited_for_by_itself() -> None:
    def stop(request: Request, response: Response, worker: Worker) -> None:
        with contextlib.suppress(RuntimeError):
            server.wait()
        server.shutdown()
        response.reply(200, b"hello")

    server = Server(config(stop))
    server.start()
    assert ask(server).endswith(b"hello")
    server.wait()


def test_the_drain_delay_serves_new_connections_with_connection_close() -> None:
    server = Server(config(drain_delay=3600))
    server.start()
    ending = threading.Thread(target=server.shutdown)
    ending.start()
    while not all(worker.draining for worker in server.workers):
        server.wait(0.0)
    for _ in range(2):
        assert b"connection: close\r\n" in ask(server).lower()
    assert server.draining
    server.shutdown(0)
    ending.join()


def test_the_drain_delay_ends_by_itself() -> None:
    server = Server(config(drain_delay=0.01))
    server.start()
    server.shutdown()
    assert server.wait(0.0)


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf"), "1"])
def test_a_grace_that_is_no_time_is_refused(grace: Any) -> None:
    with Server(config()) as server:
        with pytest.raises(ValueError, match="grace="):
            server.shutdown(grace)
        assert not server.draining


def test_many_threads_may_shut_down_and_wait_at_once() -> None:
    server = Server(config(workers=2))
    server.start()
    threads = [threading.Thread(target=function) for function in (server.shutdown, server.wait) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.wait(0.0)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_shutdown_while_the_workers_are_made_keeps_its_drain_delay(workers: int) -> None:
    server = Server(config(workers=workers, drain_delay=1000.0, make_state=lambda: server.shutdown()))
    with server:
        for _ in range(3):
            answer = ask(server)
            assert b"\r\nConnection: close\r\n" in answer
            assert answer.endswith(b"hello")
        server.shutdown(0)


def test_a_shutdown_while_the_workers_are_made_takes_effect_as_soon_as_they_run() -> None:
    making, may_go_on = threading.Event(), threading.Event()

    def make_state() -> None:
        making.set()
        may_go_on.wait()

    server = Server(config(workers=2, make_state=make_state))
    starting = threading.Thread(target=server.start)
    starting.start()
    making.wait()
    ending = threading.Thread(target=server.shutdown)
    ending.start()
    while not server.draining:
        server.wait(0.0)
    may_go_on.set()
    starting.join()
    ending.join()
    assert server.wait(0.0)


def test_leaving_the_block_by_an_exception_stops_at_once() -> None:
    with contextlib.ExitStack() as clients:
        with pytest.raises(ZeroDivisionError), Server(config()) as server:  # noqa: PT012  # the block is the subject
            peer = clients.enter_context(connect(server))
            peer.sendall(GET + GET[:10])  # the answer to the first says that the rest has arrived
            receive(peer)
            raise ZeroDivisionError
        with contextlib.suppress(ConnectionResetError):
            assert peer.recv(1) == b""


class Broken:
    """An engine whose run() does not do what it should."""

    def __init__(self, engine: Any, outcome: Callable[[], BaseException] | None) -> None:
        self._engine = engine
        self._outcome = outcome

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def run(self) -> None:
        self._engine.stop()
        self._engine.run()
        del self._engine  # the captured log keeps the traceback, and that this object
        if self._outcome is not None:
            raise self._outcome()


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        pytest.param(lambda: MemoryError("none left"), r"worker 0 died: MemoryError\('none left'\)", id="exception"),
        pytest.param(lambda: SystemExit(3), r"worker 0 died: SystemExit\(3\)", id="exit"),
        pytest.param(None, r"worker 0 died: .*without having been told", id="return"),
    ],
)
def test_a_worker_that_dies_takes_the_server_down_with_an_error(
    outcome: Callable[[], BaseException] | None, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = workers_module.Engine

    def broken(handler: Any, worker: Worker, *arguments: Any, **options: Any) -> Any:
        made = engine(handler, worker, *arguments, **options)
        return Broken(made, outcome) if worker.index == 0 else made

    monkeypatch.setattr(workers_module, "Engine", broken)
    before = held_resources()
    with pytest.raises(WorkerError, match=message):
        Server(config(workers=3)).run()
    assert held_resources() == before


def test_a_worker_stuck_in_a_handler_is_reported_instead_of_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STUCK_AFTER_SECONDS", 0.01)
    entered, may_return = threading.Event(), threading.Event()

    def stick(request: Request, response: Response, worker: Worker) -> None:
        entered.set()
        may_return.wait()

    server = Server(config(stick))
    server.start()
    with connect(server) as peer:
        peer.sendall(GET)
        entered.wait()
        assert server.counters().handler_since_ns > 0
        with pytest.raises(WorkerError, match="worker 0 does not return"):
            server.shutdown(0)
        may_return.set()
        for thread in server._crew.threads:
            thread.join()
    assert server.wait(0.0)


def test_a_worker_whose_coroutines_clean_up_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "STUCK_AFTER_SECONDS", 0.0)
    entered, cleaned = threading.Event(), threading.Event()

    async def wait(request: Request, response: Response, worker: Worker) -> None:
        entered.set()
        try:
            await worker.sleep(100)
        finally:
            await worker.sleep(0.05)  # longer than a worker that is not async is waited for
            cleaned.set()

    with Server(config(wait)) as server, connect(server) as peer:
        peer.sendall(GET)
        entered.wait()
        server.shutdown(0)
        assert cleaned.is_set()


def test_a_worker_is_waited_for_as_long_as_its_clean_up_may_take() -> None:
    parts = 3  # coroutines, asynchronous generators, the last hook
    assert parts * coroutines.CLEAN_UP_SECONDS <= server_module.CLEAN_UP_SECONDS_MAX


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_what_run_serves_and_the_owed_answer_arrives(number: signal.Signals) -> None:
    def interrupted(request: Request, response: Response, worker: Worker) -> None:
        signal_self(number)
        while not server.draining:  # the main thread handles it while this one is inside its handler
            worker.state.wait(0.0)
        response.reply(200, b"hello")

    answers: list[bytes] = []
    clients: list[threading.Thread] = []

    def after_server_start(server: Server) -> None:
        clients.append(threading.Thread(target=lambda: answers.append(ask(server))))
        clients[0].start()

    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    server = Server(config(interrupted, make_state=threading.Event, after_server_start=after_server_start))
    server.run()
    clients[0].join()
    assert answers[0].endswith(b"hello")
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers


@pytest.mark.parametrize("settings", [{}, {"drain_delay": 3600}], ids=["draining", "in_the_drain_delay"])
def test_a_second_signal_stops_at_once(settings: dict[str, Any]) -> None:
    peers: list[socket.socket] = []

    def after_server_start(server: Server) -> None:
        peers.append(connect(server))
        peers[0].sendall(GET + GET[:10])  # in flight: half a request, which the grace of an hour would wait for
        receive(peers[0])
        signal_self(signal.SIGTERM)
        assert server.draining
        signal_self(signal.SIGINT)

    Server(config(graceful_timeout=3600, after_server_start=after_server_start, **settings)).run()
    with peers[0], contextlib.suppress(ConnectionResetError):
        assert peers[0].recv(1) == b""


def test_run_on_another_thread_leaves_signals_alone() -> None:
    started = threading.Event()
    server = Server(config(after_server_start=lambda _: started.set()))
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    running = threading.Thread(target=server.run)
    running.start()
    started.wait()
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == handlers
    server.shutdown()
    running.join()


@needs_affinity
@pytest.mark.parametrize("workers", [1, 2])
def test_pinned_workers_run_on_the_allowed_cpus_in_turn(workers: int) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    with Server(config(workers=workers, pin=True, make_state=lambda: os.sched_getaffinity(0))) as server:
        expected = [{allowed[index % len(allowed)]} for index in range(workers)]
        assert [worker.state for worker in server.workers] == expected
    assert sorted(os.sched_getaffinity(0)) == allowed


@needs_affinity
def test_a_worker_that_cannot_be_pinned_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: int, cpus: set[int]) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with Server(config(pin=True)) as server:
        assert ask(server).endswith(b"hello")
    assert "worker 0: not pinned to CPU" in caplog.text


def test_the_log_says_where_it_listens_with_what_and_how_to_stop_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "vanilla")
    with Server(config(workers=2)) as server:
        line = caplog.messages[-1]
    assert line == (
        f"listening on http://127.0.0.1:{server.port} with 2 workers on {server.backend}; "
        f"stop with Ctrl-C or SIGTERM (process {os.getpid()})"
    )


def test_test_gives_the_raw_answers_in_the_order_of_the_requests() -> None:
    def echo(request: Request, response: Response, worker: Worker) -> None:
        response.reply(200, request.target)

    before = held_resources()
    server = Server(ServerConfig(echo, workers=4, drain_delay=3600))
    one, two, nothing = server.test([GET, GET.replace(b"/", b"/a", 1) * 2, b""])
    assert one.startswith(b"HTTP/1.1 200")
    assert one.endswith(b"\r\n\r\n/")
    assert two.count(b"\r\n\r\n/a") == 2
    assert nothing == b""
    assert held_resources() == before
    assert server.test([]) == []


def test_test_keeps_the_limits_of_the_first_listener() -> None:
    server = Server(config(listeners=[Listener("192.0.2.1", limits=Limits(max_target_bytes=10))]))
    (answer,) = server.test([b"GET /" + b"a" * 10 + b" HTTP/1.1\r\nHost: a\r\n\r\n"])
    assert answer.startswith(b"HTTP/1.1 414 ")
