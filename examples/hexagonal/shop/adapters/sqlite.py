"""Users and products in a SQLite file, over one connection that its threads take turns on."""

from __future__ import annotations

import sqlite3
import threading

from shop.domain import Product, TakenError, User

TABLES = (
    "CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, username TEXT NOT NULL UNIQUE,"
    " email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS products (id TEXT PRIMARY KEY, name TEXT NOT NULL, price_cents INTEGER NOT NULL)",
)
BUSY_SECONDS = 5.0  # for another process that writes


class Database:
    def __init__(self, path: str) -> None:
        self._connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self._turn = threading.Lock()
        self.run("PRAGMA journal_mode=WAL")
        for table in TABLES:
            self.run(table)

    def run(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Every row of one statement, which is its own transaction."""
        with self._turn:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        with self._turn:
            self._connection.close()


class SqliteUsers:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, user: User) -> None:
        values = (user.id, user.username, user.email, user.password_hash)
        try:
            self._database.run("INSERT INTO users (id, username, email, password_hash) VALUES (?, ?, ?, ?)", values)
        except sqlite3.IntegrityError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
                raise
            raise TakenError from error

    def find(self, username: str) -> User | None:
        rows = self._database.run(
            "SELECT id, username, email, password_hash FROM users WHERE username = ?", (username,)
        )
        return User(*map(str, rows[0])) if rows else None

    def page(self, after: str, limit: int) -> list[User]:
        rows = self._database.run(
            "SELECT id, username, email, password_hash FROM users WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        return [User(*map(str, row)) for row in rows]


class SqliteProducts:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, product: Product) -> None:
        values = (product.id, product.name, product.price_cents)
        self._database.run("INSERT INTO products (id, name, price_cents) VALUES (?, ?, ?)", values)

    def page(self, after: str, limit: int) -> list[Product]:
        rows = self._database.run(
            "SELECT id, name, price_cents FROM products WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        return [Product(str(key), str(name), int(str(price))) for key, name, price in rows]
