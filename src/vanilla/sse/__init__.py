"""Server-Sent Events: what a stream of them looks like on the wire. The WHATWG HTML standard, section 9.2."""

from __future__ import annotations

from vanilla.sse.events import encode, last_event_id

__all__ = ["encode", "last_event_id"]
