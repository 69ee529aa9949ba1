"""Serves over io_uring where the kernel lets it, says what that kernel has, and compares the mechanism with epoll."""

import threading
import time

from vanilla import Server, ServerConfig
from vanilla.backends.choose import available_backends, why_not
from vanilla.backends.ring_settings import FEATURES
from vanilla.testing import Client, Round, Script, frames, repeat

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CONNECTIONS, ROUNDS = 64, 200


def greet(request, response, worker):
    response.reply(200, b"Hello, World!", content_type="text/plain")


def describe():
    """What the kernel has, a line each; or why there is no io_uring here."""
    reason = why_not("io_uring")
    if reason is not None:
        return [f"no: {reason}"]
    from vanilla.backends.io_uring import list_features  # it exists on Linux only

    return [f"{'yes' if has else 'no '}  {FEATURES[name]}" for name, has in list_features().items()]


def measure(backend, depth):
    """Microseconds of the worker's CPU time for each of many requests, `depth` of them in one write."""
    clocks = []

    def on_worker_start(worker):
        clocks.append(time.pthread_getcpuclockid(threading.get_ident()))

    config = ServerConfig(greet, workers=1, port=0, backend=backend, on_worker_start=on_worker_start)
    rounds = [Round(send=GET * depth, until=frames(depth * (number + 1))) for number in range(ROUNDS)]
    with Server(config) as server, Client(("127.0.0.1", server.port)) as client:
        began = time.clock_gettime(clocks[0])
        client.fire(repeat(CONNECTIONS, Script(rounds=rounds)))
        spent = time.clock_gettime(clocks[0]) - began
        return spent / server.counters().requests * 1e6


def compare():
    """A line for each mechanism; the figures are this machine's, now, and say most beside each other."""
    for depth in (1, 16):
        for backend in available_backends():
            least = min(measure(backend, depth) for _ in range(3))  # noise only adds
            yield f"{backend:9} {depth:2} deep  {least:6.2f} µs of CPU a request"


config = ServerConfig(greet, backend="io_uring" if why_not("io_uring") is None else "auto")

if __name__ == "__main__":
    print("io_uring here:", *describe(), sep="\n  ")
    for line in compare():
        print(line)
