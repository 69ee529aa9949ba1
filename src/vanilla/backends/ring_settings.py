"""How large an io_uring is, and which of the kernel's features it uses: VANILLA_IO_URING, for tests and diagnosis."""

from __future__ import annotations

from typing import NamedTuple

from vanilla.errors import ConfigError

FEATURES = {
    "deferred": "what completes does so on its own thread, inside the wait (DEFER_TASKRUN, Linux 6.1)",
    "cooperative": "what completes interrupts nobody (COOP_TASKRUN, Linux 5.19)",
    "multishot_accept": "one accept for all connections (Linux 5.19)",
    "multishot_receive": "one receive for all of a connection's data (Linux 6.0)",
    "shared_buffers": "connections share the buffers that they receive into (Linux 6.12)",
}
COUNT_MAX = 32768  # what the kernel takes, of buffers and of submissions


class Settings(NamedTuple):
    """What VANILLA_IO_URING says.

    Attributes:
        buffers: that are offered for receiving, a power of two; 0 for as many as suit their kind.
        submissions, completions: room in the queues.
        features: those that may be used where the kernel has them.
    """

    buffers: int = 0
    submissions: int = 512
    completions: int = 4096
    features: frozenset[str] = frozenset(FEATURES)


def read_settings(text: str) -> Settings:
    """`buffers=4,submissions=8,without=shared_buffers` as settings; what is not named has its default.

    Raises: ConfigError for anything else.
    """
    counts: dict[str, int] = {}
    features = set(FEATURES)
    for word in filter(None, text.split(",")):
        name, _, value = word.partition("=")
        if name == "without" and value in FEATURES:
            features.discard(value)
        elif name in ("buffers", "submissions", "completions") and value.isascii() and value.isdigit():
            counts[name] = int(value)
            if not 1 <= counts[name] <= COUNT_MAX or counts[name] & (counts[name] - 1):
                raise ConfigError(f"VANILLA_IO_URING: {word!r}: give a power of two up to {COUNT_MAX}")
        else:
            known = f"buffers=, submissions=, completions= with a number, or without= with one of {', '.join(FEATURES)}"
            raise ConfigError(f"VANILLA_IO_URING: {word!r}: give {known}, separated by commas")
    return Settings(**counts, features=frozenset(features))
