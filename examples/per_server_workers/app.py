"""Two servers in one process: the public one has most of the CPUs, and the operator's one a worker of its own, which
answers also while the other is busy."""

import os

from vanilla import Server, ServerConfig

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
ADMIN_WORKERS = 2 if CPUS >= 4 else 1
RUNNING = {}  # the public server, once it serves


def serve(request, response, worker):
    response.reply(200, b"main", content_type="text/plain")


def report(request, response, worker):
    """The operator's view of the public server: whether it takes requests, and what it has counted."""
    public = RUNNING["public"]
    if request.path == b"/healthz":
        return response.reply(503 if public.draining else 200, content_type="text/plain")
    counters = public.counters()
    lines = (
        b"workers %d on %b" % (len(public.workers), public.backend.encode()),
        b"open %d" % counters.open,
        b"requests %d" % counters.requests,
    )
    return response.reply(200, b"\n".join(lines) + b"\n", content_type="text/plain")


def start_admin(public):
    RUNNING["public"] = public
    admin.start()


def stop_admin(worker):
    if worker.index == 0:  # the public server has drained, and the operator has seen it
        admin.shutdown()


# From this machine only. poll is enough for a handful of connections.
admin = Server(
    ServerConfig(
        report,
        host="127.0.0.1",
        port=int(os.environ.get("ADMIN_PORT", "3001")),
        workers=ADMIN_WORKERS,
        backend="poll" if os.name == "posix" else "auto",
    )
)
config = ServerConfig(
    serve, workers=max(CPUS - ADMIN_WORKERS, 1), after_server_start=start_admin, on_worker_stop=stop_admin
)
