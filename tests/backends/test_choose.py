"""Which event mechanism a name stands for, and what is said where it cannot be had."""

from __future__ import annotations

import logging
import os
import sys
import types

import pytest

from vanilla.backends import choose
from vanilla.backends.choose import BACKENDS, available_backends, choose_backend, why_not
from vanilla.errors import ConfigError

IS_EMULATED = "VANILLA_KQUEUE" in os.environ  # the modules of a BSD, on Linux
COMPILED = {
    "linux": ["epoll", "io_uring", "poll"],
    "darwin": ["kqueue", "poll"],
    "freebsd14": ["kqueue", "poll"],
    "sunos5": ["poll"],
    "plan9": [],
}


@pytest.fixture
def on_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has this be another platform, with what setup.py compiles there, and nothing that is wrong with any of it."""

    def on_platform(name: str, **faults: str) -> None:
        monkeypatch.setattr(sys, "platform", name)
        monkeypatch.setattr(choose, "_is_compiled", COMPILED[name].__contains__)
        monkeypatch.setattr(choose, "_module_of", lambda one: types.SimpleNamespace(find_fault=lambda: faults.get(one)))
        monkeypatch.setattr(choose, "_said", set())

    return on_platform


def test_what_is_to_be_had_here() -> None:
    expected = {"kqueue", "poll"} if IS_EMULATED or not sys.platform.startswith("linux") else {"epoll", "poll"}
    assert expected <= set(available_backends()) <= expected | {"io_uring"}
    assert choose_backend("auto") == available_backends()[0] != "poll"


@pytest.mark.parametrize("name", [name for name in BACKENDS if why_not(name) is not None])
def test_what_is_not_to_be_had_here_is_refused_with_what_is(name: str) -> None:
    with pytest.raises(ConfigError, match=f"^backend='{name}': .*; use auto, or {' or '.join(available_backends())}$"):
        choose_backend(name)


def test_kqueue_on_linux_is_refused_with_what_to_use_instead(on_platform) -> None:
    on_platform("linux")
    with pytest.raises(ConfigError) as caught:
        choose_backend("kqueue")
    assert str(caught.value) == (
        "backend='kqueue': kqueue is there on macOS and FreeBSD only, and this is linux; "
        "use auto, or epoll or io_uring or poll"
    )


def test_epoll_on_a_mac_is_refused_with_what_to_use_instead(on_platform) -> None:
    on_platform("darwin")
    with pytest.raises(ConfigError, match="epoll is there on Linux only, and this is darwin; use auto, or kqueue or p"):
        choose_backend("epoll")


def test_a_name_that_nothing_has_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"^backend='magic': .*epoll, kqueue, io_uring, poll$"):
        choose_backend("magic")


@pytest.mark.parametrize(
    ("platform", "best"),
    [("linux", "epoll"), ("darwin", "kqueue"), ("freebsd14", "kqueue"), ("sunos5", "poll")],
)
def test_auto_is_the_best_that_the_platform_has(on_platform, caplog, platform: str, best: str) -> None:
    on_platform(platform)
    assert choose_backend("auto") == best
    assert available_backends() == COMPILED[platform]
    assert not caplog.messages


def test_auto_says_once_what_it_passes_over(on_platform, caplog) -> None:
    caplog.set_level(logging.WARNING, "vanilla")
    on_platform("darwin", kqueue="kqueue is out of order")
    assert [choose_backend("auto") for _ in range(3)] == ["poll"] * 3
    assert caplog.messages == ["backend auto: kqueue is out of order; trying the next one"]


def test_auto_without_anything_to_be_had_is_refused(on_platform) -> None:
    on_platform("plan9")
    with pytest.raises(ConfigError, match=r"^backend='auto': no event mechanism can be had on this plan9$"):
        choose_backend("auto")
