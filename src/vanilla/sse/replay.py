"""The last events of a channel, for clients that come back. No lock: its channel's guards it."""

from __future__ import annotations

import collections
import itertools
import secrets


class Replay:
    """Keeps the last `size` events, encoded, and knows each by its id.

    An event without an id gets one: a prefix of this object's own and a number. Ids of another process, or of this one
    before it was started anew, are therefore unknown here, and never taken for ids that they happen to equal.
    """

    def __init__(self, size: int) -> None:
        self._prefix = b""  # made with the first id: a process may be forked off before, and is another one then
        self._kept: collections.deque[tuple[bytes, bytes]] = collections.deque()  # (id, encoded)
        self._size = size
        self._numbers: dict[bytes, int] = {}  # of the last event with that id
        self._count = 0  # ever added: the number of the newest

    def add(self, encoded: bytes, id: bytes | None) -> tuple[bytes, bytes]:
        """Keep an event; its id, and it as it is to be sent: with the id that it got, if it had none."""
        self._count += 1
        if id is None:
            self._prefix = self._prefix or secrets.token_hex(4).encode()
            id = b"%b-%d" % (self._prefix, self._count)
            encoded = b"id: %b\n%b" % (id, encoded)
        self._kept.append((id, encoded))
        self._numbers[_as_sent_back(id)] = self._count
        if len(self._kept) > self._size:
            oldest, _ = self._kept.popleft()
            if self._numbers[_as_sent_back(oldest)] == self._count - self._size:
                del self._numbers[_as_sent_back(oldest)]
        return id, encoded

    def since(self, id: bytes) -> bytes:
        """What a client has missed that saw the event of this id last: all that is kept if the id is unknown.

        It is unknown when so many events came after it that it is kept no more, or when another process gave it.
        """
        first = self._count - len(self._kept)
        seen = self._numbers.get(id, first)
        return b"".join(encoded for _, encoded in itertools.islice(self._kept, seen - first, None))


def _as_sent_back(id: bytes) -> bytes:
    """An id as it arrives in Last-Event-ID: a field value has no space around it, RFC 9110 section 5.5."""
    return id.strip(b" \t")
