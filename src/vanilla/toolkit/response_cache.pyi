"""The types of response_cache.py, which is compiled; what each name means stands there."""

from collections.abc import Callable, Collection, Iterable
from typing import Any, final

from vanilla.contract import Request, Response, Worker

_Handler = Callable[[Any, Any, Any], Any]

@final
class CachedHandler:
    @property
    def handler(self) -> _Handler: ...
    @property
    def is_async(self) -> bool: ...
    @property
    def streams_requests(self) -> bool: ...
    @property
    def hits(self) -> int: ...
    @property
    def misses(self) -> int: ...
    @property
    def evictions(self) -> int: ...
    @property
    def stored_bytes(self) -> int: ...
    def __call__(self, request: Request, response: Response, worker: Worker) -> Any: ...
    def invalidate(self, target: str | bytes, *, host: str | bytes = b"") -> None: ...
    def clear(self) -> None: ...

def cached(
    handler: _Handler,
    *,
    ttl: float,
    vary: Iterable[str] | str = (),
    max_bytes: int = ...,
    stale_while_revalidate: float = 0,
    statuses: Collection[int] = ...,
    by_host: bool = True,
    clients_may_refresh: bool = False,
    clock: Callable[[], float] = ...,
) -> CachedHandler: ...
