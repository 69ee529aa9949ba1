"""Fields of requests that may come in several lines, as one value; and those that a server is told to send, looked at
before it does. RFC 9110 sections 5.2 and 5.3.
"""

from __future__ import annotations

from collections.abc import Iterable

import cython
from cython.cimports.vanilla.contract.request import Request
from cython.cimports.vanilla.http1.head import find_field, find_line_end, skip_space, trim_space

from vanilla.contract.response import Response


def combined(request: Request, name: str | bytes, separator: bytes = b", ") -> bytes | None:
    """The values of every field called `name`, in any case, joined in the order sent; None where there is none.

    `request.header` gives the first alone. What several lines of a field that has one value (two Content-Type, say)
    make has not the form of one, and is refused or ignored as any malformed value is.

    Args:
        name: a field name, ASCII.
        separator: what to join by; `b"; "` for Cookie (RFC 9113 section 8.2.3).

    Source: RFC 9110 sections 5.2 and 5.3.
    """
    lower: bytes = (name.encode("ascii") if isinstance(name, str) else name).lower()
    data: cython.p_const_uchar = request.framed.slab.bytes
    end: cython.Py_ssize_t = request.framed.fields_end
    at: cython.Py_ssize_t = find_field(data, request.framed.fields_start, end, lower, len(lower))
    start: cython.Py_ssize_t
    line_end: cython.Py_ssize_t
    value: object = None
    piece: bytes
    while at >= 0:
        line_end = find_line_end(data, at, end)
        start = skip_space(data, at + 1, line_end)
        piece = request.copy(start, trim_space(data, start, line_end))
        value = piece if value is None else cython.cast(bytes, value) + separator + piece
        at = find_field(data, line_end + 2, end, lower, len(lower))
    return value


def checked_fields(fields: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields that an option names, as bytes: what no answer can have is refused now, not with each answer.

    Raises: ValueError as `response.reply` does, which names the field.
    Source: RFC 9110 sections 5.1 and 5.5.
    """
    checked: list = [
        tuple([text.encode("ascii") if isinstance(text, str) else bytes(text) for text in field]) for field in fields
    ]
    Response().start(200, checked)
    return checked
