"""The words that a server says: to logging.getLogger("vanilla"), which the command sends to stderr."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from vanilla.net.sockets import Address, shown

LOG = logging.getLogger("vanilla")
LEVELS = ("debug", "info", "warning", "error", "critical")


def configure(level: str) -> None:
    """Send what "vanilla" logs, from `level` up, to stderr: the command's choice; other programs make their own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    LOG.handlers[:] = [handler]
    LOG.setLevel(level.upper())
    LOG.propagate = False


def listening_line(addresses: Sequence[Address], workers: int, backend: str) -> str:
    """Where a server listens, with what, and how to stop it."""
    where = ", ".join(shown(address) for address in addresses)
    threads = "1 worker" if workers == 1 else f"{workers} workers"
    return f"listening on {where} with {threads} on {backend}; stop with Ctrl-C or SIGTERM (process {os.getpid()})"
