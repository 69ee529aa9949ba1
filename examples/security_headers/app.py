"""Fields that have browsers do less than they would, on every answer: also on those that nobody thought of."""

import base64
import secrets

from vanilla.toolkit.composition import compose
from vanilla.toolkit.routing import Router
from vanilla.toolkit.security_headers import security_headers

SCRIPT = 'document.querySelector("h1").append(", and scripted")'


def home(request, response, worker):
    """A page whose script stands in it: the policy names it by a nonce, another one in each answer."""
    nonce = base64.b64encode(secrets.token_bytes(16)).decode()
    page = f'<!doctype html><title>secure</title><h1>secure</h1><script nonce="{nonce}">{SCRIPT}</script>'
    policy = f"default-src 'self'; script-src 'nonce-{nonce}'"
    response.reply(200, page.encode(), content_type="text/html", headers={"Content-Security-Policy": policy})


def widget(request, response, worker):
    """What other sites may show in a frame."""
    policy = "default-src 'self'; frame-ancestors https://partner.example"
    headers = {"Content-Security-Policy": policy, "Cross-Origin-Resource-Policy": "cross-origin"}
    response.reply(200, b"<!doctype html><title>widget</title>", content_type="text/html", headers=headers)


def fail(request, response, worker):
    raise RuntimeError("on purpose")


router = Router()
router.get("/", home)
router.get("/widget", widget)
router.get("/fail", fail)

handle = compose(router, security_headers(csp="default-src 'self'", hsts_max_age=63_072_000, hsts_subdomains=True))
