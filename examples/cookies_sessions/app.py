"""Who you are from one request to the next: a signed id in a cookie, and the rest in a store that workers share."""

import html
import os
import secrets

from vanilla.toolkit.composition import compose
from vanilla.toolkit.csrf import Csrf
from vanilla.toolkit.forms import read_form
from vanilla.toolkit.json_bodies import reply_json
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router
from vanilla.toolkit.sessions import MemorySessionStore, Sessions

KEY = bytes.fromhex(os.environ["SESSION_KEY"]) if "SESSION_KEY" in os.environ else secrets.token_bytes(32)
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>cookies_sessions</title>
<p>Hello, <output id="user">{user}</output>. Pages seen: <output id="seen">{seen}</output>.</p>
<form method="post" action="/login">
  <input type="hidden" name="csrf_token" value="{token}">
  <input name="user" placeholder="Who are you?" required> <button>Log in</button>
</form>
<form method="post" action="/logout">
  <input type="hidden" name="csrf_token" value="{token}">
  <button>Log out</button>
</form>
</html>
"""

sessions = Sessions(KEY, MemorySessionStore(), idle=1800, life=86_400)
csrf = Csrf(KEY, binding=lambda request, response: sessions.open(request, response).id)


def home(request, response, worker):
    session = sessions.open(request, response)
    if "user" in session:
        session["seen"] += 1
    user, seen = html.escape(session.get("user", "stranger")), session.get("seen", 0)
    page = PAGE.format(user=user, seen=seen, token=csrf.token(request, response))
    response.reply(200, page.encode(), content_type="text/html; charset=utf-8")


def log_in(request, response, worker):
    """Of a password, see the example auth."""
    user = read_form(request, max_bytes=10_000).get("user", b"")
    if not 0 < len(user) <= 100:
        raise MalformedError("user: a name of up to 100 bytes is needed")
    session = sessions.open(request, response)
    session.rotate()  # an id that somebody knew before is none now
    session.update(user=user.decode(errors="replace"), seen=0)
    response.reply(303, headers={"Location": "/"})


def log_out(request, response, worker):
    sessions.open(request, response).destroy()
    response.reply(303, headers={"Location": "/"})


def me(request, response, worker):
    session = sessions.open(request, response)
    if "user" in session:
        reply_json(response, {"user": session["user"]})
    else:
        response.reply(401)


router = Router()
router.get("/", home)
router.get("/me", me)
router.post("/login", log_in)
router.post("/logout", log_out)

handle = compose(router, csrf)
