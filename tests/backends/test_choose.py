"""Which event mechanism is taken, and what is said of those that cannot be had."""

import logging
import sys

import pytest

from vanilla import ConfigError, ServerConfig
from vanilla.backends import choose
from vanilla.backends.choose import BACKENDS, MECHANISMS, available_backends, choose_backend, why_not


def handle(request, response, worker) -> None:
    response.reply(200)


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process in which `auto` has passed over nothing yet."""
    monkeypatch.setattr(choose, "_said", set())


def make_unavailable(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = why_not
    monkeypatch.setattr(choose, "why_not", lambda name: f"{name} is forbidden" if name in names else found(name))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="says what is there on Linux")
def test_on_linux_auto_is_epoll_and_the_first_that_is_offered() -> None:
    assert choose_backend("auto") == "epoll"
    assert available_backends()[0] == "epoll"
    assert "poll" in available_backends()


def test_what_is_available_can_be_chosen_by_name() -> None:
    for name in available_backends():
        assert choose_backend(name) == name
        assert ServerConfig(handle, backend=name).backend == name


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="backend='select': no such event mechanism; use auto or one of epoll, "):
        ServerConfig(handle, backend="select")


@pytest.mark.parametrize("name", [name for name in BACKENDS if why_not(name) is not None])
def test_a_mechanism_of_another_platform_is_refused_with_its_home_and_what_there_is(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_backend(name)
    said = str(caught.value)
    assert said.startswith(f"backend={name!r}: {name} is there on {MECHANISMS[name].home} only, and this is ")
    assert said.endswith(f"; use auto, or {' or '.join(available_backends())}")


def test_auto_passes_over_what_cannot_be_had_and_says_so_once(
    nothing_said: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choose, "_auto_order", lambda: ("io_uring", "epoll", "poll"))
    make_unavailable(monkeypatch, "io_uring", "epoll")
    with caplog.at_level(logging.WARNING, "vanilla"):
        assert [choose_backend("auto") for _ in range(3)] == ["poll"] * 3
    assert [record.getMessage() for record in caplog.records] == [
        "backend auto: io_uring is forbidden; trying the next one",
        "backend auto: epoll is forbidden; trying the next one",
    ]


def test_what_was_asked_for_by_name_is_never_replaced(nothing_said: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_unavailable(monkeypatch, "poll")
    with pytest.raises(ConfigError, match="backend='poll': poll is forbidden; use auto, or "):
        choose_backend("poll")


def test_auto_where_nothing_can_be_had_is_an_error(nothing_said: None, monkeypatch: pytest.MonkeyPatch) -> None:
    make_unavailable(monkeypatch, *BACKENDS)
    with pytest.raises(ConfigError, match="backend='auto': none of "):
        choose_backend("auto")
