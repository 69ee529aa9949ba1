"""The head of an answer that has been appended and has not left: looked at, and edited where it lies in the buffer.

Fields that frame the content are the server's: they change with the content alone. RFC 9110 sections 5 and 8.6.
"""

from __future__ import annotations

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.vanilla.http1.head import (
    find_field,
    find_line_end,
    is_field_value,
    is_token,
    skip_space,
    trim_space,
)
from cython.cimports.vanilla.http1.reply import (
    drop_field,
    find_final_head,
    find_head_end,
    parse_length,
    parse_status,
)

_FRAMING_FIELDS = (b"content-length", b"transfer-encoding")


@cython.cclass
class ResponseHead:
    """What a Response knows of the head in its buffer. Nothing is kept of it: every question looks at the bytes."""

    def before_send(self, hook: object, *, otherwise: object = None) -> None:
        """Have a function called once the answer is complete, or its head is about to leave: while it can be changed.

        `hook(request, response, worker)` sees what the client would get, a refusal of the server's included, and may
        edit the head, replace the content, or `clear()` and append another answer. The one registered last is called
        first, once. An answer that is cut off before its head has left has none called. Where a hook raises, the answer
        becomes a 500, or has the status that was raised, and the other hooks see that.

        Args:
            hook: what is called.
            otherwise: called without arguments, once, where `hook` never will be: the client of a request that waits
                went away. On this thread, by the end of the tick.

        Raises: TypeError if one of them cannot be called; RuntimeError once the head has left.
        """
        self.check_open()
        if not callable(hook):
            raise TypeError(f"hook {hook!r}: give a function of (request, response, worker)")
        if otherwise is not None and not callable(otherwise):
            raise TypeError(f"otherwise {otherwise!r}: give a function without arguments")
        if self.has_begun:
            raise RuntimeError("before_send: the head has left")
        if self.hooks is None:
            self.hooks = [hook]
        else:
            self.hooks.append(hook)
        if otherwise is not None:
            self.unsent_calls = [*(self.unsent_calls or ()), otherwise]

    @property
    def recorded_hooks(self) -> list[object]:
        """For tests, on a response made by hand: what `before_send` was given, in that order."""
        return [] if self.hooks is None else self.hooks.copy()

    @property
    def status(self) -> int:
        """The status of the answer that was appended; 0 while there is none, interim answers aside."""
        head: cython.Py_ssize_t = self.find_head()
        return 0 if head < 0 else parse_status(self.buffer.bytes, head, self.buffer.length)

    @property
    def content_length(self) -> int | None:
        """Bytes of content that the head announces; None where it does not: in chunks, or until the connection closes.

        Raises: RuntimeError where no whole head was appended, or it has left.
        """
        head: cython.Py_ssize_t = self.locate()
        value: bytes = self.find_value(head, b"content-length")
        if value is None:
            return None
        length: cython.longlong = parse_length(value, 0, len(value))
        return None if length < 0 else length

    def header(self, name: str | bytes, default: bytes | None = None) -> bytes | None:
        """The value of the first field called `name`, in any case, without the space around it; else `default`.

        Raises: RuntimeError where no whole head was appended, or it has left.
        """
        value: bytes = self.find_value(self.locate(), encode_text(name).lower())
        return default if value is None else value

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Every field in its order: (name as appended, value without the space around it). Raises as `header`."""
        fields: list = []
        head: cython.Py_ssize_t = self.locate()
        data: cython.p_const_uchar = self.buffer.bytes
        end: cython.Py_ssize_t = self.find_content(head) - 2
        at: cython.Py_ssize_t = find_line_end(data, head, end) + 2
        line_end: cython.Py_ssize_t
        colon: cython.Py_ssize_t
        value: cython.Py_ssize_t
        while at < end:
            line_end = find_line_end(data, at, end)
            colon = at
            while colon < line_end and data[colon] != 58:
                colon += 1
            value = skip_space(data, min(colon + 1, line_end), line_end)
            fields.append((data[at:colon], data[value : trim_space(data, value, line_end)]))
            at = line_end + 2
        return fields

    def set_header(self, name: str | bytes, value: str | bytes) -> None:
        """Have one field of that name: those that there are go, in any case, and this one comes last.

        Args:
            name: of the field, ASCII.
            value: of the field, ASCII or bytes.

        Raises: ValueError as in `reply`; RuntimeError where no whole head was appended, or it has left.
        """
        field: bytes = encode_text(name)
        self.locate()
        check_field(name, field, value)  # before anything is dropped
        self.drop_fields(field.lower())
        self.insert_field(field, value)

    def add_header(self, name: str | bytes, value: str | bytes) -> None:
        """Append one more field, behind those that there are. Raises as `set_header`."""
        self.locate()
        self.insert_field(encode_text(name), value)

    def remove_header(self, name: str | bytes) -> None:
        """Drop every field of that name, in any case. Raises as `set_header`."""
        lower: bytes = encode_text(name).lower()
        self.locate()
        if lower in _FRAMING_FIELDS:
            raise ValueError(f"header {name!r}: it frames the content, and goes with it alone")
        self.drop_fields(lower)

    @property
    def content(self) -> bytes | None:
        """The content of an answer that is complete; None where its length does not frame it, or a file is part of it.

        Raises: RuntimeError where no whole head was appended, or it has left.
        """
        head: cython.Py_ssize_t = self.locate()
        start: cython.Py_ssize_t = self.find_content(head)
        value: bytes = self.find_value(head, b"content-length")
        if value is None or self.buffer.has_files(start, self.buffer.length):
            return None
        if parse_length(value, 0, len(value)) != self.buffer.length - start:
            return None
        return PyBytes_FromStringAndSize(
            cython.cast(cython.p_const_char, self.buffer.bytes) + start, self.buffer.length - start
        )

    def replace_content(self, data: bytes) -> None:
        """Have other content in the place of that of a complete answer, and Content-Length say so.

        Raises: ValueError where `content` is None; RuntimeError where no whole head was appended, or it has left.
        """
        if self.content is None:
            raise ValueError(
                "replace_content: only an answer that is complete, and framed by its length, can be changed"
            )
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        self.buffer.truncate(self.find_content(self.locate()))
        self.drop_fields(b"content-length")
        self.insert_line(b"Content-Length", b"%d" % len(data))
        if not self.buffer.append(data, len(data)):
            raise MemoryError

    # Where it lies.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_open(self) -> cython.int:
        """Refuse writes that would land in another request's answer."""
        if not self.is_open:
            raise RuntimeError("this response belongs to a request whose handler has returned")
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def find_head(self) -> cython.Py_ssize_t:
        """Where the head of the final answer begins, or -1 where there is none."""
        if not self.is_open or self.has_begun:
            return -1
        return find_final_head(self.buffer.bytes, self.begin, self.buffer.length)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def locate(self) -> cython.Py_ssize_t:
        """Where the whole head of the final answer begins."""
        head: cython.Py_ssize_t
        self.check_open()
        if self.has_begun:
            raise RuntimeError("the head of this answer has left")
        head = self.find_head()
        if head < 0 or find_head_end(self.buffer.bytes, head, self.buffer.length) < 0:
            raise RuntimeError("no whole head was appended yet")
        return head

    @cython.cfunc
    @cython.exceptval(check=False)
    def find_content(self, head: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where what follows the head begins that `locate` found."""
        return find_head_end(self.buffer.bytes, head, self.buffer.length)

    @cython.cfunc
    def find_value(self, head: cython.Py_ssize_t, lower: bytes) -> bytes:
        """The value of the first field named `lower`, or None."""
        data: cython.p_const_uchar = self.buffer.bytes
        end: cython.Py_ssize_t = self.find_content(head) - 2
        at: cython.Py_ssize_t = find_line_end(data, head, end) + 2
        at = find_field(data, at, end, lower, len(lower))
        if at < 0:
            return None
        end = find_line_end(data, at, end)
        at = skip_space(data, at + 1, end)
        return data[at : trim_space(data, at, end)]

    # Changing it.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop_fields(self, lower: bytes) -> cython.int:
        """Drop every field named `lower`."""
        drop_field(self.buffer, self.locate(), lower, len(lower))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def insert_field(self, field: bytes, value: object) -> cython.int:
        """Insert one field line behind the others, checked."""
        text: bytes = check_field(field, field, value)
        if field.lower() == b"connection" and b"close" in text.lower():
            self.closes = True
        return self.insert_line(field, text)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def insert_line(self, field: bytes, text: bytes) -> cython.int:
        """Insert one field line behind the others."""
        line: bytes = b"%b: %b\r\n" % (field, text)
        if not self.buffer.insert(self.find_content(self.locate()) - 2, line, len(line)):
            raise MemoryError
        return 0


@cython.cfunc
def encode_text(text: object) -> bytes:
    """A field's name or value as the bytes that it is written with."""
    if type(text) is bytes:
        return text
    if isinstance(text, str):
        return text.encode("ascii")
    raise TypeError(f"{text!r} in a header: give str or bytes")


@cython.cfunc
def check_field(name: object, field: bytes, value: object) -> bytes:
    """The bytes of a field's value, unless its line would be none, or frame the content."""
    text: bytes = encode_text(value)
    if not is_token(field, 0, len(field)):
        raise ValueError(f"header name {name!r}: only letters, digits and !#$%&'*+-.^_`|~ may stand in one")
    if not is_field_value(text, 0, len(text)):
        raise ValueError(f"header {name!r}: value {value!r} holds a control byte, which would split the response")
    if field.lower() in _FRAMING_FIELDS:
        raise ValueError(f"header {name!r}: the server writes it itself; append raw bytes for other framing")
    return text
