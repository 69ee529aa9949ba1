"""Who owns which bytes, as far as Python can see: views keep their slab, and a buffer that only grows stays whole."""

from __future__ import annotations

import gc
import os
import sys
import threading

import pytest

from vanilla import Request, Response
from vanilla.buffers import SlabView


def make(size: int) -> Request:
    return Request(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)


def test_a_view_holds_its_slab_and_nothing_else() -> None:
    request = make(5)
    before = sys.getrefcount(request)
    view = request.body_view
    assert type(view.obj) is SlabView
    assert sys.getrefcount(request) == before  # the view does not keep the request


def test_views_outlive_their_request_in_any_order() -> None:
    for last in range(4):
        request = make(100_000)
        views = [request.raw, request.body_view, request.body_view[10:20], memoryview(request.raw)]
        kept = views.pop(last)
        expected = bytes(kept)
        del request, views
        gc.collect()
        assert bytes(kept) == expected


def test_the_last_release_may_be_on_any_thread() -> None:
    views = [make(1000).body_view for _ in range(200)]
    copies = [list(views) for _ in range(4)]
    views.clear()

    def drop(own: list[memoryview]) -> None:
        while own:
            assert own[-1][:1] == b"x"
            own.pop()

    threads = [threading.Thread(target=drop, args=(own,)) for own in copies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(copies)


def test_a_view_of_no_slab_shows_nothing() -> None:
    with pytest.raises(BufferError, match="no slab"):
        memoryview(SlabView())  # type: ignore[arg-type]


@pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="ASan keeps freed memory for a while")
def test_requests_do_not_leak() -> None:
    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096

    def churn() -> None:
        for _ in range(200):
            request = make(500_000)
            view, body = request.body_view, request.body
            del request, view, body
        with pytest.raises(ValueError, match="after the end"):
            Request(b"GET / HTTP/1.0\r\n\r\n" + b"x" * 10_000_000)

    churn()
    before = resident()
    churn()
    assert resident() - before < 20_000_000  # 200 of them would be 100 MB


@pytest.mark.parametrize("size", [64 * 1024, 128 * 1024, 1024 * 1024, 4 * 1024 * 1024])
@pytest.mark.parametrize("step", [-1, 0, 1])
def test_a_buffer_is_whole_around_every_size_that_it_grows_at(size: int, step: int) -> None:
    response = Response()
    head, rest = b"h" * (size + step), b"r" * 3
    response += head
    response += rest
    assert bytes(response) == head + rest
    response.clear()
    response += rest
    assert bytes(response) == rest
