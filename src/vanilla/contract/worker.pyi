"""The types of worker.py, which is compiled; what each name means stands there."""

from collections.abc import Awaitable, Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Any, Final, TypeAlias, TypeVar, final, overload

from vanilla.contract.request import Request
from vanilla.contract.response import Response
from vanilla.counters import Counters
from vanilla.handles import Parked, Timer, Watch
from vanilla.recording import RecordingLoop
from vanilla.steps import Event, Step

_T = TypeVar("_T")
_Continuation: TypeAlias = Callable[[Request, Response, Worker, Any, Event], Step | None]

LIMIT_NAMES: Final[tuple[str, ...]]

@final
class Draining:
    def __bool__(self) -> bool: ...
    def __await__(self) -> Generator[Any]: ...

@final
class Worker:
    state: Any
    def __init__(self, state: object = None, index: int = 0, *, forwarded_allow_ips: Iterable[str] = ()) -> None: ...
    @property
    def index(self) -> int: ...
    @property
    def forwarded_allow_ips(self) -> tuple[str, ...]: ...
    @property
    def draining(self) -> Draining: ...
    def counters(self) -> Counters: ...
    def watch_fd(
        self,
        fd: int,
        interest: int,
        continuation: _Continuation,
        payload: Any = None,
        *,
        timeout: float | None = None,
        on_disconnect: Callable[[Any], object] | None = None,
    ) -> Watch: ...
    def watch_fd_persistent(
        self,
        fd: int,
        interest: int,
        continuation: Callable[[None, None, Worker, Any, Event], object],
        payload: Any = None,
        *,
        timeout: float | None = None,
    ) -> Watch: ...
    def park(self, *, on_disconnect: Callable[[], object] | None = None) -> Parked: ...
    def on_drain(self, function: Callable[..., object], *args: object) -> None: ...
    def write_each(self, parked: list[Parked], data: bytes, unsent_max: int) -> list[Parked]: ...
    def call_later(self, seconds: float, function: Callable[..., object], *args: object) -> Timer: ...
    def call_at(self, when: float, function: Callable[..., object], *args: object) -> Timer: ...
    def readable(self, fd: int) -> Awaitable[Event]: ...
    def writable(self, fd: int) -> Awaitable[Event]: ...
    def sleep(self, seconds: float) -> Awaitable[None]: ...
    @overload
    def offload(self, function: Callable[..., _T], *args: object) -> Awaitable[_T]: ...
    @overload
    def offload(
        self,
        function: Callable[..., _T],
        *args: object,
        then: Callable[[Request, Response, Worker, Future[_T], Event], Step | None],
    ) -> None: ...
    def post(self, function: Callable[..., object], *args: object) -> None: ...
    @property
    def recorded(self) -> RecordingLoop: ...
