"""A Date in raw answers: each worker keeps the line of this second, and makes another when the second is over."""

import time
from email.utils import formatdate

from vanilla import ServerConfig


class DateCache:
    """Belongs to one worker, so nothing is shared and nothing locked."""

    def __init__(self, clock=time.time):
        self.clock = clock
        self.second = -1
        self.line = b""

    def get(self):
        second = int(self.clock())
        if second != self.second:
            self.second = second
            self.line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self.line


def make_state():
    return DateCache()


def answer(request, response, worker):
    response += b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
    response += worker.state.get()
    response += b"Content-Length: 3\r\n\r\nok\n"


config = ServerConfig(answer, make_state=make_state)
