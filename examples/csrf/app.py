"""A form that no page of another site can have a user's browser send."""

import html
import os
import secrets

from vanilla.toolkit.composition import compose
from vanilla.toolkit.csrf import Csrf
from vanilla.toolkit.forms import read_form
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

KEY = bytes.fromhex(os.environ["CSRF_KEY"]) if "CSRF_KEY" in os.environ else secrets.token_bytes(32)
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="csrf-token" content="{token}">
<title>csrf</title>
<p>Sent so far: <output>{sent}</output></p>
<form method="post" action="/transfer">
  <input type="hidden" name="csrf_token" value="{token}">
  <input name="to" value="{to}" required> <button id="form">Send by the form</button>
</form>
<button id="script">Send by a script</button>
<script>
  document.querySelector("#script").onclick = async () => {{
    const token = document.querySelector("meta[name=csrf-token]").content;
    const body = new URLSearchParams({{ to: document.querySelector("input[name=to]").value }});
    await fetch("/transfer", {{ method: "POST", headers: {{ "X-CSRF-Token": token }}, body }});
    location.reload();
  }};
</script>
</html>
"""

csrf = Csrf(KEY)
sent = []


def form(request, response, worker):
    token = csrf.token(request, response)
    page = PAGE.format(token=token, sent=html.escape(", ".join(sent[-10:])), to="Ann")
    response.reply(200, page.encode(), content_type="text/html; charset=utf-8")


def transfer(request, response, worker):
    """Nothing here has to think of other sites."""
    to = read_form(request, max_bytes=10_000).get("to", b"")
    if not 0 < len(to) <= 100:
        raise MalformedError("to: a name of up to 100 bytes is needed")
    sent.append(to.decode(errors="replace"))
    del sent[:-100]
    response.reply(303, headers={"Location": "/"})


router = Router()
router.get("/", form)
router.post("/transfer", transfer)

handle = compose(router, csrf)
