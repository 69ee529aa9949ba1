"""compressed, called by hand: which answers, in which coding, and what their heads say."""

from __future__ import annotations

import gzip
import importlib.util
import sys
import zlib
from collections.abc import Callable

import pytest

from vanilla import Request, Response, Worker
from vanilla.toolkit import compression
from vanilla.toolkit.compression import ENCODINGS, GzipEncoder, available_encodings, compressed

TEXT = b"the same words again and again, " * 40


def decode(coding: str, data: bytes) -> bytes:
    """By another way than what encoded it, where there is one."""
    if coding == "gzip":
        return gzip.decompress(data)
    if coding == "br":
        import brotli

        return brotli.decompress(data)
    return begin_of(coding, data)


def ask(handler: Callable, *fields: str, method: str = "GET") -> Response:
    lines = "".join(f"{field}\r\n" for field in ("Host: a", *fields))
    request, response = Request(f"{method} / HTTP/1.1\r\n{lines}\r\n".encode()), Response()
    handler(request, response, Worker())
    for hook in reversed(response.recorded_hooks):
        hook(request, response, Worker())
    return response


def replying(status: int = 200, content: bytes = TEXT, content_type: str | None = "text/plain", **fields: str):
    def handle(request, response, worker):
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        response.reply(status, content, content_type=content_type, headers=headers)

    return handle


@pytest.mark.parametrize("coding", available_encodings())
def test_content_is_compressed_as_the_client_likes_it(coding: str) -> None:
    answer = ask(compressed(replying(ETag='"x"', Accept_Ranges="bytes")), f"Accept-Encoding: {coding}")
    assert decode(coding, answer.content) == TEXT
    assert len(answer.content) == answer.content_length < len(TEXT) / 5
    assert answer.header("content-encoding") == coding.encode()
    assert answer.header("vary") == b"Accept-Encoding"
    assert answer.header("etag") == b'W/"x"'
    assert answer.header("accept-ranges") is None


@pytest.mark.parametrize(
    ("accepted", "is_chosen"),
    [
        ("gzip, br", True),
        ("br;q=0, gzip;q=0.1", True),
        ("GZIP;q=1", True),
        ("x-gzip", True),
        ("*", True),
        (";;q=,gzip", True),
        ("gzip;q=0", False),
        ("pack200-gzip", False),
        ("identity, gzip;q=0.5", False),
        ("", False),
        ("deflate", False),
    ],
)
def test_weights_count_and_what_is_not_accepted_is_left_as_it_is(accepted: str, is_chosen: bool) -> None:
    answer = ask(compressed(replying(), encodings="gzip"), f"Accept-Encoding: {accepted}")
    assert answer.header("content-encoding") == (b"gzip" if is_chosen else None)
    assert answer.header("vary") == b"Accept-Encoding"
    assert (answer.content == TEXT) == (not is_chosen)


def test_of_what_is_liked_as_well_the_first_is_taken_and_what_is_liked_better_before_it() -> None:
    offered = available_encodings()
    accepted = ", ".join(reversed(offered))
    assert ask(compressed(replying()), f"Accept-Encoding: {accepted}").header("content-encoding") == offered[0].encode()
    weighed = ", ".join(f"{coding};q=0.5" for coding in offered if coding != "gzip")
    assert ask(compressed(replying()), f"Accept-Encoding: {weighed}, gzip").header("content-encoding") == b"gzip"


def test_who_says_nothing_gets_it_as_it_is_and_vary_says_that_others_may_not() -> None:
    answer = ask(compressed(replying(Vary="Cookie", ETag='"x"')))
    assert answer.content == TEXT
    assert answer.header("vary") == b"Cookie, Accept-Encoding"
    assert answer.header("etag") == b'"x"'


@pytest.mark.parametrize(
    "handler",
    [
        pytest.param(replying(content=TEXT[:255]), id="small"),
        pytest.param(replying(content_type="image/png"), id="compressed_by_its_format"),
        pytest.param(replying(content_type=None), id="of_no_type"),
        pytest.param(replying(Content_Encoding="br"), id="encoded"),
        pytest.param(replying(Cache_Control="public, no-transform"), id="not_to_be_transformed"),
        pytest.param(replying(206, Content_Range="bytes 0-9/20"), id="a_part"),
        pytest.param(replying(Content_Digest="sha-256=:x:"), id="with_a_digest"),
        pytest.param(replying(204, b""), id="no_content"),
        pytest.param(
            lambda request, response, worker: response.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + TEXT
            ),
            id="until_close",
        ),
    ],
)
def test_what_is_never_compressed_is_left_as_it_is(handler: Callable) -> None:
    expected = Response()
    handler(Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), expected, Worker())
    assert bytes(ask(compressed(handler), "Accept-Encoding: gzip")) == bytes(expected)


def test_what_would_not_become_smaller_is_sent_as_it_is() -> None:
    noise = bytes(zlib.crc32(b"%d" % number) & 0xFF for number in range(600))
    answer = ask(compressed(replying(content=noise), encodings="gzip"), "Accept-Encoding: gzip")
    assert answer.content == noise
    assert answer.header("content-encoding") is None
    assert answer.header("vary") == b"Accept-Encoding"


def test_not_modified_is_as_the_answer_would_have_been() -> None:
    answer = ask(compressed(replying(304, b"", None, ETag='"x"')), "Accept-Encoding: gzip")
    assert (answer.header("vary"), answer.header("etag")) == (b"Accept-Encoding", b'W/"x"')
    assert ask(compressed(replying(304, b"", None, ETag='"x"'))).header("etag") == b'"x"'


def test_files_pass(tmp_path) -> None:
    (tmp_path / "file").write_bytes(TEXT * 40)

    def raw(request, response, worker):
        response += b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % (len(TEXT) * 40)
        response.send_file(file)

    def started(request, response, worker):
        response.start(200, content_type="text/plain")
        response.send_file(file)

    with open(tmp_path / "file", "rb") as file:
        for handler in (raw, started):
            answer = ask(compressed(handler), "Accept-Encoding: gzip")
            assert answer.header("content-encoding") is None
            assert answer.header("vary") is None
            assert TEXT * 40 in bytes(answer)


@pytest.mark.parametrize(
    ("types", "content_type", "is_wanted"),
    [
        (("text/html",), "text/html; charset=utf-8", True),
        (("text/html",), "text/plain", False),
        (("text/*", "application/x"), "TEXT/x", True),
        (("text/*", "application/x"), "application/x", True),
        ((), "text/html", False),
        (lambda media_type: media_type == b"a/b", "a/b", True),
    ],
)
def test_types_are_yours_to_choose(types, content_type: str, is_wanted: bool) -> None:
    answer = ask(compressed(replying(content_type=content_type), types=types), "Accept-Encoding: gzip")
    assert (answer.header("content-encoding") == b"gzip") == is_wanted


def test_levels_and_least_bytes_are_yours_to_choose() -> None:
    text = b"".join(b"%d," % (number * number) for number in range(5000))
    sizes = [
        ask(compressed(replying(content=text), level=level), "Accept-Encoding: gzip").content_length
        for level in (1, {"gzip": 9})
    ]
    assert sizes[0] > sizes[1]
    assert ask(compressed(replying(content=TEXT[:100]), min_bytes=50), "Accept-Encoding: gzip").header(
        "content-encoding"
    )


@pytest.mark.parametrize("coding", available_encodings())
def test_an_encoder_gives_at_a_flush_all_that_it_was_given(coding: str) -> None:
    encoder = compression._ENCODERS[coding](compression.LEVELS[coding])
    sent = b""
    for number in range(1, 20):
        sent += encoder.encode(b"piece %d," % number) + encoder.flush()
        assert encoder.flush() == b""
        assert begin_of(coding, sent).count(b",") == number
    assert decode(coding, sent + encoder.finish()).count(b",") == 19


def begin_of(coding: str, data: bytes) -> bytes:
    """What a client makes of the beginning of a stream."""
    if coding == "gzip":
        return zlib.decompressobj(31).decompress(data)
    if coding == "br":
        import brotli

        return brotli.Decompressor().process(data)
    module = compression._zstd()
    coder = module.ZstdDecompressor()
    return (coder.decompressobj() if hasattr(coder, "decompressobj") else coder).decompress(data)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"encodings": ("gzip", "deflate")}, "'deflate' is none of br, zstd, gzip"),
        ({"level": 10, "encodings": "gzip"}, "gzip has 1 to 9"),
        ({"level": {"lzma": 1}}, "'lzma' is none of"),
        ({"types": ("html",)}, "types: 'html'"),
    ],
)
def test_a_wrong_configuration_is_refused_at_once(options: dict, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        compressed(replying(), **options)


def test_a_library_that_is_missing_is_done_without_unless_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("brotli", "zstandard", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, name, None)
    compression._brotli.cache_clear()
    compression._zstd.cache_clear()
    try:
        assert available_encodings() == ("gzip",)
        assert ask(compressed(replying()), "Accept-Encoding: br, gzip").header("content-encoding") == b"gzip"
        for coding, extra in (("br", "brotli"), ("zstd", "zstd")):
            with pytest.raises(ImportError, match=rf"vanilla-http\[{extra}\]"):
                compressed(replying(), encodings=coding)
    finally:
        compression._brotli.cache_clear()
        compression._zstd.cache_clear()


def test_what_is_installed_is_offered() -> None:
    libraries = {"br": ["brotli"], "zstd": ["zstandard", "compression.zstd"], "gzip": ["zlib"]}
    expected = [name for name in ENCODINGS if any(is_installed(library) for library in libraries[name])]
    assert list(available_encodings()) == expected


def is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def test_head_says_what_get_does() -> None:
    handler = compressed(replying(), encodings="gzip")
    got, asked = ask(handler, "Accept-Encoding: gzip"), ask(handler, "Accept-Encoding: gzip", method="HEAD")
    dateless = [[field for field in answer.headers() if field[0] != b"Date"] for answer in (got, asked)]
    assert dateless[0] == dateless[1]


def test_marks_of_the_handler_are_kept() -> None:
    async def later(request, response, worker):
        response.reply(200)

    assert compressed(later).is_async  # type: ignore[attr-defined]
    assert not getattr(compressed(replying()), "is_async", False)
    assert GzipEncoder(6).flush() == b""
