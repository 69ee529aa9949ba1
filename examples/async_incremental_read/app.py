"""Forwards what a command prints, as it prints it, at `/stream`. A client that goes away ends its command."""

import os
import signal
import subprocess

from vanilla import Event, Interest, Step

COMMAND = ["sh", "-c", "for n in 1 2 3 4 5; do echo line $n; sleep 0.2; done"]  # never a client's words in here
READ_BYTES = 4096
SILENCE_SECONDS_MAX = 30.0
OUTPUT_BYTES_MAX = 1024 * 1024  # what a slow client has not taken yet is kept in memory: so much, and no more

HEADS = {  # HTTP/1.0 knows no chunks: its clients see the end of the output by the end of the connection
    b"HTTP/1.0": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n",
    b"HTTP/1.1": b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
}


class Child:
    """One running command: the descriptor that its output comes from, and how much of that is still allowed."""

    def __init__(self):
        self.process = subprocess.Popen(COMMAND, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, process_group=0)
        with self.process.stdout as output:
            # A plain one of its own: if the client goes away the worker closes it, and a file object would once more.
            self.fd = os.dup(output.fileno())
        os.set_blocking(self.fd, False)
        self.bytes_left = OUTPUT_BYTES_MAX

    def end(self):
        """Kill it, with what it has started, and reap it: neither it nor a zombie of it outlives the request."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()  # at once, after SIGKILL


def handle(request, response, worker):
    if request.path != b"/stream":
        return response.reply(404)
    if request.method not in (b"GET", b"HEAD"):
        return response.reply(405, headers={"Allow": "GET, HEAD"})
    if request.method == b"HEAD":
        return response.write(HEADS[request.version])
    try:
        child = Child()
    except OSError:
        return response.reply(502)
    response.write(HEADS[request.version])
    return await_output(worker, child)


def await_output(worker, child):
    worker.watch_fd(child.fd, Interest.READABLE, forward, child, timeout=SILENCE_SECONDS_MAX, on_disconnect=Child.end)
    return Step.SUSPEND


def forward(request, response, worker, child, event):
    is_chunked = request.version == b"HTTP/1.1"
    try:
        data = os.read(child.fd, READ_BYTES)
    except BlockingIOError:
        return finish(child, Step.CLOSE) if event & Event.TIMEOUT else await_output(worker, child)
    child.bytes_left -= len(data)
    if child.bytes_left < 0:
        return finish(child, Step.CLOSE)  # without the last chunk: the client can tell that this is not all
    response.write(b"%x\r\n%b\r\n" % (len(data), data) if is_chunked else data)  # of no data: the last chunk
    if data:
        return await_output(worker, child)
    return finish(child, Step.DONE if is_chunked else Step.CLOSE)


def finish(child, step):
    child.end()
    os.close(child.fd)
    return step
