"""Forms with files: multipart/form-data, RFC 7578, read by the package `multipart`; with limits, long files on disk.

Content goes from the pieces that arrive to the parts without passing through the package, which is given what stands
between: its search in long content, CPython's, would be a fifth of an upload's CPU.

# Facts about multipart forms
Parts stand between lines of `--` and the boundary that Content-Type names. Each has fields of its own, of which
Content-Disposition holds the name of the form's field, and the file's name where it is a file. Both are whatever the
client likes: a file's name is no path to write to. A browser sends no preamble, so that one is refused here; what
follows the last boundary is ignored, as RFC 2046 section 5.1.1 says.
"""

from __future__ import annotations

import dataclasses
import io
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from vanilla.contract import Request, Response, Worker
from vanilla.steps import Event, Step
from vanilla.toolkit.content_ends import Delimiter
from vanilla.toolkit.content_type import require_content_type
from vanilla.toolkit.preallocation import preallocate
from vanilla.toolkit.refusals import MalformedError, TooLargeError

try:
    import multipart
except ImportError as error:
    raise ImportError(
        "vanilla.toolkit.multipart_forms needs the package multipart: pip install 'vanilla-http[multipart]'"
    ) from error

MULTIPART_TYPE = b"multipart/form-data"
BOUNDARY_BYTES_MAX = 70  # RFC 2046 section 5.1.1
_COPY_BYTES = 256 * 1024
_SMALL_BYTES = 1024
# Gathered for one write, which ends at a multiple of it: ext4 caches long aligned pieces in large pages, for half the
# CPU that pieces of 64 KiB cost which begin anywhere.
_WRITE_BYTES = 512 * 1024
_LONG_BYTES = 1024 * 1024  # of a file whose room on disk is set aside ahead: as much again ...
_GUESSED_BYTES = 2 * 1024 * 1024  # ... up to this much, or what is still to come of its form ...
_ANNOUNCED_BYTES = 8 * 1024 * 1024  # ... up to this much, so that a client who only says so takes no more
_BLOCK_BYTES = 4096  # of a file system
_IOV_MAX = 1024  # of writev(2): Linux's, FreeBSD's and macOS's
FILE_NAME_BYTES_MAX = 150  # leaves room for what you put around it in a file system's 255

_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"')
_PARAMETER_NAME = re.compile(r";\s*([^\s;=]+)\s*=")
_NOT_IN_A_FILE_NAME = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"|?*\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|(?:COM|LPT)[0-9¹²³]) *(?:\..*)?", re.IGNORECASE)

Continuation = Callable[[Request, Response, Worker, Any, Event], Step | None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class MultipartLimits:
    """What a form may hold. Above any of these but the last its client is answered 413. Sizes are bytes.

    Attributes:
        max_bytes: of the whole content, framing included. The server's `max_body_bytes` bounds it before that.
        max_parts: fields and files together.
        max_field_bytes: of the value of one field that is no file.
        max_fields_bytes: of all those values together; they are held in memory.
        max_file_bytes: of one file.
        max_header_bytes: of one field line of a part, of which each may have 8.
        memory_bytes: of all files together that are held in memory; a file that would exceed it is written to an
            unnamed temporary file. What waits to be written with what follows it, up to 512 KiB, counts too.
    """

    max_bytes: int = 64 * 1024 * 1024
    max_parts: int = 128
    max_field_bytes: int = 64 * 1024
    max_fields_bytes: int = 1024 * 1024
    max_file_bytes: int = 16 * 1024 * 1024
    max_header_bytes: int = 4 * 1024
    memory_bytes: int = 1024 * 1024


DEFAULT_LIMITS = MultipartLimits()


class Part:
    """One field of a form, or one file.

    Attributes:
        name: of the form's field; never empty.
        file_name: as the client sent it, None for a field that is no file. Show it, but never open it: `safe_name`
            is for that.
        content_type: as the client sent it, with its parameters; None where it sent none. It may say anything.
        size: bytes of its content.
    """

    __slots__ = (
        "_disk",
        "_gather_bytes",
        "_held",
        "_room",
        "_size_max",
        "_view",
        "_written",
        "content_type",
        "file_name",
        "name",
        "size",
    )

    def __init__(self, name: str, file_name: str | None, content_type: str | None) -> None:
        self.name = name
        self.file_name = file_name
        self.content_type = content_type
        self.size = 0
        # In pieces as they came: joined as they come, they would be copied again and again into fresh pages.
        self._held: list[bytes | bytearray | memoryview] | None = []
        self._disk: BinaryIO | None = None  # without a buffer, until it is complete
        self._gather_bytes = 0
        self._written = self._room = 0  # bytes of the file, and of what is set aside for it
        self._size_max: int | None = None
        self._view: BinaryIO | None = None

    def __del__(self) -> None:
        self.close()  # in silence: nobody is told to close what he may drop

    def __repr__(self) -> str:
        kind = "field" if self.file_name is None else f"file {self.file_name!r}"
        return f"<Part {self.name!r}, {kind} of {self.size} bytes>"

    @property
    def safe_name(self) -> str:
        """`file_name` as `safe_file_name` makes it."""
        return safe_file_name(self.file_name)

    @property
    def is_on_disk(self) -> bool:
        """Whether it is in a temporary file, since `memory_bytes` would not do."""
        return self._disk is not None

    @property
    def file(self) -> BinaryIO:
        """The content as an open file, at its beginning when the form is whole; closed with the form, or with the part
        once nobody has it.
        """
        if self._disk is not None:
            return self._disk
        if self._view is None:
            self._view = io.BytesIO(self.read())
        return self._view

    def read(self) -> bytes:
        """The whole content, in memory. Raises: ValueError once it is closed."""
        if self._disk is not None:
            self._disk.seek(0)
            return self._disk.read()
        content = b"".join(self._pieces())
        self._held = [content]
        return content

    def save(self, path: str | bytes | os.PathLike[str]) -> None:
        """Write the content to a new file. It blocks as long as that takes: `worker.offload` is for long ones.

        Raises: FileExistsError if there is one of that name; OSError as open and write do, and nothing is left then;
            ValueError once it is closed.
        """
        pieces: list[bytes | bytearray | memoryview] = []
        if self._disk is not None:
            self._disk.seek(0)
        else:
            pieces = self._pieces()
        with open(path, "xb") as target:
            try:
                target.writelines(pieces)
                if self._disk is not None:
                    shutil.copyfileobj(self._disk, target, _COPY_BYTES)
                target.flush()
            except BaseException:
                os.unlink(path)
                raise

    def close(self) -> None:
        """Forget the content."""
        self._held = None
        for file in (self._disk, self._view):
            if file is not None:
                file.close()

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Append to the content, as the reader does."""
        self.size += len(data)
        held = self._pieces()
        if len(data) >= _SMALL_BYTES:
            held.append(data)
        elif held and isinstance(held[-1], bytearray) and len(held[-1]) < _COPY_BYTES:
            held[-1] += data  # an object for each byte that a client sends alone would be dear
        else:
            held.append(bytearray(data))
        if self._disk is not None and self.size - self._written >= self._gather_bytes:
            end = self.size - self.size % self._gather_bytes
            if self._room < end:
                self._set_room_aside(end)
            self._write(end)

    def move_to_disk(self, room: int, size_max: int | None) -> None:
        """Go on in a temporary file, which has no name.

        Args:
            room: bytes of what follows that may wait in memory until they are written together.
            size_max: what it may grow to, where that is known.
        """
        self._disk = cast("BinaryIO", tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
        self._gather_bytes = min(max(room, 1), _WRITE_BYTES)
        self._size_max = size_max
        self._set_room_aside(self.size)
        held, self._held, self.size = self._pieces(), [], 0
        for piece in held:
            self.append(piece)

    def complete(self) -> None:
        """Write what still waits, and put the file at its beginning for whoever reads it: nothing more is appended."""
        if self._disk is not None:
            self._write(self.size)
            if self._room > self.size:
                self._disk.truncate(self.size)
            self._disk.seek(0)
            self._disk = io.BufferedRandom(cast("io.FileIO", self._disk))

    def _set_room_aside(self, end: int) -> None:
        """For what comes up to `end`, and behind it, where that is much."""
        assert self._disk is not None
        if end < _LONG_BYTES:
            return
        guessed = end + min(end, _GUESSED_BYTES)
        room = guessed if self._size_max is None else min(self._size_max, end + _ANNOUNCED_BYTES)
        room -= room % _BLOCK_BYTES
        start = max(self._written, self._room)
        if room > start:
            preallocate(self._disk.fileno(), start, room - start)
            self._room = room

    def _write(self, end: int) -> None:
        """Have the file hold the content up to `end`, which lies in the last piece; what follows goes on waiting."""
        assert self._disk is not None
        waiting = [memoryview(piece) for piece in self._pieces()]
        self._held = []
        if end < self.size:
            last = waiting.pop()
            at = len(last) - (self.size - end)
            waiting.append(last[:at])
            self._held.append(last[at:])
        self._written = end
        while waiting:
            written = _write_some(self._disk, waiting)
            while waiting and written >= len(waiting[0]):
                written -= len(waiting.pop(0))
            if written:
                waiting[0] = waiting[0][written:]

    def _pieces(self) -> list[bytes | bytearray | memoryview]:
        """What is in memory."""
        if self._held is None:
            raise ValueError(f"part {self.name!r} was closed")
        return self._held


class MultipartForm:
    """The parts of a form, in their order: iterate over it, count it by `len`, look fields and files up by name.

    It holds temporary files open until it is closed: by `close`, at the end of a `with`, or once nobody has it.
    """

    def __init__(self, parts: list[Part]) -> None:
        self.parts = parts

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __enter__(self) -> MultipartForm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, name: str, default: bytes | None = None) -> bytes | None:
        """The value of the first field called `name` that is no file; `default` where there is none."""
        return next((part.read() for part in self.parts if part.name == name and part.file_name is None), default)

    def get_all(self, name: str) -> list[bytes]:
        """The values of every field called `name` that is no file."""
        return [part.read() for part in self.parts if part.name == name and part.file_name is None]

    def get_text(self, name: str, default: str | None = None) -> str | None:
        """The same as `get`, decoded from UTF-8.

        Raises: MalformedError, answered 400, where the value is not UTF-8.
        """
        value = self.get(name)
        try:
            return default if value is None else value.decode()
        except UnicodeDecodeError as error:
            raise MalformedError(f"field {name!r}: {error.reason} at {error.start}; it has to be UTF-8") from error

    def file(self, name: str) -> Part | None:
        """The first file of the field called `name`; None where there is none.

        A browser sends a field for which no file was chosen as a file of no bytes with an empty name: it counts as
        none here, and stands among the parts.
        """
        return next((part for part in self.files if part.name == name), None)

    @property
    def files(self) -> list[Part]:
        """Every part that is a file, in the order sent."""
        return [part for part in self.parts if part.file_name]

    def close(self) -> None:
        """Forget what the parts hold, on disk too."""
        for part in self.parts:
            part.close()


class MultipartReader:
    """Takes the content of a form in pieces of any size, cut anywhere: `feed` them, then `finish`.

    For handlers that take the content in a way of their own; `read_multipart`, `receive_multipart` and
    `stream_multipart` are made of it.

    Args:
        boundary: what stands between the parts: `find_boundary(request)`.
        limits: what to take.
        content_length: bytes of the whole content, where that is known: room on disk is set aside by it, and writing
            long files is cheaper. It limits nothing.

    Raises: MalformedError for a boundary that is none.
    Source: RFC 7578, RFC 2046 section 5.1.
    """

    def __init__(
        self, boundary: bytes, limits: MultipartLimits = DEFAULT_LIMITS, content_length: int | None = None
    ) -> None:
        if _BOUNDARY.fullmatch(boundary) is None:
            raise MalformedError("boundary: 1 to 70 characters of RFC 2046 section 5.1.1")
        self._limits = limits
        self._content_length = content_length
        self._parts: list[Part] = []
        self._unread: bytes | None = b""  # of a beginning that is too short to tell what it is; then None
        self._received = 0
        self._field_bytes = 0
        self._held_bytes = 0  # of files, in memory
        self._delimiter = b"\r\n--" + boundary
        self._find_end = Delimiter(self._delimiter).find_in
        self._is_in_content = False
        self._is_counted = False  # by the parser: the part says how long its content is
        self._is_over = False  # what follows the last boundary means nothing
        self._tail = b""  # of content: the beginning of a delimiter, perhaps
        self._line = b""  # of a delimiter, as far as it has been read
        self._parser = multipart.PushMultipartParser(
            boundary,
            max_header_size=limits.max_header_bytes,
            max_segment_count=limits.max_parts,
        )

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the content.

        Raises: MalformedError, answered 400, or TooLargeError, answered 413; what was read is forgotten then.
            OSError where a temporary file cannot be written.
        """
        try:
            if type(piece) is not bytes:
                piece = bytes(piece)
            self._received += len(piece)
            if self._received > self._limits.max_bytes:
                raise TooLargeError(f"a form of more than {self._limits.max_bytes} bytes")
            if self._unread is not None:
                piece = self._begin(self._unread + piece)
            if piece:
                self._read(piece)
        except BaseException:
            self.close()
            raise

    def finish(self) -> MultipartForm:
        """The form, once all its content was fed. Raises: MalformedError, answered 400, where its end is missing."""
        try:
            self._parser.close()
        except multipart.MultipartError as error:
            self.close()
            raise MalformedError("the form ends before its last boundary") from error
        return MultipartForm(self._parts)

    def close(self) -> None:
        """Forget what was read, on disk too: for a form that will not be whole."""
        for part in self._parts:
            part.close()

    def _begin(self, data: bytes) -> bytes:
        """What the parser is to read, once it is known that the form begins with its boundary; until then nothing.

        The parser would skip a preamble, differently for different cuts of it.
        """
        start = data.removeprefix(b"\r\n")
        opening = self._delimiter[2:]
        if len(start) < len(opening) + 2:
            self._unread = data
            return b""
        if not start.startswith((opening + b"\r\n", opening + b"--")):
            raise MalformedError("the form does not begin with its boundary")
        self._unread = None
        self._line = b"\r\n"  # as before every other delimiter
        return start

    def _begin_part(self, fields: list[tuple[str, str]], name: str, file_name: str | None) -> Part:
        """A part, once its fields are read.

        The parser overlooks a bare CR in a field line, and takes the last of two dispositions, types or names, where
        others take the first.
        """
        content_type = None
        seen: set[str] = set()
        for field, value in fields:
            if _CONTROL.search(value) is not None:
                raise MalformedError(f"part {len(self._parts) + 1} of the form: control byte in a field")
            if field not in ("Content-Type", "Content-Disposition"):
                continue
            if field in seen:
                raise MalformedError(f"part {len(self._parts) + 1} of the form: two fields {field}")
            seen.add(field)
            if field == "Content-Type":
                content_type = value
            elif (twice := _find_repeated(value)) is not None:
                raise MalformedError(f"part {len(self._parts) + 1} of the form: two parameters {twice}")
        if not name:
            raise MalformedError(f"part {len(self._parts) + 1} of the form has no name")
        return Part(name, file_name, content_type)

    def _take(self, part: Part, data: bytes) -> None:
        """Append to the content of a part, within the limits."""
        limits = self._limits
        size = part.size + len(data)
        if part.file_name is None:
            self._field_bytes += len(data)
            if size > limits.max_field_bytes:
                raise TooLargeError(f"field {part.name[:40]!r} of more than {limits.max_field_bytes} bytes")
            if self._field_bytes > limits.max_fields_bytes:
                raise TooLargeError(f"fields of more than {limits.max_fields_bytes} bytes together")
        elif size > limits.max_file_bytes:
            raise TooLargeError(f"file {part.name[:40]!r} of more than {limits.max_file_bytes} bytes")
        part.append(data)
        if part.file_name is not None and not part.is_on_disk:
            self._held_bytes += len(data)
            if self._held_bytes > limits.memory_bytes:
                self._held_bytes -= size
                part.move_to_disk(limits.memory_bytes - self._held_bytes, self._size_max(size))

    def _size_max(self, size: int) -> int | None:
        """What a file that has so many bytes by now may grow to; None where nobody knows."""
        if self._content_length is None:
            return None
        closing = len(self._delimiter) + 4  # `--` and CRLF
        return size + max(self._content_length - self._received - closing, 0)

    def _read(self, piece: bytes) -> None:
        """Keep what a piece holds of content, and have the parser read what stands between."""
        at = 0
        if self._tail:
            piece, self._tail = self._tail + piece, b""
        try:
            while at < len(piece) and not self._is_over:
                at = self._read_content(piece, at) if self._is_in_content else self._read_line(piece, at)
        except multipart.ParserLimitReached as error:
            raise TooLargeError(f"a form of too many or too large parts: {error}") from error
        except multipart.MultipartError as error:
            raise MalformedError(f"part {len(self._parts) + 1} of the form: {error}") from error

    def _read_content(self, piece: bytes, at: int) -> int:
        """Keep content up to its end, or that of the piece: where to go on."""
        end = self._find_end(piece, at)
        if end > at:
            content = piece if end - at == len(piece) else piece[at:end]
            for data in self._parser.parse(content) if self._is_counted else (content,):
                self._take(self._parts[-1], data)
        if end + len(self._delimiter) > len(piece):
            self._tail = piece[end:]
            return len(piece)
        self._is_in_content = False
        return end

    def _read_line(self, piece: bytes, at: int) -> int:
        """Have the parser read a line of what is no content, or its beginning: where to go on."""
        line = piece[at : piece.find(b"\n", at) + 1 or len(piece)]
        if len(self._line) < len(self._delimiter) + 2:
            self._line += line
            self._is_over = self._line.startswith(self._delimiter + b"--")
        for event in self._parser.parse(line):
            if event is None:
                self._parts[-1].complete()
            elif isinstance(event, multipart.MultipartSegment):
                self._parts.append(self._begin_part(event.headerlist, event.name, event.filename))
                self._is_in_content = True
                self._is_counted = any(field == "Content-Length" for field, _ in event.headerlist)
                self._line = b""
            else:
                self._take(self._parts[-1], event)  # it was the beginning of a delimiter, perhaps
        return at + len(line)


def _write_some(file: BinaryIO, pieces: list[memoryview]) -> int:
    """Bytes of these pieces that went to the file, one at least. Raises: OSError."""
    if hasattr(os, "writev"):  # not in Windows
        return os.writev(file.fileno(), pieces[:_IOV_MAX])
    return file.write(pieces[0])


def _find_repeated(disposition: str) -> str | None:
    """The parameter that comes more than once; None where there is none."""
    seen: set[str] = set()
    for name in map(str.lower, _PARAMETER_NAME.findall(_QUOTED.sub('""', disposition))):
        if name in seen:
            return name
        seen.add(name)
    return None


def find_boundary(request: Request) -> bytes:
    """The boundary that Content-Type names.

    Raises: UnsupportedTypeError, answered 415, for content of another type; MalformedError, 400, without a boundary.
    Source: RFC 7578 section 4.1.
    """
    boundary = require_content_type(request, MULTIPART_TYPE).get(b"boundary")
    if boundary is None:
        raise MalformedError("Content-Type names no boundary")
    return boundary


def _find_length(request: Request) -> int | None:
    """Bytes of the content, where its client said so ahead."""
    length = request.header(b"content-length")
    return None if length is None else int(length.partition(b",")[0])  # a list has the same again, or was refused


def read_multipart(
    request: Request, body: bytes | None = None, *, limits: MultipartLimits = DEFAULT_LIMITS
) -> MultipartForm:
    """The form that a client sent, whose content is there: up to `max_body_bytes` of the server.

    Args:
        request: its Content-Type is checked, and its body read.
        body: the content, where the handler took it itself.
        limits: what to take.

    Raises: UnsupportedTypeError, answered 415; TooLargeError, 413; MalformedError, 400.
    Source: RFC 7578.
    """
    content = request.body if body is None else body
    reader = MultipartReader(find_boundary(request), limits, len(content))
    reader.feed(content)
    return reader.finish()


def receive_multipart(request: Request, then: Continuation, *, limits: MultipartLimits = DEFAULT_LIMITS) -> Step:
    """Take a form as it arrives, in a plain handler that is marked `vanilla.streaming`: return what this returns.

    Args:
        request: its Content-Type is checked, and its content taken by `on_body`.
        then: called as `then(request, response, worker, form, Event.READABLE)` once the form is whole; it returns a
            step, as a handler does. It is not called where the form is refused or the client goes away.
        limits: what to take.

    Returns: Step.SUSPEND.
    Raises: as `read_multipart`, some of it later, in the request's own continuation: the client is answered the status.
    """
    reader = MultipartReader(find_boundary(request), limits, _find_length(request))

    def take(request: Request, response: Response, worker: Worker, piece: Any, event: Event) -> Step | None:
        if event == Event.ERROR:
            reader.close()
            raise piece
        if not piece:
            return then(request, response, worker, reader.finish(), Event.READABLE)
        reader.feed(piece)
        request.on_body(take, on_disconnect=reader.close)
        return Step.SUSPEND

    request.on_body(take, on_disconnect=reader.close)
    return Step.SUSPEND


async def stream_multipart(request: Request, *, limits: MultipartLimits = DEFAULT_LIMITS) -> MultipartForm:
    """Take a form as it arrives, in an `async def` handler that is marked `vanilla.streaming`.

    Raises: as `read_multipart`, and BodyError as `request.stream` does.
    """
    reader = MultipartReader(find_boundary(request), limits, _find_length(request))
    try:
        async for piece in request.stream():
            reader.feed(piece)
        return reader.finish()
    except BaseException:
        reader.close()
        raise


def safe_file_name(name: str | None) -> str:
    """A name to store a client's file under: of the same kind, in no other folder, on any system.

    What stands before the last slash or backslash goes, as do control bytes, characters that turn the direction of
    text, `<>:"|?*`, and dots and spaces at either end; a name that Windows keeps for a device gets `_` in front. 150
    bytes stay at most, the extension among them. `"file"` is what is left of nothing. Two clients may send the same.

    Args:
        name: what the client called it, or None.
    """
    text = re.split(r"[/\\]", unicodedata.normalize("NFC", name or ""))[-1]
    text = _NOT_IN_A_FILE_NAME.sub("", text).strip(". ") or "file"
    stem, dot, extension = text.rpartition(".")
    if not dot or len(extension.encode()) > 20:
        stem, dot, extension = text, "", ""
    room = FILE_NAME_BYTES_MAX - len((dot + extension).encode())
    safe = stem.encode()[:room].decode(errors="ignore").rstrip(". ") + dot + extension or "file"
    return "_" + safe if _DEVICE.fullmatch(safe) is not None else safe  # which is short, if it is one
