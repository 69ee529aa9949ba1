"""Which event mechanism is taken, and what is said of those that cannot be had."""

from __future__ import annotations

import logging
import os
import sys
import types
from collections.abc import Callable

import pytest

from vanilla import ConfigError, ServerConfig
from vanilla.backends import choose
from vanilla.backends.choose import BACKENDS, MECHANISMS, available_backends, choose_backend, why_not

IS_WINDOWS = sys.platform == "win32"
IS_BSD = "VANILLA_KQUEUE" in os.environ or not sys.platform.startswith("linux")  # the former: over an emulation
COMPILED = {
    "linux": ["epoll", "io_uring", "poll"],
    "darwin": ["kqueue", "poll"],
    "freebsd14": ["kqueue", "poll"],
    "sunos5": ["poll"],
    "plan9": [],
}


def handle(request, response, worker) -> None:
    response.reply(200)


@pytest.fixture
def on_platform(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Has this be another platform, with what setup.py compiles there, and these faults in it; nothing was said yet."""

    def on_platform(name: str, **faults: str) -> None:
        monkeypatch.setattr(sys, "platform", name)
        monkeypatch.setattr(choose, "_is_compiled", COMPILED[name].__contains__)
        monkeypatch.setattr(choose, "_module_of", lambda one: types.SimpleNamespace(find_fault=lambda: faults.get(one)))
        monkeypatch.setattr(choose, "_said", set())

    return on_platform


def test_the_best_of_this_platform_is_auto_and_the_first_that_is_offered() -> None:
    best = "iocp" if IS_WINDOWS else "kqueue" if IS_BSD else "epoll"
    assert choose_backend("auto") == best
    assert available_backends()[0] == best
    assert ("poll" in available_backends()) != IS_WINDOWS


def test_what_is_available_can_be_chosen_by_name() -> None:
    for name in available_backends():
        assert choose_backend(name) == name
        assert ServerConfig(handle, backend=name).backend == name


def test_a_name_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match="backend='select': no such event mechanism; use auto or one of epoll, "):
        ServerConfig(handle, backend="select")


@pytest.mark.parametrize("name", [name for name in BACKENDS if why_not(name) is not None])
def test_what_cannot_be_had_here_is_refused_with_the_reason_and_what_there_is(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_backend(name)
    assert str(caught.value) == f"backend={name!r}: {why_not(name)}; use auto, or {' or '.join(available_backends())}"


@pytest.mark.parametrize(("platform", "name"), [("linux", "kqueue"), ("darwin", "epoll"), ("freebsd14", "io_uring")])
def test_a_mechanism_of_another_platform_is_refused_with_its_home_and_what_there_is(
    on_platform: Callable[..., None], platform: str, name: str
) -> None:
    on_platform(platform)
    with pytest.raises(ConfigError) as caught:
        choose_backend(name)
    assert str(caught.value) == (
        f"backend={name!r}: {name} is there on {MECHANISMS[name].home} only, and this is {platform}; "
        f"use auto, or {' or '.join(COMPILED[platform])}"
    )


@pytest.mark.parametrize(
    ("platform", "best"),
    [("linux", "epoll"), ("darwin", "kqueue"), ("freebsd14", "kqueue"), ("sunos5", "poll")],
)
def test_auto_is_the_best_that_the_platform_has(
    on_platform: Callable[..., None], caplog: pytest.LogCaptureFixture, platform: str, best: str
) -> None:
    on_platform(platform)
    assert choose_backend("auto") == best
    assert available_backends() == COMPILED[platform]
    assert not caplog.messages


def test_auto_passes_over_what_cannot_be_had_and_says_so_once(
    on_platform: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    on_platform("linux", epoll="epoll is forbidden", io_uring="io_uring is forbidden")
    with caplog.at_level(logging.WARNING, "vanilla"):
        assert [choose_backend("auto") for _ in range(3)] == ["poll"] * 3
    assert caplog.messages == [
        "backend auto: epoll is forbidden; trying the next one",
        "backend auto: io_uring is forbidden; trying the next one",
    ]


def test_what_was_asked_for_by_name_is_never_replaced(on_platform: Callable[..., None]) -> None:
    on_platform("linux", poll="poll is forbidden")
    with pytest.raises(ConfigError, match="backend='poll': poll is forbidden; use auto, or epoll or io_uring"):
        choose_backend("poll")


def test_auto_where_nothing_can_be_had_is_an_error(on_platform: Callable[..., None]) -> None:
    on_platform("plan9")
    with pytest.raises(ConfigError, match="backend='auto': no event mechanism can be had on this plan9"):
        choose_backend("auto")
