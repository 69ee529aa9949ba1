"""The Response: what a handler appends to a buffer of the server's, as it stands or framed, and never anything else.

Made by the engine, and by hand, so that a handler is tested by calling it. It belongs to the thread of its worker.
RFC 9110 sections 5, 6 and 15; RFC 9112 sections 6 and 7.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.vanilla.contract.head import ResponseHead, check_field, encode_text
from cython.cimports.vanilla.files import HeldFile, OpenFile, hold_duplicate, measure_file, release_file
from cython.cimports.vanilla.http1.reply import (
    append_chunk,
    append_decimal,
    append_hexadecimal,
    append_status_line,
    find_final_head,
    find_head_end,
)
from cython.cimports.vanilla.net.platform import EBADF, EIO, ENOMEM, read_file

from vanilla.awaitables import READY
from vanilla.recording import RecordedPark, RecordedTakeover

FILE_COPY_BYTES = 16 * 1024  # of a file are cheaper to copy than to hold a descriptor for, and bound how many are held
LENGTH_MAX = 2**63 - 1  # bytes of content that can be counted


@cython.final
@cython.cclass
class Response(ResponseHead):
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
    @cython.exceptval(-1, check=False)
    def append_file_answer(self, before: bytes, behind: bytes, file: OpenFile) -> cython.int:
        """What `start(200, ..., length=file.size)` and `send_file(file)` append, for compiled handlers that keep its
        lines: those before Date, the status line with them, and those behind it, Content-Length and the blank one.
        """
        self.check_unbegun()
        self.append_raw(before)
        if not self.date.append(self.buffer):
            raise MemoryError
        self.append_raw(behind)
        self.coding = BODYLESS if self.framed is not cython.NULL and self.framed.is_head else SIZED
        self.unwritten = file._size
        self.begun_status = 200
        return self.append_file(file, file.fileno(), 0, file._size)

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
        if (self.coding == SIZED or self.is_counted) and count > self.unwritten:
            raise ValueError(f"{count - self.unwritten} bytes more than the length that start() was given")
        if self.encoder is not None:
            return self.encode_file(fd, offset, count)
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
            result = read_file(fd, self.buffer.bytes + self.buffer.length, count, offset)
        if result < count:
            return -result if result < 0 else EIO
        self.buffer.length += count
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def encode_file(self, fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t) -> cython.int:
        """Append a range of a file through the encoder: the kernel cannot send it by itself."""
        part: FilePart
        held: HeldFile
        held.fd = fd
        while count > 0:
            part.file = cython.address(held)
            part.offset = offset
            part.count = min(count, FILE_COPY_BYTES)
            self.append_content(_read_part(cython.address(part)))
            offset += part.count
            count -= part.count
        return 0

    def encode_content(self, encoder: object) -> None:
        """Have the content of an answer that `start` began go through an encoder: what was appended, and what follows.

        For a `before_send` hook, which says Content-Encoding itself. A length that was given is no longer that of what
        is sent: the content goes in chunks, or until the connection closes, and what is written is still held against
        it. Where there is no content, to HEAD say, the head alone is changed. `send_file` reads the file then.

        Args:
            encoder: `encode(data)` returns bytes to send for a piece of content, perhaps none yet; `flush()` those that
                it has kept back, when a part of the answer leaves; `finish()` the last ones.

        Raises: ValueError where `start` was not called, or a file is among what was appended; RuntimeError where no
            head was appended, it has left, or an encoder is there.
        """
        content: bytes
        start: cython.Py_ssize_t = self.find_content(self.locate())
        if self.coding == RAW:
            raise ValueError("encode_content: only what start() began is encoded in pieces; use replace_content()")
        if self.encoder is not None:
            raise RuntimeError("encode_content: the content goes through an encoder already; wrap one in the other")
        if self.buffer.has_files(start, self.buffer.length):
            raise ValueError("encode_content: a file is part of the content")
        if self.coding == BODYLESS:
            if self.begun_status != 204 and self.begun_status != 304:
                self.frame_anew()
            return
        content = self.take_content(start)
        self.buffer.truncate(start)
        self.is_counted = self.coding == SIZED
        self.frame_anew()
        self.encoder = encoder
        if content:
            self.append_framed(encoder.encode(content))
        if self.has_ended:
            self.end_content()
        else:
            self.sync_content()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def frame_anew(self) -> cython.int:
        """Have the end of the content told by other means than a length that is known before."""
        is_old: cython.bint = self.framed is not cython.NULL and self.framed.version == 10
        self.drop_fields(b"content-length")
        self.drop_fields(b"transfer-encoding")
        if not is_old:
            self.insert_line(b"Transfer-Encoding", b"chunked")
        elif self.coding != BODYLESS:
            self.closes = True
        if self.coding != BODYLESS:
            self.coding = UNTIL_CLOSE if is_old else CHUNKED
        return 0

    @cython.cfunc
    def take_content(self, start: cython.Py_ssize_t) -> bytes:
        """A copy of the content from `start` on, the chunks that it was appended in taken off."""
        data: cython.p_const_uchar = self.buffer.bytes
        at: cython.Py_ssize_t = start
        length: cython.Py_ssize_t
        digit: cython.int
        pieces: list = []
        if self.coding != CHUNKED:
            return self.copy(start, self.buffer.length)
        while at < self.buffer.length:
            length = 0
            while data[at] != CR:
                digit = data[at]
                length = length * 16 + (digit - 48 if digit < 58 else digit - 87)
                at += 1
            at += 2
            if length == 0:
                break
            pieces.append(self.copy(at, at + length))
            at += length + 2
        return b"".join(pieces)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sync_content(self) -> cython.int:
        """A part of the answer leaves: what the encoder has kept back goes along."""
        if self.encoder is not None:
            self.append_framed(self.encoder.flush())
        return 0

    def clear(self) -> None:
        """Drop what this handler has appended so far, not what earlier requests were answered.

        Raises: RuntimeError once the head of an answer has left whose content is encoded: that cannot be taken back.
        """
        if self.is_open:
            if self.encoder is not None and self.has_begun:
                raise RuntimeError("clear: what was written has gone through the encoder, and cannot be taken back")
            if self.coding == SIZED and self.has_begun:
                self.unwritten += self.buffer.count_bytes(self.begin)  # all of it is content: the head has left
            self.buffer.truncate(self.begin)
            if not self.has_begun:
                self.forget()
                self.closes = self.framed is not cython.NULL and self.framed.is_last

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
        self.check_unbegun()
        begin: cython.Py_ssize_t = self.buffer.length
        closes: cython.bint = self.closes
        try:
            self.append_start(status, headers, content_type, length)
        except BaseException:
            self.buffer.truncate(begin)
            self.closes = closes
            raise
        self.begun_status = status

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_unbegun(self) -> cython.int:
        """Refuse to begin an answer a second time."""
        self.check_open()
        if self.coding != RAW or self.has_begun or self.buffer.length - self.begin != self.informed:
            raise RuntimeError("start: this answer has begun; call it once, before anything is appended")
        return 0

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
        if self.coding == SIZED or self.is_counted:
            if length > self.unwritten:
                raise ValueError(f"{length - self.unwritten} bytes more than the length that start() was given")
            self.unwritten -= length
        return self.append_framed(piece if self.encoder is None else self.encoder.encode(piece))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_framed(self, data: object) -> cython.int:
        """Append a piece of what the content is sent as."""
        piece: bytes = data if type(data) is bytes else _to_bytes(data)
        length: cython.Py_ssize_t = len(piece)
        if self.coding != CHUNKED:
            return self.append_raw(piece)
        if length > 0 and not append_chunk(
            self.buffer, cython.cast(cython.p_const_uchar, PyBytes_AS_STRING(piece)), length
        ):
            raise MemoryError
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def end_content(self) -> cython.bint:
        """Append what tells the client that the content is whole; False where it is not."""
        if self.encoder is not None:
            self.append_framed(self.encoder.finish())
            self.encoder = None
        if self.coding == CHUNKED:
            self.append_raw(b"0\r\n")
            if self.trailing is not None:
                self.append_raw(self.trailing)
            self.append_raw(b"\r\n")
        self.has_ended = True
        return self.unwritten == 0 or not (self.coding == SIZED or self.is_counted)

    @cython.cfunc
    @cython.exceptval(check=False)
    def forget(self) -> cython.void:
        """Be as new, for the next request or another try."""
        self.coding = RAW
        self.begun_status = 0
        self.informed = 0
        self.has_begun = self.has_ended = self.closes = self.is_counted = False
        self.trailing = self.encoder = None
        self.source = self.awaited = None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def append_field(self, name: object, value: object) -> cython.int:
        """Append one checked field line; 1 if it was Date, else 0."""
        field: bytes = encode_text(name)
        text: bytes = check_field(name, field, value)
        field_length: cython.Py_ssize_t = len(field)
        text_length: cython.Py_ssize_t = len(text)
        start: cython.p_const_uchar = field
        text_start: cython.p_const_uchar = text
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


def _to_bytes(data: object) -> bytes:
    """A copy of anything that is contiguous bytes."""
    if isinstance(data, str):
        raise TypeError("a response takes bytes, not str: encode it first")
    return bytes(memoryview(data))


@cython.cfunc
def _read_part(part: cython.pointer[FilePart]) -> bytes:
    """The bytes of a file that stand for themselves in an answer."""
    data: bytes = PyBytes_FromStringAndSize(cython.NULL, part.count)
    target: cython.p_char = PyBytes_AS_STRING(data)
    at: cython.Py_ssize_t = 0
    result: cython.Py_ssize_t
    while at < part.count:
        with cython.nogil:
            result = read_file(part.file.fd, target + at, part.count - at, part.offset + at)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        if result == 0:
            raise OSError(f"the file became {part.count - at} bytes shorter since send_file()")
        at += result
    return data
