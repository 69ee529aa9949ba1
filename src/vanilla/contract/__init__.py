"""What a handler sees: the Request, the Response it appends to, the Worker it runs on. One room each."""

from __future__ import annotations

from vanilla.contract.request import Request
from vanilla.contract.response import Response
from vanilla.contract.worker import Draining, Worker

__all__ = ["Draining", "Request", "Response", "Worker"]
