"""cached, called by hand: what is kept, for whom, and for how long."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import pytest

from vanilla import Request, Response, Step, Worker
from vanilla.toolkit.conditional import etag
from vanilla.toolkit.dates import format_date
from vanilla.toolkit.response_cache import CachedHandler, cached


class Clock:
    """Seconds that go on when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Client:
    """Asks a handler by hand, and has the hooks called as a server does."""

    def __init__(self, handler: CachedHandler, worker: Worker | None = None) -> None:
        self.handler = handler
        self.worker = worker or Worker()

    def __call__(self, path: str = "/", *fields: str, method: str = "GET", host: str = "a", body: str = "") -> Response:
        lines = "".join(f"{field}\r\n" for field in (f"Host: {host}", *fields))
        if body:
            lines += f"Content-Length: {len(body)}\r\n"
        request = Request(f"{method} {path} HTTP/1.1\r\n{lines}\r\n{body}".encode())
        response = Response()
        self.handler(request, response, self.worker)
        for hook in reversed(response.recorded_hooks):
            hook(request, response, self.worker)
        return response

    def run_posted(self) -> None:
        """What was to be done in the next tick."""
        posted = self.worker.recorded.posted
        while posted:
            function, arguments = posted.pop(0)
            function(*arguments)


class Origin:
    """A handler that counts its calls, and says so in its content."""

    def __init__(self, status: int = 200, **fields: str) -> None:
        self.status = status
        self.fields = {name.replace("_", "-"): value for name, value in fields.items()}
        self.calls = 0

    def __call__(self, request: Request, response: Response, worker: Worker) -> None:
        self.calls += 1
        content = b"" if self.status == 204 else b"content %d" % self.calls
        response.reply(self.status, content, headers=self.fields)


def twice(
    origin: Callable, *fields: str, second: tuple[str, ...] | None = None, **options
) -> tuple[Response, Response]:
    client = Client(cached(origin, **({"ttl": 60} | options)))
    return client("/", *fields), client("/", *(fields if second is None else second))


def test_the_second_request_is_answered_what_the_first_was() -> None:
    origin = Origin(Content_Type="text/plain", Connection="keep-alive")
    first, second = twice(origin)
    assert origin.calls == 1
    assert second.content == first.content == b"content 1"
    assert second.header("etag") == first.header("etag") == etag(b"content 1")
    assert second.header("last-modified") == first.header("last-modified")
    assert second.header("content-type") == b"text/plain"
    assert second.header("age") == b"0"
    assert first.header("age") is None
    assert second.header("connection") is None


def test_a_head_that_comes_again_byte_by_byte_is_answered_the_same_and_another_is_read() -> None:
    client = Client(cached(Origin(), ttl=60))
    answers = [client("/", "X: 1") for _ in range(4)] + [client("/", "X: 2"), client("/", "X: 1")]
    assert {answer.content for answer in answers} == {b"content 1"}
    assert client("/other", "X: 1").content == b"content 2"
    assert (client.handler.hits, client.handler.misses) == (5, 2)


def test_it_is_old_after_its_time_and_says_how_old(clock: Clock) -> None:
    client = Client(cached(Origin(), ttl=10, clock=clock))
    client()
    for passed, age in ((0, b"0"), (3.5, b"3"), (6.4, b"9")):
        clock.now += passed
        assert client().header("age") == age
    clock.now += 0.1
    assert client().content == b"content 2"
    assert client().header("age") == b"0"


def test_the_clock_of_the_machine_ends_it_too() -> None:
    client = Client(cached(Origin(), ttl=0.02))
    client()
    end = time.monotonic() + 0.02
    while time.monotonic() < end:
        client()
    assert client().content != b"content 1"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("max-age=5", 5),
        ("max-age=500, s-maxage=7", 7),
        ("public", 60),
        ('max-age="8"', 8),
    ],
)
def test_the_answer_says_for_how_long(clock: Clock, said: str, seconds: int) -> None:
    client = Client(cached(Origin(Cache_Control=said), ttl=60, clock=clock))
    client()
    clock.now += seconds - 0.5
    assert client().content == b"content 1"
    clock.now += 1
    assert client().content == b"content 2"


def test_an_answer_that_was_kept_before_is_as_old_as_it_says(clock: Clock) -> None:
    client = Client(cached(Origin(Age="50"), ttl=60, clock=clock))
    client()
    clock.now += 9
    assert client().header("age") == b"59"
    clock.now += 2
    assert client().content == b"content 2"


@pytest.mark.parametrize(
    "fields",
    [
        {"Cache_Control": "no-store"},
        {"Cache_Control": "private, max-age=60"},
        {"Cache_Control": "no-cache"},
        {"Cache_Control": 'max-age=60, no-cache="x"'},
        {"Cache_Control": "max-age=0"},
        {"Cache_Control": "max-age=soon"},
        {"Expires": "0"},
        {"Set_Cookie": "a=b"},
        {"Vary": "*"},
        {"Vary": "Accept, *"},
        {"Age": "60"},
    ],
)
def test_an_answer_that_says_so_is_not_kept(fields: dict[str, str]) -> None:
    origin = Origin(**fields)
    first, _ = twice(origin)
    assert origin.calls == 2
    assert first.header("etag") is None


def test_a_cookie_for_everybody_is_kept_where_that_is_said() -> None:
    origin = Origin(Set_Cookie="a=b", Cache_Control="public")
    _, second = twice(origin)
    assert origin.calls == 1
    assert second.header("set-cookie") == b"a=b"


@pytest.mark.parametrize(
    ("status", "fields", "is_kept"),
    [
        (200, {}, True),
        (204, {}, True),
        (301, {"Location": "/b"}, True),
        (404, {}, True),
        (410, {}, True),
        (302, {"Location": "/b"}, False),
        (302, {"Location": "/b", "Cache_Control": "max-age=5"}, True),
        (206, {"Content_Range": "bytes 0-8/20", "Cache_Control": "max-age=5"}, False),
        (401, {}, False),
        (500, {"Cache_Control": "max-age=5"}, False),
        (503, {}, False),
    ],
)
def test_some_statuses_are_kept(status: int, fields: dict[str, str], is_kept: bool) -> None:
    origin = Origin(status, **fields)
    first, second = twice(origin)
    assert first.status == second.status == status
    assert origin.calls == (1 if is_kept else 2)


def test_statuses_are_yours_to_choose() -> None:
    origin = Origin(404)
    twice(origin, statuses={200})
    assert origin.calls == 2


# For whom.


def test_methods_hosts_and_targets_have_each_their_own() -> None:
    client = Client(cached(Origin(), ttl=60))
    for path, host in (("/", "a"), ("/?", "a"), ("/?q", "a"), ("/", "b")):
        assert client(path, host=host).content == client(path, host=host).content
    assert client("http://A/").content == client(host="A").content == b"content 1"
    assert client.handler.misses == 4
    one = Client(cached(Origin(), ttl=60, by_host=False))
    assert one(host="a").content == one(host="b").content


def test_head_is_answered_by_what_get_was() -> None:
    client = Client(cached(Origin(), ttl=60))
    client()
    for _ in range(2):
        answer = client(method="HEAD")
        assert bytes(answer).endswith(b"\r\n\r\n")
        assert answer.content_length == 9
    assert client.handler.misses == 1


def test_head_alone_is_kept_as_it_is_and_answers_no_get() -> None:
    def handle(request, response, worker):
        calls.append(request.method)
        response += b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"

    calls: list[bytes] = []
    client = Client(cached(handle, ttl=60))
    first, second = client(method="HEAD"), client(method="HEAD")
    assert calls == [b"HEAD"]
    assert first.content_length == second.content_length == 500
    assert second.header("etag") is None
    client()
    assert calls == [b"HEAD", b"GET"]


@pytest.mark.parametrize("options", [{"vary": "Accept-Language"}, {"vary": ["Accept-Language"]}, {}])
def test_what_vary_names_tells_answers_apart(options: dict) -> None:
    def handle(request, response, worker):
        calls.append(request.header("accept-language"))
        response.reply(200, calls[-1] or b"none", headers={} if options else {"Vary": "accept-language"})

    calls: list[bytes | None] = []
    client = Client(cached(handle, ttl=60, **options))
    asked = [("Accept-Language: de",), ("Accept-Language: en",), (), ("Accept-Language: de", "X: y"), ()]
    assert [client("/", *fields).content for fields in asked] == [b"de", b"en", b"none", b"de", b"none"]
    assert len(calls) == 3


def test_an_answer_that_varies_by_more_than_those_before_ends_them() -> None:
    origin = Origin()
    client = Client(cached(origin, ttl=60))
    client(), client("/?2")
    origin.fields = {"Vary": "X"}
    client("/", "Authorization: x", "X: 1")  # not kept, so nothing is known by it
    assert client().content == b"content 1"
    client("/?3", "X: 1"), client("/?3", "X: 2")
    assert client("/?3", "X: 1").content == b"content 4"
    assert client("/?3", "X: 2").content == b"content 5"


@pytest.mark.parametrize(
    ("said", "is_kept"), [("max-age=60", False), ("public", True), ("s-maxage=9", True), ("must-revalidate", True)]
)
def test_with_authorization_only_what_says_so_is_kept_and_given(said: str, is_kept: bool) -> None:
    origin = Origin(Cache_Control=said)
    client = Client(cached(origin, ttl=60))
    client("/", "Authorization: Basic YQ==")
    client("/", "Authorization: Basic Yg==")
    assert origin.calls == (1 if is_kept else 2)
    client()
    client()
    assert origin.calls == (1 if is_kept else 3)
    client("/", "authorization: Basic YQ==")
    assert origin.calls == (1 if is_kept else 4)


# What the request says.


def test_a_request_that_wants_nothing_stored_is_answered_from_the_cache_all_the_same() -> None:
    client = Client(cached(Origin(), ttl=60))
    client("/", "Cache-Control: no-store")
    assert client().content == b"content 2"
    assert client("/", "Cache-Control: no-store").content == b"content 2"


def test_only_if_cached_calls_no_handler() -> None:
    origin = Origin()
    client = Client(cached(origin, ttl=60))
    assert client("/", "Cache-Control: only-if-cached").status == 504
    assert origin.calls == 0
    client()
    assert client("/", "Cache-Control: only-if-cached").content == b"content 1"


@pytest.mark.parametrize(
    "field", ["Cache-Control: no-cache", "Pragma: no-cache", "Cache-Control: max-age=0", "Cache-Control: min-fresh=59"]
)
def test_clients_refresh_only_where_they_may(clock: Clock, field: str) -> None:
    for may, content in ((False, b"content 1"), (True, b"content 2")):
        client = Client(cached(Origin(), ttl=60, clients_may_refresh=may, clock=clock))
        client()
        clock.now += 2
        assert client("/", field).content == content
        assert client().content == content


# Conditions.


def test_who_has_it_is_told_so() -> None:
    client = Client(cached(Origin(Content_Type="text/plain", Cache_Control="max-age=9"), ttl=60))
    tag = client().header("etag").decode()
    answer = client("/", f"If-None-Match: {tag}")
    assert answer.status == 304
    assert answer.header("etag") == tag.encode()
    assert answer.header("cache-control") == b"max-age=9"
    assert answer.header("age") == b"0"
    assert answer.header("content-type") is None
    assert client("/", 'If-None-Match: "other"').status == 200
    assert client("/", 'If-Match: "other"').status == 412
    assert client("/", f'If-None-Match: "x"\r\nIf-Modified-Since: {format_date(time.time()).decode()}').status == 200
    assert client("/", f"If-Modified-Since: {format_date(time.time()).decode()}").status == 304
    assert client.handler.misses == 1


def test_tags_of_the_handler_stay() -> None:
    origin = Origin(ETag='W/"mine"', Last_Modified="Sun, 06 Nov 1994 08:49:37 GMT")
    client = Client(cached(origin, ttl=60))
    assert client().header("etag") == b'W/"mine"'
    assert client("/", 'If-None-Match: W/"mine"').status == 304
    assert client("/", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT").status == 304
    assert client("/", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT").status == 200


def test_conditions_of_the_first_request_count_too() -> None:
    client = Client(cached(lambda request, response, worker: response.reply(200, b"content"), ttl=60))
    answer = client("/", f"If-None-Match: {etag(b'content').decode()}")
    assert (answer.status, answer.header("etag")) == (304, etag(b"content"))
    assert client().content == b"content"
    assert Client(cached(Origin(), ttl=60))("/", 'If-Match: "other"').status == 412


@pytest.mark.parametrize("tag", ["none", '"a", "b"', "*"])
def test_a_tag_that_is_none_is_sent_and_not_compared(tag: str) -> None:
    client = Client(cached(Origin(ETag=tag), ttl=60))
    for _ in range(2):
        answer = client("/", f"If-None-Match: {tag}" if tag != "*" else 'If-None-Match: "x"')
        assert (answer.status, answer.header("etag")) == (200, tag.encode())
    assert client.handler.misses == 1


def test_what_comes_out_the_same_again_was_not_modified_since(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def handle(request, response, worker):
        response.reply(200, b"always")

    client = Client(cached(handle, ttl=5, clock=clock))
    first = client().header("last-modified")
    clock.now += 6
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 100)
    assert client().header("last-modified") == first
    assert client.handler.misses == 2


# What passes.


def test_streams_files_and_contents_pass(tmp_path) -> None:
    def handle(request, response, worker):
        calls.append(request.path)
        if request.path == b"/stream":
            response.start(200)
            response.write(b"x")
        elif request.path == b"/pulled":
            response.start(200, length=1)
            response.stream([b"x"])
        elif request.path == b"/file":
            response += b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"
            response.send_file(file)
        else:
            response.reply(200, request.body)

    calls: list[bytes] = []
    (tmp_path / "file").write_bytes(bytes(20_000))
    with open(tmp_path / "file", "rb") as file:
        client = Client(cached(handle, ttl=60))
        for path in ("/stream", "/pulled", "/file"):
            client(path), client(path)
        client("/", body="one"), client("/", body="two")
    assert len(calls) == 8
    assert client.handler.stored_bytes == 0


@pytest.mark.parametrize(
    ("method", "status", "calls"), [("POST", 200, 3), ("DELETE", 204, 3), ("PUT", 409, 1), ("OPTIONS", 200, 1)]
)
def test_an_unsafe_method_that_succeeds_ends_what_is_kept_of_its_target(method: str, status: int, calls: int) -> None:
    def handle(request, response, worker):
        called.append(request.target)
        response.reply(200 if request.method == b"GET" else status, headers={"Vary": "X", "Location": "/list"})

    called: list[bytes] = []
    client = Client(cached(handle, ttl=60))
    client("/one", "X: 1"), client("/one", "X: 2"), client("/list"), client("/other")
    called.clear()
    client("/one", method=method)
    client("/one", "X: 1"), client("/list"), client("/other")
    assert len(called) == calls


def test_other_workers_hear_of_it_and_so_they_do_of_what_you_invalidate() -> None:
    handler = cached(Origin(), ttl=60)
    here, there = Client(handler), Client(handler)
    here(), there()
    here(method="POST")
    there.run_posted()
    assert there().content == b"content 4"
    for deed in (
        lambda: handler.invalidate("/"),
        lambda: handler.invalidate(b"/", host="A"),
        handler.clear,
    ):
        before = here(), there()
        deed()
        here.run_posted(), there.run_posted()
        assert not {here().content, there().content} & {answer.content for answer in before}
    before = here()
    handler.invalidate("/", host="b")
    handler.invalidate("/other")
    here.run_posted()
    assert here().content == before.content


# How much.


def test_those_used_longest_ago_go_first_and_all_is_counted() -> None:
    def handle(request, response, worker):
        response.reply(200, bytes(10_000))

    client = Client(cached(handle, ttl=60, max_bytes=40_000))
    for path in ("/1", "/2", "/3", "/1", "/4", "/1"):
        client(path)
    assert (client.handler.hits, client.handler.misses, client.handler.evictions) == (2, 4, 1)
    assert 30_000 < client.handler.stored_bytes <= 40_000
    client("/3"), client("/1"), client("/4")
    assert client.handler.hits == 5
    client("/2")
    assert client.handler.misses == 5


def test_what_is_larger_than_all_is_not_kept_and_evicts_nothing() -> None:
    def handle(request, response, worker):
        response.reply(200, bytes(100_000 if request.path == b"/large" else 100))

    client = Client(cached(handle, ttl=60, max_bytes=50_000))
    client("/small"), client("/large"), client("/large"), client("/small")
    assert (client.handler.hits, client.handler.evictions) == (1, 0)


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 1_000_000])
def test_contents_of_any_size_come_back_whole(clock: Clock, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    client = Client(cached(lambda request, response, worker: response.reply(200, content), ttl=60, clock=clock))
    for _ in range(4):
        assert client().content == content
        assert bytes(client(method="HEAD")).endswith(b"\r\n\r\n")
        clock.now += 1


def test_many_keys_in_little_room_keep_the_books_right() -> None:
    client = Client(cached(Origin(), ttl=60, max_bytes=20_000))
    for number in range(2000):
        client(f"/{number % 37}", f"X: {number}")
    assert client.handler.hits + client.handler.misses == 2000
    assert 0 < client.handler.stored_bytes <= 20_000
    client.handler.clear()
    client.run_posted()
    assert client.handler.stored_bytes == 0


def test_what_a_worker_kept_goes_with_it() -> None:
    handler = cached(Origin(), ttl=60)
    client = Client(handler)
    client(), client()
    assert handler.stored_bytes > 0
    del client
    gc.collect()
    assert (handler.stored_bytes, handler.hits, handler.misses) == (0, 1, 1)


def test_without_a_worker_it_keeps_what_it_does_for_one() -> None:
    origin = Origin()
    handler = cached(origin, ttl=60)
    for _ in range(3):
        request, response = Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Response()
        handler(request, response, None)
        for hook in response.recorded_hooks:
            hook(request, response, None)
    assert origin.calls == 1
    handler.clear()
    assert handler.stored_bytes == 0


# Stale ones.


def test_a_stale_answer_is_given_while_one_refresh_runs_behind(clock: Clock) -> None:
    client = Client(cached(Origin(), ttl=5, stale_while_revalidate=10, clock=clock))
    client("/", "Accept: x", 'If-None-Match: W/"x"')
    clock.now += 6
    for _ in range(3):
        assert client().content == b"content 1"
    assert len(client.worker.recorded.posted) == 1
    client.run_posted()
    assert client().content == b"content 2"
    assert client().header("age") == b"0"
    clock.now += 16
    assert client().content == b"content 3"
    assert client.handler.misses == 2


def test_head_that_finds_it_stale_has_get_refreshed(clock: Clock) -> None:
    client = Client(cached(Origin(), ttl=5, stale_while_revalidate=10, clock=clock))
    client()
    clock.now += 6
    assert client(method="HEAD").status == 200
    client.run_posted()
    assert client().content == b"content 2"
    assert client.handler.misses == 1


@pytest.mark.parametrize(
    ("said", "is_given"),
    [
        ("max-age=5", True),
        ("max-age=5, must-revalidate", False),
        ("s-maxage=5", False),
        ("max-age=5, stale-while-revalidate=0", False),
    ],
)
def test_an_answer_may_say_that_it_is_not_given_stale(clock: Clock, said: str, is_given: bool) -> None:
    client = Client(cached(Origin(Cache_Control=said), ttl=60, stale_while_revalidate=10, clock=clock))
    client()
    clock.now += 6
    assert client().content == (b"content 1" if is_given else b"content 2")


def test_a_refresh_that_fails_is_logged_and_tried_again_a_second_later(clock: Clock, caplog) -> None:
    def handle(request, response, worker):
        calls.append(dict(request.headers()))
        if len(calls) in (2, 3):
            raise KeyError("down")
        response.reply(200, b"%d" % len(calls))

    calls: list[dict] = []
    client = Client(cached(handle, ttl=5, stale_while_revalidate=60, clock=clock))
    client("/", "X: y", "Range: bytes=0-1", 'If-None-Match: "q"')
    clock.now += 6
    for passed, posted in ((0, 1), (0.5, 0), (0.6, 1), (1.1, 1)):
        clock.now += passed
        assert client("/", "X: y", "Range: bytes=0-1", 'If-None-Match: "q"').content == b"1"
        assert len(client.worker.recorded.posted) == posted
        client.run_posted()
    assert client().content == b"4"
    assert calls[-1] == {b"Host": b"a", b"X": b"y"}
    assert sum("could not be refreshed" in record.getMessage() for record in caplog.records) == 2


def test_a_plain_handler_that_waits_is_refreshed_by_the_next_request(clock: Clock, caplog) -> None:
    def handle(request, response, worker):
        calls.append(request)
        if len(calls) == 1:
            return response.reply(200, b"first")
        if not isinstance(response.recorded_hooks, list) or not response.recorded_hooks:
            raise RuntimeError("park outside a request")
        response.park()
        return Step.SUSPEND

    calls: list[Request] = []
    client = Client(cached(handle, ttl=5, stale_while_revalidate=60, clock=clock))
    client()
    clock.now += 6
    client()
    client.run_posted()
    clock.now += 2
    waiting = Response()
    request = Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.handler(request, waiting, client.worker) is Step.SUSPEND
    assert client().content == b"first"
    waiting.reply(200, b"second")
    for hook in waiting.recorded_hooks:
        hook(request, waiting, client.worker)
    assert client().content == b"second"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"ttl": -1}, "ttl=-1"),
        ({"ttl": float("nan")}, "ttl=nan"),
        ({"ttl": 1, "stale_while_revalidate": -0.5}, "stale_while_revalidate=-0.5"),
        ({"ttl": 1, "max_bytes": -1}, "max_bytes=-1"),
        ({"ttl": 1, "vary": "A, B"}, "vary: 'A, B'"),
        ({"ttl": 1, "statuses": (200, 206)}, "but 206 and 304"),
        ({"ttl": 1, "statuses": (103,)}, "give final ones"),
    ],
)
def test_a_wrong_configuration_is_refused_at_once(options: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        cached(Origin(), **options)
    with pytest.raises(TypeError, match="cannot be called"):
        cached(None, ttl=1)
