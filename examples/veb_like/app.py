"""A router: static segments, parameters, rests, and the right answer where there is no route or another method."""

import json

from vanilla.toolkit.routing import Router


def answer_with(**shape):
    """A handler that answers with an object whose values are named parameters."""

    def handle(request, response, worker):
        found = {key: request.params[name].decode(errors="replace") for key, name in shape.items()}
        response.reply(200, json.dumps(found).encode(), content_type="application/json")

    return handle


def list_users(request, response, worker):
    response.reply(200, b"[]", content_type="application/json")


def add_user(request, response, worker):
    location = router.url_for("user", id=1)
    response.reply(201, b'{"id": 1}', content_type="application/json", headers={"Location": location})


router = Router()
router.get("/users", list_users)
router.post("/users", add_user)
router.get("/users/:id", answer_with(id="id"), name="user")
router.put("/users/:id", answer_with(replaced="id"))
router.patch("/users/:id", answer_with(updated="id"))
router.delete("/users/:id", answer_with(deleted="id"))
router.get("/users/:user/posts/:post", answer_with(user="user", post="post"))
router.get("/users/:user/posts/:post/comments/:comment", answer_with(user="user", post="post", comment="comment"))
router.get("/search/:term", answer_with(term="term"))
router.get("/files/*path", answer_with(file="path"))

handle = router
