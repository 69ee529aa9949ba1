"""The header of the PROXY protocol, of version 1, a line, and of version 2, binary. Bytes in, offsets out; no socket.

What comes after the addresses in version 2 (TLVs) is passed over.
"""

from __future__ import annotations

import cython

INCOMPLETE = -1  # the header has not fully arrived
MALFORMED = -400  # negated, the status that says so
LINE_BYTES_MAX = 107  # of version 1, its CRLF included: section 2.1
HEADER_BYTES_MAX = 4096  # of version 2: what follows the addresses is rarely more than some hundred bytes

CR, LF, SP, DOT, COLON, ZERO = 13, 10, 32, 46, 58, 48
LOW_48_BITS = 2**48 - 1
GROUPS = 8  # of 16 bits, in an address of IPv6
FIXED_BYTES, PREFIX_BYTES, SIGNATURE_BYTES = 16, 6, 12
LOCAL, PROXY, UNSPECIFIED = 0x20, 0x21, 0x00
TCP_OVER_IPV4, TCP_OVER_IPV6, UNIX_STREAM = 0x11, 0x21, 0x31
IPV4_BYTES, IPV6_BYTES, UNIX_BYTES = 12, 36, 216  # of both addresses, and ports


@cython.final
@cython.cclass
class Origin:
    """Who is behind a proxy.

    Fields:
        is_proxied: False where the proxy speaks for itself, as in a health check, or does not know.
        family: 4, 6, or 0 for a unix socket.
        high, low: the address; one of IPv4 is in `low`.
        port: of the client.
    """

    def __init__(self) -> None:
        self.is_proxied = False
        self.family = self.port = self.high = self.low = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_proxy_header(
    origin: Origin, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Offset one past the header that data[start:end] begins with, else INCOMPLETE or MALFORMED.

    What begins like nothing known is MALFORMED from its first wrong byte on.
    """
    origin.is_proxied = False
    origin.family = origin.port = 0
    origin.high = origin.low = 0
    if start < end and data[start] == CR:
        return parse_binary(origin, data, start, end)
    return parse_line(origin, data, start, end)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_line(
    origin: Origin, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Version 1, section 2.1."""
    at: cython.Py_ssize_t
    line_end: cython.Py_ssize_t = min(end, start + LINE_BYTES_MAX - 1)
    if not agrees(data, start, end, b"PROXY ", PREFIX_BYTES):
        return MALFORMED
    for at in range(start, line_end):
        if data[at] == CR:
            if at + 1 == end:
                return INCOMPLETE
            if data[at + 1] != LF or not parse_words(origin, data, start + PREFIX_BYTES, at):
                return MALFORMED
            return at + 2
        if data[at] == LF:
            return MALFORMED
    return INCOMPLETE if end - start < LINE_BYTES_MAX - 1 else MALFORMED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_words(
    origin: Origin, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.bint:
    """What stands between `PROXY ` and the line's end: the family, two addresses, two ports."""
    if end - start >= 7 and agrees(data, start, end, b"UNKNOWN", 7):
        return end - start == 7 or data[start + 7] == SP  # what follows is to be ignored
    if end - start < 5:
        return False
    if agrees(data, start, end, b"TCP4 ", 5):
        origin.family = 4
    elif agrees(data, start, end, b"TCP6 ", 5):
        origin.family = 6
    else:
        return False
    first: cython.Py_ssize_t = find_space(data, start + 5, end)
    second: cython.Py_ssize_t = find_space(data, first + 1, end)
    third: cython.Py_ssize_t = find_space(data, second + 1, end)
    if third >= end or parse_port(data, third + 1, end) < 0:
        return False
    if not parse_address(origin, data, first + 1, second):
        return False
    if not parse_address(origin, data, start + 5, first):  # the client's, which stays
        return False
    origin.port = parse_port(data, second + 1, third)
    origin.is_proxied = origin.port >= 0
    return origin.is_proxied


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_binary(
    origin: Origin, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Version 2, section 2.2."""
    length: cython.Py_ssize_t
    kind: cython.int
    if not agrees(data, start, end, b"\r\n\r\n\0\r\nQUIT\n", SIGNATURE_BYTES):
        return MALFORMED
    if end - start > SIGNATURE_BYTES and data[start + 12] != LOCAL and data[start + 12] != PROXY:
        return MALFORMED
    if end - start < FIXED_BYTES:
        return INCOMPLETE
    length = data[start + 14] * 256 + data[start + 15]
    if length > HEADER_BYTES_MAX - FIXED_BYTES:
        return MALFORMED
    kind = data[start + 13]
    if data[start + 12] == PROXY and kind != UNSPECIFIED:
        if kind == TCP_OVER_IPV4 and length >= IPV4_BYTES:
            origin.family = 4
        elif kind == TCP_OVER_IPV6 and length >= IPV6_BYTES:
            origin.family = 6
        elif kind != UNIX_STREAM or length < UNIX_BYTES:
            return MALFORMED
        origin.is_proxied = True
    if end - start < FIXED_BYTES + length:
        return INCOMPLETE
    start += FIXED_BYTES
    if origin.family == 4:
        origin.low = read_number(data, start, 4)
        origin.port = cython.cast(cython.int, read_number(data, start + 8, 2))
    elif origin.family == 6:
        origin.high = read_number(data, start, 8)
        origin.low = read_number(data, start + 8, 8)
        origin.port = cython.cast(cython.int, read_number(data, start + 32, 2))
    return start + length


# Text.


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def agrees(
    data: cython.p_const_uchar,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
    expected: cython.p_const_uchar,
    length: cython.Py_ssize_t,
) -> cython.bint:
    """Whether data[start:end], as far as it has come, is how `expected` begins."""
    at: cython.Py_ssize_t
    for at in range(min(end - start, length)):
        if data[start + at] != expected[at]:
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_space(data: cython.p_const_uchar, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the next space is; `end` or more where there is none."""
    while at < end and data[at] != SP:
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_port(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
    """A port in decimal without leading zeros, or -1."""
    return parse_decimal(data, start, end, 65_535)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_decimal(
    data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t, most: cython.int
) -> cython.int:
    """A number up to `most`, of five digits at most and without leading zeros, or -1."""
    at: cython.Py_ssize_t
    number: cython.int = 0
    if end <= start or end - start > 5 or (data[start] == ZERO and end - start > 1):
        return -1
    for at in range(start, end):
        if not ZERO <= data[at] < ZERO + 10:
            return -1
        number = number * 10 + (data[at] - ZERO)
    return number if number <= most else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_address(
    origin: Origin, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.bint:
    """An address in text, of the family that the line has."""
    number: cython.longlong
    if origin.family == 6:
        return parse_ipv6(origin, data, start, end)
    number = parse_ipv4(data, start, end)
    origin.low = 0 if number < 0 else number
    return number >= 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_ipv4(data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.longlong:
    """Four decimals with dots between them, or -1."""
    count: cython.int = 0
    part: cython.int
    at: cython.Py_ssize_t = start
    number: cython.longlong = 0
    while count < 4:
        while at < end and data[at] != DOT:
            at += 1
        part = parse_decimal(data, start, at, 255)
        if part < 0:
            return -1
        number = number * 256 + part
        count += 1
        if count < 4 and at == end:
            return -1
        at += 1
        start = at
    return number if at == end + 1 else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def parse_ipv6(
    origin: Origin, data: cython.p_const_uchar, start: cython.Py_ssize_t, end: cython.Py_ssize_t
) -> cython.bint:
    """The text of RFC 4291 section 2.2, into `high` and `low`: hexadecimal groups, `::` once, IPv4 at the end."""
    at: cython.Py_ssize_t = start
    group_start: cython.Py_ssize_t
    count: cython.int = 0
    before_gap: cython.int = -1  # groups in front of `::`
    group: cython.int
    digit: cython.int
    number: cython.longlong
    high: cython.ulonglong = 0  # what is in front of the gap, if there is one
    low: cython.ulonglong = 0
    origin.high = origin.low = 0
    if at + 1 < end and data[at] == COLON and data[at + 1] == COLON:
        before_gap = 0
        at += 2
    while at < end:
        group_start = at
        group = 0
        while at < end and at - group_start <= 4:
            digit = hex_digit(data[at])
            if digit < 0:
                break
            group = group * 16 + digit
            at += 1
        if at == group_start or at - group_start > 4 or count == GROUPS:
            return False
        if at < end and data[at] == DOT:
            number = parse_ipv4(data, group_start, end)
            if number < 0 or count > GROUPS - 2:
                return False
            push_group(origin, cython.cast(cython.int, number // 65_536))
            push_group(origin, cython.cast(cython.int, number % 65_536))
            count += 2
            break
        push_group(origin, group)
        count += 1
        if at == end:
            break
        if data[at] != COLON or at + 1 == end:
            return False
        at += 1
        if data[at] == COLON:
            if before_gap >= 0:
                return False
            before_gap = count
            high, low = origin.high, origin.low
            origin.high = origin.low = 0
            at += 1
    if before_gap < 0:
        return count == GROUPS
    if count >= GROUPS:
        return False
    # Behind the gap stands what `origin` has by now; in front of it what was moved, to be pushed to its place.
    group = GROUPS - before_gap
    while group > 0:
        high = (high & LOW_48_BITS) << 16 | low >> 48
        low = (low & LOW_48_BITS) << 16
        group -= 1
    origin.high |= high
    origin.low |= low
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def push_group(origin: Origin, group: cython.int) -> cython.void:
    """Append 16 bits to the address."""
    origin.high = (origin.high & LOW_48_BITS) << 16 | origin.low >> 48
    origin.low = (origin.low & LOW_48_BITS) << 16 | group


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def hex_digit(octet: cython.uchar) -> cython.int:
    """What a hexadecimal digit stands for, or -1."""
    lower: cython.int = octet | 32
    if ZERO <= octet < ZERO + 10:
        return octet - ZERO
    if 97 <= lower <= 102:
        return lower - 87
    return -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_number(data: cython.p_const_uchar, start: cython.Py_ssize_t, length: cython.int) -> cython.ulonglong:
    """An unsigned number, the greatest octet first."""
    at: cython.Py_ssize_t
    number: cython.ulonglong = 0
    for at in range(start, start + length):
        number = number << 8 | data[at]
    return number


def read_proxy_header(data: bytes) -> tuple[int, bytes | None, int] | None:
    """parse_proxy_header for tests and fuzzing: how long it is, the client's address, its port; None while incomplete.

    The address is None where the proxy speaks for itself, else 4 or 16 octets, or none for a unix socket.

    Raises: ValueError for what cannot be one.
    """
    origin = Origin()
    end = parse_proxy_header(origin, data, 0, len(data))  # type: ignore[arg-type]  # C takes the bytes' address
    if end == MALFORMED:
        raise ValueError("no PROXY header")
    if end == INCOMPLETE:
        return None
    if not origin.is_proxied:
        return end, None, 0
    high: object = origin.high
    low: object = origin.low
    octets = high.to_bytes(8, "big") + low.to_bytes(8, "big")  # type: ignore[attr-defined]
    return end, {0: b"", 4: octets[12:], 6: octets}[origin.family], origin.port
