"""The content of a request as a coroutine takes it, one piece at a time. Compiled: a fast upload is many of them."""

from __future__ import annotations

import cython


@cython.final
@cython.cclass
class Pieces:
    """What `Request.stream` returns: an asynchronous iterator over the pieces that are still to come.

    Args:
        take: returns the next piece, or the future that will have it; an empty one is the end.
    """

    def __init__(self, take: object) -> None:
        self.take = take

    def __aiter__(self) -> Pieces:
        return self

    def __anext__(self) -> Piece:
        piece: Piece = Piece.__new__(Piece)
        piece.take = self.take
        return piece


@cython.final
@cython.cclass
class Piece:
    """One piece, to be awaited; StopAsyncIteration is the end.

    It stands between a task and the future that it waits for, as that future's own iterator would.
    """

    def __await__(self) -> Piece:
        return self

    def __iter__(self) -> Piece:
        return self

    def __next__(self) -> object:
        piece: object
        if self.future is None:
            piece = self.take()
            if type(piece) is not bytes:
                self.future = piece
                piece._asyncio_future_blocking = True  # tells a task that it is to wait, asyncio.Future.__await__
                return piece
        elif not self.future.done():
            raise RuntimeError("stream: await what it gives in an asyncio task")
        else:
            piece = self.future.result()
        if not piece:
            raise StopAsyncIteration
        raise StopIteration(piece)
