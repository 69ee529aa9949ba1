"""Set-Cookie: the value of one field line, with every attribute checked. RFC 6265bis section 4.1, and CHIPS.

# Facts about Set-Cookie
A browser drops a cookie that breaks a rule, and tells nobody. The rules: name and value of 4096 bytes together at
most (RFC 6265bis section 5.6), `SameSite=None` and `Partitioned` only with `Secure`, `__Secure-` only with `Secure`,
`__Host-` only with `Secure`, `Path=/` and no `Domain` (section 4.1.3, prefixes in any case). A value may hold neither
space nor quotes, commas, semicolons, backslashes or bytes above ASCII (section 4.1.1).
"""

from __future__ import annotations

import re
from typing import Literal

from vanilla.toolkit.dates import format_date
from vanilla.toolkit.grammar import is_token

COOKIE_BYTES_MAX = 4096  # of name and value together, above which browsers drop it
ATTRIBUTE_BYTES_MAX = 1024  # of a path or a domain, above which browsers ignore it

SameSite = Literal["Strict", "Lax", "None"]

_BAD_OCTET = re.compile(rb"[^\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]")
_BAD_PATH = re.compile(rb"[^\x20-\x3a\x3c-\x7e]")
_DOMAIN = re.compile(rb"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*")


def set_cookie(
    name: str | bytes,
    value: str | bytes,
    *,
    path: str | bytes | None = "/",
    domain: str | bytes | None = None,
    max_age: int | None = None,
    expires: float | None = None,
    secure: bool = True,
    http_only: bool = True,
    same_site: SameSite | None = "Lax",
    partitioned: bool = False,
) -> bytes:
    """The value of a Set-Cookie field: `response.reply(200, headers=[("Set-Cookie", set_cookie("sid", token))])`.

    The defaults are the careful ones: the cookie goes to this host alone, over TLS alone (and to http://localhost),
    is hidden from scripts, and comes along from other sites only when a link leads here. A browser forgets it at its
    end unless `max_age` or `expires` is given. Each cookie needs a field line of its own.

    Args:
        name: a token. `__Host-` and `__Secure-` in front have browsers insist on what they promise.
        value: printable ASCII without space, quotes, commas, semicolons and backslashes. Encode anything else, by
            `vanilla.toolkit.percent.encode` for one.
        path: where it is sent to, with everything below; None leaves it to the browser: the folder of this request.
        domain: a domain whose hosts all get it; None, the default, means this host alone. No dot in front.
        max_age: seconds to keep it; 0 or less removes it. It beats `expires`. Browsers keep none beyond 400 days.
        expires: seconds since the epoch at which it is dropped.
        secure: send it over TLS only. Give False for plain HTTP on anything but localhost.
        http_only: keep it from scripts.
        same_site: `"Strict"`: never from other sites; `"Lax"`: only when the user comes from there by a link; `"None"`:
            always; None leaves it to the browser, most of which take Lax.
        partitioned: keep one for each site that embeds this one (CHIPS).

    Raises: ValueError for what a browser would drop, or read as something else.
    Source: RFC 6265bis sections 4.1 and 5.6.
    """
    key, data = _to_bytes(name), _to_bytes(value)
    if not is_token(key):
        raise ValueError(f"cookie name {name!r}: only letters, digits and !#$%&'*+-.^_`|~ may stand in one")
    if (bad := _BAD_OCTET.search(data)) is not None:
        raise ValueError(f"cookie {name!r}: {bad[0]!r} cannot stand in a value; encode it, percent.encode() does")
    if len(key) + len(data) > COOKIE_BYTES_MAX:
        raise ValueError(f"cookie {name!r}: of {len(key) + len(data)} bytes; browsers drop one over {COOKIE_BYTES_MAX}")
    _check_rules(key, path=path, domain=domain, secure=secure, same_site=same_site, partitioned=partitioned)
    attributes = [key + b"=" + data]
    if path is not None:
        attributes.append(b"Path=" + _check_path(path))
    if domain is not None:
        attributes.append(b"Domain=" + _check_domain(domain))
    if max_age is not None:
        if isinstance(max_age, bool) or not isinstance(max_age, int):
            raise ValueError(f"max_age={max_age!r}: give whole seconds")
        attributes.append(b"Max-Age=%d" % max(max_age, 0))
    if expires is not None:
        attributes.append(b"Expires=" + format_date(expires))
    if secure:
        attributes.append(b"Secure")
    if http_only:
        attributes.append(b"HttpOnly")
    if same_site is not None:
        attributes.append(b"SameSite=" + same_site.encode())
    if partitioned:
        attributes.append(b"Partitioned")
    return b"; ".join(attributes)


def delete_cookie(
    name: str | bytes,
    *,
    path: str | bytes | None = "/",
    domain: str | bytes | None = None,
    secure: bool = True,
    http_only: bool = True,
    same_site: SameSite | None = "Lax",
    partitioned: bool = False,
) -> bytes:
    """The value of a Set-Cookie field that removes a cookie.

    A browser knows a cookie by name, path and domain (and partition): give those that it was set with. It may also
    refuse one that is not as `secure` as the one it has.

    Raises: ValueError as `set_cookie` does.
    Source: RFC 6265bis section 5.6; Max-Age for browsers, Expires for what is older.
    """
    return set_cookie(
        name,
        b"",
        path=path,
        domain=domain,
        max_age=0,
        expires=0,
        secure=secure,
        http_only=http_only,
        same_site=same_site,
        partitioned=partitioned,
    )


def _check_rules(
    key: bytes,
    *,
    path: str | bytes | None,
    domain: str | bytes | None,
    secure: bool,
    same_site: str | None,
    partitioned: bool,
) -> None:
    """Refuse attributes that do not go together: the browser would drop the cookie."""
    if same_site not in (None, "Strict", "Lax", "None"):
        raise ValueError(f"same_site={same_site!r}: give 'Strict', 'Lax', 'None', or None to leave it out")
    lower = key.lower()
    if not secure:
        for is_used, what in (
            (same_site == "None", "SameSite=None"),
            (partitioned, "Partitioned"),
            (lower.startswith(b"__secure-"), "a name that begins with __Secure-"),
            (lower.startswith(b"__host-"), "a name that begins with __Host-"),
        ):
            if is_used:
                raise ValueError(f"cookie {key.decode()!r}: browsers drop {what} without secure=True")
    if lower.startswith(b"__host-") and (domain is not None or path is None or _to_bytes(path) != b"/"):
        raise ValueError(f"cookie {key.decode()!r}: browsers drop __Host- with a domain, or a path other than '/'")


def _check_path(path: str | bytes) -> bytes:
    """A path that browsers take as it is."""
    data = _to_bytes(path)
    if not data.startswith(b"/") or _BAD_PATH.search(data) is not None:
        raise ValueError(f"path={path!r}: give an absolute path of printable ASCII without a semicolon")
    if len(data) > ATTRIBUTE_BYTES_MAX:
        raise ValueError(f"path of {len(data)} bytes: browsers ignore one over {ATTRIBUTE_BYTES_MAX}")
    return data


def _check_domain(domain: str | bytes) -> bytes:
    """A domain that browsers take as it is."""
    data = _to_bytes(domain)
    if len(data) > ATTRIBUTE_BYTES_MAX or _DOMAIN.fullmatch(data) is None:
        raise ValueError(f"domain={domain!r}: give a host name without a dot in front, in its ASCII form")
    return data


def _to_bytes(text: str | bytes) -> bytes:
    """Text as the bytes of a field; what is not ASCII is left to the checks."""
    return text.encode() if isinstance(text, str) else text
