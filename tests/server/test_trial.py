"""The exchange behind Server.test, against servers that behave badly: it always ends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from vanilla.server.trial import exchange

MUCH = bytes(4 * 1024 * 1024)  # more than the buffers of two sockets


def read_all(peer: socket.socket) -> None:
    while peer.recv(65_536):
        pass


def answer_behind_the_end(peer: socket.socket) -> None:
    read_all(peer)
    peer.sendall(b"answer")


def answer_first(peer: socket.socket) -> None:
    peer.sendall(b"answer" + MUCH)
    read_all(peer)


def answer_and_close_unread(peer: socket.socket) -> None:
    peer.recv(1)
    peer.sendall(b"answer")
    peer.shutdown(socket.SHUT_WR)
    read_all(peer)


def close_at_once(peer: socket.socket) -> None:
    pass


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[socket.socket], None]], tuple[str, int]]]:
    """Starts a server that lets a function play its side of one connection."""
    threads = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(play: Callable[[socket.socket], None]) -> tuple[str, int]:
        def run() -> None:
            peer, _ = listener.accept()
            with peer:
                play(peer)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        host, port = listener.getsockname()
        return host, port

    yield serve
    for thread in threads:
        thread.join()
    listener.close()


@pytest.mark.parametrize(
    ("play", "request_bytes", "answer"),
    [
        pytest.param(answer_behind_the_end, b"request", b"answer", id="half_closed"),
        pytest.param(answer_behind_the_end, b"", b"answer", id="nothing_to_send"),
        pytest.param(answer_first, MUCH, b"answer" + MUCH, id="both_sides_send_at_once"),
        pytest.param(answer_and_close_unread, b"request" + MUCH, b"answer", id="early_answer"),
        pytest.param(close_at_once, MUCH, b"", id="reset"),
    ],
)
def test_an_exchange_keeps_all_that_comes_until_the_close(
    serve: Callable[..., tuple[str, int]], play: Callable[[socket.socket], None], request_bytes: bytes, answer: bytes
) -> None:
    assert exchange(serve(play), request_bytes, timeout=10) == answer


def test_a_silent_server_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimeoutError, match=r"nothing for 0\.01 s"):
        exchange(listener.getsockname(), b"request", timeout=0.01)
