"""Who is asking, and for what, behind proxies: the word of those that are yours is taken, and nobody else's."""

import os

from vanilla.toolkit.forwarded import TrustedProxies, find_client
from vanilla.toolkit.json_bodies import reply_json

PROXIES = TrustedProxies(os.environ.get("PROXIES", "10.0.0.0/8 172.16.0.0/12 127.0.0.1 ::1 unix").split())
FIELDS = os.environ.get("FIELDS", "x-forwarded")  # or "forwarded": the one that your proxies write


def handle(request, response, worker):
    client = find_client(request, PROXIES, fields=FIELDS)
    reply_json(
        response,
        {"client": client.address, "scheme": client.scheme, "host": client.host.decode("latin-1")},
        headers={"Cache-Control": "no-store"},
    )
