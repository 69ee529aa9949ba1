"""What a handler may await that needs no event loop."""

from __future__ import annotations

from collections.abc import AsyncIterable, Generator, Iterator
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


async def read_all(pieces: AsyncIterable[bytes]) -> bytes:
    """What `Request.read` returns: every piece, as one."""
    taken = [piece async for piece in pieces]
    return taken[0] if len(taken) == 1 else b"".join(taken)


READY = Ready()
YIELDING = Yielding()
