"""HTTP dates: the forms of RFC 9110 section 5.6.7, held against the standard library."""

import calendar
import email.utils
import random
import time

import pytest

from vanilla.toolkit.dates import format_date, parse_date

EXAMPLE = 784111777  # the RFC's own: Sun, 06 Nov 1994 08:49:37 GMT
IN_2026 = calendar.timegm((2026, 6, 1, 0, 0, 0))

WRITTEN = [
    pytest.param(EXAMPLE, b"Sun, 06 Nov 1994 08:49:37 GMT", id="the_rfcs_example"),
    pytest.param(0, b"Thu, 01 Jan 1970 00:00:00 GMT", id="epoch"),
    pytest.param(-1, b"Wed, 31 Dec 1969 23:59:59 GMT", id="before_the_epoch"),
    pytest.param(951782400, b"Tue, 29 Feb 2000 00:00:00 GMT", id="leap_day"),
    pytest.param(4107542400, b"Mon, 01 Mar 2100 00:00:00 GMT", id="no_leap_day_in_2100"),
    pytest.param(253402300799, b"Fri, 31 Dec 9999 23:59:59 GMT", id="last"),
    pytest.param(-62167219200, b"Sat, 01 Jan 0000 00:00:00 GMT", id="first"),
]
READ = [
    *WRITTEN,
    pytest.param(EXAMPLE, b"Sunday, 06-Nov-94 08:49:37 GMT", id="rfc_850"),
    pytest.param(EXAMPLE, b"Sun Nov  6 08:49:37 1994", id="asctime"),
    pytest.param(EXAMPLE + 10 * 86400, b"Wed Nov 16 08:49:37 1994", id="asctime_of_two_digits"),
    pytest.param(EXAMPLE - 14 * 86400, b"Wednesday, 23-Oct-94 08:49:37 GMT", id="rfc_850_with_the_longest_name"),
    pytest.param(1483228800, b"Sat, 31 Dec 2016 23:59:60 GMT", id="leap_second"),
    pytest.param(EXAMPLE, b"Mon, 06 Nov 1994 08:49:37 GMT", id="weekday_that_does_not_fit"),
]
INVALID = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"0", id="a_number"),
    pytest.param(b"784111777", id="seconds"),
    pytest.param(b"1994-11-06T08:49:37Z", id="iso_8601"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37", id="no_zone"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 UTC", id="another_zone"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 gmt", id="zone_in_lower_case"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 +0000", id="offset"),
    pytest.param(b"sun, 06 Nov 1994 08:49:37 GMT", id="weekday_in_lower_case"),
    pytest.param(b"Xxx, 06 Nov 1994 08:49:37 GMT", id="no_weekday"),
    pytest.param(b"Sun, 06 nov 1994 08:49:37 GMT", id="month_in_lower_case"),
    pytest.param(b"Sun, 06 Foo 1994 08:49:37 GMT", id="no_month"),
    pytest.param(b"Sun, 6 Nov 1994 08:49:37 GMT", id="day_of_one_digit"),
    pytest.param(b"Sun,  6 Nov 1994 08:49:37 GMT", id="day_with_a_space"),
    pytest.param(b"Sun, 06  Nov 1994 08:49:37 GM", id="two_spaces"),
    pytest.param(b"Sun, 06 Nov 94 08:49:37 GMT", id="fixdate_with_two_digits"),
    pytest.param(b"Sun. 06 Nov 1994 08:49:37 GMT", id="no_comma"),
    pytest.param(b"Sun, 06 Nov 1994 08.49.37 GMT", id="no_colons"),
    pytest.param(b"Sun, 00 Nov 1994 08:49:37 GMT", id="day_0"),
    pytest.param(b"Sun, 31 Nov 1994 08:49:37 GMT", id="day_31_of_30"),
    pytest.param(b"Tue, 29 Feb 1994 08:49:37 GMT", id="leap_day_of_no_leap_year"),
    pytest.param(b"Thu, 29 Feb 2100 08:49:37 GMT", id="leap_day_of_2100"),
    pytest.param(b"Sun, 06 Nov 1994 24:00:00 GMT", id="hour_24"),
    pytest.param(b"Sun, 06 Nov 1994 08:60:37 GMT", id="minute_60"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:61 GMT", id="second_61"),
    pytest.param(b"Sun, -6 Nov 1994 08:49:37 GMT", id="sign"),
    pytest.param(b"Sun, 06 Nov +994 08:49:37 GMT", id="sign_in_the_year"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", id="two_lines_joined"),
    pytest.param(b" Sun, 06 Nov 1994 08:49:37 GMT", id="space_in_front"),
    pytest.param(b"Sun, 06 Nov 1994 08:49:37 GMT ", id="space_behind"),
    pytest.param(b"Sun, 06-Nov-94 08:49:37 GMT", id="rfc_850_with_a_short_name"),
    pytest.param(b"Sunday, 06-Nov-1994 08:49:37 GMT", id="rfc_850_with_four_digits"),
    pytest.param(b"Sunday, 06 Nov 94 08:49:37 GMT", id="rfc_850_with_spaces"),
    pytest.param(b"Sunday, 31-Feb-94 08:49:37 GMT", id="rfc_850_of_no_day"),
    pytest.param(b"Sun Nov 06 08:49:37 94", id="asctime_with_two_digits"),
    pytest.param(b"Sun Nov 6 08:49:37 1994", id="asctime_of_one_digit"),
    pytest.param(b"Sun Nov  0 08:49:37 1994", id="asctime_of_day_0"),
    pytest.param(b"Sun Nov  6 08:49:37 1994\n", id="line_feed"),
    pytest.param("Sun, 0６ Nov 1994 08:49:37".encode(), id="digits_of_unicode"),
]
TWO_DIGITS = [
    pytest.param(b"26", 2026, id="this_year"),
    pytest.param(b"25", 2025, id="last_year"),
    pytest.param(b"27", 2027, id="next_year"),
    pytest.param(b"75", 2075, id="49_years_ahead"),
    pytest.param(b"76", 2076, id="50_years_ahead_and_no_more"),
    pytest.param(b"77", 1977, id="51_years_ahead"),
    pytest.param(b"94", 1994, id="past_century"),
    pytest.param(b"00", 2000, id="00"),
]


@pytest.mark.parametrize(("seconds", "text"), WRITTEN)
def test_a_date_is_written_as_imf_fixdate(seconds: int, text: bytes) -> None:
    assert format_date(seconds) == text
    assert format_date(seconds + 0.999) == text


@pytest.mark.parametrize(("seconds", "text"), READ)
def test_all_three_forms_are_read(seconds: int, text: bytes) -> None:
    assert parse_date(text, now=IN_2026) == seconds


@pytest.mark.parametrize("text", INVALID)
def test_what_is_no_date_is_none(text: bytes) -> None:
    assert parse_date(text, now=IN_2026) is None


@pytest.mark.parametrize(("digits", "year"), TWO_DIGITS)
def test_a_two_digit_year_is_at_most_50_years_ahead(digits: bytes, year: int) -> None:
    text = b"Monday, 01-Jun-%b 00:00:00 GMT" % digits
    assert parse_date(text, now=IN_2026) == calendar.timegm((year, 6, 1, 0, 0, 0))


def test_more_than_50_years_counts_to_the_second() -> None:
    text = b"Monday, 01-Jun-76 00:00:01 GMT"
    assert parse_date(text, now=IN_2026) == calendar.timegm((1976, 6, 1, 0, 0, 1))
    assert parse_date(text, now=IN_2026 + 1) == calendar.timegm((2076, 6, 1, 0, 0, 1))
    assert parse_date(b"Monday, 29-Feb-76 00:00:00 GMT", now=IN_2026) == calendar.timegm((2076, 2, 29, 0, 0, 0))


def test_the_clock_places_a_two_digit_year_by_default() -> None:
    year = time.gmtime().tm_year
    text = b"Friday, 05-Jan-%02d 00:00:00 GMT" % (year % 100)
    assert parse_date(text) == calendar.timegm((year, 1, 5, 0, 0, 0))


@pytest.mark.parametrize("seconds", [253402300800, -62167219201, float("inf"), float("-inf"), float("nan")])
def test_a_year_beyond_four_digits_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="an HTTP date is of a year from 0 to 9999"):
        format_date(seconds)


YEAR_3000 = 32_503_680_000  # where the clock of Windows ends


def test_what_is_written_is_read_back_and_agrees_with_the_standard_library() -> None:
    chance = random.Random(5)
    for _ in range(5000):
        seconds = chance.randrange(-62167219200, 253402300800)
        assert parse_date(format_date(seconds)) == seconds
        seconds = chance.randrange(YEAR_3000)
        assert format_date(seconds) == email.utils.formatdate(seconds, usegmt=True).encode()
        assert parse_date(time.asctime(time.gmtime(seconds)).encode()) == seconds


def test_every_day_of_four_centuries_is_read_back() -> None:
    for day in range(-135140, 10957):  # 1600 to 2000
        assert parse_date(format_date(day * 86400)) == day * 86400


def test_one_changed_byte_never_fails() -> None:
    for text in (b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"):
        for at in range(len(text)):
            for octet in (0, 32, 44, 45, 47, 48, 57, 58, 65, 255):
                seconds = parse_date(text[:at] + bytes([octet]) + text[at + 1 :], now=IN_2026)
                assert seconds is None or format_date(seconds)
            assert parse_date(text[:at], now=IN_2026) is None
