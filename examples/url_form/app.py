"""What a form sends: its pairs decoded once, at the edge, whether they stand in the query or in the content."""

import json

from vanilla.toolkit.forms import read_form
from vanilla.toolkit.query import Query


def handle(request, response, worker):
    pairs = read_form(request) if request.method == b"POST" else Query(request.query)
    found = {}
    for name, value in pairs:
        found.setdefault(name.decode(errors="replace"), []).append(value.decode(errors="replace"))
    response.reply(200, json.dumps(found).encode(), content_type="application/json")
