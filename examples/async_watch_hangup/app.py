"""The newest line of a feed, served at `/`: each worker watches a connection to it, and gets another when it dies."""

import logging
import os
import socket

from vanilla import Interest, ServerConfig

FEED = os.environ.get("FEED", "127.0.0.1:7000")  # an address, not a name: looking one up would block the worker
PAUSE_MIN, PAUSE_MAX = 0.1, 30.0  # seconds before another connection is tried; doubled each time it comes to nothing
LINE_BYTES_MAX = 64 * 1024
log = logging.getLogger(__name__)


class Feed:
    """One worker's connection to the feed."""

    def __init__(self):
        self.newest = b""
        self.pause = PAUSE_MIN

    def connect(self, worker):
        host, _, port = FEED.rpartition(":")
        self.rest = b""  # of a line that has not fully arrived
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.connect_ex((host, int(port)))  # whatever comes of it is an event
        self.watch = worker.watch_fd_persistent(self.socket.fileno(), Interest.READABLE, on_event)

    def read(self):
        """Take what has arrived. Raises: OSError if the connection is of no more use."""
        data = self.socket.recv(LINE_BYTES_MAX)
        if not data:
            raise ConnectionError("closed by the feed")
        self.pause = PAUSE_MIN
        *lines, self.rest = (self.rest + data).split(b"\n")
        if lines:
            self.newest = lines[-1]
        if len(self.rest) > LINE_BYTES_MAX:
            raise ConnectionError(f"a line of more than {LINE_BYTES_MAX} bytes")

    def give_up(self, worker, error):
        """Let go of a dead descriptor, or its worker would be told without end that it is dead; try again later."""
        log.warning("feed %s: %s; tried again in %g s", FEED, error, self.pause)
        self.watch.cancel()
        self.socket.close()
        worker.call_later(self.pause, self.connect, worker)
        self.pause = min(self.pause * 2, PAUSE_MAX)


def on_event(request, response, worker, payload, event):
    feed = worker.state
    try:
        feed.read()  # whatever the event: what was sent before a hang-up is still there
    except BlockingIOError:
        pass
    except OSError as error:
        feed.give_up(worker, error)


def answer(request, response, worker):
    if request.path != b"/":
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    if not worker.state.newest:
        return response.reply(503, headers={"Retry-After": "1"})
    return response.reply(200, worker.state.newest, content_type="text/plain")


config = ServerConfig(answer, make_state=Feed, on_worker_start=lambda worker: worker.state.connect(worker))
