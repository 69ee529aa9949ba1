"""Everything a server can be told, checked before a socket is opened."""

from __future__ import annotations

import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vanilla.backends.choose import choose_backend
from vanilla.contract import Request, Response, Worker
from vanilla.counters import RequestTiming
from vanilla.errors import ConfigError
from vanilla.limits import Limits
from vanilla.net.listen import BACKLOG_DEFAULT, BACKLOG_MAX, Listener, check_networks, check_platform, check_whole
from vanilla.server.cpus import usable_cpu_count
from vanilla.steps import Step
from vanilla.streaming import may_return_coroutines, streams_requests

if TYPE_CHECKING:
    from vanilla.server.server import Server

WORKERS_MAX = 1024  # far above any machine's cores; a slip of the finger should not start a million threads
ADDRESSES_MAX = 64  # of one server: as many listening sockets as one engine takes

OFFLOAD_THREADS_MAX = 1024  # of one worker, for the same reason
OFFLOAD_QUEUE_MAX = 1_000_000

Handler = Callable[[Request, Response, Worker], Step | None | Coroutine[Any, Any, Step | None]]


def auto_workers() -> int:
    """One worker for each CPU that this process may use."""
    return min(usable_cpu_count(), WORKERS_MAX)


def default_workers() -> int:
    """VANILLA_WORKERS where it is set, neither empty nor `auto`; else one worker for each CPU."""
    text = os.environ.get("VANILLA_WORKERS", "")
    if text in ("", "auto"):
        return auto_workers()
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= WORKERS_MAX):
        message = f"a whole number from 1 to {WORKERS_MAX} is needed; unset it, or give auto, for one for each CPU"
        raise ConfigError(f"VANILLA_WORKERS={text!r}: {message}")
    return int(text)


def default_backend() -> str:
    """VANILLA_BACKEND where it is set and not empty, else `auto`."""
    return os.environ.get("VANILLA_BACKEND", "") or "auto"


@dataclasses.dataclass(frozen=True)
class ServerConfig:
    """What a `Server` serves, where, and with what.

    Attributes:
        handler: called as handler(request, response, worker) for every request, on a worker's thread: a plain function
            or an `async def`. A callable object that returns coroutines, such as a router, says so by a true attribute
            `is_async`; it may answer other requests without one.
        listeners: addresses to listen on; default: one on 127.0.0.1:3000.
        host, port, uds, fd: short for one listener: `port=0` is `listeners=[Listener(port=0)]`. Not kept: read
            `listeners` instead.
        workers: threads that serve, 1 to 1024, each with sockets and connections of its own. Default: VANILLA_WORKERS
            if set, else the CPUs this process may use: its affinity, or its control group's quota rounded up if that
            is less.
        backend: the kernel's event mechanism: "auto" (the default: the best there is), "epoll", "io_uring", "poll",
            "kqueue" or "iocp". Default: VANILLA_BACKEND if set, else "auto". docs/backends.md says how to choose.
        limits: for listeners that have none of their own. `max_connections` holds for a whole listener and is shared
            out over its sockets (one for each worker, times the addresses that a name stands for), to the exact sum.
        backlog: connections that the kernel holds ready for each socket until a worker accepts them; default 4096. The
            kernel cuts it to net.core.somaxconn, itself 4096 since Linux 5.4: raise both together. Too small a
            backlog drops the first packets of a burst of clients, who then try again a second later.
        check_responses: check every answer for completeness before it is sent, 500 if it is not. Default off: for
            development and tests, it costs time per request.
        make_state: called once by each worker on its own thread; what it returns is that worker's `worker.state`, for
            connections and caches that need no lock. Never closed by the server. Default: the state is None.
        on_worker_start: called with each worker, on its thread, after make_state and before its first request.
        on_worker_stop: called with each worker, on its thread, when its connections are closed: close what make_state
            opened. Cancelled coroutines have 5 seconds before it, and it has 5 if it is an `async def`. Beside an
            `async def` handler these three hooks may be `async def`, and run on the worker's asyncio loop.
        after_server_start: called once with the server, by the thread that started it, when all listeners listen and
            all workers serve. A request sent right then is served. What it raises stops the server.
        on_timing: called with a `RequestTiming` after every request's last byte was sent. Default: nothing is measured.
        graceful_timeout: seconds, 0 or more, that a shutdown gives requests in flight; default 30. 0 cuts them.
        drain_delay: seconds, 0 or more, that a shutdown goes on serving everything first, with `Connection: close` on
            each answer and `Server.draining` true, for load balancers that need the time; default 0.
        on_disconnect: what becomes of the coroutine of an `async def` handler when its client goes away: "cancel" (the
            default) at its next await, or "ignore": it comes to its end, unheard. For one request set
            `request.on_disconnect`.
        offload_threads: most threads of one worker for `Worker.offload`, 1 to 1024, started when needed; default 4.
        offload_queue: most calls that wait for them, 0 or more; one beyond is refused, 503. Default 64.
        forwarded_allow_ips: networks of your proxies, such as `["10.0.0.0/8"]`, "unix" for the peers of unix sockets,
            "*" for everybody: what they say in X-Forwarded-For and its like is believed where a handler asks
            `vanilla.toolkit.forwarded.find_client(request, worker)`. Default: nobody.
        pin: bind worker i to the i-th CPU this process may use. Default off: it helps a machine of its own, and hurts
            one that shares its CPUs with others.

    Raises: ConfigError for a value that is wrong, saying which, why, and what to write instead.
    """

    handler: Handler
    _: dataclasses.KW_ONLY
    listeners: Sequence[Listener] = ()
    host: dataclasses.InitVar[str | None] = None
    port: dataclasses.InitVar[int | None] = None
    uds: dataclasses.InitVar[str | os.PathLike[str] | None] = None
    fd: dataclasses.InitVar[int | None] = None
    workers: int = dataclasses.field(default_factory=default_workers)
    backend: str = dataclasses.field(default_factory=default_backend)
    limits: Limits = Limits()  # noqa: RUF009  # frozen, so that all configs may share it
    backlog: int = BACKLOG_DEFAULT
    check_responses: bool = False
    make_state: Callable[[], object] | None = None
    on_worker_start: Callable[[Worker], object] | None = None
    on_worker_stop: Callable[[Worker], object] | None = None
    after_server_start: Callable[[Server], object] | None = None
    on_timing: Callable[[RequestTiming], object] | None = None
    graceful_timeout: float = 30.0
    drain_delay: float = 0.0
    on_disconnect: str = "cancel"
    offload_threads: int = 4
    offload_queue: int = 64
    forwarded_allow_ips: Iterable[str] = ()
    pin: bool = False

    def __post_init__(
        self, host: str | None, port: int | None, uds: str | os.PathLike[str] | None, fd: int | None
    ) -> None:
        is_short = any(value is not None for value in (host, port, uds, fd))
        if is_short and self.listeners:
            raise ConfigError("listeners and host/port/uds/fd: the latter are short for one listener; give one")
        listeners = tuple(self.listeners) or (Listener(host, port, uds=uds, fd=fd),)
        object.__setattr__(self, "listeners", listeners)
        for listener in listeners:
            if not isinstance(listener, Listener):
                raise ConfigError(f"listeners: {listener!r} is not a Listener; give such as Listener('0.0.0.0', 3000)")
            check_platform(listener)
        check_addresses(len(listeners))
        _check_handler(self.handler)
        check_whole("workers", self.workers, 1, WORKERS_MAX, instead="leave it out for one for each CPU")
        check_whole("backlog", self.backlog, 1, BACKLOG_MAX)
        check_whole("offload_threads", self.offload_threads, 1, OFFLOAD_THREADS_MAX)
        check_whole("offload_queue", self.offload_queue, 0, OFFLOAD_QUEUE_MAX)
        if self.on_disconnect not in ("cancel", "ignore"):
            raise ConfigError(f"on_disconnect={self.on_disconnect!r}: give 'cancel' or 'ignore'")
        networks = check_networks("forwarded_allow_ips", self.forwarded_allow_ips)
        object.__setattr__(self, "forwarded_allow_ips", networks)
        check_seconds("graceful_timeout", self.graceful_timeout)
        check_seconds("drain_delay", self.drain_delay)
        for name in ("make_state", "on_worker_start", "on_worker_stop"):
            _check_hook(name, getattr(self, name), may_wait=self.is_async)
        for name in ("after_server_start", "on_timing"):
            _check_hook(name, getattr(self, name), may_wait=False)
        for name in ("check_responses", "pin"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"{name}={getattr(self, name)!r}: give True or False")
        if self.pin and not hasattr(os, "sched_setaffinity"):
            raise ConfigError("pin: this platform cannot bind a thread to a CPU; leave it out")
        if not isinstance(self.limits, Limits):
            raise ConfigError(f"limits={self.limits!r}: give a Limits object, such as Limits(max_body_bytes=10_000)")
        choose_backend(self.backend)
        for listener in listeners:
            connection_shares(listener.address, self.limits_of(listener).max_connections, self.workers)

    @property
    def is_streaming(self) -> bool:
        """Whether the handler was marked `vanilla.streaming`, and runs before the content is there."""
        return streams_requests(self.handler)

    @property
    def is_async(self) -> bool:
        """Whether the handler may return coroutines, so that workers need an asyncio loop."""
        return may_return_coroutines(self.handler)

    def limits_of(self, listener: Listener) -> Limits:
        """The limits that hold for `listener`: its own, else the server's."""
        return listener.limits if listener.limits is not None else self.limits


def connection_shares(address: str, connections_max: int | None, sockets: int) -> list[int]:
    """How many connections each of a listener's sockets may hold, so that the sum is exact; 0 is unlimited.

    Raises: ConfigError if there are fewer connections than sockets: a socket that may hold none would leave those that
        the kernel assigns to it waiting for ever.
    """
    if connections_max is None:
        return [0] * sockets
    if connections_max < sockets:
        where = f"max_connections={connections_max}: listener {address} has {sockets} sockets (workers times addresses)"
        raise ConfigError(f"{where}; give at least that many, or fewer workers")
    share, rest = divmod(connections_max, sockets)
    return [share + (index < rest) for index in range(sockets)]


def check_addresses(count: int) -> None:
    """Refuse more addresses than an engine has room for."""
    if count > ADDRESSES_MAX:
        raise ConfigError(f"listeners: {count} addresses, a server takes {ADDRESSES_MAX}; make another server for some")


def check_seconds(name: str, value: object) -> None:
    """Refuse what is not a finite number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"{name}={value!r}: give a number of seconds, 0 or more")


def _check_handler(handler: object) -> None:
    if not callable(handler):
        raise ConfigError(f"handler={handler!r}: cannot be called; give a function of (request, response, worker)")
    for function in (handler, getattr(handler, "__call__", None)):  # noqa: B004  # of an object that is called
        if inspect.isasyncgenfunction(function):
            raise ConfigError(f"handler={handler!r}: an asynchronous generator; give response.stream() one instead")
        if inspect.isgeneratorfunction(function):
            raise ConfigError(
                f"handler={handler!r}: a generator; append to `response`, or give response.stream() a generator"
            )
    try:
        signature = inspect.signature(handler)
    except (ValueError, TypeError):
        return  # some built-in callables cannot tell
    try:
        signature.bind(None, None, None)
    except TypeError as error:
        raise ConfigError(f"handler={handler!r}: {error}; it is called with (request, response, worker)") from error


def _check_hook(name: str, hook: object, *, may_wait: bool) -> None:
    if hook is not None and not callable(hook):
        raise ConfigError(f"{name}={hook!r}: cannot be called; give a function, or leave it out")
    if inspect.iscoroutinefunction(hook) and not may_wait:
        raise ConfigError(f"{name}={hook!r}: an `async def` hook has no asyncio loop here; give a def")
