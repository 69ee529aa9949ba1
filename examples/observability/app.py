"""Whether it lives, whether it is ready, and what it has done: for a supervisor, a load balancer, and Prometheus."""

import time

from checks import CHECKS, find_failing
from metrics import CONTENT_TYPE, Durations, add_up, render

from vanilla import ServerConfig
from vanilla.toolkit.composition import compose
from vanilla.toolkit.routing import Router

STARTED = time.time()
SERVERS = []  # the one that runs
NO_ROUTE = "none"


def measured(route):
    """Middleware that notes what an answer took, until it is about to leave."""

    def wrap(inner):
        def handle(request, response, worker):
            began_ns = time.monotonic_ns()

            def note(request, response, worker):
                worker.state.observe(route, (time.monotonic_ns() - began_ns) / 1e9)

            response.before_send(note)
            return inner(request, response, worker)

        return handle

    return wrap


def answer_alive(request, response, worker):
    """Nothing else is asked: who fails this is restarted, and a database that is down is no reason."""
    response.reply(200, b"ok\n", content_type="text/plain")


async def answer_ready(request, response, worker):
    """Who fails this gets no new requests."""
    failing = ["draining"] if worker.draining else await find_failing(CHECKS, worker)
    if failing:
        response.reply(503, f"not ready: {', '.join(failing)}\n".encode(), content_type="text/plain")
    else:
        response.reply(200, b"ready\n", content_type="text/plain")


def answer_metrics(request, response, worker):
    response.reply(200, render(list_families(SERVERS[-1])), content_type=CONTENT_TYPE)


def list_families(server):
    """The server counts most of it itself."""
    counters = server.counters()

    def single(name, kind, description, value):
        return name, kind, description, [("", {}, value)]

    yield single("http_requests_total", "counter", "Requests handed to a handler.", counters.requests)
    classes = [(f"{digit}xx", getattr(counters, f"responses_{digit}xx")) for digit in range(1, 6)]
    samples = [("", {"class": name}, count) for name, count in classes]
    yield "http_responses_total", "counter", "Answers by class, the server's own refusals included.", samples
    samples = add_up([worker.state for worker in server.workers])
    yield "http_request_duration_seconds", "histogram", "From the handler's call until the answer leaves.", samples
    yield single("http_requests_in_flight", "gauge", "Requests begun and not wholly answered.", counters.in_flight)
    yield single("http_requests_parked", "gauge", "Requests that wait for something.", counters.parked)
    yield single("http_connections_open", "gauge", "Connections open.", counters.open)
    yield single("http_connections_total", "counter", "Connections accepted.", counters.accepted)
    yield single("http_received_bytes_total", "counter", "Bytes from clients.", counters.bytes_received)
    yield single("http_sent_bytes_total", "counter", "Bytes to clients.", counters.bytes_sent)
    samples = [("", {"limit": name}, count) for name, count in sorted(counters.limits_reached.items())]
    yield "http_limits_reached_total", "counter", "Limits that clients have reached.", samples
    since_ns = counters.handler_since_ns
    stuck = max(time.monotonic_ns() - since_ns, 0) / 1e9 if since_ns else 0.0
    yield single("http_handler_running_seconds", "gauge", "For how long the longest call of a handler has run.", stuck)
    yield single("process_start_time_seconds", "gauge", "Start of the process, since the epoch.", STARTED)


async def work(request, response, worker):
    await worker.sleep(0.02)
    response.reply(200, b"done\n", content_type="text/plain")


def refuse_path(request, response, worker):
    response.reply(404)


def refuse_method(request, response, worker):
    response.reply(405)


ROUTES = {"/": work, "/healthz": answer_alive, "/readyz": answer_ready, "/metrics": answer_metrics}

router = Router(
    not_found=compose(refuse_path, measured(NO_ROUTE)), method_not_allowed=compose(refuse_method, measured(NO_ROUTE))
)
for path, handler in ROUTES.items():
    router.get(path, compose(handler, measured(path)))


def make_state():
    return Durations([*ROUTES, NO_ROUTE])


config = ServerConfig(router, make_state=make_state, after_server_start=SERVERS.append)
