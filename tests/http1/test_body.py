"""Chunked content, RFC 9112 section 7.1: compiled and uncompiled, split at every byte, with a neighbour behind."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from types import ModuleType

import pytest

INCOMPLETE = -1
NEIGHBOURS = (b"", b"G", b"0\r\n\r\n", b"\r\n", b"\x00\xff" * 9)

VALID = [
    pytest.param(b"0\r\n\r\n", b"", id="nothing"),
    pytest.param(b"00000\r\n\r\n", b"", id="nothing_in_five_digits"),
    pytest.param(b"5\r\nhello\r\n0\r\n\r\n", b"hello", id="one_chunk"),
    pytest.param(b"005\r\nhello\r\n0\r\n\r\n", b"hello", id="leading_zeros"),
    pytest.param(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world", id="two_chunks"),
    pytest.param(b"a\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="lower_case_hex"),
    pytest.param(b"A\r\n0123456789\r\n0\r\n\r\n", b"0123456789", id="upper_case_hex"),
    pytest.param(b"4\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n\r\n", id="line_ends_as_content"),
    pytest.param(b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n", id="content_that_looks_like_the_end"),
    pytest.param(b"100\r\n" + bytes(range(256)) + b"\r\n0\r\n\r\n", bytes(range(256)), id="every_octet"),
    pytest.param(b"5;a\r\nhello\r\n0;b=c\r\n\r\n", b"hello", id="extensions"),
    pytest.param(b"5 ; a = b\t;c\r\nhello\r\n0\t;\td\r\n\r\n", b"hello", id="extensions_between_spaces"),
    pytest.param(b'5;a="; ";b="\\\\"\r\nhello\r\n0\r\n\r\n', b"hello", id="quoted_semicolon"),
    pytest.param(b'5;a="x;y\\"z \xe4"\r\nhello\r\n0\r\n\r\n', b"hello", id="quoted_extension"),
    pytest.param(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"hello", id="one_trailer"),
    pytest.param(b"5\r\nhello\r\n0\r\nX:\r\nContent-Length:\t9 \r\n\r\n", b"hello", id="two_trailers"),
]

REFUSED = [
    pytest.param(b"\r\n0\r\n\r\n", 400, id="no_size"),
    pytest.param(b"\n", 400, id="lf_for_a_size"),
    pytest.param(b";a\r\n\r\n", 400, id="extension_without_size"),
    pytest.param(b"5;\r\nhello\r\n0\r\n\r\n", 400, id="semicolon_without_extension"),
    pytest.param(b"5; \r\nhello\r\n0\r\n\r\n", 400, id="semicolon_and_space"),
    pytest.param(b"5;;a\r\nhello\r\n0\r\n\r\n", 400, id="two_semicolons"),
    pytest.param(b"5;a;\r\nhello\r\n0\r\n\r\n", 400, id="semicolon_behind_an_extension"),
    pytest.param(b"5;=b\r\nhello\r\n0\r\n\r\n", 400, id="extension_without_name"),
    pytest.param(b'5;"a"\r\nhello\r\n0\r\n\r\n', 400, id="quoted_extension_name"),
    pytest.param(b'5;a="b\r\nhello\r\n0\r\n\r\n', 400, id="open_quote"),
    pytest.param(b'5;a="b\\"\r\nhello\r\n0\r\n\r\n', 400, id="escaped_quote"),
    pytest.param(b"0;\r\n\r\n", 400, id="semicolon_behind_the_last_size"),
    pytest.param(b" 5\r\nhello\r\n0\r\n\r\n", 400, id="space_before_the_size"),
    pytest.param(b"5 \r\nhello\r\n0\r\n\r\n", 400, id="space_after_the_size"),
    pytest.param(b"5 a\r\nhello\r\n0\r\n\r\n", 400, id="extension_without_semicolon"),
    pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", 400, id="negative_size"),
    pytest.param(b"+5\r\nhello\r\n0\r\n\r\n", 400, id="signed_size"),
    pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", 400, id="prefixed_size"),
    pytest.param(b"5_0\r\n", 400, id="underscore_in_the_size"),
    pytest.param(b"g\r\n", 400, id="no_hex_digit"),
    pytest.param(b"5:\r\n", 400, id="the_byte_after_nine"),
    pytest.param(b"5,5\r\n", 400, id="list_of_sizes"),
    pytest.param(b"5\nhello\r\n0\r\n\r\n", 400, id="lf_after_the_size"),
    pytest.param(b"5\rhello\r\n0\r\n\r\n", 400, id="cr_after_the_size"),
    pytest.param(b"5\r\r\nhello", 400, id="two_crs_after_the_size"),
    pytest.param(b"5;a\nhello\r\n0\r\n\r\n", 400, id="lf_after_an_extension"),
    pytest.param(b"5;a\rhello\r\n0\r\n\r\n", 400, id="cr_after_an_extension"),
    pytest.param(b"5;a\0\r\nhello\r\n0\r\n\r\n", 400, id="nul_in_an_extension"),
    pytest.param(b"5\r\nhello0\r\n\r\n", 400, id="no_line_end_after_the_data"),
    pytest.param(b"5\r\nhello\n0\r\n\r\n", 400, id="lf_after_the_data"),
    pytest.param(b"5\r\nhello\rX", 400, id="cr_after_the_data"),
    pytest.param(b"5\r\nhello!\r\n0\r\n\r\n", 400, id="data_longer_than_its_size"),
    pytest.param(b"5\r\nhell\r\n0\r\n\r\n", 400, id="data_shorter_than_its_size"),
    pytest.param(b"0\r\n\n", 400, id="lf_for_the_last_line_end"),
    pytest.param(b"0\r\n\rX", 400, id="cr_for_the_last_line_end"),
    pytest.param(b"0\r\n: y\r\n\r\n", 400, id="trailer_without_name"),
    pytest.param(b"0\r\nX\r\n\r\n", 400, id="trailer_without_colon"),
    pytest.param(b"0\r\nX : y\r\n\r\n", 400, id="space_before_the_colon_of_a_trailer"),
    pytest.param(b"0\r\n X: y\r\n\r\n", 400, id="trailer_that_begins_with_a_space"),
    pytest.param(b"0\r\nX: y\r\n z\r\n\r\n", 400, id="folded_trailer"),
    pytest.param(b"0\r\nX: y\nZ: z\r\n\r\n", 400, id="lf_in_a_trailer"),
    pytest.param(b"0\r\nX: y\rZ: z\r\n\r\n", 400, id="cr_in_a_trailer"),
    pytest.param(b"0\r\nX: \0\r\n\r\n", 400, id="nul_in_a_trailer"),
    pytest.param(b"80000000\r\n", 413, id="size_of_2_31"),
    pytest.param(b"100000000\r\n", 413, id="size_of_2_32_is_no_end"),
    pytest.param(b"100000005\r\nhello", 413, id="size_of_2_32_plus_5_is_not_5"),
    pytest.param(b"8000000000000000\r\n", 400, id="size_of_2_63"),
    pytest.param(b"10000000000000000\r\n", 400, id="size_of_2_64_is_no_end"),
    pytest.param(b"10000000000000005\r\nhello", 400, id="size_of_2_64_plus_5_is_not_5"),
    pytest.param(b"f" * 100 + b"\r\n", 400, id="size_of_a_hundred_digits"),
]


def whole(body: ModuleType, wire: bytes, *splits: int, **limits: int) -> tuple[int, bytes]:
    result: tuple[int, bytes] = body.decode(bytearray(wire), list(splits), **limits)
    return result


@pytest.mark.parametrize(("wire", "content"), VALID)
def test_content_is_decoded_whatever_follows(body: ModuleType, wire: bytes, content: bytes) -> None:
    for neighbour in NEIGHBOURS:
        assert whole(body, wire + neighbour) == (len(wire), content)


@pytest.mark.parametrize(("wire", "content"), VALID)
def test_content_is_decoded_wherever_it_is_split(body: ModuleType, wire: bytes, content: bytes) -> None:
    for split in range(len(wire) + 1):
        assert whole(body, wire + b"GET", split) == (len(wire), content), split
    assert whole(body, wire + b"GET", *range(len(wire))) == (len(wire), content)


@pytest.mark.parametrize(("wire", "content"), VALID)
def test_content_is_incomplete_until_its_last_byte(body: ModuleType, wire: bytes, content: bytes) -> None:
    for end in range(len(wire)):
        result, decoded = whole(body, wire[:end])
        assert result == INCOMPLETE
        assert content.startswith(decoded)


@pytest.mark.parametrize(("wire", "status"), REFUSED)
def test_bad_framing_is_refused_wherever_it_is_split(body: ModuleType, wire: bytes, status: int) -> None:
    for split in range(len(wire) + 1):
        assert whole(body, wire, split)[0] == -status, split
    assert whole(body, wire, *range(len(wire)))[0] == -status
    for neighbour in NEIGHBOURS:
        assert whole(body, wire + neighbour)[0] == -status


@pytest.mark.parametrize(("wire", "status"), REFUSED)
def test_bad_framing_never_passes_as_a_whole_body(body: ModuleType, wire: bytes, status: int) -> None:
    for end in range(len(wire)):
        assert whole(body, wire[:end])[0] in (INCOMPLETE, -status)


def test_content_may_fill_its_limit_and_not_more(body: ModuleType) -> None:
    wire = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    assert whole(body, wire, content_bytes_max=11) == (len(wire), b"hello world")
    assert whole(body, wire, content_bytes_max=10) == (-413, b"hello")
    assert whole(body, wire[:13], content_bytes_max=10) == (-413, b"hello")  # the size alone says so


def test_no_content_at_all_may_be_the_limit(body: ModuleType) -> None:
    assert whole(body, b"0\r\n\r\n", content_bytes_max=0) == (5, b"")
    assert whole(body, b"1\r\nx\r\n0\r\n\r\n", content_bytes_max=0)[0] == -413


@pytest.mark.parametrize(
    ("wire", "extension_bytes"),
    [
        pytest.param(b"5;ab\r\nhello\r\n0\r\n\r\n", 3, id="one_chunk"),
        pytest.param(b"5\r\nhello\r\n0;ab\r\n\r\n", 3, id="last_chunk"),
        pytest.param(b"5 ;ab\r\nhello\r\n0;c\r\n\r\n", 6, id="over_all_chunks"),
        pytest.param(b"0005\r\nhello\r\n00\r\n\r\n", 4, id="leading_zeros"),
        pytest.param(b"5\r\nhello\r\n0\r\n\r\n", 0, id="none"),
    ],
)
def test_extensions_are_bounded_over_the_whole_body(body: ModuleType, wire: bytes, extension_bytes: int) -> None:
    for splits in ([], range(len(wire))):
        assert whole(body, wire, *splits, extension_bytes_max=extension_bytes) == (len(wire), b"hello")
        assert whole(body, wire, *splits, extension_bytes_max=extension_bytes - 1)[0] in (-400, len(wire))
    if extension_bytes:
        assert whole(body, wire, extension_bytes_max=extension_bytes - 1)[0] == -400


def test_endless_zeros_are_refused(body: ModuleType) -> None:
    assert whole(body, b"0" * 4097)[0] == INCOMPLETE
    assert whole(body, b"0" * 4098)[0] == -400


def test_many_small_chunks_are_no_extension(body: ModuleType) -> None:
    wire = b"1\r\nx\r\n" * 10_000 + b"0\r\n\r\n"
    assert whole(body, wire) == (len(wire), b"x" * 10_000)


def test_trailers_are_bounded(body: ModuleType) -> None:
    wire = b"0\r\nX: y\r\n\r\n"
    assert whole(body, wire, trailer_bytes_max=6)[0] == -431
    assert whole(body, wire, trailer_bytes_max=7) == (len(wire), b"")


QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
EXTENSION = rb";[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z](?:[\t\x20\x21\x23-\x3a\x3c-\x7e\x80-\xff]|" + QUOTED + rb")*"
SIZE = re.compile(rb"0*([0-9A-Fa-f]{1,10})((?:[ \t]*(?:" + EXTENSION + rb")+)?)\r\n")
TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n")


def decode(wire: bytes) -> tuple[int, bytes] | None:
    """A second implementation, by regular expressions; None for what is neither whole nor right."""
    at, content = 0, b""
    while True:
        size = SIZE.match(wire, at)
        if size is None:
            return None
        length = int(size[1], 16)
        at = size.end() + length + 2
        if length == 0:
            break
        content += wire[size.end() : at - 2]
        if wire[at - 2 : at] != b"\r\n":
            return None
    at -= 2
    while wire[at : at + 2] != b"\r\n":
        trailer = TRAILER.match(wire, at)
        if trailer is None:
            return None
        at = trailer.end()
    return at + 2, content


@pytest.mark.parametrize("seed", range(20))
def test_a_second_implementation_agrees(body: ModuleType, is_compiled: bool, seed: int) -> None:
    random_ = random.Random(seed)
    for _ in range(300 if is_compiled else 50):
        chunks = [random_.randbytes(random_.choice([1, 2, 15, 16, 17, 300])) for _ in range(random_.randrange(5))]
        wire = b"".join(
            random_.choice([b"%x", b"%X", b"0%x", b"%x;a", b"%x ;b=c"]) % len(chunk) + b"\r\n" + chunk + b"\r\n"
            for chunk in chunks
        )
        wire += b"0\r\n" + random_.choice([b"", b"", b"X: y\r\n"]) + b"\r\n" + random_.choice([b"", b"GET /"])
        if random_.random() < 0.5:
            at = random_.randrange(len(wire))
            wire = wire[:at] + random_.choice([b"", b"\r\n", random_.randbytes(1)]) + wire[at + 1 :]
        expected = decode(wire)
        splits = sorted(random_.choices(range(len(wire)), k=random_.randrange(4)))
        result = whole(body, wire, *splits)
        assert (result if result[0] > 0 else None) == expected, (wire, splits)
        assert result == whole(body, wire)


@pytest.mark.parametrize("is_compiled", [True], indirect=True)
def test_nothing_is_read_past_the_end(body: ModuleType, before_guard_page: Callable[[bytes], int]) -> None:
    for wire in [param.values[0] for param in VALID + REFUSED]:
        for end in range(len(wire) + 1):
            assert body.decode_at(before_guard_page(wire[:end]), end) == whole(body, wire[:end])[0]
