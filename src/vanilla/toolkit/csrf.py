"""Requests that another site has a browser send in its user's name: refused, by where they come from and by a token.

# Facts about forged requests
A browser sends cookies along whoever made it send the request. It says who did in Sec-Fetch-Site (all of them since
2023, over TLS and to localhost) and in Origin, which no page can change. A page of another site can send a cookie, but
neither read nor, with `__Host-`, set it: so what comes both in the cookie and in the request was put there by a page of
this site. The token is signed, so that nobody makes one up, and signed anew for each page, so that an answer that is
compressed together with what a stranger chose does not let it be guessed (BREACH).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from vanilla.contract import Request, Response, Worker
from vanilla.errors import RefusedError
from vanilla.toolkit.composition import Handler
from vanilla.toolkit.cookies import read_cookies
from vanilla.toolkit.fields import combined
from vanilla.toolkit.forms import read_form
from vanilla.toolkit.forwarded import TrustedProxies, find_client
from vanilla.toolkit.refusals import UnsupportedTypeError
from vanilla.toolkit.set_cookie import SameSite, set_cookie
from vanilla.toolkit.signing import Signer
from vanilla.toolkit.vary import vary

SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))  # RFC 9110 section 9.2.1
MAX_AGE = 24 * 3600

_NOBODY = TrustedProxies([])
_NONCE_BYTES = 16
_DEFAULT_PORTS = {b"https": b":443", b"http": b":80"}

_Binding = Callable[[Request, Response], str | bytes]


class CsrfError(RefusedError):
    """A request that may have been forged; answered 403. The message says what about it is wrong."""

    status = 403


class Csrf:
    """Middleware that lets a request of an unsafe method through only if a page of this site has sent it.

    Unsafe is every method but GET, HEAD, OPTIONS and TRACE. `compose(router, csrf)`, and in each page with a form
    `csrf.token(request, response)`, which goes into a field of the form or into a header of the script's request.

    Args:
        keys: as for `signing.Signer`.
        cookie: its name. `__Host-` has browsers keep other hosts from setting it; without TLS, on anything but
            localhost, take a name without it, and `secure=False`.
        header: the header that the token may come in.
        field: the field of an urlencoded form that it may come in. Of other content, multipart included, the header
            alone is read: see `exempt`.
        origins: other origins whose pages may send such requests, such as `"https://app.example"`.
        binding: what the token is bound to, such as `lambda request, response: sessions.open(request, response).id`:
            one that was given before a login is none afterwards.
        exempt: says which requests nothing is asked of: those that no cookie lets in, such as of another server. A
            handler that takes forms with files is exempt, and calls `csrf.check(request, response, token)` itself.
        trusted: your proxies, where they change Host; those of `--forwarded-allow-ips` unless given.
        max_age: seconds for which a token is taken.
        secure, same_site, http_only: of the cookie. A script that sends the cookie's value as the token needs
            `http_only=False`.
        clock: seconds since the epoch; for tests.

    Raises: ValueError for keys or a cookie that cannot be.
    Source: Fetch Metadata; RFC 6454 for Origin; RFC 6265bis section 4.1.3.2 for `__Host-`.
    """

    def __init__(
        self,
        keys: bytes | Iterable[bytes],
        *,
        cookie: str = "__Host-csrf",
        header: str = "X-CSRF-Token",
        field: str = "csrf_token",
        origins: Iterable[str] = (),
        binding: _Binding | None = None,
        exempt: Callable[[Request], bool] | None = None,
        trusted: TrustedProxies | None = None,
        max_age: int = MAX_AGE,
        secure: bool = True,
        same_site: SameSite = "Lax",
        http_only: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signer = Signer(keys, f"csrf {cookie}", clock=clock)
        self._cookie = cookie
        self._header = header
        self._field = field
        self._origins = frozenset(name.encode() for name in ([origins] if isinstance(origins, str) else origins))
        self._binding = binding
        self._exempt = exempt
        self._trusted = trusted
        self._max_age = max_age
        self._secure = secure
        self._same_site: SameSite = same_site
        self._http_only = http_only
        self._write_cookie(b"")  # raises here, not in an answer

    def __call__(self, inner: Handler) -> Handler:
        def handle(request: Request, response: Response, worker: Worker) -> Any:
            if request.method not in SAFE_METHODS and (self._exempt is None or not self._exempt(request)):
                self.check(request, response, self._find_token(request), worker)
            return inner(request, response, worker)

        return handle

    def token(self, request: Request, response: Response) -> str:
        """A token for a page that answers this request; the answer sets the cookie where it is missing or old.

        Each call returns another, all good for as long as the cookie. The answer is marked as private, unless the
        handler says in Cache-Control what it is. Call it before the answer's head leaves.
        """
        bound = self._bound_to(request, response)
        issued = self._find_issued(response, bound)
        if issued is None:
            sent = read_cookies(request).get(self._cookie)
            nonce = self._read(sent, bound, self._max_age)
            is_fresh = nonce is not None and self._read(sent, bound, self._max_age / 2) is not None
            issued = _Issued(self, nonce or secrets.token_bytes(_NONCE_BYTES), bound, is_known=is_fresh)
            response.before_send(issued)
        return self._signer.sign(issued.nonce + bound).decode()

    def check(
        self, request: Request, response: Response, token: bytes | str | None, worker: Worker | None = None
    ) -> None:
        """Refuse a request of another site, or without a good token; what the middleware does.

        Args:
            request: its origin and its cookie are looked at.
            response: handed to `binding`.
            token: what came with the request, such as `form.get("csrf_token")`.
            worker: for the proxies of `--forwarded-allow-ips`, where none were given.

        Raises: CsrfError, answered 403.
        """
        self._check_origin(request, worker)
        bound = self._bound_to(request, response)
        kept = self._read(read_cookies(request).get(self._cookie), bound, self._max_age)
        if kept is None:
            raise CsrfError(f"the cookie {self._cookie} is missing, forged, too old, or of another session")
        given = self._read(token.encode() if isinstance(token, str) else token, bound, self._max_age)
        if given is None:
            raise CsrfError("the token is missing, forged, too old, or of another session")
        if not hmac.compare_digest(given, kept):
            raise CsrfError("the token is not that of the cookie")

    def _check_origin(self, request: Request, worker: Worker | None) -> None:
        """Refuse what a browser says another site has sent. One that says nothing is none, or an old one."""
        site = combined(request, b"sec-fetch-site")
        if site in (b"same-origin", b"none"):  # none: the user did it, by the address bar say
            return
        origin = combined(request, b"origin")
        if origin in self._origins:
            return
        if site is not None:
            raise CsrfError(f"sent by a page of {site!r}, of origin {origin!r}")
        if origin is not None and not self._is_own(request, origin, worker):
            raise CsrfError(f"sent by a page of {origin!r}")

    def _is_own(self, request: Request, origin: bytes, worker: Worker | None) -> bool:
        """Whether an origin is that of the host that was asked. Its scheme is not ours to know behind a proxy."""
        scheme, _, host = origin.partition(b"://")
        asked = find_client(request, self._trusted or worker or _NOBODY).host
        port = _DEFAULT_PORTS.get(scheme, b"")
        return bool(host) and host.removesuffix(port).lower() == asked.removesuffix(port).lower()

    def _find_token(self, request: Request) -> bytes | None:
        """The token that came with a request: in the header, else in an urlencoded form."""
        token = request.header(self._header)
        if token is not None:
            return token
        try:
            body = request.body
        except RuntimeError:  # a streaming handler takes it
            return None
        try:
            return read_form(request, body, max_bytes=sys.maxsize).get(self._field)
        except UnsupportedTypeError:
            return None

    def _read(self, signed: bytes | None, bound: bytes, max_age: float) -> bytes | None:
        """The nonce in a token, or in the cookie; None for what is none of ours, or is bound to something else."""
        value = self._signer.verify(signed, max_age=max_age)
        if value is None or not hmac.compare_digest(value[_NONCE_BYTES:], bound):
            return None
        return value[:_NONCE_BYTES]

    def _bound_to(self, request: Request, response: Response) -> bytes:
        """What stands behind the nonce, so that a token of one session is none of another."""
        if self._binding is None:
            return b""
        binding = self._binding(request, response)
        return hashlib.sha256(binding.encode() if isinstance(binding, str) else binding).digest()[:_NONCE_BYTES]

    def _find_issued(self, response: Response, bound: bytes) -> _Issued | None:
        """What an earlier call for the same answer has given out: the cookie can have one value only."""
        for hook in response.recorded_hooks:
            if isinstance(hook, _Issued) and hook.owner is self and hook.bound == bound:
                return hook
        return None

    def _write_cookie(self, value: bytes) -> bytes:
        return set_cookie(
            self._cookie,
            self._signer.sign(value),
            max_age=self._max_age,
            secure=self._secure,
            same_site=self._same_site,
            http_only=self._http_only,
        )


class _Issued:
    """The hook of an answer whose page has a token: it is for this client alone, and may bring the cookie."""

    __slots__ = ("bound", "is_known", "nonce", "owner")

    def __init__(self, owner: Csrf, nonce: bytes, bound: bytes, *, is_known: bool) -> None:
        self.owner = owner
        self.nonce = nonce
        self.bound = bound
        self.is_known = is_known  # the client has the cookie already

    def __call__(self, request: Request, response: Response, worker: Worker) -> None:
        vary(response, b"Cookie")
        if response.header(b"cache-control") is None:
            response.add_header(b"Cache-Control", b"private, no-cache")
        if not self.is_known:
            response.add_header(b"Set-Cookie", self.owner._write_cookie(self.nonce + self.bound))
