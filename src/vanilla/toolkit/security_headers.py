"""Fields that have browsers do less than they would: nobody frames, sniffs, or looks in unless the handler says so.

# Facts about framing
Where a policy has `frame-ancestors`, browsers ignore X-Frame-Options (CSP level 3, section 6.4.2.1). So a handler that
sets the latter is heeded only if no `frame-ancestors` of ours stands beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vanilla.contract import Request, Response, Worker
from vanilla.toolkit.composition import Handler, Middleware

# With "no-referrer" a browser would also send `Origin: null` in forms (Fetch, section 3.2), which CSRF checks need.
REFERRER_POLICY = "strict-origin-when-cross-origin"
PERMISSIONS_POLICY = (
    "browsing-topics=(), camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()"
)

_CSP = b"content-security-policy"
_FRAME_OPTIONS = b"x-frame-options"
_FRAME_ANCESTORS = "frame-ancestors"
_OLD_FRAME_OPTIONS = {"'none'": "DENY", "'self'": "SAMEORIGIN"}  # by frame-ancestors; it can say nothing else


def security_headers(
    *,
    csp: str | None = None,
    csp_report_only: str | None = None,
    frame_ancestors: str | None = "'none'",
    nosniff: bool = True,
    referrer_policy: str | None = REFERRER_POLICY,
    opener_policy: str | None = "same-origin",
    resource_policy: str | None = "same-origin",
    embedder_policy: str | None = None,
    permissions_policy: str | None = PERMISSIONS_POLICY,
    hsts_max_age: int | None = None,
    hsts_subdomains: bool = False,
    hsts_preload: bool = False,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
) -> Middleware:
    """Middleware that adds fields to every answer. What the handler has set of them stays as it is.

    Args:
        csp: Content-Security-Policy, such as `"default-src 'self'"`. There is no default: only you know what your pages
            load. `frame-ancestors` is added unless it has its own.
        csp_report_only: Content-Security-Policy-Report-Only.
        frame_ancestors: who may show your pages in a frame: `"'none'"`, `"'self'"`, or origins. Sent in the policy, and
            as X-Frame-Options where that can say it. None: anybody.
        nosniff: X-Content-Type-Options: a script or a style is one by its Content-Type alone.
        referrer_policy: Referrer-Policy: what other sites see of the address that a link of yours stands on.
        opener_policy: Cross-Origin-Opener-Policy: windows of other sites do not share a group with yours. A login by a
            popup of another site may need `"same-origin-allow-popups"`.
        resource_policy: Cross-Origin-Resource-Policy: other sites cannot embed what you send. `"cross-origin"` for what
            they are meant to, such as images; CORS requests need no change.
        embedder_policy: Cross-Origin-Embedder-Policy; `"require-corp"` for SharedArrayBuffer.
        permissions_policy: Permissions-Policy: what neither your pages nor their frames may use.
        hsts_max_age: Strict-Transport-Security: seconds for which browsers come by TLS only. They cannot be told
            otherwise once it fails: begin with minutes, and without the two below.
        hsts_subdomains: for all hosts below this one, too.
        hsts_preload: you want to be in the list that browsers are shipped with: 31536000 at least, and subdomains.
        headers: further fields, of your own.

    Each but `nosniff` and the three of HSTS may be None, to leave it out.

    Raises: ValueError for what cannot stand in a field, and for HSTS that contradicts itself.
    Source: CSP level 3; Fetch; HTML, section 7.1; RFC 6797; Permissions Policy.
    """
    with_ancestors, without_ancestors, frame_options = _frame(csp, frame_ancestors)
    given: dict[str, str | None] = {
        "X-Frame-Options": frame_options,
        "Content-Security-Policy-Report-Only": csp_report_only,
        "X-Content-Type-Options": "nosniff" if nosniff else None,
        "Referrer-Policy": referrer_policy,
        "Cross-Origin-Opener-Policy": opener_policy,
        "Cross-Origin-Resource-Policy": resource_policy,
        "Cross-Origin-Embedder-Policy": embedder_policy,
        "Permissions-Policy": permissions_policy,
        "Strict-Transport-Security": _hsts(hsts_max_age, hsts_subdomains, hsts_preload),
        **dict(headers),
    }
    fields = [(name, value) for name, value in given.items() if value is not None]
    policies = [("Content-Security-Policy", value) for value in (with_ancestors, without_ancestors) if value]
    Response().reply(200, headers=[*fields, *policies])  # raises here, not in each answer
    encoded = [(name.lower().encode(), name.encode(), value.encode()) for name, value in fields]
    policy, framed_elsewhere = with_ancestors.encode(), without_ancestors.encode()

    def add(request: Request, response: Response, worker: Worker) -> None:
        own = {name.lower(): value for name, value in response.headers()}
        own_policy = own.get(_CSP)
        if own_policy is None:
            chosen = framed_elsewhere if _FRAME_OPTIONS in own else policy
            if chosen:
                response.add_header(b"Content-Security-Policy", chosen)
        elif _FRAME_ANCESTORS.encode() in own_policy.lower():
            own[_FRAME_OPTIONS] = b""  # the handler has said who may
        for lower, name, value in encoded:
            if lower not in own:
                response.add_header(name, value)

    def middleware(inner: Handler) -> Handler:
        def handle(request: Request, response: Response, worker: Worker) -> Any:
            response.before_send(add)
            return inner(request, response, worker)

        return handle

    return middleware


def _frame(csp: str | None, frame_ancestors: str | None) -> tuple[str, str, str | None]:
    """The policy, the same without `frame-ancestors`, and X-Frame-Options."""
    directives = [directive.strip() for directive in (csp or "").split(";") if directive.strip()]
    others = [directive for directive in directives if directive.split()[0].lower() != _FRAME_ANCESTORS]
    if len(others) < len(directives):  # the policy's own
        ancestors = next(directive for directive in directives if directive not in others).partition(" ")[2].strip()
    elif frame_ancestors is None:
        return "; ".join(others), "; ".join(others), None
    elif ";" in frame_ancestors or not frame_ancestors.strip():
        raise ValueError(f"frame_ancestors={frame_ancestors!r}: give \"'none'\", \"'self'\", or origins")
    else:
        ancestors = frame_ancestors.strip()
        directives.append(f"{_FRAME_ANCESTORS} {ancestors}")
    return "; ".join(directives), "; ".join(others), _OLD_FRAME_OPTIONS.get(ancestors.lower())


def _hsts(max_age: int | None, subdomains: bool, preload: bool) -> str | None:
    """The value of Strict-Transport-Security; RFC 6797 section 6.1."""
    if max_age is None:
        if subdomains or preload:
            raise ValueError("hsts_max_age: give the seconds that hsts_subdomains and hsts_preload go with")
        return None
    if max_age < 0:
        raise ValueError(f"hsts_max_age={max_age!r}: give seconds, 0 or more")
    if preload and (not subdomains or max_age < 31_536_000):
        raise ValueError("hsts_preload: the list of browsers takes 31536000 seconds at least, with hsts_subdomains")
    return f"max-age={max_age}" + ("; includeSubDomains" if subdomains else "") + ("; preload" if preload else "")
