"""The answer's side: every registered status line, Date, and what the server mends in a handler's bytes."""

from __future__ import annotations

import email.utils
import random
import re
from datetime import UTC, datetime, timedelta

import pytest

from vanilla.http1.reply import (
    REASONS,
    STATUS_LINES,
    DateLine,
    find_fault,
    status_of,
    with_connection,
    without_content,
)

CLOSE, KEEP_ALIVE = 1, 2
DAY = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\n"
EARLIER = b"HTTP/1.1 204 No Content\r\nConnection: x\r\n\r\n"  # a pipelined neighbour's answer in the same buffer


def test_every_status_line_is_whole() -> None:
    assert set(STATUS_LINES) == set(REASONS)
    for status, line in STATUS_LINES.items():
        assert re.fullmatch(rb"HTTP/1\.1 %d [A-Za-z' -]+\r\n" % status, line)


SECONDS = [
    *range(0, 3 * DAY, 1009),
    *range(951_782_400 - 2, 951_782_400 + 2),  # 29 February 2000, a leap day in a year that 400 divides
    *(951_782_400 + DAY + second for second in range(-2, 2)),
    *(4_107_542_400 + second for second in range(-2, 2)),  # 1 March 2100: no leap day before it
    *(1_735_689_600 + second for second in range(-2, 2)),  # a new year
    2**31 - 1,
    2**31,
    2**32,
    253_402_300_799,  # the last second with a year of four digits
]


def test_date_is_what_the_standard_library_writes() -> None:
    date = DateLine()
    random_ = random.Random(1)
    days = range(0, 2_932_896 * DAY, 97 * DAY)
    for second in [*SECONDS, *days, *(random_.randrange(253_402_300_800) for _ in range(20_000))]:
        expected = f"Date: {email.utils.format_datetime(EPOCH + timedelta(0, second), usegmt=True)}\r\n".encode()
        assert date.at(second) == expected, second


def test_date_is_right_in_every_second_of_a_day() -> None:
    date = DateLine()
    for second in range(1_709_164_800, 1_709_164_800 + DAY):
        clock = second % DAY
        expected = b"Date: Thu, 29 Feb 2024 %02d:%02d:%02d GMT\r\n" % (clock // 3600, clock // 60 % 60, clock % 60)
        assert date.at(second) == expected


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        pytest.param(OK + b"\r\n", 200, id="least"),
        pytest.param(b"HTTP/1.0 599 X\r\n\r\n", 599, id="version_1_0"),
        pytest.param(b"HTTP/1.1 200\r\n\r\n", 200, id="no_reason"),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 101, id="switching_is_final"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n", 200, id="behind_an_interim_one"),
        pytest.param(b"HTTP/1.1 103 X\r\nLink: y\r\n\r\n" * 3 + OK + b"\r\n", 200, id="behind_three"),
        pytest.param(b"HTTP/1.1 103 X\r\nLink: y\r\n\r\n", 0, id="interim_alone"),
        pytest.param(b"HTTP/1.1 103 X\r\nLink: y\r\n", 0, id="interim_not_over"),
        pytest.param(b"", 0, id="nothing"),
        pytest.param(b"HTTP/1.1 200", 0, id="cut_short"),
        pytest.param(b"hello, world! hello", 0, id="no_response"),
        pytest.param(b"HTTP/2 200 OK\r\n\r\n", 0, id="another_version"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", 200, id="four_digits_read_as_three"),
        pytest.param(b"HTTP/1.1 099 X\r\n\r\n", 0, id="below_100"),
        pytest.param(b"HTTP/1.1 600 X\r\n\r\n", 0, id="above_599"),
        pytest.param(b"HTTP/1.1 2x0 X\r\n\r\n", 0, id="no_number"),
        pytest.param(b"HTTP/1.1_200 X\r\n\r\n", 0, id="no_space"),
    ],
)
def test_the_status_is_that_of_the_final_response(wire: bytes, status: int) -> None:
    assert status_of(wire) == status
    assert status_of(EARLIER + wire, len(EARLIER)) == status


MENDED = [
    pytest.param(OK + b"\r\n", OK + b"@\r\n", id="no_fields"),
    pytest.param(OK + b"A: b\r\n\r\nbody", OK + b"@A: b\r\n\r\nbody", id="fields_and_content"),
    pytest.param(OK + b"Connection: x\r\n\r\n", OK + b"@\r\n", id="replaced"),
    pytest.param(OK + b"A: b\r\nCONNECTION:x\r\nC: d\r\n\r\ne", OK + b"@A: b\r\nC: d\r\n\r\ne", id="in_the_middle"),
    pytest.param(OK + b"connection: a\r\nA: b\r\nconnection: c\r\n\r\n", OK + b"@A: b\r\n\r\n", id="every_one"),
    pytest.param(OK + b"Connections: a\r\n\r\n", OK + b"@Connections: a\r\n\r\n", id="another_name"),
    pytest.param(OK + b"\r\nConnection: x\r\n\r\n", OK + b"@\r\nConnection: x\r\n\r\n", id="content_is_left_alone"),
    pytest.param(
        b"HTTP/1.1 103 X\r\nConnection: y\r\n\r\n" + OK + b"Connection: x\r\n\r\n",
        b"HTTP/1.1 103 X\r\nConnection: y\r\n\r\n" + OK + b"@\r\n",
        id="the_final_response",
    ),
    pytest.param(OK + b"A: b\rc\r\n\r\n", OK + b"@A: b\rc\r\n\r\n", id="lone_cr"),
]


@pytest.mark.parametrize(("wire", "mended"), MENDED)
def test_the_connection_field_says_what_the_server_does(wire: bytes, mended: bytes) -> None:
    for before in (b"", EARLIER):
        start = len(before)
        assert with_connection(before + wire, CLOSE, start) == before + mended.replace(b"@", b"Connection: close\r\n")
        kept = mended.replace(b"@", b"Connection: keep-alive\r\n")
        assert with_connection(before + wire, KEEP_ALIVE, start) == before + kept


@pytest.mark.parametrize("wire", [b"", b"x", OK, OK + b"A: b\r\n", b"HTTP/1.1 100 X\r\n\r\n", b"\r\n\r\n" + OK])
def test_bytes_without_a_head_are_left_alone(wire: bytes) -> None:
    assert with_connection(wire, CLOSE) is None
    assert without_content(wire) is None


@pytest.mark.parametrize(
    ("wire", "head"),
    [
        pytest.param(OK + b"\r\nbody", OK + b"\r\n", id="least"),
        pytest.param(OK + b"Content-Length: 4\r\n\r\nbody", OK + b"Content-Length: 4\r\n\r\n", id="length_stays"),
        pytest.param(OK + b"\r\n\r\n\r\n", OK + b"\r\n", id="content_of_line_ends"),
        pytest.param(
            b"HTTP/1.1 103 X\r\n\r\n" + OK + b"\r\nbody", b"HTTP/1.1 103 X\r\n\r\n" + OK + b"\r\n", id="interim"
        ),
    ],
)
def test_content_is_cut_off_behind_the_final_head(wire: bytes, head: bytes) -> None:
    assert without_content(wire) == head
    assert without_content(EARLIER + wire, len(EARLIER)) == EARLIER + head


LENGTH = "a malformed or repeated Content-Length"
UNLIKE = "content that is not as long as Content-Length says"


@pytest.mark.parametrize(
    ("wire", "fault"),
    [
        pytest.param(OK + b"Content-Length: 2\r\n\r\nok", "", id="whole"),
        pytest.param(OK + b"content-length:\t2 \r\n\r\nok", "", id="length_between_spaces"),
        pytest.param(OK + b"\r\n", "", id="neither_length_nor_content"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", "", id="no_content"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", id="not_modified"),
        pytest.param(b"HTTP/1.1 103 X\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nok", "", id="behind_an_interim_one"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", "", id="chunked"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "", id="chunked_and_empty"),
        pytest.param(b"", "no status line", id="nothing"),
        pytest.param(b"hello, world! hello", "no status line", id="no_response"),
        pytest.param(b"HTTP/1.1 200 O\0K\r\n\r\n", "no status line", id="nul_in_the_reason"),
        pytest.param(b"HTTP/1.1 101 X\r\x00d: e\r\n\r\n", "no status line", id="lone_cr_in_the_reason"),
        pytest.param(OK + b"A: b\r\n", "no blank line after the head", id="head_cut_short"),
        pytest.param(OK + b"A b\r\n\r\n", "a malformed field line", id="no_colon"),
        pytest.param(OK + b": b\r\n\r\n", "a malformed field line", id="no_name"),
        pytest.param(OK + b"A : b\r\n\r\n", "a malformed field line", id="space_before_the_colon"),
        pytest.param(OK + b"A: b\0\r\n\r\n", "a malformed field line", id="nul_in_a_value"),
        pytest.param(OK + b"A: b\nC: d\r\n\r\n", "a malformed field line", id="lf_in_a_value"),
        pytest.param(OK + b"A: b\rC: d\r\n\r\n", "a malformed field line", id="cr_in_a_value"),
        pytest.param(OK + b"A: b\r\n c\r\n\r\n", "a malformed field line", id="folded"),
        pytest.param(OK + b"Content-Length: x\r\n\r\n", LENGTH, id="length_of_words"),
        pytest.param(OK + b"Content-Length:\r\n\r\n", LENGTH, id="length_empty"),
        pytest.param(OK + b"Content-Length: 2, 2\r\n\r\nok", LENGTH, id="length_list"),
        pytest.param(OK * 2 + b"Content-Length: 2\r\n\r\nok", "a malformed field line", id="two_status_lines"),
        pytest.param(OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok", LENGTH, id="length_twice"),
        pytest.param(OK + b"Content-Length: 9999999999999999999\r\n\r\nok", LENGTH, id="length_of_19_digits"),
        pytest.param(OK + b"Content-Length: 3\r\n\r\nok", UNLIKE, id="a_byte_short"),
        pytest.param(OK + b"Content-Length: 1\r\n\r\nok", UNLIKE, id="a_byte_long"),
        pytest.param(OK + b"\r\nok", UNLIKE, id="content_without_length"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", "no last chunk", id="no_last_chunk"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n", "no last chunk", id="no_chunk_at_all"),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "both Content-Length and Transfer-Encoding",
            id="two_framings",
        ),
    ],
)
def test_what_a_handler_appended_is_one_whole_response(wire: bytes, fault: str) -> None:
    assert find_fault(wire) == fault
    assert find_fault(EARLIER + wire, start=len(EARLIER)) == fault


def test_an_answer_to_head_needs_no_content() -> None:
    assert find_fault(OK + b"Content-Length: 9\r\n\r\n", is_head=True) == ""
    assert find_fault(OK + b"Transfer-Encoding: chunked\r\n\r\n", is_head=True) == ""


@pytest.mark.parametrize("seed", range(10))
def test_mending_survives_any_bytes(seed: int) -> None:
    random_ = random.Random(seed)
    parts = [
        OK,
        b"HTTP/1.1 103 X\r\n\r\n",
        b"Connection: x\r\n",
        b"A: b\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"Content-Length: 1\r\n",
        b"x",
    ]
    for _ in range(2000):
        wire = b"".join(random_.choices(parts, k=random_.randrange(8)))
        closed = with_connection(wire, CLOSE)
        if closed is not None:
            assert closed.count(b"Connection: close\r\n") == wire.count(b"Connection: close\r\n") + 1
            assert with_connection(closed, CLOSE) == closed
            assert status_of(closed) == status_of(wire)
        bare = without_content(wire)
        assert bare is None or (wire.startswith(bare) and bare.endswith(b"\r\n\r\n"))
        assert (bare is None) == (closed is None)
        find_fault(wire)
