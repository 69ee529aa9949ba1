"""static_files: what is found, what never is, and what is said of a file."""

from __future__ import annotations

import contextlib
import itertools
import os
import pathlib
import re
import socket
from collections.abc import Callable

import pytest

from system import IS_WINDOWS, count_descriptors, needs_links, needs_open_folders
from vanilla import Request, Response, Server, ServerConfig
from vanilla.toolkit.beneath import Folder, split_path, walk_below
from vanilla.toolkit.conditional import etag_of_file
from vanilla.toolkit.dates import format_date
from vanilla.toolkit.media_types import is_compressible, media_type_of
from vanilla.toolkit.routing import Router
from vanilla.toolkit.static_files import static_files

SECRET = b"what nobody may read"


class Worker:
    index = 0


@pytest.fixture
def root(tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder to be served, beside what must not be."""
    root = tmp_path / "root"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / "a.txt").write_bytes(b"0123456789")
    (root / "index.html").write_bytes(b"<p>home")
    (root / "sub" / "index.html").write_bytes(b"<p>sub")
    (root / "sub" / "deep" / "b c%.css").write_bytes(b"body{}")
    (root / ".hidden").write_bytes(SECRET)
    (root / ".git").mkdir()
    (root / ".git" / "config").write_bytes(SECRET)
    (root / ".well-known").mkdir()
    (root / ".well-known" / "security.txt").write_bytes(b"Contact: x")
    (root / "caf\u00e9.txt").write_bytes(b"coffee")
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "secret").write_bytes(SECRET)
    return root


@pytest.fixture
def get(root: pathlib.Path) -> Callable[..., Response]:
    """The answer of a handler of that folder, made once for each set of options."""
    handlers: dict[str, Callable] = {}

    def get(path: str | bytes, *fields: str, method: str = "GET", **options) -> Response:
        key = repr(options)
        if key not in handlers:
            handlers[key] = static_files(root, **options)
        target = path.encode() if isinstance(path, str) else path
        lines = "".join(f"{field}\r\n" for field in fields).encode()
        response = Response()
        request = Request(b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method.encode(), target, lines))
        handlers[key](request, response, Worker())
        return response

    return get


def content(response: Response) -> bytes:
    return bytes(response).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    ("path", "expected", "media_type"),
    [
        ("/a.txt", b"0123456789", b"text/plain; charset=utf-8"),
        ("/a.txt?query=../secret", b"0123456789", b"text/plain; charset=utf-8"),
        ("/%61.t%78t", b"0123456789", b"text/plain; charset=utf-8"),
        ("/", b"<p>home", b"text/html; charset=utf-8"),
        ("/index.html", b"<p>home", b"text/html; charset=utf-8"),
        ("/sub/", b"<p>sub", b"text/html; charset=utf-8"),
        ("/sub/deep/b%20c%25.css", b"body{}", b"text/css; charset=utf-8"),
        ("/caf%C3%A9.txt", b"coffee", b"text/plain; charset=utf-8"),
        ("/.well-known/security.txt", b"Contact: x", b"text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_found_and_described(get, root, path: str, expected: bytes, media_type: bytes) -> None:
    for _ in range(2):  # found, and then kept
        response = get(path)
        assert (response.status, content(response)) == (200, expected)
        assert response.header("content-type") == media_type
        assert response.content_length == len(expected)
        assert response.header("accept-ranges") == b"bytes"
        assert response.header("x-content-type-options") == b"nosniff"
    status = (root / "a.txt").stat()
    response = get("/a.txt")
    assert response.header("etag") == etag_of_file(status)
    assert response.header("last-modified") == format_date(status.st_mtime)


@pytest.mark.parametrize(
    "path",
    ["/missing", "/sub/missing", "/a.txt/", "/a.txt/b", "/empty/", "/sub//index.html", "/.hidden", "/.git/config"],
)
def test_anything_else_is_not_found(get, path: str) -> None:
    response = get(path)
    assert (response.status, content(response)) == (404, b"Not Found\n")


DOTS = ["..", "%2e%2e", ".%2e", "%2e.", "%2E%2E", "..%00", "...", "..;", "%252e%252e", "%c0%ae%c0%ae", "%uff0e%uff0e"]
SLASHES = ["/", "%2f", "%2F", "\\", "%5c", "%5C", "//", "/./", "%252f", "%c0%af", "%e0%80%af", "/%2e/"]
DEPTHS = (1, 2, 5)


def spellings() -> list[str]:
    """Every way up that anybody has thought of, and some more."""
    found = [
        f"/{prefix}{(dots + slash) * depth}{name}"
        for dots, slash, depth in itertools.product(DOTS, SLASHES, DEPTHS)
        for prefix, name in (("", "secret"), ("sub/", "root2/secret"))
    ]
    found += [
        "/secret/../../secret",
        "/root2/secret",
        "/../root2/secret",
        "/a.txt/../../secret",
        "/a.txt%00.html",
        "/%00",
        "/sub%00/../../secret",
        "/link-out",
        "/link-out-deep",
        "/folder-out/secret",
        "/folder-out/",
        "/loop",
        "/C:/secret",
        "/C:%5csecret",
        "/file:///etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/%2fetc%2fpasswd",
        "/~root/",
        "/a.txt::$DATA",
        "/con",
        "/nul.txt",
        "/\xff".encode("latin-1").decode("latin-1"),
        "/%ff",
        "/%fe%fe",
        "/device",
        "/fifo",
        "/socket",
        "/" + "a/" * 500,
        "/" + "a" * 3000,
        "/..%2f..%2fsecret%3f",
        "/%2e%2e%3bsecret",
        "/sub/..%2f..%2f..%2fsecret",
        "/.%00./secret",
        "/..\uff0fsecret",
    ]
    return found


@pytest.fixture
def traps(root: pathlib.Path) -> pathlib.Path:
    """What leads out, or is no file."""
    if IS_WINDOWS:
        return root  # neither links nor devices are to be had
    (root / "link-out").symlink_to("../secret")
    (root / "link-out-deep").symlink_to(root.parent / "secret")
    (root / "folder-out").symlink_to("../root2")
    (root / "loop").symlink_to("loop")
    (root / "device").symlink_to("/dev/zero")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(root):
        one.bind("socket")
    return root


def test_no_spelling_leads_out(traps: pathlib.Path) -> None:
    """Over a socket, in one go: nothing of what stands outside, or is no file, ever leaves."""
    assert len(spellings()) > 200
    config = ServerConfig(static_files(traps, listing=True))
    requests = [b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode(errors="surrogateescape") for path in spellings()]
    answers = Server(config).test([b"".join(requests[at : at + 1]) for at in range(len(requests))])
    for path, answer in zip(spellings(), answers, strict=True):
        status = answer[9:12]
        assert status in (b"400", b"404", b"414"), (path, answer[:100])
        assert SECRET not in answer, path
        assert b"root:" not in answer, path


@needs_links
def test_symbolic_links_within_are_followed(get, root: pathlib.Path) -> None:
    (root / "link").symlink_to("sub/index.html")
    (root / "sub" / "up").symlink_to("../a.txt")
    (root / "linked").symlink_to("sub")
    assert content(get("/link")) == b"<p>sub"
    assert content(get("/sub/up")) == b"0123456789"
    assert content(get("/linked/")) == b"<p>sub"


@needs_open_folders
def test_without_openat2_no_link_is_followed_and_nothing_leads_out(traps: pathlib.Path) -> None:
    (traps / "link").symlink_to("a.txt")
    folder = os.open(traps, os.O_RDONLY)
    fd = walk_below(folder, ["sub", "index.html"])
    assert os.read(fd, 100) == b"<p>sub"
    os.close(fd)
    before = count_descriptors()
    for names in (["link"], ["link-out"], ["folder-out", "secret"], ["missing"], ["a.txt", "x"], ["loop"]):
        with pytest.raises(OSError, match="Errno"):
            walk_below(folder, names)
    assert count_descriptors() == before
    os.close(folder)


@pytest.mark.parametrize(
    "name", ["con", "CON.txt", "nul", "com1.js", "a:b", "a.", "a ", "a*", "lpt9", "aux.tar.gz", "a\x01"]
)
def test_names_that_windows_takes_for_something_else_are_none_there(name: str) -> None:
    assert split_path(name.encode(), "win32") is None
    assert split_path(name.encode(), "linux") == [name]


def test_a_folder_without_its_slash_is_redirected(get) -> None:
    response = get("/sub?x=1")
    assert (response.status, response.header("location")) == (301, b"/sub/?x=1")
    assert get("//sub").status == 404


def test_a_prefix_is_taken_off(get) -> None:
    assert content(get("/static/a.txt", prefix="/static")) == b"0123456789"
    assert content(get("/static/", prefix="/static")) == b"<p>home"
    assert get("/statics/a.txt", prefix="/static").status == 404
    assert get("/a.txt", prefix="/static").status == 404
    assert get("/static/sub", prefix="/static").header("location") == b"/static/sub/"
    for prefix in ("static", "/static/"):
        with pytest.raises(ValueError, match="prefix"):
            static_files(".", prefix=prefix)


@pytest.mark.parametrize(
    "options",
    [
        {"headers": [("A B", "1")]},
        {"cache_control": "no-cache\r\nA: 1"},
        {"cache_control": {"*.js": "no-cache", "*": "a\n"}},
        {"media_types": {".a": "text/a", ".b": "text/b\r\n"}},
    ],
)
def test_what_no_answer_can_have_is_refused_at_once(root: pathlib.Path, options: dict) -> None:
    with pytest.raises(ValueError, match=r"A B|Cache-Control|Content-Type"):
        static_files(root, **options)


def test_a_folder_that_is_none_is_refused_at_once(root: pathlib.Path) -> None:
    with pytest.raises(OSError, match="missing"):
        static_files(root / "missing")
    with pytest.raises(OSError, match=re.escape("a.txt")):
        static_files(root / "a.txt")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_another_method_is_refused(get, method: str) -> None:
    response = get("/a.txt", method=method)
    assert (response.status, response.header("allow")) == (405, b"GET, HEAD")


def test_head_says_what_get_would(root: pathlib.Path) -> None:
    ask = b"%b /a.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    got, headed = Server(ServerConfig(static_files(root))).test([ask % b"GET", ask % b"HEAD"])
    assert got == headed + b"0123456789"


@pytest.mark.parametrize(
    ("value", "status", "expected", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", b"bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", b"bytes 4-9/10"),
        ("bytes=-3", 206, b"789", b"bytes 7-9/10"),
        ("bytes=-99", 206, b"0123456789", b"bytes 0-9/10"),
        ("bytes=9-99", 206, b"9", b"bytes 9-9/10"),
        ("bytes=10-", 416, b"", b"bytes */10"),
        ("bytes=-0", 416, b"", b"bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("lines=0-3", 200, b"0123456789", None),
        ("bytes=0-1, 2-4", 206, b"01234", b"bytes 0-4/10"),
    ],
)
def test_a_part_is_sent(get, value: str, status: int, expected: bytes, content_range: bytes | None) -> None:
    response = get("/a.txt", f"Range: {value}")
    assert (response.status, content(response)) == (status, expected)
    assert response.header("content-range") == content_range


def test_several_parts_are_one_multipart_content(get) -> None:
    response = get("/a.txt", "Range: bytes=0-1, 4-5, -1")
    kind = response.header("content-type")
    assert response.status == 206
    assert kind.startswith(b"multipart/byteranges; boundary=")
    boundary = kind.partition(b"=")[2]
    pieces = content(response).split(b"--" + boundary)
    assert [piece.partition(b"\r\n\r\n")[2].rstrip(b"\r\n") for piece in pieces[1:-1]] == [b"01", b"45", b"9"]
    assert [re.search(rb"Content-Range: (\S+ \S+)", piece)[1] for piece in pieces[1:-1]] == [
        b"bytes 0-1/10",
        b"bytes 4-5/10",
        b"bytes 9-9/10",
    ]
    assert response.content_length == len(content(response))


def test_preconditions_are_heeded_in_their_order(get, root: pathlib.Path) -> None:
    tag = get("/a.txt").header("etag").decode()
    date = get("/a.txt").header("last-modified").decode()
    response = get("/a.txt", f"If-None-Match: {tag}", "Range: bytes=0-1")
    assert (response.status, content(response)) == (304, b"")
    assert response.header("etag") == tag.encode()
    assert response.header("content-type") is None
    assert get("/a.txt", 'If-None-Match: "other"', f"If-Modified-Since: {date}").status == 200
    assert get("/a.txt", f"If-Modified-Since: {date}").status == 304
    assert get("/a.txt", 'If-Match: "other"').status == 412
    assert get("/a.txt", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT").status == 412
    assert get("/a.txt", "Range: bytes=0-1", f"If-Range: {tag}").status == 206
    assert get("/a.txt", "Range: bytes=0-1", 'If-Range: "other"').status == 200


def test_precompressed_siblings_are_chosen_by_what_the_client_accepts(get, root: pathlib.Path) -> None:
    (root / "a.txt.gz").write_bytes(b"gzipped")
    (root / "a.txt.br").write_bytes(b"brotlied")
    (root / "index.html.zst").write_bytes(b"zstandard")
    for accepted, coding, expected in (
        ("gzip", b"gzip", b"gzipped"),
        ("gzip, br", b"br", b"brotlied"),
        ("br;q=0.5, gzip", b"gzip", b"gzipped"),
        ("br;q=0, gzip;q=0", None, b"0123456789"),
        ("identity", None, b"0123456789"),
    ):
        response = get("/a.txt", f"Accept-Encoding: {accepted}")
        assert (response.header("content-encoding"), content(response)) == (coding, expected)
        assert response.header("content-type") == b"text/plain; charset=utf-8"
        assert response.header("vary") == b"Accept-Encoding"
    assert content(get("/", "Accept-Encoding: zstd")) == b"zstandard"
    tags = {get("/a.txt", f"Accept-Encoding: {coding}").header("etag") for coding in ("gzip", "br", "identity")}
    assert len(tags) == 3
    assert content(get("/a.txt", "Accept-Encoding: gzip", precompressed=False)) == b"0123456789"


def test_a_sibling_that_goes_away_leaves_the_file(get, root: pathlib.Path) -> None:
    sibling = root / "a.txt.gz"
    sibling.write_bytes(b"gzipped")
    assert content(get("/a.txt", "Accept-Encoding: gzip", revalidate=3600)) == b"gzipped"
    sibling.unlink()
    assert content(get("/a.txt", "Accept-Encoding: gzip", revalidate=0)) == b"0123456789"


def test_a_change_is_noticed(get, root: pathlib.Path) -> None:
    assert content(get("/a.txt", revalidate=0)) == b"0123456789"
    (root / "new").write_bytes(b"renamed onto it")
    (root / "new").replace(root / "a.txt")
    assert content(get("/a.txt", revalidate=0)) == b"renamed onto it"
    (root / "a.txt").unlink()
    assert get("/a.txt", revalidate=0).status == 404
    (root / "a.txt").write_bytes(b"again")
    assert content(get("/a.txt", revalidate=0)) == b"again"


@pytest.mark.parametrize("most", [4, 0])
def test_kept_files_are_bounded_and_let_go(root: pathlib.Path, most: int) -> None:
    for number in range(40):
        (root / f"{number}").write_bytes(b"%d" % number)
    before = count_descriptors()
    handler = static_files(root, max_open_files=most)
    requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % (number % 40) for number in range(200)]
    [answer] = Server(ServerConfig(handler)).test([b"".join(requests)])
    assert answer.count(b"200 OK") == 200
    assert count_descriptors() - before <= most + 1  # the folder's and theirs
    with pytest.raises(ValueError, match="max_open_files=-1"):
        static_files(root, max_open_files=-1)


def test_cache_control_by_pattern_media_types_and_further_fields(get) -> None:
    options = {
        "cache_control": {"sub/*": "public, max-age=60", "*.html": "no-cache"},
        "media_types": {".txt": "text/x-mine"},
        "headers": {"X-Own": "yes"}.items(),
    }
    options["headers"] = tuple(options["headers"])
    assert get("/sub/index.html", **options).header("cache-control") == b"public, max-age=60"
    assert get("/index.html", **options).header("cache-control") == b"no-cache"
    response = get("/a.txt", **options)
    assert response.header("cache-control") is None
    assert response.header("content-type") == b"text/x-mine"
    assert response.header("x-own") == b"yes"
    assert get("/a.txt", cache_control="no-store").header("cache-control") == b"no-store"


def test_a_listing_shows_what_is_there_and_nothing_hidden(get, root: pathlib.Path) -> None:
    name, link, shown = "<b>&.txt", "%3Cb%3E&amp;.txt", "&lt;b&gt;&amp;.txt"
    if IS_WINDOWS:  # where that can be no name
        name, link, shown = "'b'&.txt", "&#x27;b&#x27;&amp;.txt", "&#x27;b&#x27;&amp;.txt"
    (root / "empty" / name).write_bytes(b"")
    (root / "empty" / ".secret").write_bytes(b"")
    (root / "empty" / "folder").mkdir()
    response = get("/empty/", listing=True)
    page = content(response).decode()
    assert response.header("content-type") == b"text/html; charset=utf-8"
    assert f'<a href="./{link}">{shown}</a>' in page
    assert 'href="./folder/"' in page
    assert ".secret" not in page
    assert content(get("/", listing=True)) == b"<p>home"


def test_hidden_files_are_sent_where_asked_for(get) -> None:
    assert content(get("/.hidden", hidden=True)) == SECRET


def test_your_own_handler_takes_the_place_of_the_404(root: pathlib.Path) -> None:
    def nowhere(request, response, worker):
        response.reply(404, b"nowhere")

    response = Response()
    static_files(root, not_found=nowhere)(Request(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), response, Worker())
    assert response.content == b"nowhere"


def test_it_is_mounted_in_a_router(root: pathlib.Path) -> None:
    router = Router()
    router.mount("/static", static_files(root, prefix="/static"))
    asked = b"GET /static/sub/deep/b%20c%25.css HTTP/1.1\r\nHost: a\r\n\r\n"
    [answer] = Server(ServerConfig(router, workers=2)).test([asked])
    assert answer.endswith(b"body{}")


def test_a_large_file_is_sent_whole_and_in_parts(root: pathlib.Path) -> None:
    data = os.urandom(300_000)
    (root / "large").write_bytes(data)
    ask = b"GET /large HTTP/1.1\r\nHost: a\r\n%b\r\n"
    whole, part = Server(ServerConfig(static_files(root))).test([ask % b"", ask % b"Range: bytes=100000-299998\r\n"])
    assert whole.endswith(b"\r\n\r\n" + data)
    assert part.endswith(b"\r\n\r\n" + data[100_000:299_999])


@needs_links
def test_a_folder_is_listed_through_its_descriptor(traps: pathlib.Path) -> None:
    assert {entry.name for entry in Folder(traps).list(["sub"])} == {"index.html", "deep"}
    with pytest.raises(OSError, match="Errno"):
        Folder(traps).list(["folder-out"])


@pytest.mark.parametrize(
    ("name", "media_type", "compressible"),
    [
        ("a.html", b"text/html; charset=utf-8", True),
        ("a.js", b"text/javascript; charset=utf-8", True),
        ("a.MJS", b"text/javascript; charset=utf-8", True),
        ("a.wasm", b"application/wasm", True),
        ("a.json", b"application/json", True),
        ("a.svg", b"image/svg+xml", True),
        ("a.png", b"image/png", False),
        ("a.woff2", b"font/woff2", False),
        ("a.tar.gz", b"application/gzip", False),
        ("a.mp4", b"video/mp4", False),
        ("a.webmanifest", b"application/manifest+json", True),
        ("README", b"application/octet-stream", False),
    ],
)
def test_media_types_are_those_of_today(name: str, media_type: bytes, compressible: bool) -> None:
    assert media_type_of(name) == media_type
    assert is_compressible(media_type) == compressible
