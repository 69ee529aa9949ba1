"""The head of an HTTP/1.1 request: RFC 9112 sections 2, 3, 5 and 6, strict. Bytes in, offsets out; no socket, no clock.

    HTTP-message = start-line CRLF *( field-line CRLF ) CRLF [ message-body ]
    request-line = method SP request-target SP HTTP-version
    field-line   = field-name ":" OWS field-value OWS

Deviations from the RFC, all to the strict side: a lone LF or CR is never a line end (section 2.2 allows the first), a
request target has no raw byte above 0x7E, and an empty Host is refused: no http URI has one (RFC 9110 section 4.2.1).
One empty line before the request line is skipped (section 2.2).
"""

from __future__ import annotations

import cython

INCOMPLETE = -1  # more bytes are needed; a result below it is the negated status that refuses the message
BAD_REQUEST, URI_TOO_LONG, EXPECTATION_FAILED = -400, -414, -417
FIELDS_TOO_LARGE, NOT_IMPLEMENTED, VERSION_NOT_SUPPORTED = -431, -501, -505
METHOD_BYTES_MAX = 64  # the longest registered method has 17; bounds what an endless first token may cost
CONTENT_LENGTH_MAX = 2**62  # far below overflow of the 64-bit sum that frames a message

CR, LF, SP, HTAB = 13, 10, 32, 9
COLON, COMMA, SLASH, QUESTION, ASTERISK, DOT, BRACKET, END_BRACKET = 58, 44, 47, 63, 42, 46, 91, 93
ZERO, ONE, UPPER_A, UPPER_Z = 48, 49, 65, 90

# One bit for each set of characters in the grammar, looked up in one table.
TOKEN, TARGET, VALUE, HOST, DIGIT, SCHEME = 1, 2, 4, 8, 16, 32

_CLASS = cython.declare(cython.uchar[256])
for _octet in range(256):
    _bits = 0
    if chr(_octet) in "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
        _bits |= TOKEN  # tchar, RFC 9110 section 5.6.2
    if 0x21 <= _octet <= 0x7E and _octet != 0x23:
        _bits |= TARGET  # no fragment in a target, RFC 9112 section 3.2
    if _octet in (0x09, 0x20) or 0x21 <= _octet <= 0x7E or _octet >= 0x80:
        _bits |= VALUE  # field-vchar, SP, HTAB, RFC 9110 section 5.5
    if chr(_octet) in "-._~%!$&'()*+,;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
        _bits |= HOST  # reg-name, RFC 3986 section 3.2.2
    if chr(_octet) in "0123456789":
        _bits |= DIGIT
    if chr(_octet) in "+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz":
        _bits |= SCHEME  # scheme, RFC 3986 section 3.1
    _CLASS[_octet] = _bits


@cython.final
@cython.cclass
class Head:
    """Where the parts of one request head lie, and what its fields say of framing and persistence.

    Offsets are into the bytes that were parsed; fields_start is 0 until the request line is whole. content_length is -1
    when none was declared; version is 10 or 11. may_switch: what follows may belong to another protocol, by CONNECT or
    the connection option `upgrade`.
    """


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_head(
    head: Head,
    data: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    target_bytes_max: cython.Py_ssize_t,
    header_bytes_max: cython.Py_ssize_t,
    header_count_max: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Offset one past the head in data[start:end], INCOMPLETE, or the negated status that refuses it."""
    at: cython.Py_ssize_t = parse_request_line(head, data, start, end, target_bytes_max)
    head.fields_start = 0
    if at < 0:
        return at
    head.fields_start = at
    at = parse_fields(head, data, at, end, header_count_max)
    if (end if at == INCOMPLETE else at) - head.fields_start > header_bytes_max and (at == INCOMPLETE or at > 0):
        return FIELDS_TOO_LARGE
    if at < 0:
        return at
    head.fields_end = at - 2
    status: cython.Py_ssize_t = check_framing(head)
    if status < 0:
        return status
    if not has_valid_target(head, data):
        return BAD_REQUEST
    return EXPECTATION_FAILED if head.has_unknown_expectation else at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_request_line(
    head: Head,
    data: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    target_bytes_max: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Offset of the first field line, INCOMPLETE, or a negated status."""
    at: cython.Py_ssize_t = start
    if at < end and data[at] == CR:
        if at + 1 == end:
            return INCOMPLETE
        if data[at + 1] != LF:
            return BAD_REQUEST
        at += 2
    head.start = at
    while at < end and _CLASS[data[at]] & TOKEN:
        at += 1
    if at - head.start > METHOD_BYTES_MAX:
        return BAD_REQUEST
    if at == end:
        return INCOMPLETE
    if at == head.start or data[at] != SP:
        return BAD_REQUEST
    head.method_end = at
    at += 1
    head.target_start = at
    while at < end and _CLASS[data[at]] & TARGET:
        at += 1
    if at - head.target_start > target_bytes_max:
        return URI_TOO_LONG
    if at == end:
        return INCOMPLETE
    if at == head.target_start or data[at] != SP:
        return BAD_REQUEST
    head.target_end = at
    return parse_version(head, data, at + 1, end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_version(
    head: Head, data: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Offset one past `HTTP/1.1 CRLF`, INCOMPLETE, -505 for another version, else -400."""
    name: cython.p_const_uchar = b"HTTP/"
    index: cython.Py_ssize_t
    for index in range(5):
        if at + index == end:
            return INCOMPLETE
        if data[at + index] != name[index]:
            return BAD_REQUEST
    if end - at < 10:
        return INCOMPLETE
    if not (_CLASS[data[at + 5]] & DIGIT and data[at + 6] == DOT and _CLASS[data[at + 7]] & DIGIT):
        return BAD_REQUEST
    if data[at + 8] != CR or data[at + 9] != LF:
        return BAD_REQUEST
    if data[at + 5] != ONE or data[at + 7] > ONE:
        return VERSION_NOT_SUPPORTED
    head.version = 10 + (data[at + 7] - ZERO)
    return at + 10


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_fields(
    head: Head,
    data: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    header_count_max: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Offset one past the blank line after the field lines, INCOMPLETE, or a negated status."""
    name_start: cython.Py_ssize_t
    name_end: cython.Py_ssize_t
    value_start: cython.Py_ssize_t
    count: cython.Py_ssize_t = 0
    head.content_length = -1
    head.host_count = 0
    head.field_count = 0
    head.is_chunked = head.expects_continue = head.is_misframed = False
    head.has_close = head.has_keep_alive = head.has_codings = head.may_switch = False
    head.has_unknown_coding = head.has_unknown_expectation = False
    while at < end and data[at] != CR:
        name_start = at
        while at < end and _CLASS[data[at]] & TOKEN:
            at += 1
        if at == end:
            return INCOMPLETE
        if data[at] != COLON or at == name_start:
            return BAD_REQUEST  # obs-fold, or a space before the colon: sections 5.1 and 5.2
        name_end = at
        at += 1
        while at < end and (data[at] == SP or data[at] == HTAB):
            at += 1
        value_start = at
        while at < end and _CLASS[data[at]] & VALUE:
            at += 1
        if at + 1 >= end:
            return INCOMPLETE if at == end or data[at] == CR else BAD_REQUEST
        if data[at] != CR or data[at + 1] != LF:
            return BAD_REQUEST
        count += 1
        if count > header_count_max:
            head.field_count = count
            return FIELDS_TOO_LARGE
        note_field(head, data, name_start, name_end, value_start, trim_space(data, value_start, at))
        at += 2
    if at + 1 >= end:
        return INCOMPLETE
    if data[at + 1] != LF:
        return BAD_REQUEST
    head.field_count = count
    return at + 2


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_field(
    head: Head,
    data: cython.p_const_uchar,
    name_start: cython.Py_ssize_t,
    name_end: cython.Py_ssize_t,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
) -> cython.void:
    """Take from one field line what framing and persistence depend on; a bad value marks the head as misframed."""
    length: cython.Py_ssize_t = name_end - name_start
    if length == 4 and equals(data, name_start, name_end, b"host", 4):
        head.host_count += 1
        head.is_misframed |= not is_authority(data, start, end)
    elif length == 6 and equals(data, name_start, name_end, b"expect", 6):
        if equals(data, start, end, b"100-continue", 12):
            head.expects_continue = True
        else:
            head.has_unknown_expectation = True
    elif length == 10 and equals(data, name_start, name_end, b"connection", 10):
        note_connection(head, data, start, end)
    elif length == 14 and equals(data, name_start, name_end, b"content-length", 14):
        note_content_length(head, data, start, end)
    elif length == 17 and equals(data, name_start, name_end, b"transfer-encoding", 17):
        note_codings(head, data, start, end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_connection(
    head: Head, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.void:
    """Connection = #connection-option, RFC 9110 section 7.6.1."""
    item_end: cython.Py_ssize_t
    trimmed: cython.Py_ssize_t
    while start < end:
        item_end = find_comma(data, start, end)
        start = skip_space(data, start, item_end)
        trimmed = trim_space(data, start, item_end)
        if equals(data, start, trimmed, b"close", 5):
            head.has_close = True
        elif equals(data, start, trimmed, b"keep-alive", 10):
            head.has_keep_alive = True
        elif head.version == 11 and equals(data, start, trimmed, b"upgrade", 7):
            head.may_switch = True  # RFC 9110 section 7.8: ignored from a 1.0 client
        elif start < trimmed and not is_token(data, start, trimmed):
            head.is_misframed = True  # an empty member is ignored: RFC 9110 section 5.6.1
        start = item_end + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_content_length(
    head: Head, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.void:
    """Content-Length = 1*DIGIT; a list, or a second field, only if every member is the same (RFC 9112 section 6.3)."""
    item_end: cython.Py_ssize_t
    at: cython.Py_ssize_t
    trimmed: cython.Py_ssize_t
    value: cython.longlong
    if start == end:
        head.is_misframed = True
    while start < end:
        item_end = find_comma(data, start, end)
        at = skip_space(data, start, item_end)
        trimmed = trim_space(data, at, item_end)
        if at == trimmed or item_end == end - 1:
            head.is_misframed = True
        value = 0
        while at < trimmed:
            if not _CLASS[data[at]] & DIGIT or value > CONTENT_LENGTH_MAX // 10:
                head.is_misframed = True
                return
            value = value * 10 + (data[at] - ZERO)
            at += 1
        if head.content_length >= 0 and head.content_length != value:
            head.is_misframed = True
        head.content_length = value
        start = item_end + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_codings(
    head: Head, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.void:
    """Transfer-Encoding = #transfer-coding; chunked must be there, once, and last (RFC 9112 section 6.1)."""
    item_end: cython.Py_ssize_t
    trimmed: cython.Py_ssize_t
    head.has_codings = True
    while start < end:
        item_end = find_comma(data, start, end)
        start = skip_space(data, start, item_end)
        trimmed = trim_space(data, start, item_end)
        if start < trimmed:  # a list may have empty members: RFC 9110 section 5.6.1
            if head.is_chunked or not is_token(data, start, trimmed):
                head.is_misframed = True
            elif equals(data, start, trimmed, b"chunked", 7):
                head.is_chunked = True
            else:
                head.has_unknown_coding = True
        start = item_end + 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_framing(head: Head) -> cython.Py_ssize_t:
    """0 when the head frames one message without doubt, else the negated status. RFC 9112 sections 3.2, 6.1, 6.3."""
    if head.is_misframed or head.host_count > 1 or (head.version == 11 and head.host_count == 0):
        return BAD_REQUEST
    if head.has_codings:
        if head.version == 10 or head.content_length >= 0:
            return BAD_REQUEST  # section 6.1: what smuggles requests past a proxy that reads the other one
        if not head.is_chunked:
            return NOT_IMPLEMENTED if head.has_unknown_coding else BAD_REQUEST
        if head.has_unknown_coding:
            return NOT_IMPLEMENTED
    if head.version == 10:
        head.expects_continue = False  # RFC 9110 section 10.1.1: ignored from a 1.0 client
    head.keeps_alive = not head.has_close and (head.version == 11 or head.has_keep_alive)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_valid_target(head: Head, data: cython.p_const_uchar) -> cython.bint:
    """Whether the target has a form that its method may have: RFC 9112 section 3.2."""
    at: cython.Py_ssize_t = head.target_start
    end: cython.Py_ssize_t = head.target_end
    method: cython.Py_ssize_t = head.method_end - head.start
    head.is_head = method == 4 and matches(data, head.start, b"HEAD", 4)
    if method == 7 and matches(data, head.start, b"CONNECT", 7):
        head.may_switch = True
        return has_port(data, at, end) and is_authority(data, at, end)
    if data[at] == SLASH:
        return True
    if data[at] == ASTERISK and end - at == 1:
        return method == 7 and matches(data, head.start, b"OPTIONS", 7)
    if _CLASS[data[at]] & DIGIT:
        return False
    while at < end and _CLASS[data[at]] & SCHEME:
        at += 1
    if at == head.target_start or end - at < 4 or not matches(data, at, b"://", 3):
        return False
    return is_authority(data, at + 3, find_path(data, at + 3, end))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_path(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the authority that begins at `start` ends: at the first `/` or `?`, or at `end`."""
    at: cython.Py_ssize_t = start
    while at < end and data[at] != SLASH and data[at] != QUESTION:
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_authority(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """uri-host [ ":" port ], RFC 9110 section 7.2; no userinfo, not empty."""
    at: cython.Py_ssize_t = start
    if at < end and data[at] == BRACKET:
        at += 1
        while at < end and (_CLASS[data[at]] & HOST or data[at] == COLON):
            at += 1
        if at == end or data[at] != END_BRACKET or at == start + 1:
            return False
        at += 1
    else:
        while at < end and _CLASS[data[at]] & HOST:
            at += 1
        if at == start:
            return False
    if at < end and data[at] == COLON:
        at += 1
        while at < end and _CLASS[data[at]] & DIGIT:
            at += 1
    return at == end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_port(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether the authority ends in `:` and at least one digit: authority-form needs it, RFC 9112 section 3.2.3."""
    at: cython.Py_ssize_t = end
    while at > start and _CLASS[data[at - 1]] & DIGIT:
        at -= 1
    return at < end and at > start + 1 and data[at - 1] == COLON


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_comma(data: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the next comma, or `end`. The lists read here hold no quoted strings."""
    while at < end and data[at] != COMMA:
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_line_end(data: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the next CR, or `end`."""
    while at < end and data[at] != CR:
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def skip_space(data: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset of the first byte that is no SP or HTAB."""
    while at < end and (data[at] == SP or data[at] == HTAB):
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def trim_space(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """`end` without the SP and HTAB before it."""
    while end > start and (data[end - 1] == SP or data[end - 1] == HTAB):
        end -= 1
    return end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def matches(
    data: cython.p_const_uchar, start: cython.Py_ssize_t, exact: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.bint:
    """Whether data has `exact` at `start`, case and all; the caller has checked that `length` bytes are there."""
    index: cython.Py_ssize_t
    for index in range(length):
        if data[start + index] != exact[index]:
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def equals(
    data: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    lower: cython.p_const_uchar,
    length: cython.Py_ssize_t,
) -> cython.bint:
    """Whether data[start:end] is `lower` in any case; `lower` has `length` bytes and no upper-case letter."""
    index: cython.Py_ssize_t
    octet: cython.uchar
    if end - start != length:
        return False
    for index in range(length):
        octet = data[start + index]
        if octet != lower[index] and not (UPPER_A <= octet <= UPPER_Z and octet + 32 == lower[index]):
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_token(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """token = 1*tchar, RFC 9110 section 5.6.2."""
    at: cython.Py_ssize_t = start
    while at < end and _CLASS[data[at]] & TOKEN:
        at += 1
    return at == end and end > start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_field_value(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether every byte may stand in a field value: no CR, LF, NUL or other control, RFC 9110 section 5.5."""
    at: cython.Py_ssize_t = start
    while at < end and _CLASS[data[at]] & VALUE:
        at += 1
    return at == end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_field(
    data: cython.p_const_uchar,
    at: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    lower: cython.p_const_uchar,
    length: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Offset of the colon of the first field named `lower` in the checked field lines data[at:end], else INCOMPLETE."""
    while at < end:
        if at + length < end and data[at + length] == COLON and equals(data, at, at + length, lower, length):
            return at + length
        at = find_line_end(data, at, end) + 2
    return INCOMPLETE


def parse(
    data: bytes, start: int = 0, target_max: int = 8192, header_max: int = 32768, count_max: int = 128
) -> tuple[int, Head]:
    """parse_head for tests and fuzzing: (offset or negated status, the Head)."""
    head = Head()
    return parse_head(head, data, start, len(data), target_max, header_max, count_max), head  # type: ignore[arg-type]


def parse_at(address: int, length: int) -> int:
    """parse_head over raw memory, compiled only: for the test that ends a head against an unreadable page."""
    data: cython.p_const_uchar = cython.cast(cython.p_const_uchar, cython.cast(cython.size_t, address))
    return parse_head(Head(), data, 0, length, 8192, 32768, 128)
