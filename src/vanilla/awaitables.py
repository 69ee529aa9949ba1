"""What a handler may await that needs no event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterator
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


READY = Ready()
YIELDING = Yielding()
