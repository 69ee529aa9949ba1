"""Files of a folder: found without leaving it, sent by sendfile(2), with everything that caches and players ask for.

# Facts about open files
A worker keeps files open that are asked for again, and looks once in a while whether a name still means the same file:
the same inode, size and time of change. Replace files by renaming others onto them. What is cut short while it is sent
ends that connection; what is overwritten is sent as it is then. Windows lets nobody replace a file that is open, so
there each is opened for one answer alone.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import html
import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from vanilla.contract import Request, Response, Worker
from vanilla.files import OpenFile
from vanilla.toolkit.beneath import Folder, split_path
from vanilla.toolkit.conditional import Outcome, etag_of_file, evaluate, may_send_range, not_modified_fields
from vanilla.toolkit.dates import format_date
from vanilla.toolkit.fields import checked_fields, combined
from vanilla.toolkit.kept_files import Kept, KeptFiles, Shelf, Siblings
from vanilla.toolkit.media_types import media_type_of
from vanilla.toolkit.percent import decode, encode
from vanilla.toolkit.ranges import ByteRange, content_range, frame_parts, parse_range, unsatisfied_range

SEGMENT_SAFE = b"!$&'()*+,;=:@"  # RFC 3986 section 3.3
SIBLINGS = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}  # by the content coding, the best first

_CONDITIONS = (b"if-none-match", b"if-modified-since", b"range", b"if-match", b"if-unmodified-since")
_Field = tuple[bytes, bytes]


class Missing(NamedTuple):
    """What a name leads to that is no file: a status, and where to go instead."""

    status: int
    location: bytes | None = None


def static_files(
    directory: str | os.PathLike[str],
    *,
    prefix: str = "",
    index: Sequence[str] = ("index.html",),
    listing: bool = False,
    hidden: bool = False,
    precompressed: bool = True,
    cache_control: Mapping[str, str] | str | None = None,
    media_types: Mapping[str, str] | None = None,
    headers: Iterable[tuple[str | bytes, str | bytes]] = (),
    not_found: Callable[[Request, Response, Worker], object] | None = None,
    max_open_files: int = 512,
    revalidate: float = 1.0,
) -> Callable[[Request, Response, Worker], object]:
    """A handler that answers with the files of a folder, and of those below it.

    GET and HEAD; Range in one or several parts, If-Range, and all other preconditions; ETag and Last-Modified. A folder
    without its slash is redirected to it, with its slash it is its index file, or a listing. Everything else is a 404:
    names that lead out of the folder, hidden ones, devices, sockets and FIFOs, such as no file can have.

    Args:
        directory: the folder. Symbolic links lead to what is within it; others are not followed.
        prefix: of the request's path, which is taken off, such as `"/static"`.
        index: the names of what stands for a folder, the first that there is.
        listing: answer a folder without one of these with a list of what is in it.
        hidden: also send what begins with a dot. `.well-known` is never hidden.
        precompressed: send `name.br`, `name.zst` or `name.gz` in the place of `name` to who accepts it.
        cache_control: the value of Cache-Control, or one for each pattern of paths below the folder, such as
            `{"assets/*": "public, max-age=31536000, immutable", "*": "no-cache"}`: the first that matches.
        media_types: by ending, such as `{".foo": "text/foo"}`, before those that are known.
        headers: further fields of each 200, 206 and 304.
        not_found: the handler in place of the 404.
        max_open_files: that each worker keeps; 0 opens a file for each answer, as Windows does in any case.
        revalidate: seconds after which a kept file is looked at again; 0 looks each time.

    Raises: OSError if `directory` is none; ValueError for a `prefix` that is none, a negative number of files, or a
        value that no field can have.
    Source: RFC 9110 sections 13 and 14; openat2(2), sendfile(2).
    """
    if max_open_files < 0:
        raise ValueError(f"max_open_files={max_open_files!r}: give 0 or more")
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ValueError(f"prefix={prefix!r}: it begins with a slash and ends without one, such as '/static'")
    return StaticFiles(
        folder=Folder(directory),
        prefix=prefix.encode(),
        index=tuple(index),
        has_listing=listing,
        shows_hidden=hidden,
        siblings=SIBLINGS if precompressed else {},
        cache_control=_patterns(cache_control),
        media_types=_media_types(media_types or {}),
        headers=checked_fields(headers),
        not_found=not_found,
        max_open_files=0 if sys.platform == "win32" else max_open_files,
        revalidate=revalidate,
    )


@dataclasses.dataclass(kw_only=True, eq=False)
class StaticFiles(KeptFiles):
    """The handler that `static_files` makes. What is found and kept is answered by `KeptFiles`, which is compiled."""

    folder: Folder
    prefix: bytes
    index: tuple[str, ...]
    has_listing: bool
    shows_hidden: bool
    siblings: Mapping[str, str]
    cache_control: list[tuple[str, bytes]]
    media_types: dict[str, bytes]
    headers: list[_Field]
    not_found: Callable[[Request, Response, Worker], object] | None
    max_open_files: int
    revalidate: float

    def __post_init__(self) -> None:
        self.keep_for(self.revalidate, bool(self.siblings))

    def answer_slowly(self, request: Request, response: Response, worker: Worker, shelf: Shelf, now: float) -> object:
        """What is not kept, or was looked at too long ago; conditions and parts; and what is no file."""
        if request.method not in (b"GET", b"HEAD"):
            response.reply(405, headers=((b"Allow", b"GET, HEAD"),))
            return None
        path = request.path
        coding = self._choose(request, shelf, path, now) if self.siblings else None
        kept: Kept | Missing | None = shelf.find(path, coding)
        if not isinstance(kept, Kept) or now - kept.checked >= self.revalidate:
            kept = self._look_up(shelf, path, coding, now)
            if isinstance(kept, Missing) and coding is not None:  # it was there a moment ago
                coding = None
                kept = self._look_up(shelf, path, None, now)
        if isinstance(kept, Missing):
            return self._answer_missing(request, response, worker, kept)
        if kept is None:
            return self._answer_listing(request, response, worker, path)
        for name in _CONDITIONS:
            if request.header(name) is not None:
                return self._answer_conditional(request, response, kept)
        response.start(200, kept.whole, length=kept.file.size)
        response.send_file(kept.file)
        return None

    # Finding.

    def _choose(self, request: Request, shelf: Shelf, path: bytes, now: float) -> str | None:
        """The content coding in which to send it; None as it is."""
        known = shelf.find_siblings(path)
        if known is None or now - known.looked >= self.revalidate:
            known = Siblings(now, self._find_siblings(path))
            shelf.add_siblings(path, known)
        return known.choose(request)

    def _find_siblings(self, path: bytes) -> tuple[str, ...]:
        """The codings that there is a precompressed file for, the best first."""
        names = self._names_of(path)
        if names is None or not self._is_shown(names):
            return ()
        found = []
        if names[-1] == "":
            names = self._index_of(names) or names
        for coding, ending in self.siblings.items():
            try:
                status = self.folder.stat([*names[:-1], names[-1] + ending])
            except OSError:
                continue
            if names[-1] and stat.S_ISREG(status.st_mode):
                found.append(coding)
        return tuple(found)

    def _names_of(self, path: bytes) -> list[str] | None:
        """The names that a request's path consists of below the folder; None where it cannot be one."""
        if not path.startswith(self.prefix + b"/"):
            return None
        return split_path(decode(path[len(self.prefix) + 1 :]))

    def _is_shown(self, names: list[str]) -> bool:
        return self.shows_hidden or not any(name.startswith(".") and name != ".well-known" for name in names)

    def _index_of(self, names: list[str]) -> list[str] | None:
        """The names of the file that stands for a folder; None if there is none."""
        for name in self.index:
            try:
                status = self.folder.stat([*names[:-1], name])
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                return [*names[:-1], name]
        return None

    def _look_up(self, shelf: Shelf, path: bytes, coding: str | None, now: float) -> Kept | Missing | None:
        """What a path stands for now: a file, nothing, or, None, a folder to be listed."""
        try:
            return self._find(shelf, path, coding, now)
        except OSError:
            return Missing(404)

    def _find(self, shelf: Shelf, path: bytes, coding: str | None, now: float) -> Kept | Missing | None:
        """As `_look_up`. Raises: OSError."""
        kept = shelf.take(path, coding)
        if kept is not None:
            if _is_same(kept.status, self.folder.stat(kept.names)):
                kept.checked = now
                shelf.add(path, coding, kept)
                return kept
            kept.file.close()
        names = self._names_of(path)
        if names is None or not self._is_shown(names):
            return Missing(404)
        if names[-1] == "":
            found = self._index_of(names)
            if found is None:
                return None if self.has_listing and _is_folder(self.folder.stat(names[:-1])) else Missing(404)
            names = found
        plain_name = names[-1]
        if coding is not None:
            names = [*names[:-1], plain_name + self.siblings[coding]]
        try:
            fd = self.folder.open(names)
        except IsADirectoryError:  # as Windows has it
            return _to_folder(path)
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                return _to_folder(path)
            if not stat.S_ISREG(status.st_mode):
                return Missing(404)
            file = OpenFile(fd)
        finally:
            os.close(fd)
        found_now = self._describe(file, names, plain_name, coding, status, now)
        if self.max_open_files:
            shelf.add(path, coding, found_now)
            if len(shelf) > self.max_open_files:
                shelf.drop_oldest()
        return found_now

    def _describe(
        self, file: OpenFile, names: list[str], plain_name: str, coding: str | None, status: os.stat_result, now: float
    ) -> Kept:
        """All that is said of a file that was opened."""
        tag = etag_of_file(status)
        fields: list[_Field] = [(b"ETag", tag), (b"Last-Modified", format_date(status.st_mtime))]
        below = "/".join([*names[:-1], plain_name])
        for pattern, value in self.cache_control:
            if fnmatch.fnmatchcase(below, pattern):
                fields.append((b"Cache-Control", value))
                break
        if coding is not None:
            fields.append((b"Content-Encoding", coding.encode("ascii")))
        if self.siblings:
            fields.append((b"Vary", b"Accept-Encoding"))
        fields += [(b"X-Content-Type-Options", b"nosniff"), (b"Accept-Ranges", b"bytes"), *self.headers]
        ending = os.path.splitext(plain_name)[1].lower()
        media_type = self.media_types.get(ending) or media_type_of(plain_name)
        return Kept(
            file=file,
            names=names,
            status=status,
            checked=now,
            etag=tag,
            media_type=media_type,
            fields=fields,
        )

    # Answering.

    def _answer_conditional(self, request: Request, response: Response, kept: Kept) -> object:
        """Answer a request with preconditions, or for a part."""
        modified = kept.status.st_mtime
        outcome = evaluate(request, etag=kept.etag, last_modified=modified)
        if outcome is Outcome.NOT_MODIFIED:
            response.reply(304, headers=not_modified_fields(kept.whole))
            return None
        if outcome is Outcome.PRECONDITION_FAILED:
            response.reply(412)
            return None
        size = kept.file.size
        ranges = None
        if request.method == b"GET" and may_send_range(request, etag=kept.etag, last_modified=modified):
            ranges = parse_range(combined(request, b"range"), size)
        if ranges is None:
            response.start(200, kept.whole, length=size)
            response.send_file(kept.file)
        elif not ranges:
            response.reply(416, headers=[(b"Content-Range", unsatisfied_range(size)), *kept.fields])
        elif len(ranges) == 1:
            [part] = ranges
            response.start(206, [(b"Content-Range", content_range(part, size)), *kept.whole], length=part.length)
            response.send_file(kept.file, part.start, part.length)
        else:
            self._answer_parts(response, kept, ranges)
        return None

    def _answer_parts(self, response: Response, kept: Kept, ranges: list[ByteRange]) -> None:
        parts = frame_parts(ranges, kept.file.size, kept.media_type)
        response.start(206, [(b"Content-Type", parts.content_type), *kept.fields], length=parts.length)
        for head, part in zip(parts.heads, ranges, strict=True):
            response.write(head)
            response.send_file(kept.file, part.start, part.length)
        response.write(parts.tail)

    def _answer_missing(self, request: Request, response: Response, worker: Worker, missing: Missing) -> object:
        if missing.location is not None:
            location = missing.location + (b"?" + request.query if request.query else b"")
            response.reply(missing.status, headers=((b"Location", location),))
            return None
        if self.not_found is not None:
            return self.not_found(request, response, worker)
        response.reply(missing.status, b"Not Found\n", content_type=b"text/plain; charset=utf-8")
        return None

    def _answer_listing(self, request: Request, response: Response, worker: Worker, path: bytes) -> object:
        names = self._names_of(path)
        assert names is not None
        try:
            entries = self.folder.list(names[:-1])
        except OSError:
            return self._answer_missing(request, response, worker, Missing(404))
        lines = ['<li><a href="../">../</a></li>'] if len(names) > 1 else []
        for entry in sorted(entries, key=lambda entry: (not entry.is_dir(), entry.name)):
            if self._is_shown([entry.name]):
                name = entry.name + ("/" if entry.is_dir() else "")
                link = encode(os.fsencode(entry.name), SEGMENT_SAFE).decode("ascii") + name[len(entry.name) :]
                shown = html.escape(os.fsencode(name).decode(errors="replace"))
                lines.append(f'<li><a href="./{html.escape(link)}">{shown}</a></li>')
        title = html.escape("/" + "/".join(names))
        page = f"<!DOCTYPE html><meta charset=utf-8><title>{title}</title><h1>{title}</h1><ul>\n" + "\n".join(lines)
        response.reply(
            200,
            page.encode(errors="replace") + b"\n</ul>\n",
            content_type=b"text/html; charset=utf-8",
            headers=((b"X-Content-Type-Options", b"nosniff"), (b"Cache-Control", b"no-cache"), *self.headers),
        )
        return None


def _is_same(left: os.stat_result, right: os.stat_result) -> bool:
    """Whether it is still the file that it was, unchanged as far as its times tell."""
    return (left.st_ino, left.st_dev, left.st_size, left.st_mtime_ns) == (
        right.st_ino,
        right.st_dev,
        right.st_size,
        right.st_mtime_ns,
    )


def _is_folder(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode)


def _to_folder(path: bytes) -> Missing:
    """A folder was asked for without its slash. Two at the beginning would name another host."""
    return Missing(404) if path.startswith(b"//") else Missing(301, path + b"/")


def _media_types(given: Mapping[str, str]) -> dict[str, bytes]:
    values = checked_fields(("Content-Type", value) for value in given.values())
    return {ending: value for ending, (_, value) in zip(given, values, strict=True)}


def _patterns(given: Mapping[str, str] | str | None) -> list[tuple[str, bytes]]:
    pairs = {"*": given} if isinstance(given, str) else given or {}
    values = checked_fields(("Cache-Control", value) for value in pairs.values())
    return [(pattern, value) for pattern, (_, value) in zip(pairs, values, strict=True)]
