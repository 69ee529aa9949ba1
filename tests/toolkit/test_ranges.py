"""Range requests: RFC 9110 section 14, against content of 100 bytes."""

import random

import pytest
from werkzeug.http import parse_range_header

from vanilla.toolkit.ranges import (
    RANGES_MAX,
    ByteRange,
    content_range,
    frame_parts,
    parse_range,
    unsatisfied_range,
)

RANGES = [
    pytest.param(None, None, id="missing"),
    pytest.param(b"bytes=0-0", [(0, 1)], id="first_byte"),
    pytest.param(b"bytes=0-99", [(0, 100)], id="all"),
    pytest.param(b"bytes=10-19", [(10, 20)], id="in_the_middle"),
    pytest.param(b"bytes=99-", [(99, 100)], id="last_byte"),
    pytest.param(b"bytes=10-", [(10, 100)], id="to_the_end"),
    pytest.param(b"bytes=-1", [(99, 100)], id="suffix"),
    pytest.param(b"bytes=-100", [(0, 100)], id="suffix_of_all"),
    pytest.param(b"bytes=-500", [(0, 100)], id="suffix_of_more_than_all"),
    pytest.param(b"bytes=90-500", [(90, 100)], id="end_beyond_the_content"),
    pytest.param(b"bytes=0010-0019", [(10, 20)], id="leading_zeros"),
    pytest.param(b"bytes=0-" + b"9" * 5000, [(0, 100)], id="end_of_5000_digits"),
    pytest.param(b"bytes=" + b"9" * 5000 + b"-", [], id="start_of_5000_digits"),
    pytest.param(b"bytes=-" + b"9" * 5000, [(0, 100)], id="suffix_of_5000_digits"),
    pytest.param(b"BYTES=0-0", [(0, 1)], id="unit_in_any_case"),
    # several
    pytest.param(b"bytes=0-0,99-99", [(0, 1), (99, 100)], id="two"),
    pytest.param(b"bytes= 0-0 , 5-9 ,, -1", [(0, 1), (5, 10), (99, 100)], id="space_and_empty_elements"),
    pytest.param(b"bytes=50-59,0-9", [(50, 60), (0, 10)], id="order_of_the_client"),
    pytest.param(b"bytes=0-9,200-300", [(0, 10)], id="one_of_two_cannot_be_satisfied"),
    pytest.param(b"bytes=0-9,5-19", [(0, 20)], id="overlapping"),
    pytest.param(b"bytes=0-9,10-19", [(0, 20)], id="touching"),
    pytest.param(b"bytes=0-9,11-19", [(0, 10), (11, 20)], id="a_gap_of_one"),
    pytest.param(b"bytes=0-9,0-9", [(0, 10)], id="the_same_twice"),
    pytest.param(b"bytes=0-9,50-59,5-54", [(0, 60)], id="one_that_joins_two"),
    pytest.param(b"bytes=80-,-30,0-0", [(70, 100), (0, 1)], id="suffix_overlaps"),
    pytest.param(b"bytes=0-,0-,0-,-1", [(0, 100)], id="all_again_and_again"),
    # not to be satisfied: 416
    pytest.param(b"bytes=100-", [], id="starts_behind_the_content"),
    pytest.param(b"bytes=100-200", [], id="lies_behind_the_content"),
    pytest.param(b"bytes=-0", [], id="suffix_of_nothing"),
    pytest.param(b"bytes=-0,100-", [], id="none_of_two"),
    # malformed, or of another unit: ignored
    pytest.param(b"", None, id="empty"),
    pytest.param(b"bytes", None, id="no_equals"),
    pytest.param(b"bytes=", None, id="no_range"),
    pytest.param(b"bytes=,", None, id="empty_elements_alone"),
    pytest.param(b"bytes=-", None, id="dash_alone"),
    pytest.param(b"bytes=5", None, id="no_dash"),
    pytest.param(b"bytes=9-5", None, id="end_before_start"),
    pytest.param(b"bytes=0-9,9-5", None, id="one_of_two_is_malformed"),
    pytest.param(b"bytes=0-0;a", None, id="text_behind"),
    pytest.param(b"bytes=0--1", None, id="two_dashes"),
    pytest.param(b"bytes=--1", None, id="two_dashes_in_front"),
    pytest.param(b"bytes=+0-9", None, id="sign"),
    pytest.param(b"bytes=0x0-9", None, id="hexadecimal"),
    pytest.param(b"bytes=0 - 9", None, id="space_around_the_dash"),
    pytest.param(b"bytes =0-9", None, id="space_before_equals"),
    pytest.param(b" bytes=0-9", None, id="space_in_front"),
    pytest.param("bytes=0-９".encode(), None, id="digits_of_unicode"),
    pytest.param(b"items=0-9", None, id="another_unit"),
    pytest.param(b"bytes=0-9, bytes=20-29", None, id="two_lines_joined"),
    pytest.param(b"bytes=0-9\n", None, id="line_feed"),
]


@pytest.mark.parametrize(("value", "expected"), RANGES)
def test_ranges_are_read_ignored_or_unsatisfiable(value: bytes | None, expected: list[tuple[int, int]] | None) -> None:
    assert parse_range(value, 100) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"bytes=0-", [], id="from_0"),
        pytest.param(b"bytes=0-0", [], id="first_byte"),
        pytest.param(b"bytes=-5", None, id="suffix_is_satisfied_by_nothing"),
        pytest.param(b"bytes=-0", [], id="suffix_of_nothing"),
        pytest.param(b"bytes=0-,-5", None, id="suffix_among_others"),
    ],
)
def test_empty_content_has_no_ranges(value: bytes, expected: list[tuple[int, int]] | None) -> None:
    assert parse_range(value, 0) == expected


def test_more_ranges_than_allowed_are_ignored() -> None:
    ranges = [b"%d-%d" % (at * 2, at * 2) for at in range(RANGES_MAX + 1)]
    assert len(parse_range(b"bytes=" + b",".join(ranges[:-1]), 100) or ()) == RANGES_MAX
    assert parse_range(b"bytes=" + b",".join(ranges), 100) is None
    assert parse_range(b"bytes=0-0,2-2", 100, max_ranges=1) is None
    assert parse_range(b"bytes=0-0", 100, max_ranges=1) == [(0, 1)]


def test_no_byte_is_ever_sent_twice() -> None:
    chance = random.Random(11)
    for _ in range(3000):
        specified = []
        for _ in range(chance.randrange(1, 9)):
            start = chance.randrange(120)
            specified.append(
                chance.choice([b"%d-%d" % (start, start + chance.randrange(40)), b"%d-" % start, b"-%d" % start])
            )
        size = chance.randrange(110)
        wanted: set[int] = set()
        for text in specified:
            first, last = text.split(b"-")
            if first:
                wanted |= set(range(int(first), min(int(last or size) + 1, size)))
            else:
                wanted |= set(range(max(size - int(last), 0), size))
        ranges = parse_range(b"bytes=" + b",".join(specified), size)
        if ranges is not None:
            sent = [at for part in ranges for at in range(part.start, part.end)]
            assert len(sent) == len(set(sent))
            assert set(sent) == wanted
            assert all(part.length > 0 for part in ranges)


def test_single_ranges_are_read_as_another_library_does() -> None:
    for text in ("0-0", "5-9", "5-", "-5", "90-500", "100-", "9-5", "-", "a-b", "5"):
        theirs = parse_range_header("bytes=" + text)
        ours = parse_range(b"bytes=" + text.encode(), 100)
        if theirs is None:
            assert ours is None, text
        else:
            assert (ours or [None]) == [theirs.range_for_length(100)], text


@pytest.mark.parametrize("piece", [b"0-,", b"-", b",", b" ", b"0", b"0-0 "])
def test_a_long_field_is_ignored_in_time(piece: bytes) -> None:
    assert parse_range(b"bytes=" + piece * (1_000_000 // len(piece)) + b"x", 100) is None


def test_a_range_is_a_slice() -> None:
    content = bytes(range(100))
    [part] = parse_range(b"bytes=10-19", 100) or []
    assert content[part.start : part.end] == bytes(range(10, 20))
    assert part.length == 10
    assert content_range(part, 100) == b"bytes 10-19/100"
    assert unsatisfied_range(100) == b"bytes */100"


def test_several_ranges_are_framed_as_one_content() -> None:
    ranges = [ByteRange(0, 5), ByteRange(95, 100)]
    parts = frame_parts(ranges, 100, "text/plain", boundary=b"THIS")
    assert parts.content_type == b"multipart/byteranges; boundary=THIS"
    assert parts.heads == [
        b"--THIS\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-4/100\r\n\r\n",
        b"\r\n--THIS\r\nContent-Type: text/plain\r\nContent-Range: bytes 95-99/100\r\n\r\n",
    ]
    assert parts.tail == b"\r\n--THIS--\r\n"
    assert parts.length == sum(map(len, parts.heads)) + 10 + len(parts.tail)


def test_a_part_of_no_type_says_none() -> None:
    parts = frame_parts([ByteRange(0, 1)], 2, None, boundary=b"THIS")
    assert parts.heads == [b"--THIS\r\nContent-Range: bytes 0-0/2\r\n\r\n"]


def test_a_boundary_is_random() -> None:
    first, second = (frame_parts([ByteRange(0, 1)], 2, None) for _ in range(2))
    assert first.content_type != second.content_type
    assert first.length == second.length == len(first.heads[0]) + 1 + len(first.tail)


@pytest.mark.parametrize("boundary", [b"", b"a b", b'a"', b"a\r\n", b"a" * 71])
def test_another_boundary_is_refused(boundary: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 70 letters and digits"):
        frame_parts([ByteRange(0, 1)], 2, None, boundary=boundary)


def test_no_range_is_not_framed() -> None:
    with pytest.raises(ValueError, match="no range: answer 416"):
        frame_parts([], 100, None)
