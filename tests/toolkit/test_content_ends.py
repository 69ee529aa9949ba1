"""Where content ends: found where bytes.find finds it, whatever the content is made of."""

import random

import pytest

from vanilla.toolkit.content_ends import Delimiter

DELIMITER = b"\r\n--XX"


def expected_end(data: bytes, delimiter: bytes, start: int) -> int:
    """By its definition."""
    at = data.find(delimiter, start)
    if at >= 0:
        return at
    tails = (len(data) - length for length in range(len(delimiter) - 1, 0, -1))
    return next((tail for tail in tails if tail >= start and delimiter.startswith(data[tail:])), len(data))


@pytest.mark.parametrize(
    ("data", "start", "end"),
    [
        pytest.param(b"", 0, 0, id="nothing"),
        pytest.param(b"abc", 0, 3, id="content_alone"),
        pytest.param(b"abc\r\n--XX--", 0, 3, id="behind_content"),
        pytest.param(b"\r\n--XX", 0, 0, id="no_content"),
        pytest.param(b"\r\n--XX", 1, 6, id="begun_behind_it"),
        pytest.param(b"\r\n--XX\r\n--XX", 1, 6, id="the_next_one"),
        pytest.param(b"abc\r\n--X", 0, 3, id="the_beginning_of_one"),
        pytest.param(b"abc\r", 0, 3, id="the_first_byte_of_one"),
        pytest.param(b"abc\r", 4, 4, id="nothing_behind_that"),
        pytest.param(b"a\r\n--X\r\n--XX", 0, 6, id="one_begun_before_it"),
        pytest.param(b"\r\r\r\n--XX", 0, 2, id="line_ends_before_it"),
        pytest.param(b"a\r\n--Xa", 0, 7, id="one_begun_and_not_ended"),
        pytest.param(b"\r" * 10_000 + b"\n--XX", 0, 9_999, id="many_line_ends_before_it"),
        pytest.param(b"\r\n" * 10_000 + b"--XX", 0, 19_998, id="many_whole_line_ends_before_it"),
        pytest.param(b"\r" * 10_000 + b"\n--X", 0, 9_999, id="many_line_ends_before_the_beginning_of_one"),
        pytest.param(b"\r" * 10_000 + b"a", 0, 10_001, id="many_line_ends_alone"),
    ],
)
def test_content_ends_where_the_delimiter_begins(data: bytes, start: int, end: int) -> None:
    assert Delimiter(DELIMITER).find_in(data, start) == end
    assert expected_end(data, DELIMITER, start) == end


@pytest.mark.parametrize("line_ends", [1, 8, 200], ids=["few_line_ends", "many", "hardly_anything_else"])
@pytest.mark.parametrize("longest", [4, 70], ids=["short_boundaries", "long_boundaries"])
def test_it_ends_where_another_search_finds_it(line_ends: int, longest: int) -> None:
    chance = random.Random(line_ends)
    found = set()
    for _ in range(3000):
        delimiter = b"\r\n--" + bytes(chance.choices(b"-X", k=chance.randrange(1, longest + 1)))
        pieces = [b"\r", b"\n", b"\r\n", b"--", b"X", delimiter[:-1], b"a" * 60, chance.randbytes(9), delimiter]
        weights = [line_ends, 2, line_ends, 2, 2, 2, 5, 5, chance.choice([0, 0.1])]
        data = b"".join(chance.choices(pieces, weights, k=chance.randrange(40)))
        start = chance.randrange(len(data) + 1)
        end = Delimiter(delimiter).find_in(data, start)
        assert end == expected_end(data, delimiter, start), (data, delimiter, start)
        found.add("nowhere" if end == len(data) else "whole" if data.startswith(delimiter, end) else "begun")
    assert found == {"nowhere", "whole", "begun"}


@pytest.mark.parametrize("length", [1, 2, 9, 38, 70])
def test_it_is_found_wherever_it_begins(length: int) -> None:
    delimiter = b"\r\n--" + random.Random(length).randbytes(length)
    for before in (bytes(700), random.Random(0).randbytes(700), delimiter[1:] * 700, delimiter[:-1] * 700):
        for at in range(600):
            data = before[:at] + delimiter + before
            assert Delimiter(delimiter).find_in(data) == data.find(delimiter)
            cut = data[: at + 1 + at % len(delimiter)]
            assert Delimiter(delimiter).find_in(cut) == expected_end(cut, delimiter, 0)


@pytest.mark.parametrize("delimiter", [b"", b"--XX", b"\r\n--", b"\n--X", b"\r\n--" + b"X" * 247])
def test_what_is_no_delimiter_is_refused(delimiter: bytes) -> None:
    with pytest.raises(ValueError, match="delimiter="):
        Delimiter(delimiter)


@pytest.mark.parametrize("start", [-1, 4])
def test_a_start_that_is_not_in_the_data_is_refused(start: int) -> None:
    with pytest.raises(ValueError, match="start="):
        Delimiter(DELIMITER).find_in(b"abc", start)
