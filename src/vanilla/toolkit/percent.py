"""Percent-encoding, RFC 3986 section 2.1, strict: bytes in, bytes out. A malformed escape is the client's mistake."""

from __future__ import annotations

import cython

from vanilla.toolkit.refusals import MalformedError

PERCENT, PLUS, SPACE = 37, 43, 32

# RFC 3986 section 2.3: what stands for itself everywhere.
UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def digit_value(octet: cython.int) -> cython.int:
    """The value of a hexadecimal digit in either case, else -1."""
    if 48 <= octet <= 57:
        return octet - 48
    octet |= 32
    return octet - 87 if 97 <= octet <= 102 else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_fault(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the first `%` in data[start:end] that two hexadecimal digits do not follow, else -1."""
    at: cython.Py_ssize_t = start
    while at < end:
        if data[at] == PERCENT:
            if end - at < 3 or digit_value(data[at + 1]) < 0 or digit_value(data[at + 2]) < 0:
                return at
            at += 2
        at += 1
    return -1


@cython.cfunc
def decode_checked(data: bytes, start: cython.Py_ssize_t, end: cython.Py_ssize_t, is_form: cython.bint) -> bytes:
    """data[start:end] decoded, in which find_fault found nothing; `+` is a space where it is a form's."""
    source: cython.p_const_uchar = data
    at: cython.Py_ssize_t
    length: cython.Py_ssize_t = end - start
    octet: cython.int
    used: cython.Py_ssize_t = 0
    is_coded: cython.bint = False
    for at in range(start, end):
        if source[at] == PERCENT:
            length -= 2
            is_coded = True
        elif source[at] == PLUS:
            is_coded = True
    if not is_coded:
        return source[start:end]  # of a pointer, which costs a third of a slice of `data`
    if cython.compiled:
        decoded: bytes = PyBytes_FromStringAndSize(cython.NULL, length)
        target: cython.p_uchar = cython.cast(cython.p_uchar, PyBytes_AS_STRING(decoded))
    else:
        target = bytearray(length)
    at = start
    while at < end:
        octet = source[at]
        if octet == PERCENT:
            octet = digit_value(source[at + 1]) * 16 + digit_value(source[at + 2])
            at += 2
        elif octet == PLUS and is_form:
            octet = SPACE
        target[used] = octet
        used += 1
        at += 1
    return decoded if cython.compiled else bytes(target)


def decode(data: bytes) -> bytes:
    """`data` with each escape replaced by its byte, once: `b"%2541"` becomes `b"%41"`. `+` stays what it is.

    Args:
        data: a part of a target, such as a segment of its path. Split first and decode then: what is decoded may hold
            the delimiters, NUL included.

    Returns: `data` itself where it holds no escape.
    Raises: MalformedError, answered 400, for a `%` that two hexadecimal digits do not follow.
    Source: RFC 3986 section 2.1.
    """
    check(data)
    return decode_checked(data, 0, len(data), False)


def decode_form(data: bytes) -> bytes:
    """The same for a name or a value of a form or a query, where `+` is a space.

    Source: WHATWG URL, application/x-www-form-urlencoded parsing.
    """
    check(data)
    return decode_checked(data, 0, len(data), True)


@cython.ccall
@cython.exceptval(-1, check=False)
def check(data: bytes) -> cython.int:
    """Refuse `data` if it holds a malformed escape; 0 where it does not."""
    at: cython.Py_ssize_t = find_fault(data, 0, len(data))
    if at >= 0:
        raise MalformedError(f"escape {data[at : at + 3]!r} at {at}: two hexadecimal digits must follow a %")
    return 0


def encode(data: bytes, safe: bytes = b"") -> bytes:
    """`data` with all but unreserved characters escaped, in capital digits: what `decode` takes back.

    Args:
        data: any bytes; encode text as UTF-8 first.
        safe: further characters to leave as they are, such as `b"/"` for a path of several segments.

    Returns: `data` itself where nothing is to be escaped.
    Source: RFC 3986 sections 2.1 and 2.3.
    """
    plain = UNRESERVED + safe
    if not data.translate(None, plain):
        return data
    return b"".join([bytes((octet,)) if octet in plain else b"%%%02X" % octet for octet in data])
