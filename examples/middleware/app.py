"""What many handlers need stands around them once: an access log, security headers, and who may come in."""

import logging
import time

from vanilla import Step
from vanilla.toolkit.authorization import parse_bearer
from vanilla.toolkit.composition import compose
from vanilla.toolkit.routing import Router

log = logging.getLogger("access")

USERS = {b"tok-alice": ("alice", "user"), b"tok-root": ("root", "admin")}


def with_access_log(inner):
    """One line for each answer, however it came about, with what it took."""

    def handle(request, response, worker):
        begin = time.perf_counter()

        def write_line(request, response, worker):
            taken = (time.perf_counter() - begin) * 1e3
            log.info("%s %s %d %.2f ms", request.method.decode(), request.target.decode(), response.status, taken)

        response.before_send(write_line)
        return inner(request, response, worker)

    return handle


def with_security_headers(inner):
    def add(request, response, worker):
        response.set_header("X-Content-Type-Options", "nosniff")
        response.set_header("Content-Security-Policy", "default-src 'self'")

    def handle(request, response, worker):
        response.before_send(add)
        return inner(request, response, worker)

    return handle


def needing(role):
    """A guard for some routes: 401 for nobody, 403 for the wrong user."""

    def middleware(inner):
        def handle(request, response, worker):
            user = USERS.get(parse_bearer(request.header("authorization")))
            if user is None:
                response.reply(401, headers={"WWW-Authenticate": "Bearer"})
                return Step.DONE
            if role not in ("user", user[1]):
                response.reply(403)
                return Step.DONE
            return inner(request, response, worker)

        return handle

    return middleware


def home(request, response, worker):
    response.reply(200, b'{"page": "home"}', content_type="application/json")


async def me(request, response, worker):
    name, role = USERS[parse_bearer(request.header("authorization"))]
    await worker.sleep(0)  # a handler that waits is logged when it has answered
    response.reply(200, f'{{"name": "{name}", "role": "{role}"}}'.encode(), content_type="application/json")


def admin(request, response, worker):
    response.reply(200, b'{"secret": 42}', content_type="application/json")


router = Router()
router.get("/", home)
router.get("/me", compose(me, needing("user")))
router.group("/admin", needing("admin")).get("", admin)

handle = compose(router, with_access_log, with_security_headers)
