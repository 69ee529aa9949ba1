"""Who may do what: a password checked by Argon2id beside the worker, a JWT that ends, and keys for programs."""

import hashlib
import os
import time

import argon2
import jwt

from vanilla import ConfigError, ServerConfig
from vanilla.toolkit.authorization import challenge, is_same_secret, parse_bearer
from vanilla.toolkit.composition import compose
from vanilla.toolkit.forwarded import TrustedProxies
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.rate_limit import Rate, rate_limit
from vanilla.toolkit.refusals import MalformedError
from vanilla.toolkit.routing import Router

KEY = os.environ.get("JWT_KEY", "").encode()
if len(KEY) < 32:
    raise ConfigError("JWT_KEY: 32 random bytes at least are needed, such as of `openssl rand -hex 32`")

PROXIES = TrustedProxies(os.environ.get("PROXIES", "").split())
TOKEN_SECONDS = 3600
PASSWORD_CHARACTERS_MAX = 200

hasher = argon2.PasswordHasher()  # 64 MiB and some 100 ms for each
# What a database has: hashes, with salt and parameters in them. This one is of "correct horse battery staple".
USERS = {"ann": "$argon2id$v=19$m=65536,t=3,p=4$l1fHxPdi72Q6kEx2JRqjLQ$a3fSGKVzWEo40X3rOInOdhZ4lAhwInXlwMPbsDyk1lU"}
# Of a password that nobody has: whoever does not exist takes as long as whoever does.
NOBODY = "$argon2id$v=19$m=65536,t=3,p=4$Dya+fQ1oykeHh2QsI+Dhvw$+B+xdqZu5IhehiMH//EA51MxRFi+kbXa4UcfRFIgP10"
# The SHA-256 of each key: a key is long and random, so a fast hash does. This one is of "secret-api-key-123".
SERVICES = {"backup": bytes.fromhex("58bcbf00206b7f71703cc789fd6f95503ace4028d6ce14da76f1f5142d43b0b2")}


def is_right(user, password):
    """On another thread, which holds no GIL meanwhile."""
    try:
        hasher.verify(USERS.get(user, NOBODY), password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return user in USERS


async def log_in(request, response, worker):
    user, password = read_login(request)
    if await worker.offload(is_right, user, password):
        now = int(time.time())
        token = jwt.encode({"sub": user, "iat": now, "exp": now + TOKEN_SECONDS}, KEY, algorithm="HS256")
        reply_json(response, {"token": token}, headers={"Cache-Control": "no-store"})
    else:
        refuse(response)


def read_login(request):
    sent = read_json(request, max_bytes=10_000)
    pair = [sent.get(name) if isinstance(sent, dict) else None for name in ("user", "password")]
    if not all(isinstance(text, str) and 0 < len(text) <= PASSWORD_CHARACTERS_MAX for text in pair):
        raise MalformedError('give {"user": "...", "password": "..."}')
    return pair


def find_user(request):
    """Who a token was given to; None for one that is none of ours, or has ended."""
    token = parse_bearer(request.header("authorization"))
    try:
        return jwt.decode(token, KEY, algorithms=["HS256"], options={"require": ["sub", "exp"]})["sub"]
    except jwt.InvalidTokenError:
        return None


def find_service(request):
    """Whose key came along; all of them are looked at, whichever it is."""
    digest = hashlib.sha256(request.header("x-api-key") or b"").digest()
    found = [name for name, known in SERVICES.items() if is_same_secret(digest, known)]
    return found[0] if found else None


def refuse(response):
    response.reply(401, headers={"WWW-Authenticate": challenge("Bearer")})


def me(request, response, worker):
    user = find_user(request)
    refuse(response) if user is None else reply_json(response, {"user": user})


def service(request, response, worker):
    name = find_service(request)
    refuse(response) if name is None else reply_json(response, {"service": name})


router = Router()
router.post("/token", compose(log_in, rate_limit(Rate(10, per=60), trusted=PROXIES, name="login")))
router.get("/me", me)
router.get("/service", service)

# Two passwords at a time for each worker, which bounds the memory; those that wait beyond the queue are answered 503.
config = ServerConfig(router, offload_threads=2, offload_queue=64)
