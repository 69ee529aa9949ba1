"""Which event mechanisms there are, which of them are to be had here, and which one `auto` is."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import logging
import sys
from typing import Any, NamedTuple

from vanilla.errors import ConfigError

log = logging.getLogger("vanilla")


class Mechanism(NamedTuple):
    """One event mechanism: where it is, in words, and which class of the module of its name makes it."""

    home: str
    maker: str


# What `auto` tries, the best first. setup.py compiles those that a platform has; the others are there in name only.
MECHANISMS = {
    "epoll": Mechanism("Linux", "Epoll"),
    "kqueue": Mechanism("macOS and FreeBSD", "Kqueue"),
    "iocp": Mechanism("Windows", "Iocp"),
    "io_uring": Mechanism("Linux", "IoUring"),
    "poll": Mechanism("POSIX systems", "Poll"),
}
BACKENDS = tuple(MECHANISMS)

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
    return [name for name in BACKENDS if why_not(name) is None]


def why_not(name: str) -> str | None:
    """Why a mechanism cannot be had here; None if it can."""
    if not _is_compiled(name):
        return f"{name} is there on {MECHANISMS[name].home} only, and this is {sys.platform}"
    find_fault = getattr(_module_of(name), "find_fault", None)
    return find_fault() if find_fault is not None else None


def new_backend(name: str, pool: object) -> Any:
    """A mechanism for one worker, receiving into slabs of `pool`. Raises: OSError if the kernel refuses it."""
    return getattr(_module_of(name), MECHANISMS[name].maker)(pool)


def _is_compiled(name: str) -> bool:
    spec = importlib.util.find_spec(f"vanilla.backends.{name}")
    return spec is not None and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)


def _module_of(name: str) -> Any:
    return importlib.import_module(f"vanilla.backends.{name}")


def _choose_best() -> str:
    for name in BACKENDS:
        reason = why_not(name)
        if reason is None:
            return name
        if name not in _said and _is_compiled(name):
            _said.add(name)
            log.warning("backend auto: %s; trying the next one", reason)
    raise ConfigError(f"backend='auto': no event mechanism can be had on this {sys.platform}")
