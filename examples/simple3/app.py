"""An application object: its methods are the routes, and each worker has a SQLite connection of its own."""

import os
import re
import sqlite3
import threading

from vanilla import ServerConfig
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.problems import problem
from vanilla.toolkit.routing import Router

NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
ID_DIGITS_MAX = 18  # SQLite's integers have 64 bits


class Users:
    """What the routes depend on. They take the connection of the worker that they run on."""

    def __init__(self, path, busy_timeout=2.0):
        self.path = path
        self.busy_timeout = busy_timeout
        self.opening = threading.Lock()  # two that change the journal mode at once would not wait for each other
        self.router = Router()
        self.router.get("/", self.count)
        self.router.post("/user", self.create)
        self.router.get("/user/:id", self.show, name="user")

    def connect(self):
        """A worker's state. What it raises keeps the server from starting."""
        with self.opening:
            database = sqlite3.connect(self.path, timeout=self.busy_timeout, isolation_level=None)
            database.execute("PRAGMA journal_mode=WAL")  # readers go on while one writes
            database.execute("PRAGMA synchronous=NORMAL")  # a power cut may take the last writes, and breaks nothing
            database.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        return database

    def close(self, worker):
        worker.state.close()

    def handle(self, request, response, worker):
        try:
            return self.router(request, response, worker)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return problem(response, 503, detail="the database is busy", headers={"Retry-After": "1"})

    def count(self, request, response, worker):
        [number] = worker.state.execute("SELECT count(*) FROM users").fetchone()
        reply_json(response, {"users": number})

    def create(self, request, response, worker):
        user = read_json(request, max_bytes=10_000)
        name = user.get("name") if isinstance(user, dict) else None
        if not isinstance(name, str) or not NAME.fullmatch(name.strip()):
            return problem(response, 422, detail="name: text of 1 to 100 characters is needed")
        key = worker.state.execute("INSERT INTO users (name) VALUES (?)", (name.strip(),)).lastrowid
        location = self.router.url_for("user", id=key)
        return reply_json(response, {"id": key, "name": name.strip()}, 201, headers={"Location": location})

    def show(self, request, response, worker):
        key = request.params["id"]
        if not key.isdigit() or len(key) > ID_DIGITS_MAX:
            return response.reply(404)
        found = worker.state.execute("SELECT id, name FROM users WHERE id = ?", (int(key),)).fetchone()
        if found is None:
            return response.reply(404)
        return reply_json(response, {"id": found[0], "name": found[1]})


users = Users(os.environ.get("DATABASE", "users.db"))
config = ServerConfig(users.handle, make_state=users.connect, on_worker_stop=users.close)
