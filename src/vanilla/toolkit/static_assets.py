"""A bundle of files that does not change while the server runs: read at the start, every answer made then.

A hit looks a path up and copies bytes into the buffer. What is large, or changes, is for `static_files`. Each worker
remembers what a head was answered, and gives it again: without the GIL where this is the handler of the server itself.
"""

from __future__ import annotations

import functools
import gzip
import importlib
import importlib.resources
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import cython

from vanilla.toolkit.conditional import Outcome, etag, evaluate, not_modified_fields
from vanilla.toolkit.fields import checked_fields, combined
from vanilla.toolkit.media_types import is_compressible, media_type_of
from vanilla.toolkit.negotiation import choose_encoding
from vanilla.toolkit.percent import decode, encode
from vanilla.toolkit.refusals import MalformedError

SEGMENT_SAFE = b"/!$&'()*+,;=:@"
SIBLINGS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
COMPRESSED_BYTES_MIN = 256  # less does not become smaller by what it costs to say so
CHOICES_MAX = 64  # values of Accept-Encoding that are remembered for an asset
BUNDLE_BYTES_MAX = 256 * 1024 * 1024
IMMUTABLE = "public, max-age=31536000, immutable"

# What bundlers put into names: eight or more letters and digits, one of them a digit, before the ending.
HASHED = r"[.\-_](?=[A-Za-z0-9_\-]*[0-9])[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9]+(\.map)?$"


@cython.final
@cython.cclass
class Variant:
    """An asset in one content coding, and its answers."""

    def __init__(self, content: bytes, coding: str, fields: list[tuple[bytes, bytes]]) -> None:
        self.etag = etag(content)
        said: list = [*fields, (b"ETag", self.etag)]
        if coding != "identity":
            said.append((b"Content-Encoding", coding.encode("ascii")))
        self.whole = _lines([*said, (b"Content-Length", b"%d" % len(content))]) + b"\r\n" + content
        self.unchanged = _lines(not_modified_fields(said)) + b"\r\n"
        describe(cython.address(self.made_whole), 200, b"HTTP/1.1 200 OK\r\n", 17, self.whole)
        describe(cython.address(self.made_unchanged), 304, b"HTTP/1.1 304 Not Modified\r\n", 27, self.unchanged)


@cython.final
@cython.cclass
class Asset:
    """One file of the bundle, in each coding that makes it smaller."""

    def __init__(self, variants: dict[str, Variant]) -> None:
        self.codings = tuple(variants)
        self.variants = tuple(variants.values())
        self.chosen = {}


@cython.final
@cython.cclass
class StaticAssets(CompiledHandler):
    """The handler that `static_assets` makes."""

    def __init__(self, assets: dict[bytes, Asset], fallback: Asset | None, not_found: object) -> None:
        self.assets = assets
        self.fallback = fallback
        self.not_found = not_found

    @cython.cfunc
    def answer(self, request: Request, response: Response, worker: object) -> object:
        """Append what the same head was answered before."""
        owner: Worker
        seen: SeenHeads = None
        found: cython.p_void
        if type(worker) is Worker:
            owner = worker
            seen = owner.find_kept(self)
            if seen is None:
                seen = SeenHeads()
                owner.keep(self, seen)
            found = seen.find(
                request.framed.slab.bytes + request.framed.start, request.framed.content_start - request.framed.start
            )
            if found is not cython.NULL and not request.framed.is_partial:
                append_made(response, cython.cast(cython.pointer[Made], found))
                return None
        return self.answer_slowly(request, response, worker, seen)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def answer_at_once(
        self, worker: Worker, framed: cython.pointer[cython.const[Framed]], answers: ResponseBuffer, date: DateLine
    ) -> cython.int:
        """The whole of an answer to a head that was seen before."""
        found: cython.p_void
        start: cython.Py_ssize_t = answers.length
        if framed.is_head or cython.cast(cython.p_void, worker.keeper) != cython.cast(cython.p_void, self):
            return 0
        found = cython.cast(SeenHeads, cython.cast(cython.p_void, worker.last_kept)).find(
            framed.slab.bytes + framed.start, framed.content_start - framed.start
        )
        if found is cython.NULL:
            return 0
        if not append_pieces(answers, date, cython.cast(cython.pointer[Made], found)):
            answers.truncate(start)
            return 0
        return cython.cast(cython.pointer[Made], found).status

    @cython.cfunc
    def answer_slowly(self, request: Request, response: Response, worker: object, seen: SeenHeads | None) -> object:
        """Look the path up, and append the answer that was made at the start."""
        asset: Asset
        variant: Variant
        made: cython.pointer[Made]
        if not request.framed.is_head and not request.is_get():
            return response.reply(405, headers=((b"Allow", b"GET, HEAD"),))
        asset = self.look_up(request)
        if asset is None:
            if self.not_found is not None:
                return self.not_found(request, response, worker)
            return response.reply(404, b"Not Found\n", content_type=b"text/plain; charset=utf-8")
        variant = choose_variant(asset, request)
        made = cython.address(variant.made_whole)
        if request.has_field(b"if-none-match", 13) or request.has_field(b"if-match", 8):
            outcome = evaluate(request, etag=variant.etag)
            if outcome is Outcome.PRECONDITION_FAILED:
                return response.reply(412)
            if outcome is Outcome.NOT_MODIFIED:
                made = cython.address(variant.made_unchanged)
        append_made(response, made)
        if seen is not None and request.framed.content_start - request.framed.start <= SEEN_BYTES_MAX:
            seen.remember(request.copy(request.framed.start, request.framed.content_start), made, variant)
        return None

    @cython.cfunc
    def look_up(self, request: Request) -> Asset:
        """The asset of a path, or None; a page of the application's own is what it begins with."""
        path: bytes = request.read_path()
        asset: Asset = self.assets.get(path)
        if asset is None and b"%" in path:
            asset = self.assets.get(_canonical(path))
        if asset is None and self.fallback is not None and _is_page(path, request.header(b"accept")):
            return self.fallback
        return asset


@cython.cfunc
def choose_variant(asset: Asset, request: Request) -> Variant:
    """The one that the client likes best; what it likes is remembered."""
    accepted: bytes
    index: object
    if len(asset.variants) == 1:
        return asset.variants[0]
    accepted = combined(request, b"accept-encoding")
    index = asset.chosen.get(accepted)
    if index is None:
        coding = choose_encoding(accepted, asset.codings)
        index = len(asset.codings) - 1 if coding is None else asset.codings.index(coding)
        if len(asset.chosen) < CHOICES_MAX:
            asset.chosen[accepted] = index
    return asset.variants[index]


@cython.cfunc
@cython.exceptval(-1, check=False)
def describe(
    made: cython.pointer[Made],
    status: cython.int,
    line: cython.p_const_uchar,
    line_length: cython.Py_ssize_t,
    rest: bytes,
) -> cython.int:
    """Say where an answer lies. `rest` is for the caller to keep."""
    made.status = status
    made.line = line
    made.line_length = line_length
    made.rest = rest
    made.rest_length = len(rest)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def append_made(response: Response, made: cython.pointer[cython.const[Made]]) -> cython.int:
    """Append an answer, the Date of this second in it."""
    response.check_open()
    if not append_pieces(response.buffer, response.date, made):
        raise MemoryError
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_pieces(answers: ResponseBuffer, date: DateLine, made: cython.pointer[cython.const[Made]]) -> cython.bint:
    """The same; False without memory."""
    return (
        answers.append(made.line, made.line_length)
        and date.append(answers)
        and answers.append(made.rest, made.rest_length)
    )


def static_assets(
    source: str | os.PathLike[str],
    *,
    prefix: str = "",
    index: str | None = "index.html",
    fallback: str | None = None,
    hashed: str = HASHED,
    cache_control: str = "no-cache",
    compress: bool = True,
    headers: Iterable[tuple[str | bytes, str | bytes]] = (),
    not_found: Callable[[Any, Any, Any], object] | None = None,
    max_bytes: int = BUNDLE_BYTES_MAX,
) -> StaticAssets:
    """A handler that answers with the files of a bundle, all of which are read now.

    Every file is compressed once, in each coding there is a library for: gzip always, brotli and zstd with the extras
    of these names; `name.br`, `name.zst` and `name.gz` of your build are taken as they are. What has a hash in its name
    is cached for good; all else is asked for again each time, which costs a 304. Ranges are not answered in parts.

    Args:
        source: a folder, or a package as `"package:folder"`, from wherever that was installed.
        prefix: of the request's path, which is taken off, such as `"/assets"`.
        index: what stands for a folder; None for nothing.
        fallback: the file that answers what there is no file for, where a page is asked for: of an application that has
            routes of its own in the browser, such as `"index.html"`.
        hashed: a regular expression that is looked for in paths; what has it never changes.
        cache_control: of all others.
        compress: compress what is not compressed already.
        headers: further fields of each answer.
        not_found: the handler in place of the 404.
        max_bytes: of all files and their variants together.

    Raises: OSError, ModuleNotFoundError for a source that is not there; ValueError for an empty one, one that is larger
        than `max_bytes`, a `fallback` or a `prefix` that is none, or a value that no field can have.
    """
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"prefix={prefix!r}: it begins with a slash and ends without one, such as '/assets'")
    further = checked_fields([("Cache-Control", cache_control), *headers])[1:]
    immutable = re.compile(hashed)
    files = dict(_read_files(source, max_bytes))
    endings = tuple(SIBLINGS.values())
    plain = [name for name in files if not (name.endswith(endings) and name.rpartition(".")[0] in files)]
    if not plain:
        raise ValueError(f"source {os.fspath(source)!r}: there is no file in it")
    assets: dict[bytes, Asset] = {}
    by_name: dict[str, Asset] = {}
    size = 0
    for name in plain:
        fields = [
            (b"Content-Type", media_type_of(name)),
            (b"Cache-Control", (IMMUTABLE if immutable.search(name) else cache_control).encode("ascii")),
            (b"X-Content-Type-Options", b"nosniff"),
            *further,
        ]
        asset = by_name[name] = _make_asset(name, files, fields, compress=compress)
        size += sum(len(variant.whole) for variant in asset.variants)
        if size > max_bytes:
            raise ValueError(f"source {os.fspath(source)!r}: more than max_bytes={max_bytes}; use static_files")
        path = prefix.encode() + b"/" + encode(os.fsencode(name), SEGMENT_SAFE)
        assets[path] = asset
        folder, _, last = name.rpartition("/")
        if last == index:
            assets[prefix.encode() + b"/" + encode(os.fsencode(folder + "/" if folder else ""), SEGMENT_SAFE)] = asset
    if fallback is not None and fallback not in by_name:
        raise ValueError(f"fallback={fallback!r}: no such file in the bundle")
    return StaticAssets(assets, None if fallback is None else by_name[fallback], not_found)


def _make_asset(name: str, files: dict[str, bytes], fields: list[tuple[bytes, bytes]], *, compress: bool) -> Asset:
    content = files[name]
    contents: dict[str, bytes] = {}
    for coding, ending in SIBLINGS.items():
        found = files.get(name + ending)
        if found is None and compress and len(content) >= COMPRESSED_BYTES_MIN and is_compressible(media_type_of(name)):
            encoder = _encoder(coding)
            found = None if encoder is None else encoder(content)
        if found is not None and len(found) < len(content):
            contents[coding] = found
    if contents:
        fields = [*fields, (b"Vary", b"Accept-Encoding")]
    contents["identity"] = content
    return Asset({coding: Variant(data, coding, fields) for coding, data in contents.items()})


@functools.cache
def _encoder(coding: str) -> Callable[[bytes], bytes] | None:
    """What compresses best in a coding; None without its library."""
    try:
        if coding == "br":
            brotli: Any = importlib.import_module("brotli")
            return functools.partial(brotli.compress, quality=11)
        if coding == "zstd":
            zstandard: Any = importlib.import_module("zstandard")
            return lambda content: bytes(zstandard.ZstdCompressor(level=19).compress(content))
    except ImportError:
        return None
    return lambda content: gzip.compress(content, 9, mtime=0)


def _read_files(source: str | os.PathLike[str], max_bytes: int) -> Iterator[tuple[str, bytes]]:
    """The files of a folder or a package, by their paths in it."""
    text = os.fspath(source)
    package, colon, folder = text.partition(":")
    if colon and not os.path.exists(text) and not os.path.isabs(text):
        root: Any = importlib.resources.files(package).joinpath(folder)
    else:
        root = pathlib.Path(text)
    if not root.is_dir():
        raise NotADirectoryError(f"source {text!r}: no such folder")
    left = max_bytes
    waiting = [("", root)]
    while waiting:
        prefix, place = waiting.pop()
        for entry in sorted(place.iterdir(), key=lambda entry: entry.name):
            if entry.name.startswith(".") and entry.name != ".well-known":
                continue
            if entry.is_dir():
                waiting.append((f"{prefix}{entry.name}/", entry))
            elif entry.is_file():
                content = entry.read_bytes()
                left -= len(content)
                if left < 0:
                    raise ValueError(f"source {text!r}: more than max_bytes={max_bytes}; use static_files")
                yield prefix + entry.name, content


def _canonical(path: bytes) -> bytes:
    """A path escaped as this module does; itself where it is malformed."""
    try:
        return encode(decode(path), SEGMENT_SAFE) if b"%2f" not in path.lower() else path
    except MalformedError:
        return path


def _is_page(path: bytes, accept: bytes | None) -> bool:
    """Whether a page is asked for, not a file that is missing."""
    return b"." not in path.rpartition(b"/")[2] and (accept is None or b"text/html" in accept or b"*/*" in accept)


def _lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])
