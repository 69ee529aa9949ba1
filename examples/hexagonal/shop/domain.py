"""What the shop is about, and the ports: what it needs of the world, in its own words. It imports nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class User:
    id: str
    username: str
    email: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    name: str
    price_cents: int


class InvalidError(Exception):
    """What was given cannot be taken; `reasons` says why, by name."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(", ".join(reasons))
        self.reasons = reasons


class TakenError(Exception):
    """Another user has that username or email already."""


class Users(Protocol):
    """A port. Its methods may block, and are called on any thread."""

    def add(self, user: User) -> None:
        """Keep a user. Raises: TakenError where the username or the email is another's."""

    def find(self, username: str) -> User | None: ...

    def page(self, after: str, limit: int) -> list[User]:
        """Those whose id is greater than `after`, by id, `limit` at most."""


class Products(Protocol):
    def add(self, product: Product) -> None: ...

    def page(self, after: str, limit: int) -> list[Product]:
        """Likewise."""


class Passwords(Protocol):
    def hash(self, password: str) -> str: ...

    def verify(self, password: str, password_hash: str) -> bool: ...
