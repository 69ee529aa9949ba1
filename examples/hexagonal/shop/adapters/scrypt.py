"""Passwords by scrypt, RFC 7914: slow and hungry on purpose, and of the standard library."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

COST, BLOCK, LANES = 2**14, 8, 5  # 16 MiB at a time
SALT_BYTES = 16


class ScryptPasswords:
    def __init__(self, cost: int = COST) -> None:
        self._cost = cost

    def hash(self, password: str) -> str:
        """The hash with its salt and its parameters, so that those may be raised later."""
        salt = secrets.token_bytes(SALT_BYTES)
        derived = hashlib.scrypt(password.encode(), salt=salt, n=self._cost, r=BLOCK, p=LANES)
        parts = (base64.b64encode(salt).decode(), base64.b64encode(derived).decode())
        return "$".join(("scrypt", str(self._cost), str(BLOCK), str(LANES), *parts))

    def verify(self, password: str, password_hash: str) -> bool:
        """Whether it is the password; False for a hash that is none."""
        try:
            name, cost, block, lanes, salt, expected = password_hash.split("$")
            derived = hashlib.scrypt(
                password.encode(), salt=base64.b64decode(salt), n=int(cost), r=int(block), p=int(lanes)
            )
            return name == "scrypt" and hmac.compare_digest(derived, base64.b64decode(expected))
        except (ValueError, binascii.Error):
            return False
