"""Every bound a user may set: its unit, its default, why that default, and what happens when a client reaches it.

`None` turns a limit off. Reaching one is counted by its name (`Worker.counters().limits_reached`).
"""

from __future__ import annotations

import dataclasses
import math

from vanilla.errors import ConfigError

OFFSET_MAX = 2**30  # bytes: the most that one message may occupy, even with its limits off: offsets have 31 bits


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one listener accepts from its clients before it answers an error or closes.

    Sizes are bytes, times are seconds, rates are bytes per second. `None` means off.

    Attributes:
        max_target_bytes: longest request target; above it 414. 8 KiB: what browsers and proxies keep to.
        max_header_bytes: longest header section, without the request line; above it 431. Trailers have this bound too.
        max_headers: most field lines in a header section; above it 431.
        max_body_bytes: longest content, declared or decoded from chunks; above it 413, from the head if it can be.
            0 refuses every body. Raise it per listener for uploads.
        max_chunk_extension_bytes: most chunk-extension bytes in one message; above it 400.
        read_timeout: for one request's head to arrive whole, then again for its body; 408. Bytes do not renew it.
            A connection that sends nothing at all is closed after it without an answer.
        keepalive_timeout: how long a connection may idle between two requests; closed without an answer.
            5 s is uvicorn's default; put it above the idle timeout of a proxy in front.
        write_timeout: for an answer to be taken by the client once the socket is full; then the connection is closed.
        min_receive_rate: slowest body accepted, averaged over the time after `rate_grace`; 408. While it is set it
            replaces `read_timeout` for bodies, so that an honest slow upload lives.
        min_send_rate: slowest reader accepted, likewise; it replaces `write_timeout` while it is set.
        rate_grace: seconds at the start of a body or of a blocked answer in which its rate is not judged.
        max_connections: most open connections of this listener, shared out evenly over its workers; one that has its
            share leaves new ones to others. Without a place they wait in the listen backlog; if none comes free for
            `accept_timeout`, those that wait get a 503 and are closed.
        accept_timeout: how long a new connection waits for a place before it is refused; off leaves it to the backlog.
        max_requests_per_connection: the answer to the last one carries `Connection: close`.
        max_pending_bytes: answers waiting in memory for one connection above which its next pipelined request waits.
        linger_timeout: how long a connection closed with input unread is kept to drop that input, so that the client
            reads its answer instead of a reset (RFC 9112 section 9.6); off closes at once.
        suspend_timeout: how long a watch of a suspended request may take where it was given no timeout of its own; its
            continuation is called with `Event.TIMEOUT` then. Off by default.
        high_water_bytes: pieces of this size are pulled from what `response.stream()` was given; a takeover that had
            more than this unsent is told when it has drained.
        low_water_bytes: how few a client must have left to take for `response.flush()`, `on_drained` and `stream` to go
            on; more than the high-water mark is the same as that.

    Raises: ConfigError for a value out of range.
    """

    max_target_bytes: int | None = 8 * 1024
    max_header_bytes: int | None = 32 * 1024
    max_headers: int | None = 128
    max_body_bytes: int | None = 1024 * 1024
    max_chunk_extension_bytes: int | None = 4 * 1024
    read_timeout: float | None = 30.0
    keepalive_timeout: float | None = 5.0
    write_timeout: float | None = 60.0
    min_receive_rate: int | None = None
    min_send_rate: int | None = None
    rate_grace: float = 5.0
    max_connections: int | None = 65_536
    accept_timeout: float | None = 10.0
    max_requests_per_connection: int | None = None
    max_pending_bytes: int | None = 1024 * 1024
    linger_timeout: float | None = 2.0
    suspend_timeout: float | None = None
    high_water_bytes: int = 64 * 1024
    low_water_bytes: int = 16 * 1024

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value is None and field.name not in _NEVER_OFF:
                continue
            _check(field.name, value, whole="int" in str(field.type))


_MAY_BE_ZERO = ("max_body_bytes", "max_chunk_extension_bytes", "rate_grace", "low_water_bytes")
_NEVER_OFF = ("rate_grace", "high_water_bytes", "low_water_bytes")


def _check(name: str, value: object, *, whole: bool) -> None:
    """Refuse what is not a number of the right kind, or is out of range."""
    off = "" if name in _NEVER_OFF else ", or None to turn it off"
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        kind = "a whole number" if whole else "a number of seconds"
        raise ConfigError(f"{name}={value!r}: give {kind}{off}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in _MAY_BE_ZERO):
        least = "0 or more" if name in _MAY_BE_ZERO else "more than 0"
        raise ConfigError(f"{name}={value!r}: must be {least}{off}")
    if name.endswith("_bytes") and value > OFFSET_MAX:
        raise ConfigError(f"{name}={value!r}: one message may hold {OFFSET_MAX} bytes at most{off}")
