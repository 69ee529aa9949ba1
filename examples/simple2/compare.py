"""What a request costs the worker in simple, in simple2, and with views in place of every copy."""

import pathlib
import subprocess
import sys
import threading
import time

from vanilla import Server, ServerConfig
from vanilla.target import load_target
from vanilla.testing import Client, Round, Script, frames, repeat

HERE = pathlib.Path(__file__).parent
CONNECTIONS, ROUNDS, DEPTH, TRIALS = 4, 50, 64, 3
START = b"GET /user/"


def handle_views(request, response, worker):
    """The route of a user with no copy at all: the request is compared, and the id passed on, as views of it."""
    raw = request.raw
    if raw[: len(START)] == START:
        end = len(b"GET ") + len(request.target)
        response.reply(200, raw[len(START) : end], content_type=b"text/plain")


def measure(handle, user):
    """Microseconds of the worker's CPU time for each of many requests."""
    clocks = []

    def on_worker_start(worker):
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))

    get = b"GET /user/%b HTTP/1.1\r\nHost: a\r\n\r\n" % user
    config = ServerConfig(handle, workers=1, port=0, on_worker_start=on_worker_start)
    rounds = [Round(send=get * DEPTH, until=frames(DEPTH * (number + 1))) for number in range(ROUNDS)]
    with Server(config) as server, Client(("127.0.0.1", server.port)) as client:
        began = time.clock_gettime(clocks[0])
        client.fire(repeat(CONNECTIONS, Script(rounds=rounds)))
        return (time.clock_gettime(clocks[0]) - began) / server.counters().requests * 1e6


def run(name):
    """One variant in this process: least of some trials, for an id of 3 bytes and for one of 3000."""
    handle = handle_views if name == "views" else load_target(str(HERE.parent / name / "app.py"))
    for user in (b"123", b"1" * 6000):
        least = min(measure(handle, user) for _ in range(TRIALS))  # noise only adds
        print(f"{name:8} id of {len(user):4} bytes {least:6.2f} µs")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(sys.argv[1])
    else:  # each in a process of its own: both examples have a module `controllers`
        for name in ("simple", "simple2", "views"):
            subprocess.run([sys.executable, __file__, name], check=True)
