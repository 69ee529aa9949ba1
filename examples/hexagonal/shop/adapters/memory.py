"""Users and products in memory: for tests, and for trying the shop out."""

from __future__ import annotations

import threading

from shop.domain import Product, TakenError, User


class MemoryUsers:
    def __init__(self) -> None:
        self._users: dict[str, User] = {}  # by username
        self._adding = threading.Lock()

    def add(self, user: User) -> None:
        with self._adding:
            if user.username in self._users or any(user.email == other.email for other in self._users.values()):
                raise TakenError
            self._users[user.username] = user

    def find(self, username: str) -> User | None:
        return self._users.get(username)

    def page(self, after: str, limit: int) -> list[User]:
        with self._adding:
            users = sorted(self._users.values(), key=lambda user: user.id)
        return [user for user in users if user.id > after][:limit]


class MemoryProducts:
    def __init__(self) -> None:
        self._products: dict[str, Product] = {}
        self._adding = threading.Lock()

    def add(self, product: Product) -> None:
        with self._adding:
            self._products[product.id] = product

    def page(self, after: str, limit: int) -> list[Product]:
        with self._adding:
            products = sorted(self._products.values(), key=lambda product: product.id)
        return [product for product in products if product.id > after][:limit]
