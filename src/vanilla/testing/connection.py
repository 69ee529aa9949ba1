"""One script under way: a non-blocking socket, where the script is, and what has been received."""

from __future__ import annotations

import collections
import contextlib
import errno
import socket
import struct
from collections.abc import Callable, Sequence

from vanilla.net.descriptors import explain
from vanilla.testing.loop import READ, WRITE, Loop
from vanilla.testing.scripts import Predicate, Received, Result, Round, Script, frames, sent

RETRY_SECONDS = 0.002  # a unix socket's full backlog refuses at once (connect(2): EAGAIN), so it is asked again
SHOWN_BYTES_MAX = 2000  # of what was received, in a message

Address = str | tuple[str, int]
"""The path of a unix socket ("@name": an abstract one), or host and port."""


class Connection:
    """Plays one script.

    Args:
        loop: calls it when its socket is ready.
        address: where the server listens.
        script: what to send and to await.
        hold: called with `release` when a piece has left and the next must wait until the server has received it.
        on_done: called once, when every round was played or the connection has ended before.
    """

    def __init__(
        self,
        loop: Loop,
        address: Address,
        script: Script,
        hold: Callable[[Callable[[], None]], None],
        on_done: Callable[[Connection], None],
    ) -> None:
        self.received = Received(script.heads)
        self._loop, self._address, self._script, self._hold, self._on_done = loop, address, script, hold, on_done
        self._socket = _socket_for(address)
        self._socket.setblocking(False)
        if not isinstance(address, str):
            # Else a piece would wait for the acknowledgement of the one before: tcp(7), Nagle's algorithm.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if script.receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, script.receive_buffer)
        self._is_connected = self._is_closed = self._was_reported = False
        self._connect_error: OSError | None = None
        self._rounds: list[Round] = list(script.rounds)
        self._at = 0
        self._until: Predicate | None = None  # what the round awaits, once it has begun
        self._pieces: collections.deque[bytes] = collections.deque()
        self._unsent = memoryview(b"")
        self._is_held = self._may_send = self._owes_fin = False

    def connect(self) -> None:
        """Begin; what comes of it arrives through the loop."""
        code = self._socket.connect_ex(_for_kernel(self._address))
        if code == errno.EAGAIN:
            self._loop.call_later(RETRY_SECONDS, self.connect)
        elif code in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):  # the last one in Windows, where it is no EAGAIN
            self._loop.watch(self._socket, WRITE, self._on_connected)
        else:
            self._fail(code)

    def extend(self, rounds: Sequence[Round]) -> None:
        """More rounds to play, at once if the earlier ones are over."""
        self._was_reported = False
        self._rounds += rounds
        self._advance()

    def close(self, *, reset: bool = False) -> None:
        """Close the socket, in order or with RST; harmless if it is closed."""
        if not self._is_closed:
            self._is_closed = True
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._loop.watch(self._socket, 0, self._on_ready)
            self._socket.close()

    @property
    def is_done(self) -> bool:
        """Every round was played, or the connection has ended before."""
        return self._connect_error is not None or self._at == len(self._rounds) or self._has_ended

    @property
    def result(self) -> Result:
        """What became of it so far."""
        return Result(
            frames=tuple(self.received.frames),
            raw=bytes(self.received.raw),
            rest=self.received.rest,
            eof=self.received.eof,
            reset=self.received.reset,
            unmet=self._at if self._at < len(self._rounds) else None,
            connect_error=self._connect_error,
        )

    @property
    def state(self) -> str:
        """Where it is, in words."""
        if self._connect_error is not None:
            return f"not connected: {self._connect_error}"
        unsent = len(self._unsent) + sum(map(len, self._pieces))
        statuses = [frame.status for frame in self.received.frames]
        end = ", reset" if self.received.reset else ", eof" if self.received.eof else ""
        return (
            f"round {self._at} of {len(self._rounds)} awaits {getattr(self._until, '__name__', self._until)}, "
            f"{unsent} bytes unsent; received {statuses} and {len(self.received.rest)} bytes more{end}: "
            f"{bytes(self.received.raw[-SHOWN_BYTES_MAX:])!r}"
        )

    @property
    def _has_ended(self) -> bool:
        return self.received.eof and self._until is not None and not self._until(self.received)

    def _on_connected(self, mask: int) -> None:
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(code)
        else:
            self._is_connected = True
            self._advance()

    def _fail(self, code: int) -> None:
        self._connect_error = OSError(code, explain(code))
        self.close()
        self._on_done(self)

    def _on_ready(self, mask: int) -> None:
        if mask & READ:
            self._receive()
        if mask & WRITE:
            self._send()
        self._advance()

    def _receive(self) -> None:
        try:
            data = self._socket.recv(self._script.receive_bytes)
        except BlockingIOError:
            return
        except ConnectionError:
            self.received.end(reset=True)
            return
        if data:
            self.received.append(data)
        else:
            self.received.end(reset=False)

    def _send(self) -> None:
        try:
            while self._unsent:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            pass
        except ConnectionError:  # what the server had sent before can still be read
            self.received.reset = True
            self._drop_unsent()

    def _drop_unsent(self) -> None:
        self._unsent = memoryview(b"")
        self._pieces.clear()

    def _advance(self) -> None:
        """Go through the script as far as it goes, then wait for what it needs next."""
        if not self._is_connected:
            return
        while self._at < len(self._rounds) and self._is_over(self._rounds[self._at]):
            self._at += 1
            self._until = None
        if self.received.eof:
            self.close()  # as clients do: a server that lingers waits for it
        elif not self._is_closed:
            is_reading = self._until is not None and self._rounds[self._at].reads
            self._loop.watch(self._socket, READ * is_reading | WRITE * bool(self._unsent), self._on_ready)
        if self.is_done and not self._was_reported:
            self._was_reported = True
            self._on_done(self)

    def _is_over(self, current: Round) -> bool:
        """Play the round as far as it goes; whether that was to its end."""
        if self._until is None:
            self._until = sent if not current.reads else current.until or frames(len(self.received.frames) + 1)
            self._pieces.extend(current.pieces)
            self._may_send, self._owes_fin = True, current.half_close
        if self.received.eof:
            self._drop_unsent()
        while self._pieces and not self._unsent:
            if not self._may_send:
                self._await_release(current)
                return False
            self._may_send = False
            self._unsent = memoryview(self._pieces.popleft())
            self._send()
        if self._unsent:
            return False
        if self._owes_fin:
            self._owes_fin = False
            with contextlib.suppress(OSError):  # ENOTCONN: the server has reset the connection, as will be read
                self._socket.shutdown(socket.SHUT_WR)
        return self._until(self.received)

    def _await_release(self, current: Round) -> None:
        if self._is_held:
            return
        self._is_held = True
        if current.every is None:
            self._hold(self._release)
        else:
            self._loop.call_later(current.every, self._release)

    def _release(self) -> None:
        self._is_held, self._may_send = False, True
        self._advance()


def _socket_for(address: Address) -> socket.socket:
    if isinstance(address, str):
        return socket.socket(socket.AF_UNIX)
    return socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)


def _for_kernel(address: Address) -> Address:
    if isinstance(address, str) and address.startswith("@"):
        return "\0" + address[1:]
    return address
