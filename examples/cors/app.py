"""An API that the pages of some other origins may use, with their users' cookies; and a page to try that with."""

import os
import pathlib

from vanilla.toolkit.composition import compose
from vanilla.toolkit.cors import cors
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

ORIGINS = os.environ.get("ORIGINS", "http://localhost:3000 https://app.example").split()
PAGE = pathlib.Path(__file__).with_name("page.html").read_bytes()
NOTE_CHARACTERS_MAX = 200

notes = {"note": "read me"}


def page(request, response, worker):
    response.reply(200, PAGE, content_type="text/html; charset=utf-8")


def read(request, response, worker):
    reply_json(response, notes, headers={"X-Length": str(len(notes["note"]))})


def write(request, response, worker):
    sent = read_json(request, max_bytes=10_000)
    note = sent.get("note") if isinstance(sent, dict) else None
    if not isinstance(note, str) or len(note) > NOTE_CHARACTERS_MAX:
        raise MalformedError(f'give {{"note": "..."}}, of up to {NOTE_CHARACTERS_MAX} characters')
    notes["note"] = note
    response.reply(204)


router = Router()
router.get("/", page)
router.get("/api/note", read)
router.put("/api/note", write)

allowed = cors(
    ORIGINS, methods=["GET", "PUT"], headers=["Content-Type"], expose=["X-Length"], credentials=True, max_age=600
)
handle = compose(router, allowed)
