"""Which event mechanism runs here, by name."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from vanilla.errors import ConfigError

BACKENDS = {"epoll": "Epoll"}  # a module of this room, which is imported only where its mechanism is, and its class


def choose_backend(name: str) -> str:
    """The mechanism that `name` stands for on this platform; `auto` is the best one there is.

    Raises: ConfigError for a name that is unknown or not to be had here, with what to use instead.
    """
    if name not in ("auto", *BACKENDS):
        raise ConfigError(f"backend={name!r}: no such event mechanism; use auto or one of {', '.join(BACKENDS)}")
    if not sys.platform.startswith("linux"):
        raise ConfigError(
            f"backend={name!r}: epoll is there on Linux only, and this is {sys.platform}; run it on Linux"
        )
    return "epoll"


def new_backend(name: str, pool: object) -> Any:
    """The mechanism that choose_backend named, for one worker. Raises: OSError if the kernel refuses it."""
    return getattr(importlib.import_module(f"vanilla.backends.{name}"), BACKENDS[name])(pool)
