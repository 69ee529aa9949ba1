"""Authorization and WWW-Authenticate: credentials and challenges. RFC 9110 section 11, RFC 7617, RFC 6750.

# Facts about credentials
The scheme is in any case; one space or more stands behind it (section 11.4). Basic is base64 of user, colon, password;
the user holds no colon, neither holds a control byte, and which charset they are in was never said before `charset`,
which can only say UTF-8. Who sends none, or the wrong ones, is answered 401 with a challenge (15.5.2).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import NamedTuple

from vanilla.toolkit.grammar import is_token, quote

_TOKEN68 = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Basic(NamedTuple):
    """The credentials of the Basic scheme, as bytes: UTF-8 where the challenge asked for it."""

    user: bytes
    password: bytes


def parse_credentials(value: bytes | None) -> tuple[bytes, bytes] | None:
    """The scheme of an Authorization field, in lower case, and what stands behind it; None for what is none.

    Args:
        value: the field's value, of all its lines: `combined(request, "authorization")`. Two lines make one value that
            Basic and Bearer refuse.

    Source: RFC 9110 section 11.4.
    """
    scheme, _, rest = (value or b"").partition(b" ")
    return (scheme.lower(), rest.strip(b" ")) if is_token(scheme) else None


def parse_basic(value: bytes | None) -> Basic | None:
    """User and password of an Authorization field of the Basic scheme; None for any other, and for malformed ones.

    Strict: base64 with its padding, no control byte, no second spelling of the same bytes.

    Source: RFC 7617 section 2.
    """
    credentials = parse_credentials(value)
    if credentials is None or credentials[0] != b"basic":
        return None
    try:
        decoded = base64.b64decode(credentials[1], validate=True)
    except binascii.Error:
        return None
    user, colon, password = decoded.partition(b":")
    if not colon or _CONTROL.search(decoded) is not None or base64.b64encode(decoded) != credentials[1]:
        return None
    return Basic(user, password)


def parse_bearer(value: bytes | None) -> bytes | None:
    """The token of an Authorization field of the Bearer scheme; None for any other, and for malformed ones.

    Source: RFC 6750 section 2.1; its b64token is RFC 9110's token68, section 11.2.
    """
    credentials = parse_credentials(value)
    if credentials is None or credentials[0] != b"bearer" or _TOKEN68.fullmatch(credentials[1]) is None:
        return None
    return credentials[1]


def challenge(scheme: str, realm: str | None = None, **parameters: str) -> bytes:
    """The value of a WWW-Authenticate field: `response.reply(401, headers={"WWW-Authenticate": challenge("Bearer")})`.

    Args:
        scheme: a token, such as `"Basic"` or `"Bearer"`.
        realm: what the credentials are good for, shown by browsers for Basic, which must have one.
        parameters: further ones, written as quoted strings: `charset="UTF-8"` for Basic, `error="invalid_token"` and
            `scope=...` for Bearer.

    Raises: ValueError for a scheme or a name that is no token, a value with a control byte, Basic without a realm, or
        a charset other than UTF-8.
    Source: RFC 9110 section 11.6.1, RFC 7617 section 2, RFC 6750 section 3.
    """
    pairs = parameters if realm is None else {"realm": realm, **parameters}
    for name in (scheme, *pairs):
        if not is_token(name.encode()):
            raise ValueError(f"{name!r}: a scheme and a parameter's name are letters, digits and !#$%&'*+-.^_`|~")
    if scheme.lower() == "basic" and realm is None:
        raise ValueError("Basic: give a realm, RFC 7617 requires one")
    if pairs.get("charset", "UTF-8").upper() != "UTF-8":
        raise ValueError(f"charset={pairs['charset']!r}: RFC 7617 admits UTF-8 alone")
    written = [name.encode() + b"=" + quote(value.encode()) for name, value in pairs.items()]
    return scheme.encode() + (b" " + b", ".join(written) if written else b"")


def is_same_secret(given: str | bytes | None, expected: str | bytes) -> bool:
    """Whether two secrets are equal, in a time that says nothing about where they differ, nor how long either is.

    Args:
        given: what the client sent; None, where it sent nothing, equals nothing.
        expected: what it should be; `str` is compared as UTF-8. Passwords belong in a slow hash (Argon2) instead.

    Source: hmac.compare_digest over SHA-256 of both.
    """
    left = hashlib.sha256(_to_bytes(given or b"")).digest()
    right = hashlib.sha256(_to_bytes(expected)).digest()
    return hmac.compare_digest(left, right) and given is not None


def _to_bytes(text: str | bytes) -> bytes:
    """Text as UTF-8."""
    return text.encode() if isinstance(text, str) else text
