"""What you know of a visitor from one request to the next: in a signed cookie, or in a store that a cookie points into.

# Facts about sessions
A session that nothing was written to is none: no cookie, no place in a store. What is in a cookie can be read by its
owner, and cannot be taken back before it is too old, though he logs out; what is in a store is gone at once. A store is
asked only for an id that was signed here, so nobody can try ids on it, or bring one of their own choosing. An id that
somebody knew before a login must be none after it: `rotate` there. What was ended while another request was under way
must not come back by that one's save: a store saves what is not new only if it is still there.
"""

from __future__ import annotations

import json
import math
import re
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from inspect import iscoroutinefunction
from typing import Any, NamedTuple, Protocol

from vanilla.contract import Request, Response, Worker
from vanilla.toolkit.cookies import read_cookies
from vanilla.toolkit.json_bodies import encode_json
from vanilla.toolkit.set_cookie import COOKIE_BYTES_MAX, SameSite, delete_cookie, set_cookie
from vanilla.toolkit.signing import Signer
from vanilla.toolkit.vary import vary

IDLE_SECONDS = 3600.0
LIFE_SECONDS = 14 * 24 * 3600.0
STORED_BYTES_MAX = 65_536
SESSIONS_MAX = 100_000
MEMORY_BYTES_MAX = 64 * 1024 * 1024

_ID_BYTES = 24
_RENEWED_AFTER = 0.1  # of the idle time: until then a request that changes nothing writes nothing
_SWEPT_MAX = 2
_PRIVATE = re.compile(rb"\b(?:private|no-store)\b", re.IGNORECASE)


class SessionStore(Protocol):
    """Where sessions are kept. Its three methods may be `async def`, all of them: see `Sessions.load`."""

    def load(self, id: str) -> bytes | None | Awaitable[bytes | None]:
        """What was saved, or None once it is gone."""

    def save(self, id: str, data: bytes, seconds: float, is_new: bool) -> bool | Awaitable[bool]:
        """Keep `data` for so many seconds from now; one that is not new only if it is there still. Whether it is."""

    def delete(self, id: str) -> None | Awaitable[None]:
        """Forget it, if it is there."""


class MemorySessionStore:
    """The sessions of one process, shared by its workers, and gone when it ends.

    It holds so many sessions, and bytes of them, at most. What is too old goes as others come; beyond the bound the one
    that was saved longest ago goes, whose visitor is logged out then.

    Args:
        sessions_max: sessions.
        bytes_max: of their contents together.
        clock: seconds that only grow; for tests.

    Raises: ValueError for less than one.
    """

    def __init__(
        self,
        sessions_max: int = SESSIONS_MAX,
        bytes_max: int = MEMORY_BYTES_MAX,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("sessions_max", sessions_max), ("bytes_max", bytes_max)):
            if value < 1:
                raise ValueError(f"{name}={value!r}: give 1 or more")
        self._sessions_max = sessions_max
        self._bytes_max = bytes_max
        self._clock = clock
        self._kept: dict[str, tuple[bytes, float]] = {}  # data, and until when; the one saved last is the last
        self._bytes = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many sessions it holds, those that are too old and not yet gone included."""
        return len(self._kept)

    def load(self, id: str) -> bytes | None:
        """As `SessionStore` has it; any thread may call it."""
        data, until = self._kept.get(id, (None, 0.0))
        return data if self._clock() < until else None

    def save(self, id: str, data: bytes, seconds: float, is_new: bool) -> bool:
        """As `SessionStore` has it; any thread may call it."""
        if len(data) > self._bytes_max:
            raise ValueError(
                f"session of {len(data)} bytes: the store holds bytes_max={self._bytes_max} of all of them"
            )
        with self._lock:
            now = self._clock()
            if not is_new and self._kept.get(id, (b"", 0.0))[1] <= now:
                return False
            self._forget(id)
            self._kept[id] = data, now + seconds
            self._bytes += len(data)
            for _ in range(_SWEPT_MAX):
                oldest = next(iter(self._kept))
                if self._kept[oldest][1] > now:
                    break
                self._forget(oldest)
            while len(self._kept) > self._sessions_max or self._bytes > self._bytes_max:
                self._forget(next(iter(self._kept)))
            return True

    def delete(self, id: str) -> None:
        """As `SessionStore` has it; any thread may call it."""
        with self._lock:
            self._forget(id)

    def _forget(self, id: str) -> None:
        data, _ = self._kept.pop(id, (b"", 0.0))
        self._bytes -= len(data)


class _Record(NamedTuple):
    """A session as it was found."""

    id: str
    created: float
    seen: float  # when it was last written
    data: dict[str, Any]


class Sessions:
    """Sessions of one kind: `session = sessions.open(request, response)`, a mapping, saved before the answer leaves.

    Args:
        keys: as for `signing.Signer`.
        store: where they are kept, such as a `MemorySessionStore`. Without one they are in the cookie: readable by its
            owner, of some 2900 bytes, and good until they are too old, whoever logged out.
        cookie: its name. `__Host-` has browsers keep other hosts from setting it; without TLS, on anything but
            localhost, take a name without it, and `secure=False`.
        idle: seconds without a request after which a session is over, a tenth less at times.
        life: seconds after which it is over in any case, from its first write or the last `rotate`.
        persistent: whether the browser keeps the cookie when it ends.
        secure, same_site: of the cookie, which scripts never see.
        max_bytes: of what is kept in a store for one session.
        clock: seconds since the epoch; for tests.

    Raises: ValueError for keys, times or a cookie that cannot be.
    Source: RFC 6265bis. Any thread may use one.
    """

    def __init__(
        self,
        keys: bytes | Iterable[bytes],
        store: SessionStore | None = None,
        *,
        cookie: str = "__Host-session",
        idle: float = IDLE_SECONDS,
        life: float = LIFE_SECONDS,
        persistent: bool = False,
        secure: bool = True,
        same_site: SameSite = "Lax",
        max_bytes: int = STORED_BYTES_MAX,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for name, seconds in (("idle", idle), ("life", life)):
            if not math.isfinite(seconds) or seconds <= 0:
                raise ValueError(f"{name}={seconds!r}: give seconds, more than 0")
        self._signer = Signer(keys, f"session {cookie}", clock=clock)
        self._store = store
        self._cookie = cookie
        self._idle = idle
        self._life = life
        self._persistent = persistent
        self._secure = secure
        self._same_site: SameSite = same_site
        self._max_bytes = max_bytes
        self._clock = clock
        self._waits = store is not None and iscoroutinefunction(store.load)
        self._drop_cookie()  # raises here, not in an answer

    def open(self, request: Request, response: Response) -> Session:
        """The session of who sent a request; the same one each time it is asked for while the request is answered.

        It is empty where none is known of: without a cookie, or with one that was made up or whose session is over.
        What is written to it is saved when the head of the answer is about to leave, unless its status is 500 or more.
        The answer is marked as this visitor's own, unless the handler says in Cache-Control what it is.

        Raises: RuntimeError for a store that has to be awaited, unless `load` was, and once the head has left.
        """
        found = self._find_open(response)
        if found is not None:
            return found
        if self._waits:
            raise RuntimeError("sessions.open: the store waits; await sessions.load(request, response) before")
        value = self._read_cookie(request)
        data: Any = value if self._store is None or value is None else self._store.load(value.decode("latin-1"))
        return self._begin(response, value, data)

    async def load(self, request: Request, response: Response) -> Session:
        """`open` for a store that waits. What is written after it has to be saved: `await session.save()`."""
        found = self._find_open(response)
        if found is not None:
            return found
        value = self._read_cookie(request)
        data: Any = value
        if self._store is not None and value is not None:
            data = self._store.load(value.decode("latin-1"))
            if isinstance(data, Awaitable):
                data = await data
        session = self._begin(response, value, data)
        if session._is_due():  # what only reads need not save
            await session.save()
        return session

    def _find_open(self, response: Response) -> Session | None:
        for hook in response.recorded_hooks:
            if isinstance(hook, Session) and hook._owner is self:
                return hook
        return None

    def _read_cookie(self, request: Request) -> bytes | None:
        """What this has signed: an id, or all of a session."""
        return self._signer.verify(read_cookies(request).get(self._cookie), max_age=self._life)

    def _begin(self, response: Response, value: bytes | None, data: bytes | None) -> Session:
        record = None if data is None else _decode(data)
        if record is not None:
            now = self._clock()
            is_over = now >= record.created + self._life or now >= record.seen + self._idle
            record = None if is_over else record
        session = Session(self, record, has_cookie=value is not None)
        response.before_send(session)
        return session

    def _write_cookie(self, record: _Record, data: bytes) -> bytes:
        """Set-Cookie for a session. Raises: ValueError for one that is too large for a cookie."""
        value = self._signer.sign(data if self._store is None else record.id.encode())
        if len(self._cookie) + len(value) > COOKIE_BYTES_MAX:
            raise ValueError(
                f"session of {len(data)} bytes: signed it takes {len(self._cookie) + len(value)} where browsers take "
                f"cookies of {COOKIE_BYTES_MAX}; keep less in it, or give Sessions a store"
            )
        if self._store is not None and len(data) > self._max_bytes:
            raise ValueError(f"session of {len(data)} bytes: keep less in it, or raise max_bytes={self._max_bytes}")
        age = math.ceil(record.created + self._life - self._clock()) if self._persistent else None
        return set_cookie(self._cookie, value, max_age=age, secure=self._secure, same_site=self._same_site)

    def _drop_cookie(self) -> bytes:
        return delete_cookie(self._cookie, secure=self._secure, same_site=self._same_site)


class _Change(NamedTuple):
    """What saving a session comes to."""

    dropped: str | None  # the id that is good no longer
    record: _Record | None  # what is kept, if it changed
    data: bytes
    is_new: bool
    cookie: bytes | None  # for the answer to set


class Session(MutableMapping[str, Any]):
    """One visitor's session: a mapping of text to whatever JSON has a form for. Made by `Sessions.open`.

    What is changed within a value, such as `session["cart"].append(7)`, is saved as well. It belongs to one request.
    """

    def __init__(self, owner: Sessions, record: _Record | None, *, has_cookie: bool) -> None:
        self._owner = owner
        self._loaded = record
        self._came_without = record is None
        self._had_cookie = has_cookie
        self._id = "" if record is None else record.id
        self._created = owner._clock() if record is None else record.created
        self._data: dict[str, Any] = {} if record is None else record.data
        self._as_loaded = None if record is None else encode_json(record.data)
        self._is_destroyed = False
        self._cookie: bytes | None = None  # what the answer sets
        self._is_over = False  # the head has left

    @property
    def id(self) -> str:
        """What names the session, for logs and for `Csrf(binding=...)`; `""` while there is none.

        There is one from the first write on, and another after `rotate`.
        """
        if not self._exists():
            return ""
        if not self._id:
            self._id = secrets.token_urlsafe(_ID_BYTES)
        return self._id

    @property
    def is_new(self) -> bool:
        """Whether the request came without a session that is good still."""
        return self._came_without

    def rotate(self) -> None:
        """Give the session another id, and its life anew: call it where somebody logs in, or gets more rights.

        What it holds stays. The old id is good no longer; without a store the old cookie is, until it is too old.
        """
        self._check_open()
        self._id = ""
        self._created = self._owner._clock()

    def destroy(self) -> None:
        """End the session: nothing of it is left, and the answer takes the cookie back. For logging out."""
        self._check_open()
        self._data.clear()
        self._id = ""
        self._created = self._owner._clock()
        self._is_destroyed = True

    async def save(self) -> None:
        """Save to a store that waits, after the last write; elsewhere it is done by itself. It may be called again."""
        change, store, is_kept = self._plan(), self._owner._store, True
        if store is not None and change.dropped is not None:
            deleted: Any = store.delete(change.dropped)
            if isinstance(deleted, Awaitable):
                await deleted
        if store is not None and change.record is not None:
            saved: Any = store.save(change.record.id, change.data, self._time_left(change.record), change.is_new)
            is_kept = await saved if isinstance(saved, Awaitable) else saved
        self._settle(change, is_kept)

    def _save_now(self) -> None:
        """The same without a store that waits."""
        change, store, is_kept = self._plan(), self._owner._store, True
        if store is not None and change.dropped is not None:
            store.delete(change.dropped)
        if store is not None and change.record is not None:
            saved: Any = store.save(change.record.id, change.data, self._time_left(change.record), change.is_new)
            is_kept = saved
        self._settle(change, is_kept)

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self._check_open()
        if not isinstance(name, str):
            raise TypeError(f"session[{name!r}]: names are text")
        self._data[name] = value

    def __delitem__(self, name: str) -> None:
        self._check_open()
        del self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __call__(self, request: Request, response: Response, worker: Worker) -> None:
        """The hook of the answer: saves, and says what the answer is."""
        if response.status >= 500 and not self._is_destroyed:
            self._cookie = None
        elif not self._owner._waits:
            self._save_now()
        elif self._is_written():
            raise RuntimeError("session: written and not saved; await session.save() before the handler ends")
        self._is_over = True
        vary(response, b"Cookie")
        cache_control = response.header(b"cache-control")
        if cache_control is None:
            response.add_header(b"Cache-Control", b"private, no-cache")
        if self._cookie is not None:
            response.add_header(b"Set-Cookie", self._cookie)
            if cache_control is not None and _PRIVATE.search(cache_control) is None:
                response.set_header(b"Cache-Control", b"no-store")  # whatever it is: no cache may hand the cookie on

    def _exists(self) -> bool:
        """Whether there is anything to keep; a session that was emptied is one still."""
        return bool(self._data) or (self._loaded is not None and not self._is_destroyed)

    def _is_written(self) -> bool:
        """Whether it is not what was loaded, or saved last."""
        if self._loaded is None:
            return bool(self._data)
        return not self._exists() or self.id != self._loaded.id or encode_json(self._data) != self._as_loaded

    def _is_due(self) -> bool:
        """Whether it has to be written although nothing changed, so that it is not taken for idle."""
        owner, loaded = self._owner, self._loaded
        return loaded is not None and owner._clock() - loaded.seen > owner._idle * _RENEWED_AFTER

    def _plan(self) -> _Change:
        """What has to be done to save it. Raises: ValueError for what is too large; TypeError for what is no JSON."""
        owner, loaded = self._owner, self._loaded
        if not self._exists():
            cookie = owner._drop_cookie() if self._is_destroyed and self._had_cookie else None
            return _Change(None if loaded is None else loaded.id, None, b"", False, cookie)
        if not self._is_written() and not self._is_due():
            return _Change(None, None, b"", False, self._cookie)
        record = _Record(self.id, self._created, owner._clock(), self._data)
        dropped = loaded.id if loaded is not None and loaded.id != record.id else None
        is_new = loaded is None or dropped is not None
        data = encode_json(list(record))
        cookie = owner._write_cookie(record, data)  # raises for what is too large
        return _Change(dropped, record, data, is_new, cookie if is_new or owner._store is None else self._cookie)

    def _settle(self, change: _Change, is_kept: bool) -> None:
        """What it is once that was done. Where another request has ended it meanwhile, that one has the last word."""
        self._cookie = change.cookie if is_kept else None
        if change.record is not None:
            self._loaded, self._as_loaded = change.record, encode_json(self._data)
        elif change.dropped is not None:
            self._loaded = None

    def _time_left(self, record: _Record) -> float:
        """Seconds for which a store has to keep it."""
        return min(self._owner._idle, record.created + self._owner._life - record.seen)

    def _check_open(self) -> None:
        if self._is_over:
            raise RuntimeError("session: the head of the answer has left; write before it does")


def _decode(data: bytes) -> _Record | None:
    """None for what no version of this has written."""
    try:
        match json.loads(data):
            case [str(id), int() | float() as created, int() | float() as seen, dict(content)]:
                return _Record(id, created, seen, content)
    except ValueError:
        pass
    return None
