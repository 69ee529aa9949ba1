"""What a worker counts and, where asked, times: plain values that any thread may read."""

from __future__ import annotations

from typing import NamedTuple


class Counters(NamedTuple):
    """A worker's counts since its start, read without a lock: each is exact, together they may be a tick apart.

    Times are nanoseconds; `handler_since_ns` is on the clock of `time.monotonic_ns()`.
    """

    accepted: int
    """Connections accepted; one that another worker was given counts there."""
    open: int
    """Connections open now."""
    requests: int
    """Requests handed to the handler."""
    bytes_received: int
    bytes_sent: int
    responses_1xx: int
    responses_2xx: int
    responses_3xx: int
    responses_4xx: int
    responses_5xx: int
    in_flight: int
    """Requests begun (their first byte is in) whose answer the kernel has not wholly taken."""
    parked: int
    """Requests that wait for something after their handler returned `Step.SUSPEND`."""
    ticks: int
    """Turns of the worker's loop."""
    gil_held_ns: int
    """Time in which the worker held, or waited to be given, the interpreter."""
    handler_since_ns: int
    """When the handler that runs now was entered; 0 when none does."""
    limits_reached: dict[str, int]
    """How often each limit was reached, by its name in `Limits`; those never reached are left out."""


class RequestTiming(NamedTuple):
    """Where the time of one request went. The four times are on the clock of `time.monotonic_ns()`."""

    method: bytes
    target: bytes
    status: int
    request_bytes: int
    response_bytes: int
    received_ns: int
    """The last byte of the request was in."""
    entered_ns: int
    """The handler was entered."""
    returned_ns: int
    """The handler had returned."""
    sent_ns: int
    """The kernel had taken the last byte of the answer."""


class Credentials(NamedTuple):
    """Who is at the other end of a unix socket, as recorded at connect(2)."""

    pid: int
    uid: int
    gid: int
