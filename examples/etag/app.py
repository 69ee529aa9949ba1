"""Conditional requests: what the client has is not sent again, and what it has not seen is not overwritten."""

from vanilla.toolkit.conditional import Outcome, etag, evaluate
from vanilla.toolkit.routing import Router

USERS = {b"7": b"Ada"}


def get_user(request, response, worker):
    name = USERS.get(request.params["id"])
    if name is None:
        return response.reply(404)
    headers = {"ETag": etag(name), "Cache-Control": "no-cache"}
    if evaluate(request, etag=headers["ETag"]) is Outcome.NOT_MODIFIED:
        return response.reply(304, headers=headers)
    return response.reply(200, name, content_type="text/plain", headers=headers)


def put_user(request, response, worker):
    key = request.params["id"]
    known = USERS.get(key)
    outcome = evaluate(request, etag=None if known is None else etag(known), exists=known is not None)
    if outcome is Outcome.PRECONDITION_FAILED:
        return response.reply(412)
    USERS[key] = request.body
    return response.reply(201 if known is None else 204, headers={"ETag": etag(request.body)})


router = Router()
router.get("/user/:id", get_user)
router.put("/user/:id", put_user)
handle = router
