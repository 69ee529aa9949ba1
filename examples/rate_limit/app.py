"""Nobody asks too often: so many requests a second for each client, and far fewer logins."""

import os

from vanilla.toolkit.composition import compose
from vanilla.toolkit.forwarded import TrustedProxies
from vanilla.toolkit.json_bodies import reply_json
from vanilla.toolkit.problems import with_problems
from vanilla.toolkit.rate_limit import Rate, rate_limit
from vanilla.toolkit.routing import Router

PROXIES = TrustedProxies(os.environ.get("PROXIES", "").split())  # such as "10.0.0.0/8"; of others no word is taken


def home(request, response, worker):
    reply_json(response, {"ok": True})


def log_in(request, response, worker):
    response.reply(401)  # in earnest: unless the password is right


def cost(request):
    """What the machine has to do for it."""
    return 5 if request.path == b"/search" else 1


router = Router()
router.get("/", home)
router.get("/search", home)
router.post("/login", compose(log_in, rate_limit(Rate(3, per=300), trusted=PROXIES, name="login")))

handle = compose(router, with_problems, rate_limit(Rate(10, per=1, burst=20), trusted=PROXIES, cost=cost))
