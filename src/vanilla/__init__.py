"""vanilla: a handler gets a request and appends the raw bytes of the response. Here are the public names only."""

from __future__ import annotations

from vanilla.contract import Draining, Request, Response, Worker
from vanilla.counters import Counters, Credentials, RequestTiming
from vanilla.errors import BindError, BodyError, ConfigError, OverloadError, RefusedError
from vanilla.files import OpenFile
from vanilla.handles import ContentEncoder, Parked, Takeover, TakeoverProtocol, Timer, Watch
from vanilla.limits import Limits
from vanilla.net.listen import Listener
from vanilla.server import Server, ServerConfig, WorkerError
from vanilla.steps import Event, Interest, Step
from vanilla.streaming import streaming
from vanilla.version import VERSION as __version__

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
