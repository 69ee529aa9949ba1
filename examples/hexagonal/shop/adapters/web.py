"""The shop over HTTP: requests in, use cases on the worker's other threads, JSON out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from shop.domain import InvalidError, Product, TakenError, User
from shop.use_cases import Shop
from vanilla import Request, Response, Worker
from vanilla.toolkit.authorization import challenge, parse_basic
from vanilla.toolkit.composition import Handler
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.problems import problem
from vanilla.toolkit.query import Query, encode_pairs
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

BODY_BYTES_MAX = 10_000
PAGE = 50


def routes(shop: Shop) -> Router:
    """A handler for the whole shop."""

    async def register(request: Request, response: Response, worker: Worker) -> None:
        given = _read_object(request)
        user = await worker.offload(shop.register, given.get("username"), given.get("email"), given.get("password"))
        reply_json(response, _show_user(user), 201)

    async def log_in(request: Request, response: Response, worker: Worker) -> None:
        given = parse_basic(request.header("authorization"))
        user = None
        if given is not None:
            user = await worker.offload(
                shop.log_in, given.user.decode(errors="replace"), given.password.decode(errors="replace")
            )
        if user is None:
            response.reply(401, headers={"WWW-Authenticate": challenge("Basic", realm="shop", charset="UTF-8")})
        else:
            reply_json(response, _show_user(user))

    async def list_users(request: Request, response: Response, worker: Worker) -> None:
        await _reply_page(request, response, worker, shop.list_users, _show_user)

    async def add_product(request: Request, response: Response, worker: Worker) -> None:
        given = _read_object(request)
        product = await worker.offload(shop.add_product, given.get("name"), given.get("price_cents"))
        reply_json(response, _show_product(product), 201)

    async def list_products(request: Request, response: Response, worker: Worker) -> None:
        await _reply_page(request, response, worker, shop.list_products, _show_product)

    router = Router()
    router.post("/users", _answering_refusals(register))
    router.get("/users", list_users)
    router.post("/login", log_in)
    router.post("/products", _answering_refusals(add_product))
    router.get("/products", list_products)
    return router


def _answering_refusals(inner: Handler) -> Handler:
    """What the core refuses, in the words of HTTP."""

    async def handle(request: Request, response: Response, worker: Worker) -> None:
        try:
            await inner(request, response, worker)
        except InvalidError as error:
            problem(response, 422, errors=dict(error.reasons))
        except TakenError:
            problem(response, 409, detail="the username or the email is taken")

    return handle


async def _reply_page(
    request: Request,
    response: Response,
    worker: Worker,
    page: Callable[[str, int], list[Any]],
    show: Callable[[Any], dict[str, object]],
) -> None:
    """A page of what there is, and where the next one is."""
    after = Query(request.query).get_text("after", "") or ""
    found = await worker.offload(page, after, PAGE + 1)
    following = None
    if len(found) > PAGE:
        following = (request.path + b"?" + encode_pairs([("after", found[PAGE - 1].id)])).decode()
    reply_json(response, {"items": [show(item) for item in found[:PAGE]], "next": following})


def _read_object(request: Request) -> dict[str, object]:
    given = read_json(request, max_bytes=BODY_BYTES_MAX)
    if not isinstance(given, dict):
        raise MalformedError("a JSON object is needed")
    return given


def _show_user(user: User) -> dict[str, object]:
    """Everything but the hash of the password."""
    return {"id": user.id, "username": user.username, "email": user.email}


def _show_product(product: Product) -> dict[str, object]:
    return {"id": product.id, "name": product.name, "price_cents": product.price_cents}
