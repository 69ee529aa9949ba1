"""What a handler may await that needs no event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import Any


class Ready:
    """Something awaited that is there already: awaiting it neither waits nor yields."""

    __slots__ = ()

    def __await__(self) -> Iterator[Any]:
        return iter(())


class Yielding:
    """Something awaited that lets others run once, as `asyncio.sleep(0)` does."""

    __slots__ = ()

    def __await__(self) -> Generator[None]:
        yield


class Given:
    """Something awaited that has its result already."""

    __slots__ = ("_result",)

    def __init__(self, result: bytes) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, Any, bytes]:
        return self._result
        yield


class Pieces:
    """The content of one request, piece by piece: what `Request.stream` returns."""

    __slots__ = ("_take",)

    def __init__(self, take: Callable[[], Awaitable[bytes]]) -> None:
        self._take = take

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._take()
        if not piece:
            raise StopAsyncIteration
        return piece


async def read_all(take: Callable[[], Awaitable[bytes]]) -> bytes:
    """What `Request.read` returns: every piece that `take` gives, as one."""
    pieces = []
    while piece := await take():
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


READY = Ready()
YIELDING = Yielding()
