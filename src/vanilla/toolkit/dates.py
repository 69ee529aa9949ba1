"""HTTP dates: seconds since the epoch to and from bytes, RFC 9110 section 5.6.7. The clock is read for two-digit years.

# Facts about HTTP dates
There is one form to write, IMF-fixdate, and two more to read, RFC 850's with a two-digit year and asctime's. All three
are in GMT and case-sensitive. A two-digit year that seems to lie more than 50 years ahead is of the past century. A
second of 60 is a leap second, which the epoch does not count: it is the second after.
"""

from __future__ import annotations

import re
import time

import cython

SPACE, COMMA, COLON = 32, 44, 58
FIRST_SECOND, LAST_SECOND = -62167219200, 253402300799  # what a four-digit year can say
_MALFORMED = -(1 << 62)
_MONTHS = b"MarAprMayJunJulAugSepOctNovDecJanFeb"
_WEEKDAYS = b"ThuFriSatSunMonTueWed"
_MONTH = rb"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_CLOCK = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_OBSOLETE = re.compile(
    rb"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, ([0-9]{2})-%b-([0-9]{2}) %b GMT"
    rb"|(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) %b ([0-9 ][0-9]) %b ([0-9]{4})" % (_MONTH, _CLOCK, _MONTH, _CLOCK)
)


def format_date(seconds: float) -> bytes:
    """An IMF-fixdate, the form of date that HTTP writes: `b"Sun, 06 Nov 1994 08:49:37 GMT"`.

    Args:
        seconds: since the epoch, such as `time.time()` or `os.stat(path).st_mtime`; a fraction is cut off downwards.

    Raises: ValueError for what is no finite number, or lies outside the years 0 to 9999.
    Source: RFC 9110 section 5.6.7.
    """
    second: cython.longlong
    if not FIRST_SECOND <= seconds < LAST_SECOND + 1:
        raise ValueError(f"seconds={seconds!r}: an HTTP date is of a year from 0 to 9999")
    second = int(seconds // 1)
    day: cython.longlong = _floor(second, 86400)
    clock: cython.int = cython.cast(cython.int, second - day * 86400)
    # The civil date from a day number: in eras of 400 years that begin on 1 March.
    shifted: cython.longlong = day + 719468
    era: cython.longlong = _floor(shifted, 146097)
    day_of_era: cython.longlong = shifted - era * 146097
    year: cython.longlong = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year: cython.longlong = day_of_era - (365 * year + year // 4 - year // 100)
    month: cython.longlong = (5 * day_of_year + 2) // 153
    day_of_month: cython.longlong = day_of_year - (153 * month + 2) // 5 + 1
    year += era * 400 + (1 if month >= 10 else 0)
    weekday: cython.longlong = day - _floor(day, 7) * 7
    if cython.compiled:
        line: cython.uchar[29]
        memcpy(line, cython.cast(cython.p_const_char, b"Thu, 01 Jan 1970 00:00:00 GMT"), 29)
        memcpy(line, cython.cast(cython.p_const_char, _WEEKDAYS) + 3 * weekday, 3)
        memcpy(line + 8, cython.cast(cython.p_const_char, _MONTHS) + 3 * month, 3)
    else:
        line = bytearray(b"Thu, 01 Jan 1970 00:00:00 GMT")
        line[:3] = _WEEKDAYS[3 * weekday : 3 * weekday + 3]
        line[8:11] = _MONTHS[3 * month : 3 * month + 3]
    line[5] = cython.cast(cython.uchar, 48 + day_of_month // 10)
    line[6] = cython.cast(cython.uchar, 48 + day_of_month % 10)
    line[12] = cython.cast(cython.uchar, 48 + year // 1000)
    line[13] = cython.cast(cython.uchar, 48 + year // 100 % 10)
    line[14] = cython.cast(cython.uchar, 48 + year // 10 % 10)
    line[15] = cython.cast(cython.uchar, 48 + year % 10)
    line[17] = cython.cast(cython.uchar, 48 + clock // 36000)
    line[18] = cython.cast(cython.uchar, 48 + clock // 3600 % 10)
    line[20] = cython.cast(cython.uchar, 48 + clock // 600 % 6)
    line[21] = cython.cast(cython.uchar, 48 + clock // 60 % 10)
    line[23] = cython.cast(cython.uchar, 48 + clock % 60 // 10)
    line[24] = cython.cast(cython.uchar, 48 + clock % 60 % 10)
    return line[:29] if cython.compiled else bytes(line)


def parse_date(value: bytes, *, now: float | None = None) -> int | None:
    """The seconds since the epoch that an HTTP date says, in any of its three forms; None for anything else.

    Strict: one space, names in their case, a date that exists. That the weekday fits the date is not checked.

    Args:
        value: a field value, without space around it.
        now: seconds since the epoch, to place two-digit years by; by default the clock is asked where there is one.

    Source: RFC 9110 section 5.6.7. Wherever a date may stand, RFC 9110 has one that is invalid ignored.
    """
    result: cython.longlong
    if len(value) == 29:
        result = _parse_fixdate(value)
        return None if result == _MALFORMED else result
    match = _OBSOLETE.fullmatch(value)
    return None if match is None else _read_obsolete(match, time.time() if now is None else now)


@cython.cfunc
@cython.exceptval(check=False)
def _floor(value: cython.longlong, by: cython.longlong) -> cython.longlong:
    """Division that rounds down, in C too."""
    return value // by if value >= 0 else -((by - 1 - value) // by)


@cython.cfunc
@cython.exceptval(check=False)
def _parse_fixdate(text: cython.p_const_uchar) -> cython.longlong:
    """`Sun, 06 Nov 1994 08:49:37 GMT`, of 29 bytes."""
    punctuation: cython.bint = text[3] == COMMA and text[4] == SPACE and text[7] == SPACE and text[11] == SPACE
    if not punctuation or text[16] != SPACE or text[19] != COLON or text[22] != COLON or text[25] != SPACE:
        return _MALFORMED
    if text[26] != 71 or text[27] != 77 or text[28] != 84 or _find_name(text, 0, _WEEKDAYS, 7) < 0:
        return _MALFORMED
    year: cython.int = _number(text, 12)
    years: cython.int = _number(text, 14)
    if year < 0 or years < 0:
        return _MALFORMED
    return _count_seconds(
        year * 100 + years,
        _find_name(text, 8, _MONTHS, 12),
        _number(text, 5),
        _number(text, 17),
        _number(text, 20),
        _number(text, 23),
    )


@cython.cfunc
@cython.exceptval(check=False)
def _number(text: cython.p_const_uchar, at: cython.int) -> cython.int:
    """The two digits at `at`, or -1."""
    tens: cython.int = text[at] - 48
    ones: cython.int = text[at + 1] - 48
    return tens * 10 + ones if 0 <= tens <= 9 and 0 <= ones <= 9 else -1


@cython.cfunc
@cython.exceptval(check=False)
def _find_name(
    text: cython.p_const_uchar, at: cython.int, names: cython.p_const_uchar, count: cython.int
) -> cython.int:
    """Which of the three-letter names stands at `at`, counted from 0; -1 for none."""
    number: cython.int
    for number in range(count):
        if (
            names[3 * number] == text[at]
            and names[3 * number + 1] == text[at + 1]
            and names[3 * number + 2] == text[at + 2]
        ):
            return number
    return -1


@cython.cfunc
@cython.exceptval(check=False)
def _count_seconds(
    year: cython.longlong,
    month: cython.int,
    day: cython.int,
    hour: cython.int,
    minute: cython.int,
    second: cython.int,
) -> cython.longlong:
    """Seconds since the epoch; the month counts from March, 0. _MALFORMED for a date or a time that does not exist."""
    if month < 0 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return _MALFORMED
    if hour > 23 or minute > 59 or second > 60:
        return _MALFORMED
    if month == 11:
        is_leap: cython.bint = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
        if day > (29 if is_leap else 28):
            return _MALFORMED
    elif day > (30 if month == 1 or month == 3 or month == 6 or month == 8 else 31):
        return _MALFORMED
    if month >= 10:
        year -= 1  # January and February end the year that began in March
    era: cython.longlong = _floor(year, 400)
    year_of_era: cython.longlong = year - era * 400
    day_of_year: cython.longlong = (153 * month + 2) // 5 + day - 1
    day_of_era: cython.longlong = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return (era * 146097 + day_of_era - 719468) * 86400 + hour * 3600 + minute * 60 + second


def _read_obsolete(match: re.Match[bytes], now: float) -> int | None:
    """What one of the two obsolete forms says."""
    result: cython.longlong
    day, month, year, hour, minute, second, *asctime = match.groups()
    if year is None:
        month, day, hour, minute, second, year = asctime
    number = _MONTHS.index(month) // 3
    at: cython.int = int(day)
    clock = (int(hour), int(minute), int(second))
    if len(year) == 4:
        result = _count_seconds(int(year), number, at, clock[0], clock[1], clock[2])
        return None if result == _MALFORMED else result
    # The latest year with these digits that is not more than 50 years ahead; it is one of three.
    this_century = time.gmtime(now).tm_year // 100 * 100
    for candidate in (this_century + 100 + int(year), this_century + int(year), this_century - 100 + int(year)):
        result = _count_seconds(candidate, number, at, clock[0], clock[1], clock[2])
        is_leap_day: cython.bint = number == 11 and at == 29
        back = _count_seconds(candidate - 50, number, 28 if is_leap_day else at, clock[0], clock[1], clock[2])
        if result != _MALFORMED and back <= now:
            return result
    return None
