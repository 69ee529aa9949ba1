"""Values that come back as they were sent, or not at all: HMAC-SHA256 (RFC 2104) over a value, a time and a purpose.

# What a signed value is
`VALUE.TIME.MAC`: the value in base64url without padding, the second at which it was signed in decimal, and the MAC in
base64url, 43 characters. All of it may stand in a cookie or a URL. It is signed, not encrypted: the client can read it.
The MAC covers the purpose too, so that what was signed as one cookie is not taken for another.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Callable, Iterable

KEY_BYTES_MIN = 16
_DIGITS_MAX = 12  # of a time: far beyond the year 9999


class Signer:
    """Signs values for one purpose, and takes back those that it, or one with the same keys, has signed.

    Args:
        keys: one secret, or several: the first signs, all are taken back. To change a key put the new one in front,
            and drop the old one once nothing signed by it has to live. At least 16 random bytes each:
            `secrets.token_bytes(32)`.
        purpose: what the values are for, such as the cookie's name. A value signed for another one is refused.
        clock: seconds since the epoch; for tests.

    Raises: ValueError without a key, or for one that is too short.
    Source: RFC 2104, with SHA-256; RFC 4648 section 5. Any thread may use one.
    """

    def __init__(
        self, keys: bytes | Iterable[bytes], purpose: str | bytes, *, clock: Callable[[], float] = time.time
    ) -> None:
        secrets = [keys] if isinstance(keys, bytes) else list(keys)
        label = purpose.encode() if isinstance(purpose, str) else purpose
        if not secrets:
            raise ValueError("keys: give at least one")
        for secret in secrets:
            if not isinstance(secret, bytes) or len(secret) < KEY_BYTES_MIN:
                raise ValueError(f"keys: {KEY_BYTES_MIN} bytes each at least; secrets.token_bytes(32) makes one")
        # A key for each purpose, so that no purpose and value run into another pair of them.
        self._keys = [hmac.digest(secret, b"vanilla signed value\0" + label, "sha256") for secret in secrets]
        self._clock = clock

    def sign(self, value: bytes) -> bytes:
        """`value` with the time and its MAC: what `verify` takes back. About 4/3 of its length and 55 bytes more."""
        signed = _encode(value) + b".%d" % self._clock()
        return signed + b"." + self._mac(self._keys[0], signed)

    def verify(self, signed: bytes | None, *, max_age: float | None = None) -> bytes | None:
        """The value that was signed; None for anything that was not, or is too old.

        Args:
            signed: what the client sent, or None.
            max_age: seconds for which a value is taken back; None means for ever. A time in the future counts as now:
                the clocks of several servers are never quite the same.
        """
        if signed is None:
            return None
        text, _, mac = signed.rpartition(b".")
        encoded, _, second = text.rpartition(b".")
        is_ours = False
        for key in self._keys:  # all of them, whichever fits
            is_ours |= hmac.compare_digest(self._mac(key, text), mac)
        if not is_ours or not second.isdigit() or len(second) > _DIGITS_MAX:
            return None
        if max_age is not None and self._clock() - int(second) > max_age:
            return None
        try:
            return base64.urlsafe_b64decode(encoded + b"=" * (-len(encoded) % 4))
        except binascii.Error:
            return None

    @staticmethod
    def _mac(key: bytes, text: bytes) -> bytes:
        """Compared as text: of the spellings that base64 has for one MAC, only ours is taken."""
        return _encode(hmac.digest(key, text, "sha256"))


def _encode(value: bytes) -> bytes:
    """base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=")
