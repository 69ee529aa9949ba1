"""Where one response ends and the next begins, seen from the client: RFC 9112 section 6.3. Bytes in, frames out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2}) [^\r\n]*")
_FIELD_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[^\r\n\0]*[^\r\n\0 \t])?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\r\n]*)?")
_SWITCHING_PROTOCOLS = 101


class NotHttpError(ValueError):
    """The bytes are no HTTP/1 response: either a defect of the server, or another protocol has begun."""


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """One whole response: interim (1xx) or final.

    Attributes:
        raw: its bytes as they came.
        status: its status code.
        headers: its field lines in order, values without the whitespace around them.
        body: its content, decoded if it was chunked.
        trailers: the field lines after a chunked body.
    """

    raw: bytes
    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    trailers: tuple[tuple[bytes, bytes], ...] = ()

    def header(self, name: str) -> bytes | None:
        """The first value of field `name`, whatever its case, or None."""
        wanted = name.lower().encode("ascii")
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def closes(self) -> bool:
        """It announces that the connection ends with it."""
        return (self.header("connection") or b"").lower() == b"close"


class ResponseReader:
    """Cuts what arrives on one connection into frames; remembers how far it read, so that a long body is read once."""

    def __init__(self, answers_head: Callable[[int], bool]) -> None:
        self.frames: list[Frame] = []
        self.start = 0  # of the response that has not fully arrived
        self.is_http = True  # until 101, or until something that is no response
        self._answers_head = answers_head  # whether the final response at this position has no body by its request
        self._final_count = 0
        self._head: tuple[int, tuple[tuple[bytes, bytes], ...]] | None = None
        self._body_start = 0
        self._chunks: list[bytes] = []
        self._chunk_at = 0

    def read(self, raw: bytearray, eof: bool) -> None:
        """Take every response that is complete in `raw`, which is all that has arrived, and has ended if `eof`."""
        try:
            while self.is_http and self.start < len(raw):
                if self._head is None and not self._find_head(raw):
                    return
                if not self._find_end(raw, eof):
                    return
        except NotHttpError:
            self.is_http = False

    def _find_head(self, raw: bytearray) -> bool:
        end = raw.find(b"\r\n\r\n", self.start)
        if end < 0:
            if not raw.startswith(b"HTTP/"[: len(raw) - self.start], self.start):
                raise NotHttpError("no status line")
            return False
        status_line, *field_lines = bytes(raw[self.start : end]).split(b"\r\n")
        match = _STATUS_LINE.fullmatch(status_line)
        if match is None:
            raise NotHttpError(f"status line {status_line!r}")
        self._head = int(match[1]), _parse_fields(field_lines)
        self._body_start = self._chunk_at = end + 4
        self._chunks = []
        return True

    def _find_end(self, raw: bytearray, eof: bool) -> bool:
        assert self._head is not None
        status, headers = self._head
        codings = [value.lower() for name, value in headers if name.lower() == b"transfer-encoding"]
        lengths = {value for name, value in headers if name.lower() == b"content-length"}
        is_interim = status < 200
        if is_interim or status in (204, 304) or self._answers_head(self._final_count):
            return self._take(raw, self._body_start, b"")
        if codings:
            if codings != [b"chunked"]:
                raise NotHttpError(f"transfer codings {codings!r}")
            return self._find_last_chunk(raw)
        if lengths:
            if len(lengths) > 1 or not (length := lengths.pop()).isdigit():
                raise NotHttpError("content-length")
            end = self._body_start + int(length)
            return end <= len(raw) and self._take(raw, end, bytes(raw[self._body_start : end]))
        return eof and self._take(raw, len(raw), bytes(raw[self._body_start :]))

    def _find_last_chunk(self, raw: bytearray) -> bool:
        while (line_end := raw.find(b"\r\n", self._chunk_at)) >= 0:
            match = _CHUNK_SIZE.fullmatch(raw, self._chunk_at, line_end)
            if match is None:
                raise NotHttpError("chunk size")
            size = int(match[1], 16)
            if size == 0:
                return self._find_trailers_end(raw, line_end)
            data, end = line_end + 2, line_end + 2 + size
            if len(raw) < end + 2:
                return False
            if raw[end : end + 2] != b"\r\n":
                raise NotHttpError("chunk data without its CRLF")
            self._chunks.append(bytes(raw[data:end]))
            self._chunk_at = end + 2
        return False

    def _find_trailers_end(self, raw: bytearray, last_chunk: int) -> bool:
        end = raw.find(b"\r\n\r\n", last_chunk)
        if end < 0:
            return False
        lines = bytes(raw[last_chunk + 2 : end]).split(b"\r\n") if end > last_chunk else []
        return self._take(raw, end + 4, b"".join(self._chunks), _parse_fields(lines))

    def _take(self, raw: bytearray, end: int, body: bytes, trailers: tuple[tuple[bytes, bytes], ...] = ()) -> bool:
        assert self._head is not None
        status, headers = self._head
        self.frames.append(Frame(bytes(raw[self.start : end]), status, headers, body, trailers))
        self._final_count += status >= 200
        self.is_http = status != _SWITCHING_PROTOCOLS
        self.start, self._head = end, None
        return True


def _parse_fields(lines: list[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    matches = [_FIELD_LINE.fullmatch(line) for line in lines]
    if None in matches:
        raise NotHttpError(f"field lines {lines!r}")
    return tuple((match[1], match[2]) for match in matches if match)
