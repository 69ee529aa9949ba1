"""Content compressed on its way out, in the coding that the client likes best. RFC 9110 sections 8.4 and 12.5.3.

# Facts about compression
A cache must know that the answer depends on Accept-Encoding, also where it was sent as it is: Vary says so. A strong
ETag names bytes, and these are others now, so it becomes weak; a digest or a range of the content would be wrong.
How long compressed content is tells what is in it. Where a secret stands beside what a stranger chose, who sees the
length of many answers can guess the secret (BREACH): such an answer is not to be compressed, or its secret to be
masked anew each time, as `csrf` does with its token.
"""

from __future__ import annotations

import functools
import importlib
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from vanilla.contract import Request, Response, Worker
from vanilla.handles import ContentEncoder
from vanilla.toolkit.cache_control import parse_cache_control
from vanilla.toolkit.composition import Handler, compose
from vanilla.toolkit.fields import combined
from vanilla.toolkit.media_types import is_compressible
from vanilla.toolkit.negotiation import choose_encoding
from vanilla.toolkit.vary import vary

ENCODINGS = ("br", "zstd", "gzip")  # the best first
LEVELS = {"br": 4, "zstd": 3, "gzip": 6}  # for content that is made anew each time
BYTES_MIN = 256  # less does not become smaller by what it costs to say so

_RANGES = {"br": (0, 11), "zstd": (1, 22), "gzip": (1, 9)}
_EXTRAS = {"br": "brotli", "zstd": "zstd"}
_STATUSES_WITHOUT = frozenset((101, 204, 205, 206))
# With one of these the content is coded already, is a part, or is vouched for byte by byte.
_FIXING_FIELDS = (b"content-encoding", b"content-range", b"content-digest", b"repr-digest", b"digest", b"content-md5")


class GzipEncoder:
    """gzip, by zlib: RFC 1952."""

    def __init__(self, level: int) -> None:
        self._coder = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self._holds = False

    def encode(self, data: bytes, /) -> bytes:
        """What there is to send of it."""
        self._holds = True
        return self._coder.compress(data)

    def flush(self) -> bytes:
        """What was kept back, up to the end of a byte."""
        if not self._holds:
            return b""
        self._holds = False
        return self._coder.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """The end, with its checksum."""
        return self._coder.flush(zlib.Z_FINISH)


class BrotliEncoder:
    """br, by the extra `brotli`: RFC 7932."""

    def __init__(self, level: int) -> None:
        self._coder = _brotli().Compressor(quality=level)

    def encode(self, data: bytes, /) -> bytes:
        """What there is to send of it."""
        return bytes(self._coder.process(data))

    def flush(self) -> bytes:
        """What was kept back."""
        return bytes(self._coder.flush())

    def finish(self) -> bytes:
        """The end."""
        return bytes(self._coder.finish())


class ZstdEncoder:
    """zstd, by the standard library from Python 3.14 on, else by the extra `zstd`: RFC 8878."""

    def __init__(self, level: int) -> None:
        module = _zstd()
        if hasattr(module, "COMPRESSOBJ_FLUSH_BLOCK"):
            self._coder = module.ZstdCompressor(level=level).compressobj()
            self._block = module.COMPRESSOBJ_FLUSH_BLOCK
            self._frame = module.COMPRESSOBJ_FLUSH_FINISH
        else:
            self._coder = module.ZstdCompressor(level)
            self._block = self._coder.FLUSH_BLOCK
            self._frame = self._coder.FLUSH_FRAME
        self._holds = False

    def encode(self, data: bytes, /) -> bytes:
        """What there is to send of it."""
        self._holds = True
        return bytes(self._coder.compress(data))

    def flush(self) -> bytes:
        """What was kept back, as a block."""
        if not self._holds:
            return b""
        self._holds = False
        return bytes(self._coder.flush(self._block))

    def finish(self) -> bytes:
        """The end of the frame."""
        return bytes(self._coder.flush(self._frame))


_ENCODERS: dict[str, Callable[[int], ContentEncoder]] = {"br": BrotliEncoder, "zstd": ZstdEncoder, "gzip": GzipEncoder}


def available_encodings() -> tuple[str, ...]:
    """The codings that there is a library for, the best first: gzip always."""
    found = {"br": _brotli, "zstd": _zstd}
    return tuple(coding for coding in ENCODINGS if coding not in found or found[coding]() is not None)


def compressed(
    handler: Handler,
    *,
    encodings: Iterable[str] | str | None = None,
    level: Mapping[str, int] | int | None = None,
    min_bytes: int = BYTES_MIN,
    types: Callable[[bytes], bool] | Collection[str] = is_compressible,
) -> Handler:
    """A handler whose answers are compressed, complete ones and streams, for clients that accept it.

    A stream is compressed piece by piece; what is sent, by a flush, an event or a suspension, arrives whole. Left as
    they are: what has a Content-Encoding, `Cache-Control: no-transform` or a digest, parts (206), files of `send_file`,
    streams that the handler framed itself, and content that would not become smaller. Where it could have been
    compressed, Vary names Accept-Encoding, and a strong ETag becomes weak where it was.

    Do not compress answers in which a secret stands beside what a client sent, unless the secret is masked: see BREACH.

    Args:
        handler: plain or async. In a `compose`, `compressed` is the middleware. Around `cached`, it compresses each
            answer; within, `cached(compressed(handler), ...)`, the compressed answers are kept.
        encodings: names of codings; where a client likes several as well, the first is taken. By default all that
            there is a library for, of `br`, `zstd` and `gzip`.
        level: how hard to try, for all or for some by name: br 0 to 11, zstd 1 to 22, gzip 1 to 9. By default 4, 3, 6.
        min_bytes: of content below which it is left alone; content whose length is not known is compressed.
        types: of content, such as `("text/html", "text/*")`, or a function of the value of Content-Type.

    Raises: ImportError, which names the extra, for a coding without its library; ValueError for an unknown one, or a
        level that it does not have.
    Source: RFC 9110 sections 8.4.1, 8.8.3.3 and 12.5.3; RFC 9111 section 5.2.2.6.
    """
    names = _names_of(encodings)
    policy = _Policy(names, _levels_of(names, level), min_bytes, types if callable(types) else _matcher_of(types))

    def middleware(inner: Handler) -> Handler:
        def handle(request: Request, response: Response, worker: Worker) -> Any:
            response.before_send(policy)
            return inner(request, response, worker)

        return handle

    return compose(handler, middleware)


class _Policy:
    """The hook of each answer."""

    def __init__(
        self, encodings: tuple[str, ...], levels: dict[str, int], min_bytes: int, is_wanted: Callable[[bytes], bool]
    ) -> None:
        self._encodings = encodings
        self._levels = levels
        self._min_bytes = min_bytes
        self._is_wanted = is_wanted

    def __call__(self, request: Request, response: Response, worker: Worker) -> None:
        if response.status in _STATUSES_WITHOUT or any(response.header(name) is not None for name in _FIXING_FIELDS):
            return
        said = [value for name, value in response.headers() if name.lower() == b"cache-control"]
        if b"no-transform" in parse_cache_control(b",".join(said)):
            return
        accepted = combined(request, b"accept-encoding")
        coding = choose_encoding(accepted, self._encodings)
        if response.status == 304:  # of an answer that may have been compressed
            vary(response, b"Accept-Encoding")
            if coding is not None:
                _weaken(response)
            return
        if not self._is_wanted(response.header(b"content-type", b"")):
            return
        content = response.content
        length = response.content_length if content is None else len(content)
        if length is not None and length < self._min_bytes:
            return
        if coding is not None and not self._encode(response, content, str(coding)):
            return
        vary(response, b"Accept-Encoding")

    def _encode(self, response: Response, content: bytes | None, coding: str) -> bool:
        """Compress an answer; False where it can never be."""
        encoder = _ENCODERS[coding](self._levels[coding])
        if content is not None:
            encoded = encoder.encode(content) + encoder.finish()
            if len(encoded) >= len(content):
                return True
            response.replace_content(encoded)
        else:
            try:
                response.encode_content(encoder)
            except ValueError:  # a file, or framed by the handler itself
                return False
        response.set_header(b"Content-Encoding", coding)
        response.remove_header(b"Accept-Ranges")
        _weaken(response)
        return True


def _weaken(response: Response) -> None:
    """Have the ETag, if there is one, say that it may stand for other bytes which mean the same."""
    tag = response.header(b"etag")
    if tag is not None and not tag.startswith(b"W/"):
        response.set_header(b"ETag", b"W/" + tag)


def _names_of(encodings: Iterable[str] | str | None) -> tuple[str, ...]:
    """The codings to offer."""
    available = available_encodings()
    if encodings is None:
        return available
    names = (encodings,) if isinstance(encodings, str) else tuple(encodings)
    for name in names:
        if name not in _ENCODERS:
            raise ValueError(f"encodings: {name!r} is none of {', '.join(ENCODINGS)}")
        if name not in available:
            raise ImportError(f"encodings: {name!r} needs a library: pip install 'vanilla-http[{_EXTRAS[name]}]'")
    return names


def _levels_of(names: tuple[str, ...], level: Mapping[str, int] | int | None) -> dict[str, int]:
    """The level of each coding."""
    given = level if isinstance(level, Mapping) else {} if level is None else dict.fromkeys(names, level)
    for name, number in given.items():
        if name not in _RANGES:
            raise ValueError(f"level: {name!r} is none of {', '.join(ENCODINGS)}")
        low, high = _RANGES[name]
        if not low <= number <= high:
            raise ValueError(f"level={number!r}: {name} has {low} to {high}")
    return LEVELS | dict(given)


def _matcher_of(types: Collection[str]) -> Callable[[bytes], bool]:
    """What says whether a media type is one of these; `text/*` is all that begin so."""
    for name in types:
        if "/" not in name:
            raise ValueError(f"types: {name!r}: give a media type such as 'text/html', or 'text/*'")
    exact = frozenset(name.lower().encode() for name in types)
    ranges = tuple(name[:-1] for name in exact if name.endswith(b"/*"))

    def matches(media_type: bytes) -> bool:
        kind = media_type.partition(b";")[0].strip().lower()
        return kind in exact or kind.startswith(ranges)

    return matches


@functools.cache
def _brotli() -> Any:
    """The library, or None."""
    try:
        return importlib.import_module("brotli")
    except ImportError:
        return None


@functools.cache
def _zstd() -> Any:
    """Likewise."""
    for name in ("compression.zstd", "zstandard"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None
