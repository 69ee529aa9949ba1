"""Which event mechanisms there are, which of them are to be had here, and which one `auto` is."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any, NamedTuple

from vanilla.errors import ConfigError

log = logging.getLogger("vanilla")


class Mechanism(NamedTuple):
    """One event mechanism: where it is, and which module and class make it."""

    platforms: tuple[str, ...]  # beginnings of sys.platform; none: every POSIX system
    home: str  # those platforms, in words
    maker: str


MECHANISMS = {
    "epoll": Mechanism(("linux",), "Linux", "Epoll"),
    "io_uring": Mechanism(("linux",), "Linux", "IoUring"),
    "iocp": Mechanism(("win32",), "Windows", "Iocp"),
    "poll": Mechanism((), "POSIX systems", "Poll"),
}
BACKENDS = tuple(MECHANISMS)
AUTO = {
    "linux": ("epoll", "io_uring", "poll"),
    "win32": ("iocp",),
}  # by the beginning of sys.platform: what is tried first
AUTO_ELSEWHERE = ("poll",)

_said: set[str] = set()  # what `auto` passed over is said once in a process


def choose_backend(name: str) -> str:
    """The mechanism that `name` stands for on this platform; `auto` is the best one there is.

    Raises: ConfigError for a name that is unknown or not to be had here, with what to use instead.
    """
    if name == "auto":
        return _choose_best()
    if name not in MECHANISMS:
        raise ConfigError(f"backend={name!r}: no such event mechanism; use auto or one of {', '.join(BACKENDS)}")
    reason = why_not(name)
    if reason is not None:
        raise ConfigError(f"backend={name!r}: {reason}; use auto, or {' or '.join(available_backends())}")
    return name


def available_backends() -> list[str]:
    """The names of those that can be had here, the one that `auto` is first."""
    found = [name for name in BACKENDS if why_not(name) is None]
    order = _auto_order()
    return sorted(found, key=lambda name: order.index(name) if name in order else len(order))


def why_not(name: str) -> str | None:
    """Why a mechanism cannot be had here; None if it can."""
    mechanism = MECHANISMS[name]
    if mechanism.platforms and not sys.platform.startswith(mechanism.platforms):
        return f"{name} is there on {mechanism.home} only, and this is {sys.platform}"
    if not mechanism.platforms and sys.platform == "win32":
        return f"{name} is there on {mechanism.home} only, and this is {sys.platform}"
    find_fault = getattr(_module_of(name), "find_fault", None)
    return find_fault() if find_fault is not None else None


def new_backend(name: str, pool: object) -> Any:
    """A mechanism for one worker, receiving into slabs of `pool`. Raises: OSError if the kernel refuses it."""
    return getattr(_module_of(name), MECHANISMS[name].maker)(pool)


def _module_of(name: str) -> Any:
    return importlib.import_module(f"vanilla.backends.{name}")


def _auto_order() -> tuple[str, ...]:
    for platform, order in AUTO.items():
        if sys.platform.startswith(platform):
            return order
    return AUTO_ELSEWHERE


def _choose_best() -> str:
    order = _auto_order()
    for name in order:
        reason = why_not(name)
        if reason is None:
            return name
        if name not in _said:
            _said.add(name)
            log.warning("backend auto: %s; trying the next one", reason)
    raise ConfigError(f"backend='auto': none of {', '.join(order)} can be had on this {sys.platform}")
