"""What one can do in the shop: rules over ports, without a word about HTTP or SQL."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable

from shop.domain import InvalidError, Passwords, Product, Products, User, Users

USERNAME = re.compile(r"[a-z0-9_]{3,32}")
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
EMAIL_CHARACTERS_MAX = 254  # RFC 5321 section 4.5.3.1.3, without the brackets
PASSWORD = re.compile(r"[^\ud800-\udfff]{8,1000}")  # half a surrogate pair, which JSON can spell, is no text
NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,200}")
PRICE_CENTS_MAX = 100_000_000


def new_uuid() -> str:
    return str(uuid.uuid4())


class Shop:
    def __init__(
        self, users: Users, products: Products, passwords: Passwords, new_id: Callable[[], str] = new_uuid
    ) -> None:
        self._users = users
        self._products = products
        self._passwords = passwords
        self._new_id = new_id
        self._hash_of_nobody = passwords.hash(new_id())

    def register(self, username: object, email: object, password: object) -> User:
        """Raises: InvalidError; TakenError."""
        _check(
            username=(
                isinstance(username, str) and USERNAME.fullmatch(username),
                "3 to 32 letters a to z, digits or _ are needed",
            ),
            email=(
                isinstance(email, str) and len(email) <= EMAIL_CHARACTERS_MAX and EMAIL.fullmatch(email),
                "an address such as ada@example.com is needed",
            ),
            password=(
                isinstance(password, str) and PASSWORD.fullmatch(password),
                "8 to 1000 characters are needed",
            ),
        )
        user = User(self._new_id(), str(username), str(email).lower(), self._passwords.hash(str(password)))
        self._users.add(user)
        return user

    def log_in(self, username: str, password: str) -> User | None:
        """The user; None where there is none, or it is another password: both take as long."""
        user = self._users.find(username)
        is_right = self._passwords.verify(password, self._hash_of_nobody if user is None else user.password_hash)
        return user if is_right else None

    def list_users(self, after: str, limit: int) -> list[User]:
        return self._users.page(after, limit)

    def add_product(self, name: object, price_cents: object) -> Product:
        """Raises: InvalidError."""
        _check(
            name=(
                isinstance(name, str) and NAME.fullmatch(name.strip()),
                "1 to 200 characters are needed",
            ),
            price_cents=(
                isinstance(price_cents, int)
                and not isinstance(price_cents, bool)
                and 0 <= price_cents <= PRICE_CENTS_MAX,
                f"a whole number from 0 to {PRICE_CENTS_MAX} is needed",
            ),
        )
        product = Product(self._new_id(), str(name).strip(), int(str(price_cents)))
        self._products.add(product)
        return product

    def list_products(self, after: str, limit: int) -> list[Product]:
        return self._products.page(after, limit)


def _check(**claims: tuple[object, str]) -> None:
    """Raises: InvalidError with every claim that does not hold."""
    reasons = {name: reason for name, (holds, reason) in claims.items() if not holds}
    if reasons:
        raise InvalidError(reasons)
