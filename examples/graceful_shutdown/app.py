"""An end that no client notices: not ready first, then no new connections, then nothing is cut that can be finished."""

import os
import socket

from vanilla import ServerConfig
from vanilla.toolkit.routing import Router

DRAIN_SECONDS = (
    5  # for the load balancer to see that /readyz says 503: its period, times its failures, and a little more
)
GRACE_SECONDS = 20  # then, for requests in flight
WORK_SECONDS = 0.5
TICK_SECONDS = 0.25


def answer_alive(request, response, worker):
    response.reply(200, b"alive\n", content_type="text/plain")


def answer_ready(request, response, worker):
    if worker.draining:
        response.reply(503, b"draining\n", content_type="text/plain")
    else:
        response.reply(200, b"ready\n", content_type="text/plain")


async def work(request, response, worker):
    """A request that takes its time is waited for, and so is one whose content is still arriving."""
    await worker.sleep(WORK_SECONDS)
    response.reply(200, b"done: %d bytes\n" % len(request.body), content_type="text/plain")


async def tick(request, response, worker):
    """A stream without an end has to be told: it would be cut with the grace."""
    response.start(200, content_type="text/plain")
    while not worker.draining:
        response.write(b"tick\n")
        await response.flush()
        await worker.sleep(TICK_SECONDS)
    response.write(b"goodbye\n")


def notify(state):
    """Tell systemd, if it has asked to be told: sd_notify(3), Type=notify."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.sendto(state, "\0" + address[1:] if address.startswith("@") else address)


def on_worker_stop(worker):
    """Its connections are closed, and nothing will ask for its state again."""
    worker.state.clear()


router = Router()
router.get("/healthz", answer_alive)
router.get("/readyz", answer_ready)
router.get("/ticks", tick)
router.get("/work", work)
router.post("/work", work)

config = ServerConfig(
    router,
    drain_delay=DRAIN_SECONDS,
    graceful_timeout=GRACE_SECONDS,
    make_state=dict,  # open your clients here
    after_server_start=lambda server: notify(b"READY=1"),
    on_worker_stop=on_worker_stop,  # and close them here
)
