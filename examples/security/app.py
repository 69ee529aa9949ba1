"""A small site that every known attack on servers is tried on: what meets each stands here, or is vanilla's own."""

import html
import os
import pathlib

from vanilla import Limits, ServerConfig
from vanilla.toolkit.composition import compose
from vanilla.toolkit.forwarded import TrustedProxies, find_client
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.percent import encode
from vanilla.toolkit.problems import with_problems
from vanilla.toolkit.query import Query
from vanilla.toolkit.rate_limit import Rate, rate_limit
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router
from vanilla.toolkit.security_headers import security_headers
from vanilla.toolkit.static_files import static_files

HOSTS = frozenset(os.environ.get("HOSTS", "localhost 127.0.0.1 shop.example").encode().split())
PROXIES = TrustedProxies(os.environ.get("PROXIES", "").split())
FILES = pathlib.Path(__file__).with_name("files")
REQUESTS = int(os.environ.get("REQUESTS_PER_SECOND", "200"))


def with_known_host(inner):
    """Only for hosts that are ours: a link in a mail, or a page in a cache, must not lead to another one."""

    def handle(request, response, worker):
        host = find_client(request, PROXIES).host.lower()
        name = host if host.endswith(b"]") else host.rpartition(b":")[0] or host
        return inner(request, response, worker) if name in HOSTS else response.reply(421)

    return handle


def home(request, response, worker):
    """What a visitor sends is text, whatever it looks like."""
    name = html.escape(Query(request.query).get_text("name", "stranger"))
    page = f"<!doctype html><title>security</title><h1>Hello, {name}</h1>"
    response.reply(200, page.encode(), content_type="text/html; charset=utf-8")


def go(request, response, worker):
    """On to a page of this site, and of no other."""
    target = Query(request.query).get("to", b"/")
    response.reply(303, headers={"Location": target if is_own_path(target) else b"/"})


def is_own_path(target):
    """As a browser reads it: `//host` and `/\\host` name another site, and a line end would begin another field."""
    is_plain = all(33 <= octet < 127 and octet != 92 for octet in target)
    return is_plain and target.startswith(b"/") and not target.startswith(b"//")


def export(request, response, worker):
    """A name of the visitor's in a field: encoded, so that nothing in it ends the value, or the line."""
    name = encode(Query(request.query).get("name", b"export.csv"))
    headers = {"Content-Disposition": b"attachment; filename*=UTF-8''" + name}
    response.reply(200, b"a,b\n", content_type="text/csv", headers=headers)


def order(request, response, worker):
    """Only what is expected is taken, and nothing else is kept."""
    sent = read_json(request, max_bytes=10_000)
    if not isinstance(sent, dict) or sent.keys() != {"item", "count"}:
        raise MalformedError('give {"item": "...", "count": 1}, and nothing else')
    item, count = sent["item"], sent["count"]
    if not isinstance(item, str) or not item.isalnum() or len(item) > 40:
        raise MalformedError("item: up to 40 letters and digits are needed")
    if type(count) is not int or not 1 <= count <= 100:
        raise MalformedError("count: a whole number from 1 to 100 is needed")
    reply_json(response, {"item": item, "count": count}, 201)


router = Router()
router.get("/", home)
router.get("/go", go)
router.get("/export", export)
router.post("/orders", order)
router.mount("/files", static_files(FILES, prefix="/files"))

site = compose(
    router,
    security_headers(csp="default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'"),
    with_problems,
    rate_limit(Rate(REQUESTS), trusted=PROXIES),
    with_known_host,
)

LIMITS = Limits(
    max_target_bytes=2_048,
    max_header_bytes=8_192,
    max_headers=50,
    max_body_bytes=65_536,
    read_timeout=10,
    write_timeout=30,
    max_requests_per_connection=1_000,
)
config = ServerConfig(site, limits=LIMITS)
