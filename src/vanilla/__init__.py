"""vanilla: a handler gets a request and appends the raw bytes of the response. Here are the public names only.

The server is imported when it is first named: a handler, and whoever tests it, need no engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from vanilla.contract import Draining, Request, Response, Worker
from vanilla.counters import Counters, Credentials, RequestTiming
from vanilla.errors import BindError, BodyError, ConfigError, OverloadError, RefusedError
from vanilla.files import OpenFile
from vanilla.handles import ContentEncoder, Parked, Takeover, TakeoverProtocol, Timer, Watch
from vanilla.limits import Limits
from vanilla.net.listen import Listener
from vanilla.steps import Event, Interest, Step
from vanilla.streaming import streaming
from vanilla.version import VERSION as __version__

if TYPE_CHECKING:
    from vanilla.server import Server, ServerConfig, WorkerError
else:

    def __getattr__(name: str) -> object:
        if name not in ("Server", "ServerConfig", "WorkerError"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(importlib.import_module("vanilla.server"), name)
        return value


__all__ = [
    "BindError",
    "BodyError",
    "ConfigError",
    "ContentEncoder",
    "Counters",
    "Credentials",
    "Draining",
    "Event",
    "Interest",
    "Limits",
    "Listener",
    "OpenFile",
    "OverloadError",
    "Parked",
    "RefusedError",
    "Request",
    "RequestTiming",
    "Response",
    "Server",
    "ServerConfig",
    "Step",
    "Takeover",
    "TakeoverProtocol",
    "Timer",
    "Watch",
    "Worker",
    "WorkerError",
    "__version__",
    "streaming",
]
