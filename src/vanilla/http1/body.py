"""Chunked transfer coding, RFC 9112 section 7.1: decoded in place, resumable at every byte, linear however it is split.

    chunked-body = *chunk last-chunk trailer-section CRLF
    chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    last-chunk   = 1*"0" [ chunk-ext ] CRLF
    chunk-ext    = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )

Extensions are skipped, trailer fields are checked and dropped: sections 7.1.1 and 7.1.2 let a recipient do both.
"""

from __future__ import annotations

import cython

if not cython.compiled:
    from vanilla.http1.head import _CLASS, BAD_REQUEST, COLON, CR, HTAB, INCOMPLETE, LF, SP, TOKEN, VALUE

CONTENT_TOO_LARGE, FIELDS_TOO_LARGE = -413, -431
CHUNK_BYTES_MAX = 2**40  # a size above it is malformed: refused long before a sum could overflow
QUOTE, SEMICOLON, BACKSLASH = 34, 59, 92

# What the next byte is. A state machine by bytes, but for the data, which moves in one piece.
SIZE_FIRST, SIZE, SPACE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF = range(8)
TRAILER_FIRST, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF, LAST_LF = range(8, 13)
EXTENSION_FIRST, QUOTED, ESCAPED = range(13, 16)


@cython.final
@cython.cclass
class Chunked:
    """How far one chunked body has been decoded.

    The decoded content is data[content_start:decoded_end]; it never passes the byte that is read next.
    """


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def begin_chunked(
    chunked: Chunked,
    content_start: cython.Py_ssize_t,
    content_bytes_max: cython.Py_ssize_t,
    extension_bytes_max: cython.Py_ssize_t,
    trailer_bytes_max: cython.Py_ssize_t,
) -> cython.void:
    """Expect the first chunk size; decoded content is to stand at `content_start` and after."""
    chunked.state = SIZE_FIRST
    chunked.unread = 0
    chunked.content_start = chunked.decoded_end = content_start
    chunked.extension_bytes = chunked.trailer_bytes = 0
    chunked.content_bytes_max = content_bytes_max
    chunked.extension_bytes_max = extension_bytes_max
    chunked.trailer_bytes_max = trailer_bytes_max


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def decode_chunked(
    chunked: Chunked, data: cython.p_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Offset one past the body if it ends in data[at:end]; INCOMPLETE if all was consumed; else a negated status."""
    length: cython.Py_ssize_t
    digit: cython.int
    octet: cython.uchar
    while at < end:
        if chunked.state == DATA:
            length = min(chunked.unread, end - at)
            if cython.compiled:
                memmove(data + chunked.decoded_end, data + at, length)
            else:
                data[chunked.decoded_end : chunked.decoded_end + length] = data[at : at + length]
            chunked.decoded_end += length
            chunked.unread -= length
            at += length
            if chunked.unread == 0:
                chunked.state = DATA_CR
            continue
        octet = data[at]
        at += 1
        if chunked.state == SIZE_FIRST or chunked.state == SIZE:
            digit = hex_digit(octet)
            if digit >= 0:
                if chunked.unread == 0 and chunked.state == SIZE:
                    chunked.extension_bytes += 1  # leading zeros are as idle as an extension, and bounded with it
                chunked.unread = chunked.unread * 16 + digit
                if chunked.unread > CHUNK_BYTES_MAX or chunked.extension_bytes > chunked.extension_bytes_max:
                    return BAD_REQUEST
                chunked.state = SIZE
            elif chunked.state == SIZE_FIRST:
                return BAD_REQUEST
            elif octet == CR:
                chunked.state = SIZE_LF
            else:
                chunked.state = SPACE
                at -= 1
        elif chunked.state == EXTENSION and octet == CR:
            chunked.state = SIZE_LF
        elif chunked.state == SPACE or chunked.state == EXTENSION or chunked.state >= EXTENSION_FIRST:
            chunked.extension_bytes += 1
            chunked.state = next_in_extension(chunked.state, octet)
            if chunked.state < 0 or chunked.extension_bytes > chunked.extension_bytes_max:
                return BAD_REQUEST
        elif chunked.state == SIZE_LF:
            if octet != LF:
                return BAD_REQUEST
            if chunked.decoded_end - chunked.content_start + chunked.unread > chunked.content_bytes_max:
                return CONTENT_TOO_LARGE
            chunked.state = DATA if chunked.unread > 0 else TRAILER_FIRST
        elif chunked.state == DATA_CR:
            if octet != CR:
                return BAD_REQUEST
            chunked.state = DATA_LF
        elif chunked.state == DATA_LF:
            if octet != LF:
                return BAD_REQUEST
            chunked.state = SIZE_FIRST
        elif chunked.state == LAST_LF:
            return at if octet == LF else BAD_REQUEST
        else:
            chunked.trailer_bytes += 1
            if chunked.trailer_bytes > chunked.trailer_bytes_max:
                return FIELDS_TOO_LARGE
            chunked.state = next_in_trailer(chunked.state, octet)
            if chunked.state < 0:
                return BAD_REQUEST
    return INCOMPLETE


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_in_extension(state: cython.int, octet: cython.uchar) -> cython.int:
    """The state after `octet` behind a size, or -1 where no extension goes on like this.

    What it is called has to be there, and quotes have to close: elsewhere a line's end may be seen where none is.
    """
    if not _CLASS[octet] & VALUE:
        return -1
    if state == QUOTED or state == ESCAPED:
        if state == ESCAPED:
            return QUOTED
        return EXTENSION if octet == QUOTE else ESCAPED if octet == BACKSLASH else QUOTED
    if octet == SEMICOLON:
        return EXTENSION_FIRST if state != EXTENSION_FIRST else -1
    if octet == SP or octet == HTAB:
        return state
    if state == SPACE:
        return -1  # only a semicolon may follow the space behind a size
    if state == EXTENSION_FIRST:
        return EXTENSION if _CLASS[octet] & TOKEN else -1
    return QUOTED if octet == QUOTE else EXTENSION


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_in_trailer(state: cython.int, octet: cython.uchar) -> cython.int:
    """The state after `octet` in a trailer field line, or -1 where no field line goes on like this."""
    if state == TRAILER_FIRST and octet == CR:
        return LAST_LF
    if state == TRAILER_FIRST or state == TRAILER_NAME:
        if _CLASS[octet] & TOKEN:
            return TRAILER_NAME
        return TRAILER_VALUE if octet == COLON and state == TRAILER_NAME else -1
    if state == TRAILER_VALUE:
        if octet == CR:
            return TRAILER_LF
        return TRAILER_VALUE if _CLASS[octet] & VALUE else -1
    return TRAILER_FIRST if octet == LF else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def hex_digit(octet: cython.uchar) -> cython.int:
    """The value of one HEXDIG, or -1."""
    if 48 <= octet <= 57:
        return octet - 48
    if 65 <= octet <= 70:
        return octet - 55
    if 97 <= octet <= 102:
        return octet - 87
    return -1


def decode(
    data: bytearray,
    splits: list[int],
    content_bytes_max: int = 2**20,
    extension_bytes_max: int = 4096,
    trailer_bytes_max: int = 32768,
) -> tuple[int, bytes]:
    """decode_chunked for tests and fuzzing: fed up to each split in turn, (offset or negated status, the content)."""
    chunked = Chunked()
    begin_chunked(chunked, 0, content_bytes_max, extension_bytes_max, trailer_bytes_max)
    at = 0
    result = INCOMPLETE
    for end in [*splits, len(data)]:
        result = decode_chunked(chunked, data, at, end)  # type: ignore[arg-type]
        if result != INCOMPLETE:
            break
        at = end
    return result, bytes(data[: chunked.decoded_end])


def decode_at(address: int, length: int) -> int:
    """decode_chunked over raw memory, compiled only: for the test that ends a body against an unreadable page."""
    chunked = Chunked()
    begin_chunked(chunked, 0, 2**20, 4096, 32768)
    return decode_chunked(chunked, cython.cast(cython.p_uchar, cython.cast(cython.size_t, address)), 0, length)
