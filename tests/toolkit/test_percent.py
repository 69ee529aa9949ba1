"""Percent-encoding, held against RFC 3986 and the standard library."""

import random
import re
import urllib.parse

import pytest

from vanilla.toolkit.percent import UNRESERVED, decode, decode_form, encode
from vanilla.toolkit.refusals import MalformedError

DECODED = [
    pytest.param(b"", b"", id="nothing"),
    pytest.param(b"plain", b"plain", id="nothing_to_do"),
    pytest.param(b"%41%62%63", b"Abc", id="letters"),
    pytest.param(b"%2f%2F", b"//", id="either_case"),
    pytest.param(b"%2541", b"%41", id="decoded_once"),
    pytest.param(b"a%00b", b"a\0b", id="nul"),
    pytest.param(b"%ff%FE", b"\xff\xfe", id="no_utf8"),
    pytest.param(b"caf%C3%A9", "café".encode(), id="utf8"),
    pytest.param(b"\xc3\xa9", "é".encode(), id="raw_bytes_stay"),
    pytest.param(b"%20", b" ", id="at_the_very_end"),
]
MALFORMED = [
    pytest.param(b"%", 0, id="percent_alone"),
    pytest.param(b"100%", 3, id="percent_at_the_end"),
    pytest.param(b"%2", 0, id="one_digit"),
    pytest.param(b"ab%4", 2, id="one_digit_at_the_end"),
    pytest.param(b"%zz", 0, id="no_digits"),
    pytest.param(b"%4g", 0, id="second_is_no_digit"),
    pytest.param(b"%g4", 0, id="first_is_no_digit"),
    pytest.param(b"%%41", 0, id="percent_percent"),
    pytest.param(b"%41%", 3, id="after_a_good_one"),
    pytest.param(b"%+1", 0, id="sign"),
    pytest.param(b"% 1", 0, id="space"),
    pytest.param(b"%u0041", 0, id="unicode_escape"),
]


@pytest.mark.parametrize(("data", "expected"), DECODED)
def test_escapes_are_decoded(data: bytes, expected: bytes) -> None:
    assert decode(data) == decode_form(data) == expected


@pytest.mark.parametrize(("data", "at"), MALFORMED)
@pytest.mark.parametrize("decoder", [decode, decode_form], ids=["decode", "decode_form"])
def test_a_malformed_escape_is_refused_with_its_place(decoder, data: bytes, at: int) -> None:
    with pytest.raises(MalformedError, match=rf"at {at}: two hexadecimal digits must follow a %") as refused:
        decoder(data)
    assert refused.value.status == 400


def test_plus_is_a_space_in_forms_alone() -> None:
    assert decode(b"a+b%2Bc") == b"a+b+c"
    assert decode_form(b"a+b%2Bc") == b"a b+c"


def test_what_needs_no_decoding_and_no_encoding_is_not_copied() -> None:
    data = b"some-name.txt"
    assert encode(data) is data


@pytest.mark.parametrize(
    ("data", "safe", "expected"),
    [
        pytest.param(b"", b"", b"", id="nothing"),
        pytest.param(UNRESERVED, b"", UNRESERVED, id="unreserved_stays"),
        pytest.param(b"a b/c", b"", b"a%20b%2Fc", id="space_and_slash"),
        pytest.param(b"a b/c", b"/", b"a%20b/c", id="slash_is_safe"),
        pytest.param(b"\0\x1f\x7f\xff", b"", b"%00%1F%7F%FF", id="capital_digits"),
        pytest.param(b"100%", b"", b"100%25", id="percent"),
    ],
)
def test_all_but_unreserved_characters_are_encoded(data: bytes, safe: bytes, expected: bytes) -> None:
    assert encode(data, safe) == expected


def test_encoding_is_undone_by_decoding_and_agrees_with_the_standard_library() -> None:
    chance = random.Random(1)
    for length in range(300):
        data = chance.randbytes(length % 40)
        assert decode(encode(data)) == data
        assert decode_form(encode(data)) == data
        assert encode(data) == urllib.parse.quote_from_bytes(data, safe="").encode()


def test_decoding_agrees_with_the_standard_library_wherever_it_takes_the_bytes() -> None:
    chance = random.Random(2)
    taken = 0
    for _ in range(3000):
        data = bytes(chance.choice(b"%%%0aF+ z") for _ in range(chance.randrange(9)))
        try:
            decoded = decode(data)
        except MalformedError:
            assert re.search(rb"%(?![0-9A-Fa-f]{2})", data)
            continue
        taken += 1
        assert not re.search(rb"%(?![0-9A-Fa-f]{2})", data)
        assert decoded == urllib.parse.unquote_to_bytes(data)
        assert decode_form(data) == urllib.parse.unquote_to_bytes(data.replace(b"+", b" "))
    assert taken > 500


@pytest.mark.parametrize("data", ["text", None, bytearray(b"a"), 3])
def test_anything_but_bytes_is_a_type_error(data: object) -> None:
    with pytest.raises(TypeError):
        decode(data)  # type: ignore[arg-type]
