"""One raw exchange with a server, for `Server.test`: send, half-close, keep what comes until the server closes."""

from __future__ import annotations

import selectors
import socket

RECEIVE_BYTES = 256 * 1024


def exchange(address: tuple[str, int], request: bytes, timeout: float) -> bytes:
    """Everything the server at `address` sends on a connection that carries `request` and is then half-closed.

    It reads while it sends: a server that answers early, or pipelined answers larger than the sockets' buffers, would
    otherwise leave both sides waiting for each other. A reset counts as a close.

    Raises: TimeoutError if nothing happens for `timeout` seconds.
    """
    unsent = memoryview(request)
    received = bytearray()
    with socket.create_connection(address, timeout) as peer, selectors.DefaultSelector() as selector:
        peer.setblocking(False)
        selector.register(peer, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while True:
            ready = selector.select(timeout)
            if not ready:
                raise TimeoutError(f"nothing for {timeout} s; received so far: {bytes(received)!r}")
            if ready[0][1] & selectors.EVENT_WRITE:
                unsent = _send(peer, unsent)
                if not unsent:
                    selector.modify(peer, selectors.EVENT_READ)
            if ready[0][1] & selectors.EVENT_READ:
                try:
                    data = peer.recv(RECEIVE_BYTES)
                except (ConnectionResetError, BrokenPipeError):
                    return bytes(received)
                if not data:
                    return bytes(received)
                received += data


def _send(peer: socket.socket, unsent: memoryview) -> memoryview:
    """Send what fits and return the rest; half-close behind the last byte, or once nobody reads any more."""
    try:
        unsent = unsent[peer.send(unsent) :]
        if not unsent:
            peer.shutdown(socket.SHUT_WR)
    except OSError:  # EPIPE, ECONNRESET, ENOTCONN: it closed already; its answer may still be there to read
        return unsent[:0]
    return unsent
