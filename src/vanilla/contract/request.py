"""The Request: one framed message, looked into where it lies in its slab.

Made by the engine, and by hand, so that a handler is tested by calling it. It may be kept, and read on any thread.
"""

from __future__ import annotations

import os
import socket

import cython
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cython.cimports.libc.string import memchr, memcmp, memcpy
from cython.cimports.vanilla.buffers import claim, new_slab, release, view_slab
from cython.cimports.vanilla.http1.body import Chunked, begin_chunked, decode_chunked
from cython.cimports.vanilla.http1.head import parse_head
from cython.cimports.vanilla.net.platform import read_peer_credentials

from vanilla.awaitables import read_all
from vanilla.counters import Credentials
from vanilla.errors import BodyError
from vanilla.limits import OFFSET_MAX, Limits
from vanilla.pieces import Pieces

KEPT_COPY_BYTES = 4096  # of a kept request are copied rather than keep 64 KiB that hundreds of others stood in
_METHODS = (b"GET", b"PUT", b"HEAD", b"POST", b"PATCH", b"TRACE", b"DELETE", b"OPTIONS", b"CONNECT")


@cython.final
@cython.cclass
class Request:
    """One request, framed and validated. Everything read from it is `bytes`, made on first use and kept.

    Keeping a request is safe, on any thread: the bytes that it looks into live as long as it does.

    Args:
        raw: one whole request as it stands on the wire, for tests; chunked content is decoded. The limits are the
            defaults of `Limits`.
        params: what `params` is to say, for a handler that a router would call.

    Raises: ValueError if `raw` is no whole, valid request, naming the status that a server would answer.
    Source: RFC 9112.
    """

    def __cinit__(self) -> None:
        self.framed.slab = cython.NULL
        self.client_fd = -1

    def __init__(self, raw: bytes, *, params: dict[str, bytes] | None = None) -> None:
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
        self._params = params

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
    def params(self) -> dict[str, bytes]:
        """What the variable parts of the route's pattern stand for, decoded: `/users/:id` gives `{"id": b"7"}`. Empty
        where no `vanilla.toolkit.routing.Router` has found the handler.
        """
        if self._params is None:
            self._params = {} if self.route is None else self.route.read_params(self)
        return self._params

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
        if self.framed.is_partial:
            return memoryview(self._body)
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

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_field(self, lower: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.bint:
        """Whether a field of that name, given in lower case, was sent: for compiled handlers, without an object."""
        return find_field(self.framed.slab.bytes, self.framed.fields_start, self.framed.fields_end, lower, length) >= 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_get(self) -> cython.bint:
        """Whether the method is GET, likewise."""
        method: cython.p_const_uchar = self.framed.slab.bytes + self.framed.start
        return self.framed.method_end - self.framed.start == 3 and memcmp(method, b"GET", 3) == 0

    @cython.cfunc
    def read_path(self) -> bytes:
        """`path`, which is not kept where nobody has asked for it before: a compiled handler asks once."""
        target: cython.p_const_uchar = self.framed.slab.bytes + self.framed.target_start
        data: cython.p_const_char = cython.cast(cython.p_const_char, target)
        length: cython.Py_ssize_t = self.framed.target_end - self.framed.target_start
        query: cython.p_const_char
        if self._path is not None or length == 0 or data[0] != b"/":
            return self.path
        query = cython.cast(cython.p_const_char, memchr(data, QUESTION, length))
        return PyBytes_FromStringAndSize(data, length if query is cython.NULL else query - data)

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
        Source: unix(7), SO_PEERCRED; on macOS and FreeBSD getpeereid(3), LOCAL_PEERPID and LOCAL_PEERCRED.
        """
        pid: cython.int = 0
        uid: cython.uint = 0
        gid: cython.uint = 0
        error: cython.int
        if self.client_fd < 0 or self.peer_address.family != 0:
            return None
        error = -read_peer_credentials(self.client_fd, cython.address(pid), cython.address(uid), cython.address(gid))
        if error:
            raise OSError(error, os.strerror(error))
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
        if self.framed.is_partial and self._body is None:
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
        self._params = self.route = self.routed = None

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


def _refusal(part: str, result: int) -> str:
    """What is wrong with hand-made request bytes, in the terms of what a server would do."""
    return f"{part} is not complete" if result == -1 else f"{part} is malformed: a server answers {-result}"
