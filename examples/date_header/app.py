"""A Date in raw answers: one thread makes the line of each second, and every worker reads it without a lock."""

import threading
import time
from email.utils import formatdate

from vanilla import ServerConfig


class DateLine:
    """The line of this second. To replace it is one assignment, so nobody ever sees half of it."""

    def __init__(self, clock=time.time):
        self.clock = clock
        self.line = b""
        self.stopping = threading.Event()
        self.refresh()  # there is one before the first request

    def refresh(self):
        self.line = b"Date: %b\r\n" % formatdate(self.clock(), usegmt=True).encode()

    def run(self):
        while not self.stopping.wait(1 - self.clock() % 1):  # until the next second begins
            self.refresh()


DATE = DateLine()


def answer(request, response, worker):
    response += b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    response += DATE.line
    response += b"Content-Length: 3\r\n\r\nok\n"


def start_clock(server):
    DATE.stopping.clear()
    threading.Thread(target=DATE.run, name="date", daemon=True).start()


def stop_clock(worker):
    DATE.stopping.set()


config = ServerConfig(answer, after_server_start=start_clock, on_worker_stop=stop_clock)
