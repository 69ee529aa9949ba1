"""static_assets: a bundle that is read at the start, and what is answered from it."""

from __future__ import annotations

import gzip
import pathlib
import re
import socket
import sys
from collections.abc import Callable

import pytest

from vanilla import Request, Response, Server, ServerConfig
from vanilla.testing import Session
from vanilla.toolkit.conditional import etag
from vanilla.toolkit.static_assets import IMMUTABLE, StaticAssets, static_assets

SCRIPT = b"export const answer = 42;\n" * 40
WASM = b"\0asm\x01\0\0\0" + bytes(500)


@pytest.fixture
def bundle(tmp_path: pathlib.Path) -> pathlib.Path:
    bundle = tmp_path / "dist"
    (bundle / "assets").mkdir(parents=True)
    (bundle / "docs").mkdir()
    (bundle / "index.html").write_bytes(b"<script src=/assets/app-4f3a2b1c.js></script>")
    (bundle / "docs" / "index.html").write_bytes(b"<p>docs")
    (bundle / "assets" / "app-4f3a2b1c.js").write_bytes(SCRIPT)
    (bundle / "assets" / "app-4f3a2b1c.js.br").write_bytes(b"brotli of the build")
    (bundle / "assets" / "engine.wasm").write_bytes(WASM)
    (bundle / "assets" / "a b.txt").write_bytes(b"spaces")
    (bundle / "archive.gz").write_bytes(b"a file of its own")
    (bundle / ".env").write_bytes(b"secret")
    return bundle


@pytest.fixture
def get(bundle: pathlib.Path) -> Callable[..., Response]:
    handlers: dict[str, StaticAssets] = {}

    def get(path: str, *fields: str, method: str = "GET", **options) -> Response:
        key = repr(options)
        if key not in handlers:
            handlers[key] = static_assets(bundle, **options)
        lines = "".join(f"{field}\r\n" for field in fields)
        response = Response()
        handlers[key](Request(f"{method} {path} HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode()), response, None)
        return response

    return get


@pytest.mark.parametrize(
    ("path", "expected", "media_type", "cached"),
    [
        ("/", b"<script src=/assets/app-4f3a2b1c.js></script>", b"text/html; charset=utf-8", "no-cache"),
        ("/index.html", b"<script src=/assets/app-4f3a2b1c.js></script>", b"text/html; charset=utf-8", "no-cache"),
        ("/docs/", b"<p>docs", b"text/html; charset=utf-8", "no-cache"),
        ("/assets/app-4f3a2b1c.js", SCRIPT, b"text/javascript; charset=utf-8", IMMUTABLE),
        ("/assets/engine.wasm", WASM, b"application/wasm", "no-cache"),
        ("/assets/a%20b.txt", b"spaces", b"text/plain; charset=utf-8", "no-cache"),
        ("/assets/%61%20b.txt?v=2", b"spaces", b"text/plain; charset=utf-8", "no-cache"),
        ("/archive.gz", b"a file of its own", b"application/gzip", "no-cache"),
    ],
)
def test_a_file_of_the_bundle_is_answered(get, path: str, expected: bytes, media_type: bytes, cached: str) -> None:
    response = get(path)
    assert (response.status, response.content) == (200, expected)
    assert response.header("content-type") == media_type
    assert response.header("cache-control") == cached.encode()
    assert response.header("etag") == etag(expected)
    assert response.header("date") is not None


@pytest.mark.parametrize("path", ["/missing", "/.env", "/assets", "/assets/", "/docs", "/../dist/index.html", "/%zz"])
def test_anything_else_is_not_found(get, path: str) -> None:
    assert get(path, method="GET").status == 404


def test_each_coding_has_an_answer_and_a_tag_of_its_own(get) -> None:
    plain = get("/assets/app-4f3a2b1c.js")
    zipped = get("/assets/app-4f3a2b1c.js", "Accept-Encoding: gzip")
    built = get("/assets/app-4f3a2b1c.js", "Accept-Encoding: gzip, br")
    assert gzip.decompress(zipped.content) == SCRIPT
    assert built.content == b"brotli of the build"
    assert [one.header("content-encoding") for one in (plain, zipped, built)] == [None, b"gzip", b"br"]
    assert len({one.header("etag") for one in (plain, zipped, built)}) == 3
    assert {one.header("vary") for one in (plain, zipped, built)} == {b"Accept-Encoding"}
    assert get("/assets/app-4f3a2b1c.js", "Accept-Encoding: gzip;q=0, br;q=0").content == SCRIPT
    assert get("/assets/app-4f3a2b1c.js", "Accept-Encoding: gzip", compress=False).content == SCRIPT


def test_what_does_not_become_smaller_stays_as_it_is(get) -> None:
    response = get("/", "Accept-Encoding: gzip, br, zstd")
    assert response.header("content-encoding") is None
    assert response.header("vary") is None


def test_a_client_that_has_it_is_told_so(get) -> None:
    tag = get("/", "Accept-Encoding: gzip").header("etag").decode()
    response = get("/", f"If-None-Match: {tag}")
    assert (response.status, response.content_length) == (304, None)
    assert response.header("etag") == tag.encode()
    assert response.header("cache-control") == b"no-cache"
    assert response.header("content-type") is None
    assert get("/", 'If-None-Match: "other"').status == 200
    assert get("/", 'If-Match: "other"').status == 412


def test_pages_of_the_application_fall_back_to_its_first(get) -> None:
    options = {"fallback": "index.html"}
    for path in ("/users/7", "/settings", "/a/b/c?d"):
        response = get(path, "Accept: text/html,*/*;q=0.8", **options)
        assert (response.status, response.content) == (200, b"<script src=/assets/app-4f3a2b1c.js></script>")
        assert response.header("cache-control") == b"no-cache"
    assert get("/users/7", "Accept: application/json", **options).status == 404
    assert get("/assets/app-00000000.js", "Accept: */*", **options).status == 404
    with pytest.raises(ValueError, match="no such file"):
        get("/", fallback="app.html")


def test_a_prefix_is_taken_off(get) -> None:
    assert get("/app/docs/", prefix="/app").content == b"<p>docs"
    assert get("/app/", prefix="/app").status == 200
    assert get("/docs/", prefix="/app").status == 404
    with pytest.raises(ValueError, match="prefix"):
        get("/", prefix="app/")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_is_refused(get, method: str) -> None:
    assert get("/", method=method).header("allow") == b"GET, HEAD"


def test_further_fields_and_a_handler_of_your_own(get) -> None:
    def nowhere(request, response, worker):
        response.reply(404, b"nowhere")

    options = {"headers": (("X-Frame-Options", "DENY"),), "not_found": nowhere}
    assert get("/", **options).header("x-frame-options") == b"DENY"
    assert get("/x", **options).content == b"nowhere"


def test_a_bundle_within_a_package_is_found(bundle: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = bundle.parent / "packaged_bundle"
    package.mkdir()
    (package / "__init__.py").write_bytes(b"")
    bundle.rename(package / "dist")
    monkeypatch.syspath_prepend(str(bundle.parent))
    response = Response()
    static_assets("packaged_bundle:dist")(Request(b"GET /docs/ HTTP/1.1\r\nHost: a\r\n\r\n"), response, None)
    assert response.content == b"<p>docs"
    sys.modules.pop("packaged_bundle", None)


@pytest.mark.parametrize(
    ("source", "error"), [("missing", NotADirectoryError), ("no_such_package:dist", ModuleNotFoundError)]
)
def test_a_source_that_is_not_there_is_refused_at_once(source: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        static_assets(source)


@pytest.mark.parametrize("options", [{"headers": [("A B", "1")]}, {"cache_control": "no-cache\r\nA: 1"}])
def test_what_no_answer_can_have_is_refused_at_once(bundle: pathlib.Path, options: dict) -> None:
    with pytest.raises(ValueError, match=r"A B|Cache-Control"):
        static_assets(bundle, **options)


def test_an_empty_and_a_large_bundle_are_refused(tmp_path: pathlib.Path, bundle: pathlib.Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no file"):
        static_assets(tmp_path / "empty")
    with pytest.raises(ValueError, match="max_bytes=1000"):
        static_assets(bundle, max_bytes=1000)


@pytest.mark.parametrize(
    ("name", "is_hashed"),
    [
        ("app-4f3a2b1c.js", True),
        ("main.3f2504e04f89.chunk.css", False),
        ("main.3f2504e04f89.css", True),
        ("app-4f3a2b1c.js.map", True),
        ("index-DiwrgTda1.js", True),
        ("jquery-3.7.1.min.js", False),
        ("application-form.js", False),
        ("index.html", False),
    ],
)
def test_a_hash_in_a_name_is_known(tmp_path: pathlib.Path, name: str, is_hashed: bool) -> None:
    (tmp_path / name).write_bytes(b"x")
    response = Response()
    static_assets(tmp_path)(Request(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode()), response, None)
    assert (response.header("cache-control") == IMMUTABLE.encode()) == is_hashed


def test_head_and_pipelines_over_a_socket(bundle: pathlib.Path) -> None:
    ask = b"%b /docs/ HTTP/1.1\r\nHost: a\r\n\r\n"
    [answer] = Server(ServerConfig(static_assets(bundle))).test([ask % b"HEAD" + ask % b"GET" * 2])
    assert answer.count(b"200 OK") == 3
    assert answer.count(b"<p>docs") == 2
    assert len(re.findall(rb"Date: \w{3}, ", answer)) == 3


BR = "Accept-Encoding: br"
AGAIN = f"If-None-Match: {etag(SCRIPT).decode()}"


@pytest.mark.parametrize(
    ("method", "path", "fields", "status", "content"),
    [
        pytest.param("GET", "/docs/", [], 200, b"<p>docs", id="as_it_is"),
        pytest.param("GET", "/docs/?v=1", [], 200, b"<p>docs", id="with_a_query"),
        pytest.param("HEAD", "/docs/", [], 200, b"", id="its_head"),
        pytest.param("GET", "/assets/app-4f3a2b1c.js", [BR], 200, b"brotli of the build", id="in_a_coding"),
        pytest.param("GET", "/assets/app-4f3a2b1c.js", [AGAIN], 304, b"", id="that_the_client_has"),
        pytest.param("GET", "/assets/app-4f3a2b1c.js", ["If-Match: none"], 412, b"", id="that_it_has_otherwise"),
        pytest.param("GET", "/docs/", [f"X-Long: {'a' * 3000}"], 200, b"<p>docs", id="by_a_long_head"),
        pytest.param("GET", "/missing", [], 404, b"Not Found\n", id="that_is_missing"),
        pytest.param("POST", "/docs/", [], 405, b"", id="by_another_method"),
    ],
)
def test_what_is_asked_for_again_is_answered_again(backend, bundle, method, path, fields, status, content) -> None:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()
    other = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    with Session(ServerConfig(static_assets(bundle), port=0, workers=1, backend=backend)) as session:
        for wire in [head, head * 3, head + other + head * 2, head + b"garbage\r\n\r\n"]:
            with socket.create_connection(session.address[:2], timeout=20) as client:
                client.sendall(wire)
                client.shutdown(socket.SHUT_WR)
                with client.makefile("rb") as file:
                    answers = file.read().split(b"HTTP/1.1 ")[1:]
            answers = [answer for answer in answers if b"<script" not in answer and not answer.startswith(b"400")]
            assert len(answers) == wire.count(head)
            for answer in answers:
                assert answer.startswith(b"%d " % status)
                assert answer.partition(b"\r\n\r\n")[2] == content
                assert len(re.findall(rb"\r\nDate: \w{3}, ", answer)) == 1


def test_what_is_asked_for_again_is_given_without_the_interpreter(backend, bundle) -> None:
    head = b"GET /docs/ HTTP/1.1\r\nHost: a\r\n\r\n"
    with Session(ServerConfig(static_assets(bundle), port=0, workers=1, backend=backend)) as session:
        with socket.create_connection(session.address[:2], timeout=20) as client:
            held = []
            for _ in range(5):
                client.sendall(head)
                while not client.recv(65536).endswith(b"<p>docs"):
                    continue
                held.append(session.server.counters().gil_held_ns)
        assert held[2] == held[4]
        counters = session.await_counters(lambda counters: counters.open == 0)
        assert counters.requests == counters.responses_2xx == 5
        assert counters.in_flight == 0
