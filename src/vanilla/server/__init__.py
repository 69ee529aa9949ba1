"""Start, supervise and drain: plain Python around the compiled engine."""

from vanilla.server.config import Handler, ServerConfig
from vanilla.server.server import Server
from vanilla.server.workers import WorkerError

__all__ = ["Handler", "Server", "ServerConfig", "WorkerError"]
