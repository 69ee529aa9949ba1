"""What static_files answers from what it keeps: the same, byte for byte, as it said the first time."""

from __future__ import annotations

import pathlib
import threading
from collections.abc import Callable

import pytest

from system import needs_open_folders
from vanilla import Request, Response, Server, ServerConfig
from vanilla.contract import Worker
from vanilla.files import OpenFile
from vanilla.toolkit.compression import compressed
from vanilla.toolkit.kept_files import Kept, Shelf, Siblings
from vanilla.toolkit.routing import Router
from vanilla.toolkit.static_files import StaticFiles, static_files

pytestmark = needs_open_folders  # where a file is opened for one answer alone, nothing is kept

CHOICES_MAX = 64  # values of Accept-Encoding that are remembered for a path
SIBLINGS_KNOWN_MAX = 2048  # paths of which a worker remembers the siblings
LONG = 3600.0  # seconds for which a kept file is trusted
TEXT = b"0123456789" * 10
DATA = bytes(range(256)) * 400  # more than is copied into an answer


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "b.txt").write_bytes(b"b")
    (tmp_path / "c.txt").write_bytes(b"c")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "data.bin").write_bytes(DATA)
    (tmp_path / "s.css").write_bytes(b"body{}")
    (tmp_path / "s.css.gz").write_bytes(b"gzipped")
    (tmp_path / "s.css.br").write_bytes(b"brotlied")
    return tmp_path


@pytest.fixture
def make(root: pathlib.Path) -> Callable[..., StaticFiles]:
    def make(**options) -> StaticFiles:
        handler = static_files(root, **({"revalidate": LONG} | options))
        assert isinstance(handler, StaticFiles)
        return handler

    return make


def get(handler, path: str, *fields: str, method: str = "GET", worker: object = None) -> Response:
    lines = "".join(f"{field}\r\n" for field in fields)
    response = Response()
    handler(Request(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()), response, worker)
    return response


def content(response: Response) -> bytes:
    return bytes(response).partition(b"\r\n\r\n")[2]


def forbid(handler: StaticFiles) -> None:
    """Have the handler fail where it would not answer from what it keeps alone."""

    def fail(request, response, worker, shelf, now):
        raise AssertionError(f"{request!r} was looked up")

    handler.answer_slowly = fail


def without_date(answer: bytes) -> bytes:
    start = answer.index(b"\r\nDate: ")
    assert answer.count(b"\r\nDate: ") == 1
    return answer[:start] + answer[answer.index(b"\r\n", start + 2) :]


@pytest.mark.parametrize("path", ["/a.txt", "/data.bin", "/empty", "/a.txt?query", "http://a/a.txt"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_hit_is_what_was_answered_before(make, path: str, method: str) -> None:
    handler = make(headers={"X-Own": "yes"}.items(), cache_control="no-cache")
    first = get(handler, path, method=method)
    forbid(handler)
    second = get(handler, path, method=method)
    assert bytes(second).index(b"\r\nDate: ") == bytes(first).index(b"\r\nDate: ")
    assert without_date(bytes(second)) == without_date(bytes(first))
    assert second.headers()[-1][0] == b"Content-Length"


@pytest.mark.parametrize("path", [b"/a.txt", b"/data.bin", b"/empty"])
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n", id="keep_alive"),
        pytest.param(b"HEAD %b HTTP/1.1\r\nHost: a\r\n\r\n", id="head"),
        pytest.param(b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", id="old_keep_alive"),
        pytest.param(b"HEAD %b HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", id="old_head"),
        pytest.param(b"GET %b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", id="with_content"),
    ],
)
def test_a_connection_gets_hits_like_first_answers(make, path: bytes, head: bytes) -> None:
    """Three times on one connection, the last of which closes it."""
    handler = make()
    asked = head % path
    closing = b"GET %b HTTP/1.0\r\n\r\n" % path
    [first] = Server(ServerConfig(handler)).test([asked + closing])
    [both] = Server(ServerConfig(handler)).test([asked + asked + asked + closing])
    one = first[: first.index(b"HTTP/1.1 200 OK", 1)]
    last = first[len(one) :]
    assert b"Connection: close\r\n" in last
    assert len(both) == 3 * len(one) + len(last)
    for number in range(3):
        assert without_date(both[number * len(one) : (number + 1) * len(one)]) == without_date(one)
    assert without_date(both[3 * len(one) :]) == without_date(last)


@pytest.mark.parametrize(
    "field",
    [
        "Range: bytes=0-3",
        "RANGE: bytes=0-3",
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        "if-none-match: *",
        'iF-mAtCh: "other"',
        "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_a_hit_is_none_where_the_whole_file_may_not_be_wanted(make, field: str) -> None:
    handler = make()
    assert get(handler, "/a.txt").status == 200
    assert get(handler, "/a.txt", "Accept: */*", field, "A: b").status in (206, 304, 412)


@pytest.mark.parametrize(
    "field", ["Ranges: bytes=0-3", "Rang: bytes=0-3", "I: x", "If: x", "I-f: x", "Iff-None-Match: *", "R:", "X: Range:"]
)
def test_fields_that_look_like_conditions_are_none(make, field: str) -> None:
    handler = make()
    get(handler, "/a.txt")
    forbid(handler)
    assert content(get(handler, "/a.txt", field)) == TEXT


@pytest.mark.parametrize("method", ["POST", "GETS", "get", "HEADS"])
def test_another_method_is_never_a_hit(make, method: str) -> None:
    handler = make()
    get(handler, "/a.txt")
    assert get(handler, "/a.txt", method=method).status == 405


def test_the_coding_that_a_client_likes_is_found_among_what_is_kept(make) -> None:
    handler = make()
    wanted = [("gzip", b"gzipped"), ("gzip, br", b"brotlied"), ("identity", b"body{}"), ("br;q=0, gzip", b"gzipped")]
    first = [get(handler, "/s.css", f"Accept-Encoding: {accepted}") for accepted, _ in wanted]
    forbid(handler)
    for (accepted, expected), answer in zip(wanted, first, strict=True):
        again = get(handler, "/s.css", f"Accept-Encoding: {accepted}")
        assert content(again) == expected
        assert without_date(bytes(again)) == without_date(bytes(answer))
        assert again.header("vary") == b"Accept-Encoding"
    assert content(get(handler, "/s.css")) == b"body{}"


def test_what_clients_accept_is_remembered_within_bounds() -> None:
    siblings = Siblings(0.0, ("br", "gzip"))
    for number in range(CHOICES_MAX * 2):
        request = Request(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip, x-%d\r\n\r\n" % number)
        assert siblings.choose(request) == siblings.choose(request) == "gzip"
    assert Siblings(0.0, ()).choose(request) is None


def test_the_siblings_of_so_many_paths_are_remembered() -> None:
    shelf = Shelf()
    for number in range(SIBLINGS_KNOWN_MAX):
        shelf.add_siblings(b"/%d" % number, Siblings(1.0, ()))
    assert shelf.find_siblings(b"/0").looked == 1.0
    shelf.add_siblings(b"/more", Siblings(2.0, ()))
    assert shelf.find_siblings(b"/0") is None
    assert shelf.find_siblings(b"/more").looked == 2.0


def test_the_file_used_longest_ago_is_closed(make, root: pathlib.Path) -> None:
    handler = make(max_open_files=2, precompressed=False)
    for path in ("/a.txt", "/b.txt", "/a.txt", "/c.txt"):
        get(handler, path)
    for name in "abc":
        (root / "new").write_bytes(b"new")
        (root / "new").replace(root / f"{name}.txt")
    assert content(get(handler, "/a.txt")) == TEXT
    assert content(get(handler, "/c.txt")) == b"c"
    assert content(get(handler, "/b.txt")) == b"new"
    assert content(get(handler, "/a.txt")) == b"new"


def test_the_order_of_use_survives_whatever_is_taken(root: pathlib.Path) -> None:
    status = (root / "a.txt").stat()
    kept = [Kept(OpenFile(root / "a.txt"), ["a.txt"], status, 0.0, b'"t"', b"text/plain", []) for _ in range(5)]
    shelf = Shelf()
    shelf.drop_oldest()
    for number, one in enumerate(kept):
        shelf.add(b"/%d" % number, None, one)
    assert shelf.take(b"/2", None) is kept[2]  # in the midst
    assert shelf.take(b"/4", None) is kept[4]  # the newest
    assert shelf.take(b"/0", None) is kept[0]  # the oldest
    assert shelf.take(b"/0", None) is None
    assert shelf.find(b"/3", "gzip") is None
    assert shelf.find(b"/1", None) is kept[1]  # and so the newest
    shelf.add(b"/1", "gzip", kept[0])
    shelf.drop_oldest()
    assert (len(shelf), kept[3].file.closed, kept[1].file.closed) == (2, True, False)
    shelf.drop_oldest()
    shelf.drop_oldest()
    shelf.drop_oldest()
    assert (len(shelf), kept[0].file.closed, kept[1].file.closed, kept[2].file.closed) == (0, True, True, False)


def test_what_is_not_trusted_any_more_is_looked_up(make) -> None:
    handler = make(revalidate=0)
    get(handler, "/a.txt")
    forbid(handler)
    with pytest.raises(AssertionError, match="was looked up"):
        get(handler, "/a.txt")


def test_a_date_of_your_own_stays_the_only_one(make) -> None:
    handler = make(headers=[("Date", "Sun, 06 Nov 1994 08:49:37 GMT")])
    answers = [bytes(get(handler, "/a.txt")) for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert answers[0].count(b"Date: ") == answers[0].count(b"Date: Sun, 06 Nov 1994") == 1


def test_a_field_that_closes_does_so_each_time(make) -> None:
    config = ServerConfig(make(headers=[("Connection", "close")]))
    asked = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = Server(config).test([asked + asked, asked + asked])
    assert [answer.count(b"HTTP/1.1 200 OK") for answer in answers] == [1, 1]


def test_interim_answers_come_before_a_hit_and_nothing_else_does(make) -> None:
    handler = make()
    request = Request(b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n")
    get(handler, "/a.txt")
    forbid(handler)
    response = Response()
    response.inform(103, {"Link": "</a.css>"})
    handler(request, response, None)
    assert bytes(response).startswith(b"HTTP/1.1 103 Early Hints\r\n")
    assert bytes(response).endswith(b"\r\n\r\n" + TEXT)
    with pytest.raises(RuntimeError, match="has begun"):
        handler(request, response, None)


def test_hooks_see_a_hit_as_any_answer(make, root: pathlib.Path) -> None:
    (root / "a.txt").write_bytes(TEXT * 100)
    handler = compressed(make(precompressed=False))
    ask = b"GET /a.txt HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"
    first, second = Server(ServerConfig(handler)).test([ask, ask])
    assert b"Content-Encoding: gzip" in first
    assert without_date(second) == without_date(first)


def test_each_worker_and_each_thread_has_a_shelf_of_its_own(make) -> None:
    handler = make()
    workers = [Worker(), Worker()]
    get(handler, "/a.txt", worker=workers[0])
    get(handler, "/b.txt")
    kept: list[bool] = []

    def note(request, response, worker, shelf, now):
        kept.append(len(shelf) > 0)
        response.reply(404)

    handler.answer_slowly = note
    assert get(handler, "/a.txt", worker=workers[0]).status == 200
    assert get(handler, "/a.txt", worker=workers[1]).status == 404
    assert get(handler, "/b.txt").status == 200
    thread = threading.Thread(target=get, args=(handler, "/b.txt"))
    thread.start()
    thread.join()
    assert kept == [False, False]


def test_many_connections_of_two_workers_get_what_they_ask_for(make) -> None:
    router = Router()
    router.mount("/s", make(prefix="/s", max_open_files=3))
    names = ["a.txt", "b.txt", "c.txt", "data.bin", "s.css", "empty"] * 5
    expected = {"a.txt": TEXT, "b.txt": b"b", "c.txt": b"c", "data.bin": DATA, "s.css": b"body{}", "empty": b""}
    scripts = [b"".join(b"GET /s/%b HTTP/1.1\r\nHost: a\r\n\r\n" % name.encode() for name in names)] * 8
    for answer in Server(ServerConfig(router, workers=2)).test(scripts):
        for name in names:
            head, _, rest = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert rest.startswith(expected[name])
            answer = rest[len(expected[name]) :]
        assert answer == b""
