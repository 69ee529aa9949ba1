"""What a handler sees: the Request, the Response it appends to, the Worker it runs on.

All three are made by the engine and can be made by hand, so that a handler is tested by calling it. They belong to the
thread of their worker; a Request may be kept and read anywhere.
"""

from __future__ import annotations

import math
import os
import socket
import struct

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.string import memcmp, memcpy
from cython.cimports.vanilla.buffers import claim, new_slab, release, view_slab
from cython.cimports.vanilla.files import HeldFile, OpenFile, hold_duplicate, measure_file, release_file
from cython.cimports.vanilla.http1.body import Chunked, begin_chunked, decode_chunked
from cython.cimports.vanilla.http1.head import parse_head
from cython.cimports.vanilla.http1.reply import (
    append_chunk,
    append_decimal,
    append_hexadecimal,
    append_status_line,
    find_final_head,
    find_head_end,
)
from cython.cimports.vanilla.net.posix import EBADF, EIO, ENOMEM, errno, pread

from vanilla.awaitables import READY, read_all
from vanilla.counters import Counters, Credentials
from vanilla.errors import BodyError
from vanilla.limits import OFFSET_MAX, Limits
from vanilla.pieces import Pieces
from vanilla.recording import RecordedPark, RecordedTakeover, RecordingLoop

LIMIT_NAMES = (
    "max_target_bytes",
    "max_header_bytes",
    "max_headers",
    "max_body_bytes",
    "max_chunk_extension_bytes",
    "read_timeout",
    "keepalive_timeout",
    "write_timeout",
    "min_receive_rate",
    "min_send_rate",
    "max_connections",
    "accept_timeout",
    "max_requests_per_connection",
    "max_pending_bytes",
    "linger_timeout",
    "suspend_timeout",
)
LIMIT_TARGET, LIMIT_HEADER_BYTES, LIMIT_HEADERS, LIMIT_BODY, LIMIT_EXTENSION, LIMIT_READ, LIMIT_KEEPALIVE = range(7)
LIMIT_WRITE, LIMIT_RECEIVE_RATE, LIMIT_SEND_RATE, LIMIT_CONNECTIONS, LIMIT_ACCEPT, LIMIT_REQUESTS = range(7, 13)
LIMIT_PENDING, LIMIT_LINGER, LIMIT_SUSPEND = range(13, 16)

FILE_COPY_BYTES = 16 * 1024  # of a file are cheaper to copy than to hold a descriptor for, and bound how many are held
KEPT_COPY_BYTES = 4096  # of a kept request are copied rather than keep 64 KiB that hundreds of others stood in
LENGTH_MAX = 2**63 - 1  # bytes of content that can be counted
_METHODS = (b"GET", b"PUT", b"HEAD", b"POST", b"PATCH", b"TRACE", b"DELETE", b"OPTIONS", b"CONNECT")
_FRAMING_FIELDS = (b"content-length", b"transfer-encoding")


@cython.final
@cython.cclass
class Request:
    """One request, framed and validated. Everything read from it is `bytes`, made on first use and kept.

    Keeping a request is safe, on any thread: the bytes that it looks into live as long as it does.

    Args:
        raw: one whole request as it stands on the wire, for tests; chunked content is decoded. The limits are the
            defaults of `Limits`.

    Raises: ValueError if `raw` is no whole, valid request, naming the status that a server would answer.
    Source: RFC 9112.
    """

    def __cinit__(self) -> None:
        self.framed.slab = cython.NULL
        self.client_fd = -1

    def __init__(self, raw: bytes) -> None:
        data: bytes = bytes(raw)
        length: cython.Py_ssize_t = len(data)
        end: cython.Py_ssize_t
        head: Head = Head()
        chunked: Chunked
        limits = Limits()
        if self.framed.slab is not cython.NULL:
            raise ValueError("a request is filled once; make another")
        self.framed.slab = new_slab(length)
        if self.framed.slab is cython.NULL:
            raise MemoryError
        self.has_claim = True
        memcpy(self.framed.slab.bytes, PyBytes_AS_STRING(data), length)
        end = parse_head(
            head,
            self.framed.slab.bytes,
            0,
            length,
            limits.max_target_bytes,
            limits.max_header_bytes,
            limits.max_headers,
        )
        if end < 0:
            raise ValueError(_refusal("the head", end))
        self.framed.start = head.start
        self.framed.method_end = head.method_end
        self.framed.target_start = head.target_start
        self.framed.target_end = head.target_end
        self.framed.fields_start = head.fields_start
        self.framed.fields_end = head.fields_end
        self.framed.version = head.version
        self.framed.is_head = head.is_head
        self.framed.content_start = self.framed.content_end = end
        if head.is_chunked:
            chunked = Chunked()
            begin_chunked(chunked, end, OFFSET_MAX, limits.max_chunk_extension_bytes, limits.max_header_bytes)
            end = decode_chunked(chunked, self.framed.slab.bytes, end, length)
            if end < 0:
                raise ValueError(_refusal("the chunked content", end))
            self.framed.content_end = chunked.decoded_end
        elif head.content_length > 0:
            if end + head.content_length > length:
                raise ValueError(_refusal("the content", -1))
            end += head.content_length
            self.framed.content_end = end
        if end != length:
            raise ValueError(f"{length - end} bytes after the end of the request")

    def __dealloc__(self) -> None:
        if self.has_claim:
            release(self.framed.slab)

    def __repr__(self) -> str:
        return f"<Request {self.method.decode()} {self.target.decode()}>"

    @property
    def method(self) -> bytes:
        """The method, as sent; `b"GET"` and its like are one constant each. RFC 9110 section 9."""
        start: cython.p_const_char
        length: cython.Py_ssize_t
        if self._method is None:
            self.is_read = True
            start = cython.cast(cython.p_const_char, self.framed.slab.bytes) + self.framed.start
            length = self.framed.method_end - self.framed.start
            for known in _METHODS:
                if PyBytes_GET_SIZE(known) == length and memcmp(PyBytes_AS_STRING(known), start, length) == 0:
                    self._method = known
                    return known
            self._method = PyBytes_FromStringAndSize(start, length)
        return self._method

    @property
    def target(self) -> bytes:
        """The request target, as sent: `b"/a?b=1"`, `b"http://host/a"`, `b"host:443"`, `b"*"`. RFC 9112 section 3.2."""
        if self._target is None:
            self.is_read = True
            self._target = self.copy(self.framed.target_start, self.framed.target_end)
        return self._target

    @property
    def path(self) -> bytes:
        """The path of the target, not decoded, without the query; `b"*"` for asterisk-form, `b""` for CONNECT."""
        if self._path is None:
            self.split_target()
        return self._path

    @property
    def query(self) -> bytes:
        """What follows the first `?` of the target, not decoded; `b""` where there is none."""
        if self._query is None:
            self.split_target()
        return self._query

    @property
    def version(self) -> bytes:
        """`b"HTTP/1.1"` or `b"HTTP/1.0"`."""
        return b"HTTP/1.1" if self.framed.version == 11 else b"HTTP/1.0"

    @property
    def body(self) -> bytes:
        """The whole content, chunked coding taken off; `b""` where there is none."""
        if self._body is None:
            self.check_whole()
            self.is_read = True
            self._body = self.copy(self.framed.content_start, self.framed.content_end)
        return self._body

    @property
    def body_view(self) -> memoryview:
        """The content as a read-only memoryview: no copy, and the bytes live as long as the view."""
        self.check_whole()
        return view_slab(
            self.framed.slab, self.framed.content_start, self.framed.content_end - self.framed.content_start
        )

    @property
    def raw(self) -> memoryview:
        """Head and content as a read-only memoryview, chunked coding taken off in place.

        Where the content is still to come, what came along with the head; once the request has waited, the head alone.
        """
        return view_slab(self.framed.slab, self.framed.start, self.framed.content_end - self.framed.start)

    def header(self, name: str | bytes, default: bytes | None = None) -> bytes | None:
        """The value of the first field called `name`, in any case, without the space around it; else `default`.

        Args:
            name: a field name, ASCII.
            default: what to answer where no such field was sent.
        """
        lower: bytes = (name.encode("ascii") if isinstance(name, str) else name).lower()
        data: cython.p_const_uchar = self.framed.slab.bytes
        end: cython.Py_ssize_t = self.framed.fields_end
        at: cython.Py_ssize_t = find_field(data, self.framed.fields_start, end, lower, len(lower))
        if at < 0:
            return default
        end = find_line_end(data, at, end)
        at = skip_space(data, at + 1, end)
        return self.copy(at, trim_space(data, at, end))

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Every field in the order sent: (name as sent, value without the space around it)."""
        fields: list = []
        data: cython.p_const_uchar = self.framed.slab.bytes
        at: cython.Py_ssize_t = self.framed.fields_start
        line_end: cython.Py_ssize_t
        colon: cython.Py_ssize_t
        value: cython.Py_ssize_t
        while at < self.framed.fields_end:
            line_end = find_line_end(data, at, self.framed.fields_end)
            colon = at
            while data[colon] != COLON:
                colon += 1
            value = skip_space(data, colon + 1, line_end)
            fields.append((self.copy(at, colon), self.copy(value, trim_space(data, value, line_end))))
            at = line_end + 2
        return fields

    @property
    def peer(self) -> tuple[str, int] | None:
        """The client's address and port; None on a unix socket and for a request made by hand."""
        family: cython.int = self.peer_address.family
        if family == 0:
            return None
        host: bytes = PyBytes_FromStringAndSize(
            cython.cast(cython.p_const_char, self.peer_address.host), 4 if family == int(socket.AF_INET) else 16
        )
        return socket.inet_ntop(family, host), self.peer_address.port

    def peer_credentials(self) -> Credentials | None:
        """Process, user and group of the client of a unix socket, while its request is being handled; else None.

        Raises: OSError if the kernel does not say.
        Source: unix(7), SO_PEERCRED.
        """
        if self.client_fd < 0 or self.peer_address.family != 0:
            return None
        size = struct.calcsize("3i")
        peer = socket.socket(fileno=self.client_fd)
        try:
            pid, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        finally:
            peer.detach()
        return Credentials(pid, uid, gid) if pid else None

    @property
    def disconnected(self) -> bool:
        """Whether the client went away while this request waited: its connection was reset or closed by both sides.

        A client that only shut its writing side is not gone: it still reads its answer. Any thread may ask.
        """
        return self.has_left

    def on_body(self, continuation: object, *, on_disconnect: object = None) -> None:
        """Go on with the next piece of the content: register, and return `Step.SUSPEND`.

        Then `continuation(request, response, worker, piece, Event.READABLE)` is called, once: with bytes, or with
        `b""` at the end of the content. Registering again asks for the piece after it; the client is read no faster
        than that. Where the content is refused, it is called with a `BodyError` and `Event.ERROR`: `raise` it to
        answer its status. Content that was there at the call is one piece.

        Args:
            continuation: what goes on.
            on_disconnect: called without arguments, on this thread, if the client goes away while the request waits.

        Raises: TypeError if `continuation` cannot be called; RuntimeError outside the request's own call.
        """
        if not callable(continuation):
            raise TypeError(
                f"continuation {continuation!r}: give a function of (request, response, worker, piece, event)"
            )
        if self.loop is not None:
            self.loop.go_on_with_content(self, continuation, on_disconnect)
        elif self.framed.received_ns == 0:
            self.awaited = continuation
        else:
            raise RuntimeError("on_body: this request has been answered")

    def stream(self) -> object:
        """`async for piece in request.stream()`: the content, piece by piece, for `async def` handlers.

        The client is read no faster than the pieces are asked for. Content that is there already is one piece.
        Raises (when iterated): BodyError where the content is refused; RuntimeError outside a coroutine, in two at
            once, or after the answer.
        """
        return Pieces(self._next_piece)

    def read(self) -> object:
        """`await request.read()`: the whole content, or what is left of it. Raises as `stream`."""
        return read_all(Pieces(self._next_piece))

    @property
    def recorded(self) -> object:
        """For tests, on a request made by hand: the continuation that `on_body` was given last, to be called with
        pieces of your choice; else None.
        """
        return self.awaited

    def _next_piece(self) -> object:
        if not self.framed.is_partial:
            return self.take_whole()
        if self.has_left:
            raise BodyError(400, "the client went away before its content was whole")
        if self.loop is None:
            raise RuntimeError("stream: this request has been answered")
        return self.loop.next_piece(self)

    @cython.cfunc
    def take_whole(self) -> bytes:
        """Content that is all there, as a piece: once, then its end."""
        if self.has_given:
            return b""
        self.has_given = self.is_read = True
        return self.body

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_whole(self) -> cython.int:
        """Refuse to show a part of the content as if it were all."""
        if self.framed.is_partial:
            raise RuntimeError("the content is still to come: use on_body(), or stream() and read() in `async def`")
        return 0

    @property
    def on_disconnect(self) -> str | None:
        """What becomes of the coroutine that answers this request when its client goes away: `"cancel"` cancels it at
        its next await, `"ignore"` lets it come to its end, unheard. None, as at first, is what `ServerConfig` says.

        Raises (when set): ValueError for anything else.
        """
        return (None, "cancel", "ignore")[self.after_disconnect]

    @on_disconnect.setter
    def on_disconnect(self, value: str | None) -> None:
        if value not in (None, "cancel", "ignore"):
            raise ValueError(f"on_disconnect={value!r}: give 'cancel', 'ignore', or None for what the server does")
        self.is_read = True
        self.after_disconnect = IGNORE if value == "ignore" else CANCEL if value == "cancel" else 0

    @property
    def tls(self) -> None:
        """What TLS agreed on; None on a plain connection."""
        return None

    @cython.cfunc
    def copy(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """The bytes of the slab in [start, end)."""
        return PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, self.framed.slab.bytes) + start, end - start)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def split_target(self) -> cython.int:
        """Make path and query: an absolute-form target begins with scheme and authority, RFC 9112 section 3.2.2."""
        data: cython.p_const_uchar = self.framed.slab.bytes
        at: cython.Py_ssize_t = self.framed.target_start
        end: cython.Py_ssize_t = self.framed.target_end
        query: cython.Py_ssize_t
        self.is_read = True
        self._query = b""
        if data[at] != 47 and not (data[at] == 42 and end - at == 1):
            if self.method == b"CONNECT":
                self._path = b""
                return 0
            while data[at] != COLON:
                at += 1
            at = find_path(data, at + 3, end)
        query = at
        while query < end and data[query] != QUESTION:
            query += 1
        self._path = self.copy(at, query) if query > at else b"/"
        if query < end:
            self._query = self.copy(query + 1, end)
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def forget(self) -> cython.void:
        """Drop what was made of the last request: the engine reuses an object that its handler did not keep."""
        self.is_read = self.has_given = False
        self.after_disconnect = 0
        self._method = self._target = self._path = self._query = self._body = None

    @cython.cfunc
    @cython.exceptval(check=False)
    def keep(self) -> cython.void:
        """The handler kept this object: hold on to its bytes, and let go of the connection's descriptor.

        A small request gets a copy of its own: it should not keep a whole slab from being used again.
        """
        start: cython.int = self.framed.start
        length: cython.int = self.framed.content_end - start
        own: cython.pointer[Slab] = cython.NULL
        if length <= KEPT_COPY_BYTES:
            own = new_slab(length)
        if own is cython.NULL:
            claim(self.framed.slab)
        else:
            memcpy(own.bytes, self.framed.slab.bytes + start, length)
            self.framed.slab = own
            self.framed.start = 0
            self.framed.method_end -= start
            self.framed.target_start -= start
            self.framed.target_end -= start
            self.framed.fields_start -= start
            self.framed.fields_end -= start
            self.framed.content_start -= start
            self.framed.content_end -= start
        self.has_claim = True
        self.client_fd = -1

    @cython.cfunc
    @cython.exceptval(check=False)
    def leave(self) -> cython.void:
        """The client is gone: its descriptor may be another's by now."""
        self.has_left = True
        self.client_fd = -1
        self.loop = None
        self.parked = cython.NULL


def _to_bytes(data: object) -> bytes:
    """A copy of anything that is contiguous bytes."""
    if isinstance(data, str):
        raise TypeError("a response takes bytes, not str: encode it first")
    return bytes(memoryview(data))


def _refusal(part: str, result: int) -> str:
    """What is wrong with hand-made request bytes, in the terms of what a server would do."""
    return f"{part} is not complete" if result == -1 else f"{part} is malformed: a server answers {-result}"


@cython.cfunc
def _read_part(part: cython.pointer[FilePart]) -> bytes:
    """The bytes of a file that stand for themselves in an answer."""
    data: bytes = os.pread(part.file.fd, part.count, part.offset)
    while len(data) < part.count:
        more: bytes = os.pread(part.file.fd, part.count - len(data), part.offset + len(data))
        if not more:
            raise OSError(f"the file became {part.count - len(data)} bytes shorter since send_file()")
        data += more
    return data


@cython.final
@cython.cclass
class Response:
    """The answer to one request: append-only. What is appended is what the client gets, byte for byte.

    `response += data` and `response.write(data)` append raw bytes; `reply` appends one complete response. After `start`
    what is appended is content, and framed as the head said. Made by hand (`Response()`), `bytes(response)` is what a
    handler appended. Between requests the server's own is closed.

    Raises (every appending call): RuntimeError outside the call that it was handed to.
    """

    def __cinit__(self) -> None:
        self.is_open = True
        self.begin = 0
        self.closes = False

    def __init__(self) -> None:
        if self.buffer is not None:
            raise ValueError("a response is set up once; make another")
        self.buffer = ResponseBuffer()
        self.date = DateLine()

    def __iadd__(self, data: object) -> Response:
        self.append(data)
        return self

    def __len__(self) -> int:
        """Bytes appended so far."""
        return self.buffer.count_bytes(self.begin) if self.is_open else 0

    def __bytes__(self) -> bytes:
        """A copy of what was appended so far."""
        at: cython.Py_ssize_t = self.begin
        index: cython.int
        pieces: list = []
        if not self.is_open:
            return b""
        for index in range(self.buffer.file_count):
            if self.buffer.files[index].at >= at:
                pieces.append(self.copy(at, self.buffer.files[index].at))
                pieces.append(_read_part(cython.address(self.buffer.files[index])))
                at = self.buffer.files[index].at + 1
        pieces.append(self.copy(at, self.buffer.length))
        return b"".join(pieces)

    @cython.cfunc
    def copy(self, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """The bytes of the buffer in [start, end)."""
        return PyBytes_FromStringAndSize(cython.cast(cython.p_const_char, self.buffer.bytes) + start, end - start)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append raw bytes; after `start`, content.

        Raises: TypeError for anything that is not contiguous bytes; ValueError for more than the length that `start`
            was given; MemoryError.
        """
        self.append(data)

    def send_file(self, file: object, offset: int = 0, count: int | None = None) -> None:
        """Append bytes of a file, which the kernel sends without their passing through the server: sendfile(2).

        They stand in order with what else is appended: behind a head with Content-Length, or as content after `start`.
        The file is kept open until they are sent, so that the caller may close it at once; its position is left alone.
        Files up to 16 KiB are read here and now. A file that becomes shorter before it is sent closes the connection.

        Args:
            file: a regular file, open for reading: its descriptor, an object with `fileno()`, or an `OpenFile`, which
                is the cheapest way to send one again and again.
            offset: of the first byte.
            count: how many, 0 or more; without it, those up to the end of the file.

        Raises: ValueError for what is no regular file, or not open for reading, for a range that reaches beyond the end
            of the file, and for more than the length that `start` was given; OSError if the descriptor is closed, or
            none is left; RuntimeError without a whole head before it. Nothing is appended then.
        Source: sendfile(2).
        """
        kept: OpenFile = file if type(file) is OpenFile else None
        fd: cython.int
        size: cython.longlong
        start: cython.longlong
        length: cython.longlong
        self.check_open()
        if kept is not None:
            fd = kept.fileno()
            size = kept._size
        else:
            number: object = file
            if type(file) is not int:  # asking a number for an attribute costs more than the rest
                number = file.fileno() if hasattr(file, "fileno") else file
                if not isinstance(number, int):
                    raise TypeError(f"file {file!r}: give a descriptor, an open file, or an OpenFile")
            fd = number
            size = measure_file(fd, file)
        try:
            start = offset
            length = size - start if count is None else count
        except OverflowError:
            start = length = -1
        if not 0 <= start <= size or not 0 <= length <= size - start:
            raise ValueError(f"offset {offset!r}, count {count!r}: the file has {size} bytes; give a range within them")
        if self.coding == RAW and not self.has_begun and not self.has_head():
            raise RuntimeError("send_file: append the head first, or call start()")
        self.append_file(kept, fd, start, length)

    @cython.cfunc
    @cython.exceptval(check=False)
    def has_head(self) -> cython.bint:
        """Whether what was appended begins with the whole head of a final answer."""
        head: cython.Py_ssize_t = find_final_head(self.buffer.bytes, self.begin, self.buffer.length)
        return head >= 0 and find_head_end(self.buffer.bytes, head, self.buffer.length) >= 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_file(
        self, kept: OpenFile | None, fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.int:
        """Append a range of a file, framed as content is; a short one as bytes."""
        error: cython.int = 0
        begin: cython.Py_ssize_t = self.buffer.length
        if self.coding == BODYLESS or count == 0:
            return 0
        if self.coding == SIZED and count > self.unwritten:
            raise ValueError(f"{count - self.unwritten} bytes more than the length that start() was given")
        if not self.buffer.reserve(min(count, FILE_COPY_BYTES) + 20):  # 16 digits and two line ends at most
            raise MemoryError
        if self.coding == CHUNKED:
            append_hexadecimal(self.buffer, count)
            self.buffer.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2)
        if count > FILE_COPY_BYTES:
            error = self.append_held(kept, fd, offset, count)
        else:
            error = self.append_copy(fd, offset, count)
        if error:
            self.buffer.truncate(begin)
            raise OSError(error, f"send_file: fd {fd}: {os.strerror(error)}")
        if self.coding == CHUNKED:
            self.buffer.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2)
        elif self.coding == SIZED:
            self.unwritten -= count
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def append_held(
        self, kept: OpenFile | None, fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.int:
        """Append a range that is sent by sendfile; 0, or the errno."""
        error: cython.int = EBADF
        held: cython.pointer[HeldFile]
        held = hold_duplicate(fd, cython.address(error)) if kept is None else kept.claim()
        if held is cython.NULL:
            return error
        if not self.buffer.append_file(held, offset, count):
            release_file(held)
            return ENOMEM
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def append_copy(self, fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t) -> cython.int:
        """Append a range as bytes, for which there is room; 0, or the errno."""
        result: cython.Py_ssize_t
        with cython.nogil:
            result = pread(fd, self.buffer.bytes + self.buffer.length, count, offset)
        if result < count:
            return errno if result < 0 else EIO
        self.buffer.length += count
        return 0

    def clear(self) -> None:
        """Drop what this handler has appended so far, not what earlier requests were answered."""
        if self.is_open:
            if self.coding == SIZED and self.has_begun:
                self.unwritten += self.buffer.count_bytes(self.begin)  # all of it is content: the head has left
            self.buffer.truncate(self.begin)
            if not self.has_begun:
                self.forget()

    def park(self, *, on_disconnect: object = None) -> object:
        """`Worker.park` for the request that this answers: in an `async def` handler, also after it has waited."""
        self.check_open()
        if self.loop is None:
            self.awaited = RecordedPark(on_disconnect)
            return self.awaited
        return self.loop.park_answer(self, on_disconnect)

    def start(
        self,
        status: int,
        headers: object = (),
        *,
        content_type: str | bytes | None = None,
        length: object = None,
    ) -> None:
        """Append the head of an answer whose content follows by `write`, in pieces.

        The content is sent as it stands if its length is given, in chunks to an HTTP/1.1 client, and until the
        connection closes to an HTTP/1.0 client. An answer to HEAD, a 204 and a 304 have none: what is written is
        dropped. When the handler is done the answer ends; nothing else need be called.

        Args:
            status: any final status in the IANA registry.
            headers: as in `reply`.
            content_type: written as the Content-Type field where it is given.
            length: bytes of content, 0 or more, if known. To write more is refused; to write less cuts the answer off.

        Raises: ValueError as in `reply`; RuntimeError if something was appended before, interim answers aside.
        Source: RFC 9112 section 6.
        """
        self.check_open()
        begin: cython.Py_ssize_t = self.buffer.length
        closes: cython.bint = self.closes
        if self.coding != RAW or self.has_begun or begin - self.begin != self.informed:
            raise RuntimeError("start: this answer has begun; call it once, before anything is appended")
        try:
            self.append_start(status, headers, content_type, length)
        except BaseException:
            self.buffer.truncate(begin)
            self.closes = closes
            raise
        self.status = status

    def inform(self, status: int = 103, headers: object = ()) -> None:
        """Append an interim answer, such as 103 Early Hints with its Link fields, in front of the final one.

        Args:
            status: an interim status in the IANA registry, but 100, which the server sends, and 101.
            headers: as in `reply`.

        It leaves with the final answer, or earlier at a flush or a suspension. HTTP/1.0 clients get none.
        Raises: ValueError as in `reply`; RuntimeError once the final answer has begun.
        Source: RFC 9110 section 15.2, RFC 8297.
        """
        self.check_open()
        begin: cython.Py_ssize_t = self.buffer.length
        closes: cython.bint = self.closes
        if self.coding != RAW or self.has_begun or begin - self.begin != self.informed:
            raise RuntimeError("inform: the final answer has begun; interim ones come before it")
        try:
            if status in (100, 101) or status >= 200 or not append_status_line(self.buffer, status):
                raise ValueError(f"status {status!r}: give an interim status but 100 and 101, such as 103")
            self.append_fields(None, headers)
            if not self.buffer.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2):
                raise MemoryError
        except BaseException:
            self.buffer.truncate(begin)
            raise
        finally:
            self.closes = closes
        if self.framed is not cython.NULL and self.framed.version == 10:
            self.buffer.truncate(begin)
        self.informed += self.buffer.length - begin

    def trailers(self, fields: object) -> None:
        """Send fields behind the content, such as a checksum of it. Only a chunked answer has room; others drop them.

        Args:
            fields: as `headers` in `reply`; the last call wins.

        Raises: ValueError as in `reply`; RuntimeError before `start`.
        Source: RFC 9110 section 6.5.
        """
        self.check_open()
        begin: cython.Py_ssize_t = self.buffer.length
        closes: cython.bint = self.closes
        if self.coding == RAW:
            raise RuntimeError("trailers: call start() first; raw answers write their own")
        try:
            self.append_fields(None, fields)
            self.trailing = PyBytes_FromStringAndSize(
                cython.cast(cython.p_const_char, self.buffer.bytes) + begin, self.buffer.length - begin
            )
        finally:
            self.buffer.truncate(begin)
            self.closes = closes

    def stream(self, source: object) -> None:
        """Have the content pulled from an iterable once the handler has returned, as fast as the client takes it.

        The next piece is asked for only when the client has taken what went before, but for `Limits.low_water_bytes`:
        a slow client costs the memory of one piece. A generator is closed when the client goes away. What it raises is
        logged, and cuts the answer off.

        Args:
            source: an iterable of bytes or, on a server of `async def` handlers, an asynchronous one.

        Raises: TypeError for what cannot be iterated, or is itself bytes. Without `start` before it, the answer is a
            200 of application/octet-stream.
        """
        self.check_open()
        if isinstance(source, bytes | bytearray | memoryview | str):
            raise TypeError(f"stream: {type(source).__name__} given; write() takes bytes, stream() an iterable of them")
        if not hasattr(source, "__aiter__"):
            source = iter(source)
        if self.coding == RAW:
            self.start(200, content_type=b"application/octet-stream")
        self.source = source

    def on_drained(self, continuation: object, payload: object = None) -> None:
        """Go on once the client has taken what was written, but for `Limits.low_water_bytes`: register, and return
        `Step.SUSPEND`.

        Then `continuation(request, response, worker, payload, Event.WRITABLE)` is called, once, in a later tick. This
        is how a handler that writes much keeps to the pace of its client.

        Raises: TypeError if `continuation` cannot be called; RuntimeError outside the handler's call.
        """
        self.check_open()
        if not callable(continuation):
            raise TypeError(
                f"continuation {continuation!r}: give a function of (request, response, worker, payload, event)"
            )
        if self.loop is None:
            self.awaited = (continuation, payload)
        else:
            self.loop.go_on_drained_with(self, continuation, payload)

    def takeover(self, protocol: object) -> object:
        """Have another protocol speak on this connection, once the answer that switches to it is complete.

        Append that answer, a 101 or a 2xx to CONNECT, before or after, as raw bytes, and return `Step.DONE` or nothing;
        where it waits, the connection changes hands when the answer is complete. Everything that the client sent behind
        its request, and all that follows, is for the protocol.

        Args:
            protocol: an object with three methods, called on the worker's own thread: `received(data)` with bytes,
                `drained()` when more than `Limits.high_water_bytes` were unsent and no more than `low_water_bytes` are,
                and `closed(reason)`, once and last: None after an end in order, else the exception that ended it. Two
                more are optional: `ended()` when the client sends nothing more, which without it closes the connection,
                and `draining()` when a shutdown asks it to say its last words. What they raise is logged, and closes
                this connection.

        Returns: the connection, a `vanilla.Takeover`; usable at once, what it sends leaves behind the answer.
        Raises: TypeError if a method is missing; ValueError if the client asked for no other protocol: by CONNECT, or
            by the connection option `upgrade`; RuntimeError after `start`, or a second time; ConnectionResetError if
            the client is gone.
        Source: RFC 9110 sections 7.8 and 9.3.6.
        """
        self.check_open()
        if self.loop is None:
            self.awaited = RecordedTakeover(protocol)
            return self.awaited
        return self.loop.take_over(self, protocol)

    @property
    def recorded(self) -> object:
        """For tests, on a response made by hand: what it waits for. (continuation, payload) of `on_drained`, what
        `park` or `takeover` returned, what `stream` was given; else None.
        """
        return self.awaited if self.source is None else self.source

    @property
    def unsent(self) -> int:
        """Bytes of this connection's answers that the client has not taken yet, those appended in this call aside."""
        return 0 if self.loop is None else self.loop.count_unsent_of(self)

    def flush(self) -> object:
        """`await response.flush()` sends what was written, and waits until the client has no more to take than
        `Limits.low_water_bytes`. For `async def` handlers.

        Raises: RuntimeError where what was appended is no head, or outside a coroutine.
        """
        self.check_open()
        return READY if self.loop is None else self.loop.flush_answer(self)

    def reply(
        self,
        status: int,
        body: bytes | bytearray | memoryview = b"",
        *,
        content_type: str | bytes | None = None,
        headers: object = (),
    ) -> None:
        """Append one complete response: status line, Date, the fields, Content-Length, and the content.

        Args:
            status: any status in the IANA registry but an interim one, 100 to 199.
            body: the content, bytes; 204, 205 and 304 have none.
            content_type: written as the Content-Type field where it is given.
            headers: further fields, a mapping or (name, value) pairs, each `str` (ASCII) or `bytes`. A Date among them
                replaces the server's; a Connection field that says close closes the connection.

        Raises: ValueError for an unknown status, content where there is none, a name that is no token, a value with a
            control byte (CR, LF and NUL split responses), Content-Length or Transfer-Encoding among `headers`.
            Nothing is appended then.
        Source: RFC 9110 sections 5, 6 and 15.
        """
        self.check_open()
        begin: cython.Py_ssize_t = self.buffer.length
        closes: cython.bint = self.closes
        if self.coding != RAW:
            raise RuntimeError("reply: this answer has begun with start(); write() its content")
        try:
            self.append_reply(status, body, content_type, headers)
        except BaseException:
            self.buffer.truncate(begin)
            self.closes = closes
            raise

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_reply(self, status: cython.int, body: object, content_type: object, headers: object) -> cython.int:
        """Append in the order that fields are looked for: Date, then the handler's, then the framing."""
        is_bodyless: cython.bint = status == 204 or status == 304
        length: cython.Py_ssize_t = len(body) if type(body) is bytes else memoryview(body).nbytes
        if status < 200 or not append_status_line(self.buffer, status):
            raise ValueError(f"status {status!r}: give a final status of the IANA registry, 200 to 599")
        if length > 0 and (is_bodyless or status == 205):
            raise ValueError(f"status {status} has no content, but {length} bytes were given")
        if not self.append_fields(content_type, headers) and not self.date.append(self.buffer):
            raise MemoryError
        if not is_bodyless:
            if not self.buffer.append(cython.cast(cython.p_const_uchar, b"Content-Length: "), 16):
                raise MemoryError
            if not append_decimal(self.buffer, length):
                raise MemoryError
            if not self.buffer.append(cython.cast(cython.p_const_uchar, b"\r\n\r\n"), 4):
                raise MemoryError
            self.append(body)
        elif not self.buffer.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2):
            raise MemoryError
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_fields(self, content_type: object, headers: object) -> cython.int:
        """Append Content-Type and the handler's fields; 1 if Date was among them, else 0."""
        has_date: cython.int = 0
        if content_type is not None:
            self.append_field(b"Content-Type", content_type)
        if headers:
            for name, value in headers.items() if hasattr(headers, "items") else headers:
                has_date |= self.append_field(name, value)
        return has_date

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_start(self, status: cython.int, headers: object, content_type: object, length: object) -> cython.int:
        """Append a head, and decide how the content behind it is framed."""
        is_head: cython.bint = self.framed is not cython.NULL and self.framed.is_head
        coding: cython.int = CHUNKED
        if status < 200 or not append_status_line(self.buffer, status):
            raise ValueError(f"status {status!r}: give a final status of the IANA registry, 200 to 599")
        if length is not None and (isinstance(length, bool) or not isinstance(length, int) or length < 0):
            raise ValueError(f"length {length!r}: give a number of bytes, 0 or more, or leave it out")
        if length is not None and length > (0 if status == 205 else LENGTH_MAX):
            raise ValueError(f"length {length!r}: more than a {status} can have")
        if not self.append_fields(content_type, headers) and not self.date.append(self.buffer):
            raise MemoryError
        if status == 204 or status == 304:
            coding = BODYLESS
        elif length is not None or status == 205:
            coding = SIZED
            self.unwritten = length or 0
            self.append_raw(b"Content-Length: %d\r\n" % self.unwritten)
        elif self.framed is not cython.NULL and self.framed.version == 10:
            coding = UNTIL_CLOSE
            self.closes = True
        else:
            self.append_raw(b"Transfer-Encoding: chunked\r\n")
        self.append_raw(b"\r\n")
        self.coding = BODYLESS if is_head else coding
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_content(self, data: object) -> cython.int:
        """Append a piece of the content, framed."""
        piece: bytes = data if type(data) is bytes else _to_bytes(data)
        length: cython.Py_ssize_t = len(piece)
        if self.coding == BODYLESS or length == 0:
            return 0
        if self.coding == CHUNKED:
            if not append_chunk(self.buffer, cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(piece)), length):
                raise MemoryError
            return 0
        if self.coding == SIZED:
            if length > self.unwritten:
                raise ValueError(f"{length - self.unwritten} bytes more than the length that start() was given")
            self.unwritten -= length
        return self.append_raw(piece)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_content(self) -> cython.bint:
        """Append what tells the client that the content is whole; False where it is not."""
        if self.coding == CHUNKED:
            self.append_raw(b"0\r\n")
            if self.trailing is not None:
                self.append_raw(self.trailing)
            self.append_raw(b"\r\n")
        return self.coding != SIZED or self.unwritten == 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def forget(self) -> cython.void:
        """Be as new, for the next request or another try."""
        self.coding = RAW
        self.status = 0
        self.informed = 0
        self.has_begun = self.closes = False
        self.trailing = None
        self.source = self.awaited = None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_field(self, name: object, value: object) -> cython.int:
        """Append one checked field line; 1 if it was Date, else 0."""
        field: bytes = name.encode("ascii") if isinstance(name, str) else name
        text: bytes = value.encode("ascii") if isinstance(value, str) else value
        field_length: cython.Py_ssize_t = len(field)
        text_length: cython.Py_ssize_t = len(text)
        start: cython.p_const_uchar = field
        text_start: cython.p_const_uchar = text
        if not is_token(start, 0, field_length):
            raise ValueError(f"header name {name!r}: only letters, digits and !#$%&'*+-.^_`|~ may stand in one")
        if not is_field_value(text_start, 0, text_length):
            raise ValueError(f"header {name!r}: value {value!r} holds a control byte, which would split the response")
        if field.lower() in _FRAMING_FIELDS:
            raise ValueError(f"header {name!r}: reply() writes it itself; append raw bytes for other framing")
        if equals(start, 0, field_length, b"connection", 10) and b"close" in text.lower():
            self.closes = True
        if not self.buffer.reserve(field_length + text_length + 4):
            raise MemoryError
        self.buffer.append(start, field_length)
        self.buffer.append(cython.cast(cython.p_const_uchar, b": "), 2)
        self.buffer.append(text_start, text_length)
        self.buffer.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2)
        return equals(start, 0, field_length, b"date", 4)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append(self, data: object) -> cython.int:
        """Append anything that is contiguous bytes; bytes themselves without a detour."""
        if not self.is_open:
            self.check_open()
        return self.append_raw(data) if self.coding == RAW else self.append_content(data)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_raw(self, data: object) -> cython.int:
        """Append bytes as they stand."""
        is_copied: cython.bint
        if type(data) is bytes:
            is_copied = self.buffer.append(
                cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(data)), PyBytes_GET_SIZE(data)
            )
            if not is_copied:
                raise MemoryError
            return 0
        return self.append_raw(_to_bytes(data))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_open(self) -> cython.int:
        """Refuse writes that would land in another request's answer."""
        if not self.is_open:
            raise RuntimeError("this response belongs to a request whose handler has returned")
        return 0


@cython.final
@cython.cclass
class Draining:
    """Whether the server shuts down, as a flag; awaited, the moment at which streams should come to their end.

    The flag is true as soon as the shutdown begins. The wait ends a little later: answers that are short are finished
    first, for half of the grace at most.
    """

    def __bool__(self) -> bool:
        return self.worker.is_draining

    def __repr__(self) -> str:
        return f"<Draining: {bool(self)}>"

    def __await__(self) -> object:
        return self.worker._reach_loop().wait_drained().__await__()


@cython.final
@cython.cclass
class Worker:
    """The thread that a handler runs on: its own listener, event loop, connections and state.

    Args:
        state: what `make_state()` returned on this thread; handlers may set it.
        index: 0 for the first worker of a server.
    """

    def __cinit__(self) -> None:
        self.is_draining = False

    def __init__(self, state: object = None, index: int = 0) -> None:
        self.state = state
        self.index = index

    def __repr__(self) -> str:
        return f"<Worker {self.index}>"

    @property
    def draining(self) -> Draining:
        """Whether the server is shutting down: finish what is short, begin nothing long.

        Awaited, it lets a coroutine that streams wait for the moment to end its stream: see `Draining`.
        """
        draining: Draining = Draining.__new__(Draining)
        draining.worker = self
        return draining

    def on_drain(self, function: object, *args: object) -> None:
        """Have `function(*args)` called once on this thread when a shutdown has come to the streams that are open:
        when all short answers are finished, or half of the grace is over. It is the moment for their last words.

        What it raises is logged. Called after that moment, it is called in the next tick.
        """
        self._reach_loop().on_drain(function, args)

    def write_each(self, parked: list, data: bytes, unsent_max: int) -> list:
        """Write one piece of content to each of many streams at once: `Parked.write`, at little more than the cost of
        sending.

        Args:
            parked: handles whose answers have begun with `start`.
            data: the piece.
            unsent_max: bytes; a client that has more than this to take already is given nothing.

        Returns: the handles that were given nothing: those whose client does not keep up, or is gone.
        Raises: as `Parked.write`, for the first handle that it is wrong for, once all others have been written to.
        """
        return self._reach_loop().write_each(parked, data, unsent_max)

    def watch_fd(
        self,
        fd: int,
        interest: int,
        continuation: object,
        payload: object = None,
        *,
        timeout: float | None = None,
        on_disconnect: object = None,
    ) -> object:
        """Go on with this request once a descriptor is ready: register, and return `Step.SUSPEND`.

        Then `continuation(request, response, worker, payload, event)` is called, once, on this thread, and returns a
        step: `Step.SUSPEND` after another watch, or the end. Of several watches the first that is ready decides what
        goes on; the rest stay until they are ready, cancelled, or the request is answered. What was appended before
        a suspension is sent at once. Later requests of the same client wait in order.

        Args:
            fd: a descriptor that can be polled: socket, pipe, timerfd, eventfd, inotify; best non-blocking. It is the
                request's own: the continuation closes it, and if the client goes away first, the worker does.
            interest: `Interest.READABLE`, `Interest.WRITABLE`, or both.
            continuation: what goes on.
            payload: handed to the continuation.
            timeout: seconds until it is called with `Event.TIMEOUT` instead; default `Limits.suspend_timeout`.
            on_disconnect: called with the payload if the client goes away first, before the descriptor is closed.

        Returns: the watch; `cancel()` ends it, and its descriptor stays open.
        Raises: ValueError if the descriptor is watched already; OSError if it is closed, or is a regular file;
            RuntimeError outside a request.
        Source: epoll_ctl(2).
        """
        return self._reach_loop().watch_fd(fd, interest, continuation, payload, timeout, on_disconnect, False)

    def watch_fd_persistent(
        self, fd: int, interest: int, continuation: object, payload: object = None, *, timeout: float | None = None
    ) -> object:
        """Call `continuation(None, None, worker, payload, event)` whenever a descriptor is ready, until cancelled.

        For what outlives requests: a database connection, a timerfd, an inotify. It belongs to no request and stays
        open whoever goes away; answer requests that wait for it by their `park()` handles. A continuation that leaves
        the descriptor ready is called again in the next tick.

        Args, Returns, Raises: as `watch_fd`; `timeout` is one call with `Event.TIMEOUT`, and the watch goes on.
        """
        return self._reach_loop().watch_fd(fd, interest, continuation, payload, timeout, None, True)

    def park(self, *, on_disconnect: object = None) -> object:
        """A handle for the request that is being handled, to return `Step.SUSPEND` with and to go on with it by.

        Args:
            on_disconnect: called without arguments, on this thread, if the client goes away while the request waits.

        Returns: the handle, a `Parked`: `resume` has a continuation called; where the answer has begun with `start`,
            `write` sends more of it, `finish` ends it and `abort` cuts it off.
        Raises: RuntimeError outside a request.
        """
        return self._reach_loop().park_current(on_disconnect)

    def call_later(self, seconds: float, function: object, *args: object) -> object:
        """Call `function(*args)` once, on this worker's thread, `seconds` from now.

        Args:
            seconds: 0 or more; resolution 1 ms; it may be late after a long tick, never early.
            function: what it raises is logged with its traceback, and the worker goes on.

        Returns: the timer; `cancel()` before it is due forgets it.
        Raises: ValueError if `seconds` is negative or not finite; TypeError if `function` cannot be called.
        Source: the monotonic clock, clock_gettime(2).
        """
        return self._reach_loop().call_later(seconds, function, args)

    def call_at(self, when: float, function: object, *args: object) -> object:
        """Call `function(*args)` once when `time.monotonic()` has reached `when`; otherwise as `call_later`."""
        if not abs(when) <= 1e10:  # three centuries; NaN is neither
            raise ValueError(f"when {when!r}: give a time on the clock of time.monotonic()")
        return self._reach_loop().call_at_ns(math.ceil(when * 1e9), function, args)

    def readable(self, fd: int) -> object:
        """`await worker.readable(fd)`: wait, in an `async def` handler, until a descriptor can be read.

        Returns: the `Event` bits that ended the wait, when awaited; `HANGUP` and `ERROR` end it too.
        Raises: as `watch_fd`; RuntimeError where the server's handler is no `async def`.
        """
        return self._reach_loop().wait_fd(fd, 1)

    def writable(self, fd: int) -> object:
        """`await worker.writable(fd)`: likewise, until it can be written."""
        return self._reach_loop().wait_fd(fd, 2)

    def sleep(self, seconds: float) -> object:
        """`await worker.sleep(seconds)`: `asyncio.sleep` on the worker's own timers, cheaper where many sleep.

        Raises: as `call_later`, when awaited; RuntimeError where the server's handler is no `async def`.
        """
        return self._reach_loop().sleep(seconds)

    def offload(self, function: object, *args: object, then: object = None) -> object:
        """Have blocking work done on another thread: `function(*args)`, in a copy of the present context.

        In an `async def` handler await it: `await worker.offload(fn, *args)` is what it returns, or raises. A plain
        handler gives a continuation and returns `Step.SUSPEND`: then `then(request, response, worker, future,
        Event.RESUMED)` is called, and `future.result()` returns or raises what the function did.

        Each worker has `ServerConfig.offload_threads` threads, started when needed, and room for `offload_queue` calls
        that wait. A client that goes away does not stop a call that runs; `request.disconnected` tells it.

        Raises: OverloadError if the queue is full: let through, it answers 503.
        Source: concurrent.futures.
        """
        return self._reach_loop().offload(function, args, then)

    def post(self, function: object, *args: object) -> None:
        """Have `function(*args)` called on this worker's thread in its next tick. Any thread; in the order posted.

        What it raises is logged, and the worker goes on. However many posts come, the worker is woken once.
        Raises: RuntimeError if the worker has ended.
        """
        self._reach_loop().post(function, args)

    def _reach_loop(self) -> object:
        """The event loop below; for a worker made by hand one that records, see `vanilla.recording`."""
        if self.loop is None:
            self.loop = RecordingLoop()
        return self.loop

    @property
    def recorded(self) -> object:
        """For tests, on a worker made by hand: what was asked of it, as a `RecordingLoop`."""
        return self._reach_loop()

    def counters(self) -> Counters:
        """What this worker has counted so far. Any thread, no lock."""
        counts: cython.pointer[Counts] = cython.address(self.counts)
        return Counters(
            counts.accepted,
            counts.open,
            counts.requests,
            counts.bytes_received,
            counts.bytes_sent,
            counts.responses[1],
            counts.responses[2],
            counts.responses[3],
            counts.responses[4],
            counts.responses[5],
            counts.in_flight,
            counts.parked,
            counts.ticks,
            counts.gil_held_ns,
            counts.handler_since_ns,
            {name: counts.limits[index] for index, name in enumerate(LIMIT_NAMES) if counts.limits[index]},
        )
