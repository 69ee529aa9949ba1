"""Sessions: what is written comes back to its visitor alone, for as long as it should, and nothing else does."""

from __future__ import annotations

import json
import threading

import pytest

from vanilla import Request, Response, Server, ServerConfig, Worker
from vanilla.errors import RefusedError
from vanilla.toolkit.composition import compose
from vanilla.toolkit.csrf import Csrf, CsrfError
from vanilla.toolkit.sessions import MemorySessionStore, Sessions
from vanilla.toolkit.signing import Signer

KEY = b"k" * 32


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Visitor:
    """A browser with one cookie: `visit(write)` has a handler call `write(session)` and keeps what it was sent."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.cookie: bytes | None = None
        self.response = Response()

    def visit(self, write=lambda session: None, *, status: int = 200, headers=()) -> dict:
        """What the session held at the end."""
        lines = b"" if self.cookie is None else b"Cookie: " + self.cookie + b"\r\n"
        request = Request(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        self.response = response = Response()
        session = self.sessions.open(request, response)
        write(session)
        held = dict(session)
        response.reply(status, headers=headers)
        for hook in response.recorded_hooks:
            hook(request, response, Worker())
        sent = response.header("set-cookie")
        if sent is not None:
            pair = sent.partition(b";")[0]
            self.cookie = None if b"Max-Age=0" in sent else pair
        return held


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["cookie", "store"])
def sessions(request, clock: Clock) -> Sessions:
    store = MemorySessionStore(clock=clock) if request.param == "store" else None
    return Sessions(KEY, store, idle=100, life=1_000, clock=clock)


@pytest.fixture
def visitor(sessions: Sessions) -> Visitor:
    return Visitor(sessions)


@pytest.fixture
def store(clock: Clock) -> MemorySessionStore:
    return MemorySessionStore(clock=clock)


@pytest.fixture
def stored(store: MemorySessionStore, clock: Clock) -> Visitor:
    return Visitor(Sessions(KEY, store, idle=100, life=1_000, clock=clock))


def log_in(session) -> None:
    session["user"] = "ann"


def test_what_is_written_comes_back(visitor: Visitor) -> None:
    visitor.visit(lambda session: session.update(user="Zoë", cart=[1, {"a": None}], seen=2.5))
    assert visitor.visit() == {"user": "Zoë", "cart": [1, {"a": None}], "seen": 2.5}
    assert visitor.response.header("set-cookie") is None


def test_the_cookie_goes_to_this_host_alone_and_no_script_sees_it(visitor: Visitor) -> None:
    visitor.visit(log_in)
    name, _, attributes = (visitor.response.header("set-cookie") or b"").partition(b"=")
    assert name == b"__Host-session"
    assert attributes.partition(b"; ")[2] == b"Path=/; Secure; HttpOnly; SameSite=Lax"
    assert visitor.response.header("cache-control") == b"private, no-cache"
    assert visitor.response.header("vary") == b"Cookie"


def test_who_writes_nothing_has_no_cookie_and_no_place(stored: Visitor, store: MemorySessionStore) -> None:
    assert stored.visit() == {}
    stored.visit(lambda session: session.rotate())
    stored.visit(lambda session: session.destroy())
    stored.visit(lambda session: session.pop("user", None))
    assert (stored.response.header("set-cookie"), len(store)) == (None, 0)
    assert stored.response.header("vary") == b"Cookie"  # what was answered may still depend on there being none


def test_what_is_changed_within_a_value_is_saved(visitor: Visitor) -> None:
    visitor.visit(lambda session: session.setdefault("cart", []).append(1))
    visitor.visit(lambda session: session["cart"].append(2))
    assert visitor.visit() == {"cart": [1, 2]}


def test_what_is_deleted_is_gone_and_the_session_is_one_still(visitor: Visitor) -> None:
    visitor.visit(lambda session: session.update(a=1, b=2))
    visitor.visit(lambda session: session.pop("a"))
    assert visitor.visit() == {"b": 2}
    ids = []
    visitor.visit(lambda session: (ids.append(session.id), session.clear()))
    assert visitor.visit(lambda session: ids.append(session.id)) == {}
    assert ids[0] == ids[1] != ""


def test_the_same_session_is_found_again_within_a_request(sessions: Sessions) -> None:
    request, response = Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Response()
    first = sessions.open(request, response)
    assert sessions.open(request, response) is first
    assert Sessions(KEY).open(request, response) is not first
    assert len(response.recorded_hooks) == 2


def test_an_id_is_there_from_the_first_write_on(visitor: Visitor) -> None:
    ids = []

    def write(session):
        ids.append((session.id, session.is_new))
        session["user"] = "ann"
        ids.append((session.id, session.is_new))

    visitor.visit(write)
    visitor.visit(lambda session: ids.append((session.id, session.is_new)))
    assert ids[0] == ("", True)
    assert ids[1] == (ids[2][0], True)
    assert (len(ids[2][0]), ids[2][1]) == (32, False)


def made_up(key: bytes, purpose: str, content: bytes) -> bytes:
    return Signer(key, purpose, clock=Clock()).sign(content)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"a.b.c",
        made_up(b"o" * 32, "session __Host-session", b'["x", 1e6, 1e6, {"user": "root"}]'),
        made_up(KEY, "csrf __Host-session", b'["x", 1e6, 1e6, {"user": "root"}]'),
        made_up(KEY, "session __Host-session", b"no json"),
        made_up(KEY, "session __Host-session", b"[]"),
        made_up(KEY, "session __Host-session", b'{"user": "root"}'),
        made_up(KEY, "session __Host-session", b'["x", "y", 1e6, {"user": "root"}]'),
        made_up(KEY, "session __Host-session", b"\xff"),
    ],
)
def test_a_cookie_that_was_made_up_is_none(visitor: Visitor, value: bytes) -> None:
    visitor.cookie = b"__Host-session=" + value
    assert visitor.visit() == {}


def test_every_changed_byte_of_a_cookie_is_noticed(visitor: Visitor) -> None:
    visitor.visit(log_in)
    name, _, value = visitor.cookie.partition(b"=")
    for at in range(len(value)):
        other = b"A" if value[at : at + 1] != b"A" else b"B"
        visitor.cookie = name + b"=" + value[:at] + other + value[at + 1 :]
        assert visitor.visit() == {}, at


def test_a_session_is_over_once_it_was_idle(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(log_in)
    for _ in range(5):
        clock.now += 99
        assert visitor.visit() == {"user": "ann"}
    clock.now += 100
    assert visitor.visit() == {}


def test_a_tenth_of_the_idle_time_passes_before_it_is_written_again(visitor: Visitor, clock: Clock) -> None:
    saved = []
    visitor.visit(log_in)
    visitor.sessions._write_cookie, plain = (
        lambda *args: saved.append(args) or plain(*args),
        visitor.sessions._write_cookie,
    )
    clock.now += 10
    visitor.visit()
    assert saved == []
    clock.now += 1
    visitor.visit()
    assert len(saved) == 1


def test_a_session_is_over_after_its_life_however_busy_it_was(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(log_in)
    for _ in range(11):
        clock.now += 90
        assert visitor.visit(lambda session: session.update(at=clock.now)) != {}
    clock.now += 10
    assert visitor.visit() == {}


def test_to_rotate_gives_another_id_and_a_life_of_its_own(visitor: Visitor, clock: Clock) -> None:
    visitor.visit(lambda session: session.update(cart=[1]))
    for _ in range(10):
        clock.now += 90
        visitor.visit()
    old, ids = visitor.cookie, []
    visitor.visit(lambda session: (ids.append(session.id), session.rotate(), log_in(session), ids.append(session.id)))
    assert ids[0] != ids[1]
    assert visitor.cookie != old
    for _ in range(10):
        clock.now += 90
        assert visitor.visit() == {"cart": [1], "user": "ann"}


def test_the_id_from_before_a_login_is_none_after_it(stored: Visitor, store: MemorySessionStore) -> None:
    stored.visit(lambda session: session.update(cart=[1]))
    attacker = Visitor(stored.sessions)
    attacker.cookie = stored.cookie
    stored.visit(lambda session: (session.rotate(), log_in(session)))
    assert attacker.visit() == {}
    assert stored.visit() == {"cart": [1], "user": "ann"}
    assert len(store) == 1


def test_to_destroy_leaves_nothing(stored: Visitor, store: MemorySessionStore) -> None:
    stored.visit(log_in)
    copied = stored.cookie
    stored.visit(lambda session: session.destroy())
    sent = stored.response.header("set-cookie")
    assert sent.startswith(b"__Host-session=; Path=/; Max-Age=0; ")
    assert (stored.cookie, len(store)) == (None, 0)
    stored.cookie = copied
    assert stored.visit() == {}


def test_to_destroy_takes_the_cookie_back(visitor: Visitor) -> None:
    visitor.visit(log_in)
    visitor.visit(lambda session: session.destroy(), status=503)
    assert visitor.cookie is None


def test_what_is_written_after_destroying_is_another_session(visitor: Visitor) -> None:
    ids = []
    visitor.visit(lambda session: (log_in(session), ids.append(session.id)))
    visitor.visit(lambda session: (session.destroy(), session.update(flash="bye"), ids.append(session.id)))
    assert visitor.visit() == {"flash": "bye"}
    assert ids[0] != ids[1]


def test_what_was_ended_meanwhile_does_not_come_back(stored: Visitor, store: MemorySessionStore) -> None:
    stored.visit(log_in)
    other = Visitor(stored.sessions)
    other.cookie = stored.cookie
    other.visit(lambda session: (session.update(late=True), stored.visit(lambda inner: inner.destroy())))
    assert (other.response.header("set-cookie"), len(store)) == (None, 0)


def test_an_answer_that_failed_saves_nothing(visitor: Visitor) -> None:
    visitor.visit(log_in, status=500)
    assert (visitor.cookie, visitor.visit()) == (None, {})
    visitor.visit(log_in, status=403)
    assert visitor.visit() == {"user": "ann"}


def test_what_the_handler_says_about_caches_stays_unless_it_lets_the_cookie_out(visitor: Visitor) -> None:
    public = {"Cache-Control": "public, max-age=60"}
    visitor.visit(headers=public)
    assert visitor.response.header("cache-control") == b"public, max-age=60"
    visitor.visit(log_in, headers=public)
    assert visitor.response.header("cache-control") == b"no-store"
    visitor.visit(lambda session: session.update(a=1), headers={"Cache-Control": "Private, max-age=5"})
    assert visitor.response.header("cache-control") == b"Private, max-age=5"


def test_what_comes_too_late_is_refused(sessions: Sessions, answer_of) -> None:
    kept = []

    def handle(request, response, worker):
        kept.append(sessions.open(request, response))
        kept[0]["user"] = "ann"
        response.reply(200)

    answer_of(handle)
    for write in (log_in, lambda session: session.rotate(), lambda session: session.destroy()):
        with pytest.raises(RuntimeError, match="has left"):
            write(kept[0])


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [(1, "a", TypeError), ("a", object(), TypeError), ("a", "x" * 3_000, ValueError), ("a", b"bytes", TypeError)],
)
def test_what_cannot_be_kept_is_refused(clock: Clock, name, value, error) -> None:
    visitor = Visitor(Sessions(KEY, clock=clock))
    with pytest.raises(error):
        visitor.visit(lambda session: session.update({name: value}))
    assert visitor.cookie is None


def test_a_store_takes_more_than_a_cookie_and_not_everything(clock: Clock, store: MemorySessionStore) -> None:
    visitor = Visitor(Sessions(KEY, store, max_bytes=10_000, clock=clock))
    visitor.visit(lambda session: session.update(a="x" * 9_000))
    assert visitor.visit() == {"a": "x" * 9_000}
    with pytest.raises(ValueError, match="max_bytes=10000"):
        visitor.visit(lambda session: session.update(a="x" * 10_000))


def test_a_cookie_holds_what_is_promised(clock: Clock) -> None:
    visitor = Visitor(Sessions(KEY, clock=clock))
    visitor.visit(lambda session: session.update(a="x" * 2_880))
    assert len(visitor.cookie) <= 4_097
    assert len(visitor.visit()["a"]) == 2_880


def test_a_cookie_may_outlive_the_browser(clock: Clock, store: MemorySessionStore) -> None:
    visitor = Visitor(Sessions(KEY, store, life=1_000, persistent=True, clock=clock))
    visitor.visit(log_in)
    assert b"; Max-Age=1000;" in visitor.response.header("set-cookie")


def test_without_tls_there_is_a_session_too(clock: Clock) -> None:
    visitor = Visitor(Sessions(KEY, cookie="sid", secure=False, same_site="Strict", clock=clock))
    visitor.visit(log_in)
    assert visitor.response.header("set-cookie").endswith(b"; Path=/; HttpOnly; SameSite=Strict")
    assert visitor.visit() == {"user": "ann"}


def test_keys_change_without_logging_anybody_out(clock: Clock, store: MemorySessionStore) -> None:
    for kept in (None, store):
        visitor = Visitor(Sessions(KEY, kept, clock=clock))
        visitor.visit(log_in)
        visitor.sessions = Sessions([b"n" * 32, KEY], kept, clock=clock)
        assert visitor.visit() == {"user": "ann"}
        visitor.sessions = Sessions(b"n" * 32, kept, clock=clock)
        assert visitor.visit() == {}


def test_an_id_that_was_not_signed_here_is_not_asked_for(clock: Clock) -> None:
    asked = []

    class Store(MemorySessionStore):
        def load(self, id):
            asked.append(id)
            return super().load(id)

    visitor = Visitor(Sessions(KEY, Store(clock=clock), clock=clock))
    visitor.cookie = b"__Host-session=" + b"A" * 32
    visitor.visit()
    assert asked == []


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"keys": b"short"}, "keys"),
        ({"secure": False}, "__Host-"),
        ({"cookie": "a b"}, "a b"),
        ({"idle": 0}, "idle=0"),
        ({"life": float("inf")}, "life=inf"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(given: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Sessions(**{"keys": KEY, **given})


def test_a_store_that_has_no_room_leaves_no_cookie(clock: Clock) -> None:
    class Full(MemorySessionStore):
        def save(self, id, data, seconds, is_new):
            return False

    visitor = Visitor(Sessions(KEY, Full(clock=clock), clock=clock))
    visitor.visit(log_in)
    assert visitor.cookie is None


def test_a_memory_store_is_bounded_in_number(clock: Clock) -> None:
    store = MemorySessionStore(100, clock=clock)
    for number in range(1_000):
        assert store.save(f"{number}", b"data", 100, True)
        store.save("0", b"data", 100, False)  # in use, so it stays
    assert len(store) == 100
    assert store.load("0") == store.load("999") == b"data"
    assert store.load("900") is None


def test_a_memory_store_is_bounded_in_bytes(clock: Clock) -> None:
    store = MemorySessionStore(100, 1_000, clock=clock)
    for number in range(20):
        store.save(f"{number}", b"x" * 300, 100, True)
    store.save("19", b"x" * 200, 100, False)
    store.save("20", b"x" * 400, 100, True)
    assert [id for id in map(str, range(21)) if store.load(id)] == ["18", "19", "20"]
    with pytest.raises(ValueError, match="bytes_max=1000"):
        store.save("a", b"x" * 1_001, 100, True)
    for number in range(21):
        store.delete(f"{number}")
        store.delete(f"{number}")
    assert (len(store), store._bytes) == (0, 0)
    with pytest.raises(ValueError, match="sessions_max=0"):
        MemorySessionStore(0)


def test_a_memory_store_forgets_what_is_too_old(clock: Clock) -> None:
    store = MemorySessionStore(clock=clock)
    for number in range(100):
        store.save(f"{number}", b"data", 10, True)
    clock.now += 10
    assert store.load("0") is None
    assert not store.save("0", b"data", 10, False)
    for number in range(60):
        store.save(f"new{number}", b"data", 10, True)
    assert len(store) == 60


@pytest.mark.usefixtures("busy_switching")
def test_threads_share_a_memory_store(clock: Clock) -> None:
    store = MemorySessionStore(50, clock=clock)
    barrier = threading.Barrier(4)
    failures = []

    def hammer(thread: int) -> None:
        barrier.wait()
        try:
            for number in range(10_000):
                id = f"{(number + thread) % 60}"
                store.save(id, b"x" * (number % 7), 100, True)
                store.load(id)
                if number % 3 == 0:
                    store.delete(id)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=hammer, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store._bytes == sum(len(data) for data, _ in store._kept.values())
    assert len(store) <= 50


def test_csrf_tokens_of_before_a_login_are_none_after_it(sessions: Sessions) -> None:
    csrf = Csrf(KEY, binding=lambda request, response: sessions.open(request, response).id, clock=sessions._clock)
    cookies: dict[bytes, bytes] = {}

    def send(handler, *lines: bytes, method: bytes = b"GET") -> None:
        line = b"Cookie: " + b"; ".join(b"%b=%b" % pair for pair in cookies.items())
        head = b"\r\n".join([method + b" / HTTP/1.1", b"Host: a", line, *lines, b"", b""])
        request, response = Request(head), Response()
        handler(request, response, Worker())
        for hook in reversed(response.recorded_hooks):
            hook(request, response, Worker())
        for name, value in response.headers():
            if name.lower() == b"set-cookie":
                cookie, _, rest = value.partition(b"=")
                cookies[cookie] = rest.partition(b";")[0]

    tokens = []

    def page(request, response, worker):
        tokens.append(b"X-CSRF-Token: " + csrf.token(request, response).encode())
        response.reply(200)

    def enter(request, response, worker):
        session = sessions.open(request, response)
        session.rotate()
        log_in(session)
        response.reply(200)

    send(page)
    send(csrf(enter), tokens[0], method=b"POST")
    with pytest.raises(CsrfError, match="another session"):
        send(csrf(page), tokens[0], method=b"POST")
    send(page)
    send(csrf(page), tokens[1], method=b"POST")


class NetworkedStore:
    """One that waits, and has a name for each call."""

    def __init__(self) -> None:
        self.inner = MemorySessionStore()
        self.calls: list[str] = []

    async def load(self, id):
        self.calls.append("load")
        return self.inner.load(id)

    async def save(self, id, data, seconds, is_new):
        self.calls.append("save new" if is_new else "save")
        return self.inner.save(id, data, seconds, is_new)

    async def delete(self, id):
        self.calls.append("delete")
        self.inner.delete(id)


def ask_server(handle, path: bytes, cookie: bytes = b"") -> tuple[bytes, bytes, bytes]:
    """Status, content, and the cookie to send along next."""
    [answer] = Server(ServerConfig(handle)).test([b"GET %b HTTP/1.1\r\nHost: a\r\nCookie: %b\r\n\r\n" % (path, cookie)])
    head, _, content = answer.partition(b"\r\n\r\n")
    _, found, sent = head.partition(b"Set-Cookie: ")
    return head[9:12], content, sent.partition(b";")[0] if found else cookie


def test_handlers_that_wait_may_have_a_store_that_waits(caplog) -> None:
    store = NetworkedStore()
    sessions = Sessions(KEY, store)

    async def handle(request, response, worker):
        session = await sessions.load(request, response)
        assert sessions.open(request, response) is session
        if request.path == b"/login":
            session.rotate()
            session["user"] = "ann"
            await session.save()
        elif request.path == b"/logout":
            session.destroy()
            await session.save()
        elif request.path == b"/forget":
            session["user"] = "bob"
        response.reply(200, session.get("user", "nobody").encode())

    status, content, cookie = ask_server(handle, b"/login")
    assert (status, content, store.calls) == (b"200", b"ann", ["save new"])
    assert ask_server(handle, b"/", cookie) == (b"200", b"ann", cookie)
    assert ask_server(handle, b"/forget", cookie)[0] == b"500"
    assert "await session.save() before the handler ends" in caplog.text
    assert ask_server(handle, b"/", cookie) == (b"200", b"ann", cookie)
    store.calls.clear()
    _, _, another = ask_server(handle, b"/login", cookie)
    assert (another != cookie, store.calls) == (True, ["load", "delete", "save new"])
    assert ask_server(handle, b"/", cookie)[1] == b"nobody"
    store.calls.clear()
    assert ask_server(handle, b"/logout", another) == (b"200", b"nobody", b"__Host-session=")
    assert store.calls == ["load", "delete"]
    assert ask_server(handle, b"/", another)[1] == b"nobody"


def test_a_store_that_waits_needs_a_handler_that_does(answer_of) -> None:
    sessions = Sessions(KEY, NetworkedStore())
    with pytest.raises(RuntimeError, match=r"await sessions\.load"):
        answer_of(lambda request, response, worker: sessions.open(request, response))


def test_a_store_that_waits_hears_of_those_who_only_read(clock: Clock) -> None:
    store = NetworkedStore()
    sessions = Sessions(KEY, store, idle=100, clock=clock)

    async def handle(request, response, worker):
        session = await sessions.load(request, response)
        if request.path == b"/login":
            session["user"] = "ann"
            await session.save()
        response.reply(200, session.get("user", "nobody").encode())

    _, _, cookie = ask_server(handle, b"/login")
    for _ in range(3):
        clock.now += 60
        assert ask_server(handle, b"/", cookie)[1] == b"ann"
    assert store.calls == ["save new"] + ["load", "save"] * 3


def test_over_a_socket_a_session_holds_where_handlers_wait_stream_or_refuse() -> None:
    sessions = Sessions(KEY, MemorySessionStore())

    def refuse(inner):
        def handle(request, response, worker):
            sessions.open(request, response).setdefault("paths", []).append(request.path.decode())
            if request.path == b"/refused":
                raise RefusedError
            return inner(request, response, worker)

        return handle

    async def handle(request, response, worker):
        await worker.sleep(0)
        session = sessions.open(request, response)
        if request.path == b"/streamed":
            response.start(200)
            response.write(json.dumps(session["paths"]).encode())
        else:
            response.reply(200, json.dumps(session["paths"]).encode())

    composed = compose(handle, refuse)
    cookie = b""
    statuses = []
    for path in (b"/", b"/streamed", b"/refused", b"/again"):
        status, content, cookie = ask_server(composed, path, cookie)
        statuses.append(status)
    assert statuses == [b"200", b"200", b"500", b"200"]
    assert content == b'["/", "/streamed", "/again"]'
