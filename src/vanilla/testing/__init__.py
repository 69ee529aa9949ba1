"""A scripted client for tests of handlers and servers: what it sends and awaits is data, so a test is a table.

A `Script` is rounds of "send these bytes, until this holds of all that was received". `drive(config, scripts)` starts
the server on a port of its own, plays every script on a connection of its own, all at once on one poll loop, and stops
the server. Nothing sleeps: the only clock is one deadline per call, and it raises with everything received so far.

    results = drive(ServerConfig(handler=handle, port=0), [ask(b"GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n")])
    assert results[0].frames[0].status == 200
"""

from vanilla.testing.client import Client, DeadlineExceededError, Group
from vanilla.testing.responses import Frame
from vanilla.testing.scripts import (
    Predicate,
    Received,
    Result,
    Round,
    Script,
    ask,
    count,
    eof,
    frames,
    headers_seen,
    repeat,
    sent,
)
from vanilla.testing.session import Results, Session, drive

__all__ = [
    "Client",
    "DeadlineExceededError",
    "Frame",
    "Group",
    "Predicate",
    "Received",
    "Result",
    "Results",
    "Round",
    "Script",
    "Session",
    "ask",
    "count",
    "drive",
    "eof",
    "frames",
    "headers_seen",
    "repeat",
    "sent",
]
