"""Each worker makes its whole answer anew once a second, Date and all, whether or not anybody asks."""

import os
import time
from email.utils import formatdate

from vanilla import Interest, ServerConfig

SECONDS = 1.0


def answer(request, response, worker):
    if request.path != b"/":
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    return response.write(worker.state)


def make_answer(now):
    date = formatdate(now, usegmt=True).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: %b\r\nContent-Length: 2\r\n\r\nok" % date


def refresh(worker):
    worker.state = make_answer(time.time())


def every(worker, seconds, function):
    """Call `function(worker)` every so many seconds, for as long as the worker lives."""
    if hasattr(os, "timerfd_create"):  # Python 3.13, Linux
        fd = os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)
        os.timerfd_settime(fd, initial=seconds, interval=seconds)
        worker.watch_fd_persistent(fd, Interest.READABLE, on_expired, (fd, function))
    else:
        worker.call_later(seconds, on_due, worker, seconds, function)


def on_expired(request, response, worker, payload, event):
    fd, function = payload
    os.read(fd, 8)  # how often it has expired; unread, it would stay ready, and this be called without end
    function(worker)


def on_due(worker, seconds, function):
    worker.call_later(seconds, on_due, worker, seconds, function)  # first: whatever the function raises, it goes on
    function(worker)


def on_worker_start(worker):
    refresh(worker)  # before the first request
    every(worker, SECONDS, refresh)


config = ServerConfig(answer, on_worker_start=on_worker_start)
