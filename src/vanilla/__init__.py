"""vanilla: a handler gets a request and appends the raw bytes of the response. Here are the public names only."""

from __future__ import annotations

from vanilla.contract import Draining, Request, Response, Worker
from vanilla.counters import Counters, Credentials, RequestTiming
from vanilla.errors import BindError, ConfigError, OverloadError, RefusedError
from vanilla.handles import Parked, Timer, Watch
from vanilla.limits import Limits
from vanilla.net.listen import Listener
from vanilla.server import Server, ServerConfig, WorkerError
from vanilla.steps import Event, Interest, Step
from vanilla.version import VERSION as __version__

__all__ = [
    "BindError",
    "ConfigError",
    "Counters",
    "Credentials",
    "Draining",
    "Event",
    "Interest",
    "Limits",
    "Listener",
    "OverloadError",
    "Parked",
    "RefusedError",
    "Request",
    "RequestTiming",
    "Response",
    "Server",
    "ServerConfig",
    "Step",
    "Timer",
    "Watch",
    "Worker",
    "WorkerError",
    "__version__",
]
