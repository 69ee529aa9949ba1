"""Signals are caught for as long as the block runs, on the main thread only."""

from __future__ import annotations

import signal
import threading

import pytest

from system import signal_self
from vanilla.server.signals import SIGNALS, caught


def previous(number: int, frame: object) -> None:
    raise AssertionError("the previous handler ran inside the block")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("handler", [previous, signal.SIG_IGN, signal.SIG_DFL], ids=["function", "ignored", "default"])
def test_a_signal_is_caught_and_the_previous_handler_put_back(number: signal.Signals, handler: object) -> None:
    before = signal.signal(number, handler)  # type: ignore[arg-type]
    try:
        seen: list[signal.Signals] = []
        with caught(seen.append):
            signal_self(number)
        assert seen == [number]
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)


def test_handlers_are_put_back_after_an_exception() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with pytest.raises(ZeroDivisionError), caught(lambda _: None):
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_another_thread_than_the_main_one_catches_nothing() -> None:
    inside: list[object] = []

    def run() -> None:
        with caught(lambda _: None):
            inside.extend(signal.getsignal(number) for number in SIGNALS)

    before = [signal.getsignal(number) for number in SIGNALS]
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert inside == before
