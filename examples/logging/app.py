"""Every answer as a line of JSON, and every line that a handler logs with the ids of its request."""

import atexit
import inspect
import logging
import os
import time

import jsonlog
from tracing import identify, outgoing

from vanilla.toolkit.composition import compose
from vanilla.toolkit.json_bodies import reply_json
from vanilla.toolkit.routing import Router

access = logging.getLogger("access")
log = logging.getLogger("shop")

USER_AGENT_CHARACTERS_MAX = 200


def with_access_log(inner):
    def handle(request, response, worker):
        began_ns = time.perf_counter_ns()
        context = identify(request)

        def finish(request, response, worker):
            response.set_header("X-Request-Id", context["request_id"])
            write_line(request, response, context, time.perf_counter_ns() - began_ns)

        response.before_send(finish)
        token = jsonlog.CONTEXT.set(context)
        try:
            result = inner(request, response, worker)
        except Exception as error:
            error.context = context  # for the line that the server writes about it
            raise
        finally:
            jsonlog.CONTEXT.reset(token)
        return in_context(result, context) if inspect.isawaitable(result) else result

    return handle


async def in_context(coroutine, context):
    jsonlog.CONTEXT.set(context)  # of this coroutine alone
    try:
        return await coroutine
    except Exception as error:
        error.context = context
        raise


def write_line(request, response, context, taken_ns):
    """The query is left out: it may hold what nobody should read in a log."""
    path, status = request.path.decode(errors="backslashreplace"), response.status
    fields = {
        **context,
        "client": request.peer[0] if request.peer else "unix",
        "method": request.method.decode(errors="backslashreplace"),
        "path": path,
        "status": status,
        "bytes": response.content_length,
        "duration_ms": round(taken_ns / 1e6, 3),
        "user_agent": (request.header("user-agent") or b"").decode(errors="replace")[:USER_AGENT_CHARACTERS_MAX],
    }
    level = logging.ERROR if status >= 500 else logging.INFO
    access.log(level, "%s %s %d", fields["method"], path, status, extra={"fields": fields})


def home(request, response, worker):
    log.info("somebody is here")
    reply_json(response, {"a call from here would carry": outgoing(jsonlog.CONTEXT.get())})


async def slow(request, response, worker):
    await worker.sleep(0.05)
    log.info("waited")
    response.reply(200, b"done\n", content_type="text/plain")


async def broken(request, response, worker):
    await worker.sleep(0)
    raise LookupError("no such shelf")


router = Router()
router.get("/", home)
router.get("/slow", slow)
router.get("/broken", broken)

handle = compose(router, with_access_log)
listener = jsonlog.start(os.environ.get("LOG_FILE"))
atexit.register(listener.stop)
