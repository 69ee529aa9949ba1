"""Which event mechanism runs here, by name."""

from __future__ import annotations

import sys

from vanilla.errors import ConfigError

BACKENDS = ("epoll",)


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
