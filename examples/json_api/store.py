"""Users in memory, shared by all workers. Put your database here."""

import threading


class FullError(Exception):
    """There is no room for another."""


class Users:
    def __init__(self, most=10_000):
        self.most = most
        self._users = {}  # in the order of their ids
        self._next_id = 1
        self._changing = threading.Lock()

    def add(self, user):
        with self._changing:
            if len(self._users) >= self.most:
                raise FullError
            added = {"id": self._next_id, **user}
            self._next_id += 1
            self._users[added["id"]] = added
        return added

    def get(self, key):
        return self._users.get(key)

    def page(self, after, limit):
        with self._changing:
            users = list(self._users.values())
        return [user for user in users if user["id"] > after][:limit]

    def change(self, key, change):
        """Put what `change(user)` returns in the user's place, nobody else changing it meanwhile; None for nobody."""
        with self._changing:
            user = self._users.get(key)
            if user is not None:
                user = self._users[key] = {"id": key, **change(user)}
        return user

    def remove(self, key):
        """Whether there was one."""
        with self._changing:
            return self._users.pop(key, None) is not None
