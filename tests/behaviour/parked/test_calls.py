"""Timers and posts, made and cancelled by each other, and by those who end."""

from __future__ import annotations

import threading
import time

import pytest

from system import close, open_pair, reset, until
from vanilla import Interest, Step

TINY = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "forgotten"])
@pytest.mark.parametrize("how", ["post", "timer", "on_disconnect"])
def test_a_timer_cancelled_in_the_tick_in_which_it_is_due_is_not_called(site, how, keeps) -> None:
    """Nobody holds a forgotten timer any more: what was noted about it must hold it until it is looked at."""
    called: list[str] = []
    timers: list[object] = []

    def cancel(payload=None) -> None:
        for timer in timers:
            timer.cancel()
        if not keeps:
            timers.clear()

    def begin(worker, due: float) -> None:
        if how == "timer":
            worker.call_at(due - 0.005, cancel)
        timers.extend(worker.call_at(due, called.append, "due") for _ in range(100))

    def handle(request, response, worker):
        reader, writer = open_pair()
        close(writer) if how != "on_disconnect" else writers.append(writer)
        worker.watch_fd(reader, Interest.READABLE, answer, reader, on_disconnect=cancel)
        return Step.SUSPEND

    def answer(request, response, worker, fd, event):
        close(fd)
        response.reply(200)

    writers: list[int] = []
    with site(handle) as running:
        client = running.connect(TINY)
        until(lambda: running.server.counters().requests == 1)
        due = time.monotonic() + 0.02
        running.run(begin, running.worker, due)
        with running.busy():
            if how == "post":
                running.worker.post(cancel)
            elif how == "on_disconnect":
                reset(client)
            until(lambda: time.monotonic() > due + 0.005)
        running.run(int)
        running.run(int)
        # A post of the tick may come before or after what is due in it, a timer that is due earlier comes before.
        assert len(called) == 0 or (how != "timer" and len(called) == 100)
        for fd in writers:
            close(fd)


def test_timers_made_and_cancelled_by_timers_come_due_as_said(site) -> None:
    called: list[int] = []

    def tick(worker, number: int) -> None:
        called.append(number)
        worker.call_later(0, called.append, -1).cancel()
        if number:
            worker.call_later(0, tick, worker, number - 1)

    with site(print) as running:
        running.worker.post(tick, running.worker, 50)
        until(lambda: len(called) == 51)
        assert called == list(range(50, -1, -1))


@pytest.mark.parametrize("when", [float("nan"), float("inf"), 1e11, 1e300, -1e300])
def test_a_timer_at_a_time_that_cannot_be_is_refused(site, when) -> None:
    def refuse() -> None:
        with pytest.raises(ValueError, match="when"):
            running.worker.call_at(when, print)

    with site(print) as running:
        running.run(refuse)


@pytest.mark.parametrize("grace", [0, 5], ids=["cut", "drained"])
def test_every_post_that_was_taken_is_called_however_the_server_ends(site, grace) -> None:
    called: list[tuple[int, int]] = []
    taken: list[list[int]] = [[] for _ in range(6)]
    refused: list[str] = []
    began = threading.Barrier(7)

    def post_until_refused(thread: int) -> None:
        """A hundred at most ahead of the worker: a flood would be a test of the interpreter's fairness."""
        began.wait(20)
        number = 0
        try:
            while True:
                running.worker.post(lambda number=number: called.append((thread, number)))
                taken[thread].append(number)
                number += 1
                if number % 100 == 0:
                    done = threading.Event()
                    running.worker.post(done.set)
                    assert done.wait(20)
        except RuntimeError as refusal:
            refused.append(str(refusal))

    with site(lambda *_: None) as running:
        threads = [threading.Thread(target=post_until_refused, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        began.wait(20)
        until(lambda: len(called) > 100)
        running.server.shutdown(grace)
        for thread in threads:
            thread.join()
    assert ["ended" in text for text in refused] == [True] * 6
    for index in range(6):  # some are called after the first refusal
        assert [number for thread, number in called if thread == index] == taken[index]
