"""static_assets, called by hand and over sockets."""

import gzip
import pathlib
import runpy

import pytest

from vanilla import Request, Response, ServerConfig
from vanilla.testing import ask, drive

APP = runpy.run_path(str(pathlib.Path(__file__).with_name("app.py")))
DIST = pathlib.Path(__file__).with_name("bundle")


def raw(path: str, fields: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n".encode()


def get(path: str, fields: str = "") -> Response:
    response = Response()
    APP["handle"](Request(raw(path, fields)), response, None)
    return response


@pytest.mark.parametrize(
    ("path", "file", "media_type", "cached"),
    [
        ("/", "index.html", b"text/html; charset=utf-8", b"no-cache"),
        ("/settings/profile", "index.html", b"text/html; charset=utf-8", b"no-cache"),
        ("/assets/app-5d1f0c3a.js", "assets/app-5d1f0c3a.js", b"text/javascript; charset=utf-8", b"immutable"),
        ("/assets/add-7e42b9d0.wasm", "assets/add-7e42b9d0.wasm", b"application/wasm", b"immutable"),
    ],
)
def test_the_bundle_is_served(path: str, file: str, media_type: bytes, cached: bytes) -> None:
    response = get(path)
    assert response.content == (DIST / file).read_bytes()
    assert response.header("content-type") == media_type
    assert response.header("cache-control").endswith(cached)


def test_it_is_compressed_for_who_accepts_that() -> None:
    response = get("/assets/app-5d1f0c3a.js", "Accept-Encoding: gzip\r\n")
    assert gzip.decompress(response.content) == (DIST / "assets/app-5d1f0c3a.js").read_bytes()


def test_a_missing_script_is_no_page() -> None:
    assert get("/assets/app-00000000.js").status == 404


def test_the_api_comes_first() -> None:
    assert get("/api/zone").content == b'{"zone": "UTC"}'


def test_over_sockets() -> None:
    tag = get("/").header("etag").decode()
    asked = [raw("/"), raw("/", f"If-None-Match: {tag}\r\n"), raw("/users/7"), raw("/x.js"), raw("/api/zone")]
    results = drive(ServerConfig(APP["handle"]), [ask(one) for one in asked])
    assert [result.statuses for result in results] == [[200], [304], [200], [404], [200]]
