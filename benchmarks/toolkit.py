"""What the toolkit's readers cost: CPU per call, and per MiB of a multipart upload against Starlette's parser.

    python benchmarks/toolkit.py    # needs vanilla with its extras; the last figure, starlette and python-multipart

CPU time, the least of several rounds: noise only ever adds to it.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import AsyncGenerator, Callable

from vanilla import Request
from vanilla.toolkit.authorization import parse_basic
from vanilla.toolkit.conditional import etag, evaluate
from vanilla.toolkit.cookies import Cookies
from vanilla.toolkit.dates import format_date, parse_date
from vanilla.toolkit.fields import combined
from vanilla.toolkit.forms import read_form
from vanilla.toolkit.forwarded import TrustedProxies, find_client
from vanilla.toolkit.json_bodies import read_json
from vanilla.toolkit.multipart_forms import MultipartReader
from vanilla.toolkit.negotiation import choose_encoding, choose_language, choose_type
from vanilla.toolkit.percent import decode
from vanilla.toolkit.query import Query
from vanilla.toolkit.ranges import parse_range
from vanilla.toolkit.set_cookie import set_cookie
from vanilla.toolkit.signing import Signer

try:
    import starlette.formparsers
    from starlette.datastructures import Headers
except ImportError:
    starlette = None

ROUNDS = 9
ROUND_SECONDS = 0.02
PIECE_KIBIBYTES = (64, 256)  # as a network brings them, and the most that asyncio reads at once
BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW0"  # of the length that browsers make them
UPLOAD_BYTES = 8 * 1024 * 1024

PAIRS = b"name=value&page=12&sort=asc&user=alice&lang=en&limit=50&offset=0&a=b&filter=x&tag=z"
ACCEPT = (
    b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    b"application/signed-exchange;v=b3;q=0.7"
)
COOKIES = b"_ga=GA1.2.123456789.1234567890; theme=dark; lang=en; csrf=abcdefghijklmnopqrstuvwxyz; sid=0123456789abcdef"
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"
TAG = etag(b"content")


def cpu_of(call: Callable[[], object]) -> float:
    """Seconds of CPU for one call."""
    count = 1
    while (seconds := _time(call, count)) < ROUND_SECONDS:
        count *= 2
    return min([seconds, *(_time(call, count) for _ in range(ROUNDS))]) / count


def _time(call: Callable[[], object], count: int) -> float:
    begin = time.process_time()
    for _ in range(count):
        call()
    return time.process_time() - begin


def make_request(*lines: bytes, body: bytes = b"") -> Request:
    fields = b"".join(b"%b\r\n" % line for line in lines)
    return Request(b"POST / HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body))


def calls() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    query, cookies, signer = Query(PAIRS), Cookies(COOKIES), Signer(b"k" * 32, "sid")
    signed = signer.sign(b"user-42")
    browser = make_request(b"User-Agent: x", b"Accept: */*", b"Cookie: a=b", b"If-None-Match: " + TAG)
    form = make_request(b"Content-Type: application/x-www-form-urlencoded", body=PAIRS)
    json = make_request(b"Content-Type: application/json", body=b'{"name": "alice", "email": "a@example.com"}')
    proxied = make_request(b"X-Forwarded-For: 203.0.113.9, 10.0.0.1", b"X-Forwarded-Proto: https")
    proxies = TrustedProxies(["unix", "10.0.0.0/8"])
    return {
        "Query(10 pairs).pairs()": lambda: Query(PAIRS).pairs(),
        "Query(10 pairs)": lambda: Query(PAIRS),
        "query.get(first)": lambda: query.get(b"name"),
        "query.get(last)": lambda: query.get(b"tag"),
        "percent.decode(20 bytes, one escape)": lambda: decode(b"some%20name-of-a.txt"),
        "read_form(10 pairs)": lambda: read_form(form),
        "read_json(43 bytes)": lambda: read_json(json),
        "cookies.get(last of 5)": lambda: cookies.get(b"sid"),
        "Cookies(5).pairs()": lambda: Cookies(COOKIES).pairs(),
        "set_cookie(defaults, max_age)": lambda: set_cookie("sid", "0123456789abcdef", max_age=3600),
        "signer.sign(7 bytes)": lambda: signer.sign(b"user-42"),
        "signer.verify(7 bytes)": lambda: signer.verify(signed),
        "choose_encoding(4 codings, 2 offers)": lambda: choose_encoding(b"gzip, deflate, br, zstd", (b"br", b"gzip")),
        "choose_type(Chrome's, 2 offers)": lambda: choose_type(ACCEPT, (b"application/json", b"text/html")),
        "choose_language(3 ranges, 2 offers)": lambda: choose_language(b"en-GB,en;q=0.9,de;q=0.5", (b"en", b"de")),
        "format_date": lambda: format_date(784111777),
        "parse_date": lambda: parse_date(DATE),
        "parse_basic": lambda: parse_basic(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        "combined(one line)": lambda: combined(browser, b"cookie"),
        "request.header(one line)": lambda: browser.header(b"cookie"),
        "etag(1 KiB)": functools.partial(etag, b"x" * 1024),
        "evaluate(If-None-Match)": lambda: evaluate(browser, etag=TAG, last_modified=784111777),
        "parse_range(one)": lambda: parse_range(b"bytes=0-499", 10_000),
        "find_client(2 hops)": lambda: find_client(proxied, proxies),
        "nothing, called": lambda: None,
    }


def upload(piece_bytes: int) -> list[bytes]:
    """A form of one field and one file, in pieces as they come from a socket."""
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n'
    file_head = (
        b'\r\n--%b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: image/png\r\n\r\n'
    )
    content = head % (BOUNDARY, b"title") + b"abc" + file_head % BOUNDARY
    content += bytes(range(256)) * (UPLOAD_BYTES // 256) + b"\r\n--%b--\r\n" % BOUNDARY
    return [content[at : at + piece_bytes] for at in range(0, len(content), piece_bytes)]


def read_by_vanilla(pieces: list[bytes]) -> None:
    reader = MultipartReader(BOUNDARY, content_length=sum(map(len, pieces)))
    for piece in pieces:
        reader.feed(piece)
    reader.finish().close()


def read_by_starlette(pieces: list[bytes]) -> None:
    async def read() -> None:
        async def stream() -> AsyncGenerator[bytes, None]:
            for piece in pieces:
                yield piece

        headers = Headers({"content-type": f"multipart/form-data; boundary={BOUNDARY.decode()}"})
        form = await starlette.formparsers.MultiPartParser(headers, stream()).parse()
        await form.close()

    asyncio.run(read())


def main() -> None:
    for name, call in calls().items():
        print(f"{name:40} {cpu_of(call) * 1e9:8.0f} ns")
    readers = [("vanilla", read_by_vanilla)] + ([("starlette", read_by_starlette)] if starlette else [])
    for kibibytes, (name, read) in itertools.product(PIECE_KIBIBYTES, readers):
        per_mebibyte = cpu_of(functools.partial(read, upload(kibibytes * 1024))) / (UPLOAD_BYTES / 2**20)
        print(f"{f'multipart upload by {kibibytes} KiB, {name}':40} {per_mebibyte * 1e6:8.0f} µs/MiB")


if __name__ == "__main__":
    main()
