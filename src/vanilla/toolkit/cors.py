"""Which pages of other origins may read what you answer: CORS, as the Fetch standard has it.

# Facts about CORS
It allows, it does not protect: without it a browser keeps an answer from a page of another origin, but the request was
sent. Only what a plain form could not send is asked for beforehand, by OPTIONS with Access-Control-Request-Method: the
preflight. What changes state needs a check of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from vanilla.contract import Request, Response, Worker
from vanilla.toolkit.composition import Handler, Middleware
from vanilla.toolkit.fields import combined
from vanilla.toolkit.grammar import is_token
from vanilla.toolkit.vary import vary

Origins: TypeAlias = str | Iterable[str] | Callable[[bytes], bool]

METHODS = ("GET", "HEAD", "POST")  # what a page may send in any case

_ALLOW_ORIGIN = b"Access-Control-Allow-Origin"
_REQUEST_METHOD = b"access-control-request-method"
_REQUEST_HEADERS = b"access-control-request-headers"
_REQUEST_NETWORK = b"access-control-request-private-network"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?")
_DEFAULT_PORT = re.compile(r"https://.*:443|http://.*:80")
_Field = tuple[bytes, bytes]


def cors(
    origins: Origins,
    *,
    methods: Iterable[str] | str = METHODS,
    headers: Iterable[str] | str = (),
    expose: Iterable[str] = (),
    credentials: bool = False,
    max_age: int | None = None,
    private_network: bool = False,
) -> Middleware:
    """Middleware that lets pages of these origins read your answers, and answers their preflights.

    Put it around a whole router: a preflight is an OPTIONS that the router would answer. An origin that is not among
    them is not refused: it gets an answer without these fields, which its browser keeps from it.

    Args:
        origins: `"*"` for all; one or several, compared as they are, such as `"https://app.example"`; or a function of
            the origin as sent, in bytes, that says whether it is one.
        methods: that they may use; `"*"` for whatever they ask for. GET, HEAD and POST need no permission.
        headers: that they may send beyond the ordinary, such as `"Content-Type"` (for JSON) and `"Authorization"`;
            `"*"` for whatever they ask for.
        expose: headers of your answers that they may read beyond the ordinary.
        credentials: whether cookies and the like go along. Everybody in `origins` can then act as your user.
        max_age: seconds for which a browser remembers a preflight; it takes two hours or a day at most, and five
            seconds where nothing is said.
        private_network: whether a page of the public internet may ask a server of a private one.

    An answer that has an Access-Control-Allow-Origin of the handler's own stays as it is. Where the answer depends on
    the origin, Vary says so, also to who sends none.

    Raises: ValueError for what is no origin, method or header name, and for `"*"` with `credentials`, which is
        every site's access to every user's data.
    Source: Fetch, section 3.2; Private Network Access.
    """
    policy = _Policy(
        _judge_of(origins, credentials),
        methods=_names("methods", methods),
        headers=_names("headers", headers),
        max_age=max_age,
        private_network=private_network,
        credentials=credentials,
        expose=_names("expose", expose) or b"",
    )

    def middleware(inner: Handler) -> Handler:
        def handle(request: Request, response: Response, worker: Worker) -> Any:
            if (
                request.method == b"OPTIONS"
                and request.header(_REQUEST_METHOD) is not None
                and request.header(b"origin") is not None
            ):
                return policy.answer_preflight(request, response)
            response.before_send(policy.add_fields)
            return inner(request, response, worker)

        return handle

    return middleware


class _Policy:
    """What is said to whom; made once, at the start."""

    def __init__(
        self,
        is_allowed: Callable[[bytes], bool] | None,
        *,
        methods: bytes | None,
        headers: bytes | None,
        max_age: int | None,
        private_network: bool,
        credentials: bool,
        expose: bytes,
    ) -> None:
        if max_age is not None and max_age < 0:
            raise ValueError(f"max_age={max_age!r}: give seconds, 0 or more")
        self._is_allowed = is_allowed  # None: everybody
        self._methods = methods  # None for whatever is asked for; so with headers
        self._headers = headers
        self._private_network = private_network
        self._always: list[_Field] = [(b"Access-Control-Allow-Credentials", b"true")] if credentials else []
        self._exposed: list[_Field] = [(b"Access-Control-Expose-Headers", expose)] if expose else []
        self._preflight: list[_Field] = list(self._always)
        if max_age is not None:
            self._preflight.append((b"Access-Control-Max-Age", b"%d" % max_age))
        depends = [] if is_allowed is None else [b"Origin"]
        depends += [_REQUEST_METHOD] if methods is None else []
        depends += [_REQUEST_HEADERS] if headers is None else []
        depends += [_REQUEST_NETWORK] if private_network else []
        self._preflight_vary: list[_Field] = [(b"Vary", b", ".join(depends))] if depends else []

    def answer_preflight(self, request: Request, response: Response) -> None:
        """204, with what the origin may do; without it where it may do nothing."""
        fields = list(self._preflight_vary)
        origin = self._allowed(request)
        if origin is not None:
            methods = combined(request, _REQUEST_METHOD) if self._methods is None else self._methods
            headers = combined(request, _REQUEST_HEADERS) if self._headers is None else self._headers
            fields.append((_ALLOW_ORIGIN, origin))
            if methods:
                fields.append((b"Access-Control-Allow-Methods", methods))
            if headers:
                fields.append((b"Access-Control-Allow-Headers", headers))
            if self._private_network and request.header(_REQUEST_NETWORK) == b"true":
                fields.append((b"Access-Control-Allow-Private-Network", b"true"))
            fields += self._preflight
        response.reply(204, headers=fields)

    def add_fields(self, request: Request, response: Response, worker: Worker) -> None:
        """The hook of every other answer."""
        if self._is_allowed is not None:
            vary(response, b"Origin")
        origin = self._allowed(request)
        if origin is None or response.header(_ALLOW_ORIGIN) is not None:
            return
        for name, value in ((_ALLOW_ORIGIN, origin), *self._always, *self._exposed):
            response.set_header(name, value)

    def _allowed(self, request: Request) -> bytes | None:
        """The value of Access-Control-Allow-Origin; None for an origin that is not allowed, and where there is none."""
        if self._is_allowed is None:
            return b"*"
        origin = combined(request, b"origin")  # of two lines it makes no origin
        return origin if origin is not None and self._is_allowed(origin) else None


def _judge_of(origins: Origins, credentials: bool) -> Callable[[bytes], bool] | None:
    """What says whether an origin is allowed; None where all are."""
    if callable(origins):
        return origins
    names = [origins] if isinstance(origins, str) else list(origins)
    if "*" in names:
        if credentials:
            raise ValueError("origins='*' with credentials: any site could read what your users may; name the origins")
        if len(names) > 1:
            raise ValueError("origins: '*' is all of them; leave out the others, or it")
        return None
    for name in names:
        if _ORIGIN.fullmatch(name) is None or _DEFAULT_PORT.fullmatch(name) is not None:
            raise ValueError(
                f"origin {name!r}: give scheme and host as browsers write them, such as 'https://app.example:8443': in "
                "lower case, without a path, and without the scheme's own port"
            )
    return frozenset(name.encode() for name in names).__contains__


def _names(what: str, names: Iterable[str] | str) -> bytes | None:
    """A list of methods or of header names; None for `*`."""
    listed = [names] if isinstance(names, str) else list(names)
    if listed == ["*"] and what != "expose":
        return None
    for name in listed:
        if not is_token(name.encode()) or name == "*":
            raise ValueError(f"{what}: {name!r} is no name; give each alone, or '*' for methods and headers")
    return ", ".join(listed).encode()
