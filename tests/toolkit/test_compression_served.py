"""compressed, over sockets: streams of any kind, old clients, and what becomes of both beside a cache."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from vanilla import Server, ServerConfig, Step
from vanilla.sse import Channel
from vanilla.testing import Session, ask, drive, frames
from vanilla.toolkit.composition import compose
from vanilla.toolkit.compression import available_encodings, compressed
from vanilla.toolkit.response_cache import cached

PIECES = [b"piece %d, and the same words again and again\n" % number for number in range(30)]
WHOLE = b"".join(PIECES)


def raw(*fields: str, method: str = "GET", version: str = "1.1", path: str = "/") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "Host: a", "Accept-Encoding: gzip", *fields, "", ""]
    return "\r\n".join(lines).encode()


def replies(request, response, worker):
    response.reply(200, WHOLE, content_type="text/plain")


def writes(request, response, worker):
    response.start(200, content_type="text/plain")
    for piece in PIECES:
        response.write(piece)


def writes_a_length(request, response, worker):
    response.start(200, content_type="text/plain", length=len(WHOLE))
    for piece in PIECES:
        response.write(piece)


def pulls(request, response, worker):
    response.start(200, content_type="text/plain")
    response.stream(iter(PIECES))


def waits(request, response, worker):
    rest = iter(PIECES)

    def go_on(request, response, worker, payload, event):
        piece = next(rest, None)
        if piece is None:
            return None
        response.write(piece)
        parked.resume(go_on)
        return Step.SUSPEND

    response.start(200, content_type="text/plain")
    response.write(next(rest))
    parked = worker.park()
    parked.resume(go_on)
    return Step.SUSPEND


def waits_with_a_length(request, response, worker):
    def go_on(request, response, worker, payload, event):
        for piece in PIECES[1:]:
            response.write(piece)

    response.start(200, content_type="text/plain", length=len(WHOLE))
    response.write(PIECES[0])
    worker.park().resume(go_on)
    return Step.SUSPEND


def is_written_to(request, response, worker):
    def write_more(index):
        if index == len(PIECES):
            parked.finish()
        else:
            parked.write(PIECES[index])
            worker.call_later(0, write_more, index + 1)

    response.start(200, content_type="text/plain")
    parked = worker.park()
    worker.call_later(0, write_more, 0)
    return Step.SUSPEND


async def flushes(request, response, worker):
    response.start(200, content_type="text/plain")
    for piece in PIECES:
        response.write(piece)
        await response.flush()


async def flushes_late(request, response, worker):
    await asyncio.sleep(0)
    response.start(200, content_type="text/plain")
    for piece in PIECES:
        await asyncio.sleep(0)
        response.write(piece)
    await response.flush()


async def pulls_async(request, response, worker):
    async def pieces():
        for piece in PIECES:
            await asyncio.sleep(0)
            yield piece

    response.start(200, content_type="text/plain")
    response.stream(pieces())


HANDLERS = [
    replies,
    writes,
    writes_a_length,
    pulls,
    waits,
    waits_with_a_length,
    is_written_to,
    flushes,
    flushes_late,
    pulls_async,
]


@pytest.mark.parametrize("handler", HANDLERS)
def test_content_comes_compressed_however_it_is_made(handler) -> None:
    config = ServerConfig(compressed(handler, encodings="gzip"))
    results = drive(config, [ask(raw() * 3, frames(3)), ask(raw())])
    for result in results:
        for frame in result.frames:
            assert frame.header("content-encoding") == b"gzip"
            assert frame.header("vary") == b"Accept-Encoding"
            assert gzip.decompress(frame.body) == WHOLE
            assert len(frame.raw) < len(WHOLE) or handler in (waits, is_written_to, flushes, pulls_async)


@pytest.mark.parametrize("handler", HANDLERS)
def test_an_old_client_gets_it_until_the_connection_closes(handler) -> None:
    [answer] = Server(ServerConfig(compressed(handler, encodings="gzip"))).test([raw(version="1.0")])
    head, _, content = answer.partition(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert gzip.decompress(content) == WHOLE


@pytest.mark.parametrize("handler", HANDLERS)
def test_head_is_told_of_the_coding_and_sent_nothing(handler) -> None:
    results = drive(
        ServerConfig(compressed(handler, encodings="gzip")), [ask(raw(method="HEAD") + raw(), frames(2), heads=(0,))]
    )
    first, second = results[0].frames
    assert first.header("content-encoding") == second.header("content-encoding") == b"gzip"
    assert gzip.decompress(second.body) == WHOLE


@pytest.mark.parametrize("handler", HANDLERS)
def test_who_does_not_accept_it_gets_the_stream_as_it_is(handler) -> None:
    results = drive(ServerConfig(compressed(handler)), [ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")])
    assert results[0].frames[0].body == WHOLE
    assert results[0].frames[0].header("vary") == b"Accept-Encoding"


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000])
@pytest.mark.parametrize("coding", available_encodings())
def test_streams_of_any_length_and_coding(size: int, coding: str) -> None:
    piece = bytes(range(256)) * 40

    def handle(request, response, worker):
        response.start(200, content_type="text/plain")
        response.stream(piece[: size - at] for at in range(0, size, len(piece)))

    request = f"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {coding}\r\n\r\n".encode()
    [result] = drive(ServerConfig(compressed(handle)), [ask(request)])
    assert len(decode(coding, result.frames[0].body)) == size


def decode(coding: str, data: bytes) -> bytes:
    if coding == "br":
        import brotli

        return brotli.decompress(data)
    if coding == "gzip":
        return gzip.decompress(data)
    from vanilla.toolkit import compression

    module = compression._zstd()
    coder = module.ZstdDecompressor()
    return (coder.decompressobj() if hasattr(coder, "decompressobj") else coder).decompress(data)


def test_each_event_arrives_when_it_is_sent() -> None:
    channels = []

    def handle(request, response, worker):
        if request.path == b"/say":
            channels[0].publish(b"event %d" % len(said))
            said.append(1)
            return response.reply(204)
        if not channels:
            channels.append(Channel())
        return channels[0].subscribe(request, response, worker)

    said: list[int] = []
    with Session(ServerConfig(compressed(handle, encodings="gzip"), port=0, workers=1)) as session:
        listeners = session.fire([ask(raw(), lambda received: b"\r\n\r\n" in received.raw) for _ in range(2)])
        for number in range(3):
            session.fire([ask(raw(path="/say"))])
            results = session.wait(listeners, lambda received, number=number: events_of(received.raw) > number)
            assert results
        for result in results:
            text = zlib.decompressobj(31).decompress(content_of(bytes(result.raw)))
            assert [b"event %d" % number in text for number in range(3)] == [True] * 3


def content_of(answer: bytes) -> bytes:
    """What has come of a chunked answer."""
    rest = answer.partition(b"\r\n\r\n")[2]
    content = b""
    while b"\r\n" in rest:
        size, _, rest = rest.partition(b"\r\n")
        content += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return content


def events_of(answer: bytes) -> int:
    return zlib.decompressobj(31).decompress(content_of(bytes(answer))).count(b"data:")


@pytest.mark.parametrize("written", [10, 100])
def test_a_length_is_held_to_though_it_is_not_sent(written: int, caplog) -> None:
    def handle(request, response, worker):
        def go_on(request, response, worker, payload, event):
            response.write(bytes(written))

        response.start(200, content_type="text/plain", length=300)
        response.write(bytes(250))
        worker.park().resume(go_on)
        return Step.SUSPEND

    [answer] = Server(ServerConfig(compressed(handle, encodings="gzip"))).test([raw()])
    assert b"Transfer-Encoding: chunked" in answer
    assert not answer.endswith(b"\r\n0\r\n\r\n")
    assert any("length" in record.getMessage() or "raised" in record.getMessage() for record in caplog.records)


def test_trailers_stay_behind_it() -> None:
    def handle(request, response, worker):
        writes(request, response, worker)
        response.trailers({"X-Sum": "1"})

    [result] = drive(ServerConfig(compressed(handle)), [ask(raw())])
    assert gzip.decompress(result.frames[0].body) == WHOLE
    assert result.frames[0].trailers == ((b"X-Sum", b"1"),)


def test_a_file_that_follows_a_flush_goes_through_the_encoder(tmp_path) -> None:
    (tmp_path / "file").write_bytes(WHOLE * 100)

    async def handle(request, response, worker):
        response.start(200, content_type="text/plain")
        response.write(b"first")
        await response.flush()
        with open(tmp_path / "file", "rb") as file:
            response.send_file(file)

    [result] = drive(ServerConfig(compressed(handle, encodings="gzip")), [ask(raw())])
    assert gzip.decompress(result.frames[0].body) == b"first" + WHOLE * 100


def test_a_failure_in_the_midst_cuts_the_stream_off(caplog) -> None:
    async def handle(request, response, worker):
        response.start(200, content_type="text/plain")
        response.write(WHOLE)
        await response.flush()
        raise KeyError("later")

    [answer] = Server(ServerConfig(compressed(handle, encodings="gzip"))).test([raw()])
    assert b"Content-Encoding: gzip" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert zlib.decompressobj(31).decompress(content_of(answer)) == WHOLE


def test_within_a_cache_the_compressed_answers_are_kept() -> None:
    calls = []

    def handle(request, response, worker):
        calls.append(request.header("accept-encoding"))
        replies(request, response, worker)

    handler = cached(compressed(handle, encodings="gzip"), ttl=60)
    plain = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    [result] = drive(ServerConfig(handler, workers=1), [ask(raw() + plain + raw() + plain, frames(4))])
    one, two, three, four = result.frames
    assert (gzip.decompress(one.body), one.body, two.body) == (WHOLE, three.body, four.body)
    assert calls == [b"gzip", None]
    assert one.header("etag") == three.header("etag") != two.header("etag")
    tag = one.header("etag").decode()
    [again] = drive(ServerConfig(handler, workers=1), [ask(raw() + raw(f"If-None-Match: {tag}"), frames(2))])
    assert again.statuses == [200, 304]


def test_around_a_cache_each_answer_is_compressed_and_its_tag_is_weak() -> None:
    handler = compressed(cached(replies, ttl=60), encodings="gzip")
    [result] = drive(ServerConfig(handler, workers=1), [ask(raw() * 2, frames(2))])
    tags = [frame.header("etag") for frame in result.frames]
    assert tags[0] == tags[1]
    assert tags[0].startswith(b'W/"')
    assert [gzip.decompress(frame.body) for frame in result.frames] == [WHOLE] * 2
    [again] = drive(
        ServerConfig(handler, workers=1), [ask(raw() + raw(f"If-None-Match: {tags[0].decode()}"), frames(2))]
    )
    assert again.statuses == [200, 304]
    assert again.frames[1].header("etag") == tags[0]


def test_in_a_composition() -> None:
    [result] = drive(ServerConfig(compose(replies, compressed)), [ask(raw())])
    assert gzip.decompress(result.frames[0].body) == WHOLE
