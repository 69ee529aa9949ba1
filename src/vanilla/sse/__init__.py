"""Server-Sent Events: what a stream of them looks like on the wire, and channels that many subscribe to."""

from __future__ import annotations

from vanilla.sse.channel import Channel
from vanilla.sse.events import encode, last_event_id

__all__ = ["Channel", "encode", "last_event_id"]
