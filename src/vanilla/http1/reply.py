"""The answer's side of HTTP/1.1: status lines, Date, canned refusals, and what the server mends in a handler's bytes.

RFC 9112 sections 4 and 9.3, RFC 9110 sections 6.6.1 (Date) and 15 (status codes). No socket; Date reads the clock.
"""

from __future__ import annotations

import http

import cython

# The IANA registry of status codes, of which the standard library has all but the youngest and the oldest.
REASONS: dict[int, bytes] = {int(status): status.phrase.encode("ascii") for status in http.HTTPStatus}
REASONS |= {
    104: b"Upload Resumption Supported",
    305: b"Use Proxy",
    306: b"Unused",
    413: b"Content Too Large",
    414: b"URI Too Long",
    416: b"Range Not Satisfiable",
    418: b"I'm a Teapot",
    421: b"Misdirected Request",
    422: b"Unprocessable Content",
    425: b"Too Early",
    510: b"Not Extended",
}
STATUS_LINES: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, reason) for status, reason in sorted(REASONS.items())
}

_LINES = cython.declare(cython.p_const_uchar[600])
_LINE_BYTES = cython.declare(cython.Py_ssize_t[600])


def _index_lines() -> None:
    """Point the C tables at the bytes that STATUS_LINES keeps alive; statuses without a line have length 0."""
    line: bytes
    for status, text in STATUS_LINES.items():
        line = text
        _LINES[status] = line
        _LINE_BYTES[status] = len(line)


_index_lines()

DATE_BYTES = 37  # "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
KEEP, CLOSE, KEEP_ALIVE = range(3)  # the Connection field: as the handler wrote it; close; keep-alive


@cython.final
@cython.cclass
class DateLine:
    """The Date field line of this second, made once a second (RFC 9110 section 5.6.7, IMF-fixdate)."""

    def __cinit__(self) -> None:
        self.second = -1

    def at(self, second: int) -> bytes:
        """The line for `second` after the epoch: for tests, which cannot set the clock."""
        self.second = second
        self.write_line(second)
        return self.line[:DATE_BYTES]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def append(self, target: ResponseBuffer) -> cython.bint:
        """Append the line; the coarse clock costs no system call. False when there is no memory."""
        now: cython.longlong = read_wall_clock_s()
        if now != self.second:
            self.second = now
            self.write_line(now)
        return target.append(self.line, DATE_BYTES)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def write_line(self, second: cython.longlong) -> cython.void:
        """Render the whole line. The civil date from a day number: in eras of 400 years that begin on 1 March."""
        day: cython.longlong = second // 86400
        clock: cython.longlong = second - day * 86400
        shifted: cython.longlong = day + 719468
        era: cython.longlong = shifted // 146097
        day_of_era: cython.longlong = shifted - era * 146097
        year: cython.longlong = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
        day_of_year: cython.longlong = day_of_era - (365 * year + year // 4 - year // 100)
        month: cython.longlong = (5 * day_of_year + 2) // 153
        day_of_month: cython.longlong = day_of_year - (153 * month + 2) // 5 + 1
        weekdays: cython.p_const_char = b"ThuFriSatSunMonTueWed"
        months: cython.p_const_char = b"MarAprMayJunJulAugSepOctNovDecJanFeb"
        year += era * 400 + (1 if month >= 10 else 0)
        memcpy(self.line, cython.cast(cython.p_const_char, b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"), DATE_BYTES)
        memcpy(self.line + 6, weekdays + 3 * (day % 7), 3)
        write_two_digits(self.line + 11, day_of_month)
        memcpy(self.line + 14, months + 3 * month, 3)
        write_two_digits(self.line + 18, year // 100)
        write_two_digits(self.line + 20, year % 100)
        write_two_digits(self.line + 23, clock // 3600)
        write_two_digits(self.line + 26, clock // 60 % 60)
        write_two_digits(self.line + 29, clock % 60)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def write_two_digits(target: cython.p_uchar, value: cython.longlong) -> cython.void:
    """`value`, 0 to 99, as two ASCII digits."""
    target[0] = cython.cast(cython.uchar, 48 + value // 10)
    target[1] = cython.cast(cython.uchar, 48 + value % 10)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_status_line(target: ResponseBuffer, status: cython.int) -> cython.bint:
    """Append the line of a registered status; False for any other, and when there is no memory."""
    if not 100 <= status < 600 or _LINE_BYTES[status] == 0:
        return False
    return target.append(_LINES[status], _LINE_BYTES[status])


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_decimal(target: ResponseBuffer, value: cython.Py_ssize_t) -> cython.bint:
    """Append `value`, 0 or more, in decimal; False when there is no memory."""
    digits: cython.uchar[20]
    at: cython.Py_ssize_t = 20
    while True:
        at -= 1
        digits[at] = cython.cast(cython.uchar, 48 + value % 10)
        value //= 10
        if value == 0:
            return target.append(cython.address(digits[at]), 20 - at)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_hexadecimal(target: ResponseBuffer, value: cython.Py_ssize_t) -> cython.bint:
    """Append `value`, 0 or more, in hexadecimal; False when there is no memory."""
    digits: cython.uchar[16]
    at: cython.Py_ssize_t = 16
    digit: cython.int
    while True:
        at -= 1
        digit = value & 15
        digits[at] = cython.cast(cython.uchar, 48 + digit if digit < 10 else 87 + digit)
        value >>= 4
        if value == 0:
            return target.append(cython.address(digits[at]), 16 - at)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_chunk(target: ResponseBuffer, source: cython.p_const_uchar, length: cython.Py_ssize_t) -> cython.bint:
    """Append one chunk of 1 byte or more, RFC 9112 section 7.1; False, and nothing appended, without memory."""
    if not target.reserve(length + 20):  # 16 digits and two line ends at most
        return False
    append_hexadecimal(target, length)
    target.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2)
    target.append(source, length)
    return target.append(cython.cast(cython.p_const_uchar, b"\r\n"), 2)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_refusal(target: ResponseBuffer, date: DateLine, status: cython.int) -> cython.bint:
    """Append the server's own answer with `status`: no content, and the connection closes."""
    tail: cython.p_const_uchar = b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    return append_status_line(target, status) and date.append(target) and target.append(tail, 40)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_interim_continue(target: ResponseBuffer) -> cython.bint:
    """Append the interim answer that asks for the body, RFC 9110 section 10.1.1."""
    return target.append(cython.cast(cython.p_const_uchar, b"HTTP/1.1 100 Continue\r\n\r\n"), 25)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_status(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """The status code of the response that begins at `start`, 100 to 599, or 0 where none begins."""
    status: cython.int
    if end - start < 15 or memcmp(data + start, cython.cast(cython.p_const_char, b"HTTP/1."), 7) != 0:
        return 0
    start += 9
    if data[start - 1] != SP or not (_CLASS[data[start]] & _CLASS[data[start + 1]] & _CLASS[data[start + 2]] & DIGIT):
        return 0
    status = (data[start] - 48) * 100 + (data[start + 1] - 48) * 10 + (data[start + 2] - 48)
    return status if 100 <= status < 600 else 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_head_end(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Offset one past the blank line of the head that begins at `start`, or -1."""
    at: cython.Py_ssize_t = start
    while at + 4 <= end:
        at = find_line_end(data, at, end)
        if at + 4 <= end and data[at + 1] == LF and data[at + 2] == CR and data[at + 3] == LF:
            return at + 4
        at += 1
    return -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_final_head(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the final response begins, behind interim ones (1xx but 101), or -1 where there is none."""
    status: cython.int = parse_status(data, start, end)
    while 100 <= status < 200 and status != 101:
        start = find_head_end(data, start, end)
        if start < 0:
            return -1
        status = parse_status(data, start, end)
    return start if status else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_framing(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.bint:
    """Whether the head in data[start:end] tells where its content ends, but for the end of the connection."""
    at: cython.Py_ssize_t = find_line_end(data, start, end) + 2
    return (
        find_field(data, at, end, b"content-length", 14) >= 0
        or find_field(data, at, end, b"transfer-encoding", 17) >= 0
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_content(target: ResponseBuffer, start: cython.Py_ssize_t) -> cython.bint:
    """Cut the content off the last response: it answers HEAD, or is a 204 or 304 (RFC 9110 section 6.4.1)."""
    at: cython.Py_ssize_t = find_final_head(target.bytes, start, target.length)
    if at >= 0:
        at = find_head_end(target.bytes, at, target.length)
    if at < 0:
        return False
    target.truncate(at)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def set_connection(target: ResponseBuffer, start: cython.Py_ssize_t, persistence: cython.int) -> cython.bint:
    """Make the Connection field of the last response say CLOSE or KEEP_ALIVE, whatever the handler wrote.

    False, and nothing changed, where the bytes hold no complete head or there is no memory.
    """
    line: cython.p_const_uchar = b"Connection: close\r\n"
    length: cython.Py_ssize_t = 19
    head: cython.Py_ssize_t = find_final_head(target.bytes, start, target.length)
    if head < 0 or find_head_end(target.bytes, head, target.length) < 0 or not target.reserve(24):
        return False
    if persistence == KEEP_ALIVE:
        line = b"Connection: keep-alive\r\n"
        length = 24
    drop_field(target, head, b"connection", 10)
    return target.insert(find_line_end(target.bytes, head, target.length) + 2, line, length)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_field(
    target: ResponseBuffer, head: cython.Py_ssize_t, lower: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.void:
    """Drop every field named `lower` from the whole head that begins at `head`."""
    line_end: cython.Py_ssize_t
    at: cython.Py_ssize_t = find_line_end(target.bytes, head, target.length) + 2
    head_end: cython.Py_ssize_t = find_head_end(target.bytes, head, target.length)
    while at < head_end - 2:
        line_end = find_line_end(target.bytes, at, head_end) + 2
        if (
            line_end - at > length
            and target.bytes[at + length] == COLON
            and equals(target.bytes, at, at + length, lower, length)
        ):
            memmove(target.bytes + at, target.bytes + line_end, target.length - line_end)
            target.move_files(line_end, at - line_end)
            target.length -= line_end - at
            head_end -= line_end - at
        else:
            at = line_end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def check_response(
    data: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    is_head: cython.bint,
    more: cython.Py_ssize_t,
) -> cython.int:
    """0 if data[start:end], with `more` bytes of content than stand in it, is one whole response; else which part is
    wrong, an index into FAULTS.

    Content without Content-Length or chunked coding ends with the connection, which this cannot know to be meant: it is
    a fault, unless there is none.
    """
    status: cython.int
    at: cython.Py_ssize_t
    line_end: cython.Py_ssize_t
    colon: cython.Py_ssize_t
    content_length: cython.longlong = -1
    is_chunked: cython.bint = False
    head_end: cython.Py_ssize_t
    start = find_final_head(data, start, end)
    if start < 0:
        return 1
    status = parse_status(data, start, end)
    head_end = find_head_end(data, start, end)
    if head_end < 0:
        return 2
    at = find_line_end(data, start, head_end)
    if data[at + 1] != LF or not is_field_value(data, start, at):
        return 1
    at += 2
    while at < head_end - 2:
        line_end = find_line_end(data, at, head_end)
        colon = at
        while colon < line_end and data[colon] != 58:
            colon += 1
        if data[line_end + 1] != LF or not is_token(data, at, colon) or not is_field_value(data, colon + 1, line_end):
            return 3
        if equals(data, at, colon, b"content-length", 14):
            if content_length >= 0:
                return 4
            content_length = parse_length(data, skip_space(data, colon + 1, line_end), line_end)
            if content_length < 0:
                return 4
        elif equals(data, at, colon, b"transfer-encoding", 17):
            is_chunked = True
        at = line_end + 2
    if is_chunked and content_length >= 0:
        return 7
    if is_head or status == 204 or status == 304 or status == 101:
        return 0
    if is_chunked:
        return (
            5 if end - head_end < 5 or memcmp(data + end - 4, cython.cast(cython.p_const_char, b"\r\n\r\n"), 4) else 0
        )
    return 0 if max(content_length, 0) == end - head_end + more else 6


FAULTS = (
    "",
    "no status line",
    "no blank line after the head",
    "a malformed field line",
    "a malformed or repeated Content-Length",
    "no last chunk",
    "content that is not as long as Content-Length says",
    "both Content-Length and Transfer-Encoding",
)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_length(data: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
    """The decimal number in data[at:end], or -1."""
    value: cython.longlong = 0
    end = trim_space(data, at, end)
    if at == end or end - at > 18:
        return -1
    while at < end:
        if not _CLASS[data[at]] & DIGIT:
            return -1
        value = value * 10 + (data[at] - 48)
        at += 1
    return value


def status_of(data: bytes, start: int = 0) -> int:
    """parse_status of the final response in data[start:], for tests and fuzzing; 0 where there is none."""
    at: cython.Py_ssize_t = find_final_head(data, start, len(data))
    return 0 if at < 0 else parse_status(data, at, len(data))


def with_connection(data: bytes, persistence: int, start: int = 0) -> bytes | None:
    """set_connection for tests and fuzzing: what becomes of the response at `start`; None if it has no head."""
    target: ResponseBuffer = ResponseBuffer()
    target.append(data, len(data))
    return target.bytes[: target.length] if set_connection(target, start, persistence) else None


def without_content(data: bytes, start: int = 0) -> bytes | None:
    """drop_content for tests and fuzzing, likewise."""
    target: ResponseBuffer = ResponseBuffer()
    target.append(data, len(data))
    return target.bytes[: target.length] if drop_content(target, start) else None


def find_fault(data: bytes, is_head: bool = False, start: int = 0) -> str:
    """check_response for tests and fuzzing: what is wrong, or nothing."""
    return FAULTS[check_response(data, start, len(data), is_head, 0)]
