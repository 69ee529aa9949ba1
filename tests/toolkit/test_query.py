"""Query strings, held against the WHATWG parser's rules and the standard library."""

import random
import urllib.parse

import pytest

from vanilla.toolkit.percent import encode
from vanilla.toolkit.query import PAIRS_MAX, Query, TooManyPairsError, encode_pairs
from vanilla.toolkit.refusals import MalformedError

PAIRS = [
    pytest.param(b"", [], id="nothing"),
    pytest.param(b"a=1", [(b"a", b"1")], id="one"),
    pytest.param(b"a=1&b=2", [(b"a", b"1"), (b"b", b"2")], id="two"),
    pytest.param(b"a=1&a=2&a=", [(b"a", b"1"), (b"a", b"2"), (b"a", b"")], id="repeated"),
    pytest.param(b"a", [(b"a", b"")], id="no_equals"),
    pytest.param(b"a=", [(b"a", b"")], id="empty_value"),
    pytest.param(b"=1", [(b"", b"1")], id="empty_name"),
    pytest.param(b"=", [(b"", b"")], id="both_empty"),
    pytest.param(b"&", [], id="empty_pairs_alone"),
    pytest.param(b"&&a=1&&b=2&", [(b"a", b"1"), (b"b", b"2")], id="empty_pairs"),
    pytest.param(b"a=b=c", [(b"a", b"b=c")], id="equals_in_a_value"),
    pytest.param(b"a==", [(b"a", b"=")], id="value_is_equals"),
    pytest.param(b"a;b=1", [(b"a;b", b"1")], id="semicolon_separates_nothing"),
    pytest.param(b"a+b=c+d", [(b"a b", b"c d")], id="plus"),
    pytest.param(b"a%2Bb=c%2bd", [(b"a+b", b"c+d")], id="escaped_plus"),
    pytest.param(b"a%26b=c%3Dd%26", [(b"a&b", b"c=d&")], id="escaped_delimiters"),
    pytest.param(b"a%20b=%41", [(b"a b", b"A")], id="escapes"),
    pytest.param(b"a=%2541", [(b"a", b"%41")], id="decoded_once"),
    pytest.param(b"a=%00&%ff=\xfe", [(b"a", b"\0"), (b"\xff", b"\xfe")], id="any_bytes"),
    pytest.param(b"a?b=/c", [(b"a?b", b"/c")], id="question_and_slash"),
    pytest.param(b"a[]=1&a[]=2", [(b"a[]", b"1"), (b"a[]", b"2")], id="brackets_mean_nothing"),
]
MALFORMED = [b"a=%", b"a=%4", b"%zz=1", b"a&b=%1&c", b"a%&b", b"%&", b"a=1&%4", b"a=100%&b=1"]


@pytest.mark.parametrize(("data", "expected"), PAIRS)
def test_pairs_are_what_the_standard_says(data: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    query = Query(data)
    assert list(query) == query.pairs() == expected
    assert len(query) == len(expected)
    assert dict(query) == dict(expected)
    assert query.data == data


@pytest.mark.parametrize(("data", "expected"), PAIRS)
def test_names_are_found_without_reading_all(data: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    query = Query(data)
    for name, _ in expected:
        values = [value for other, value in expected if other == name]
        assert query.get(name) == values[0]
        assert query.get_all(name) == values
        assert name in query
    for other in (b"missing", b"a=1", b"%41", b"a%20b", b"A", b"aa"):
        assert query.get(other) is None
        assert query.get(other, b"default") == b"default"
        assert query.get_all(other) == []
        assert other not in query


@pytest.mark.parametrize("data", MALFORMED)
def test_a_malformed_escape_is_refused_before_anything_is_read(data: bytes) -> None:
    with pytest.raises(MalformedError, match="two hexadecimal digits must follow") as refused:
        Query(data)
    assert refused.value.status == 400


@pytest.mark.parametrize("data", [b"a&b&c", b"a=1&b=2&&&c=3&", b"=&=&="])
def test_no_more_pairs_are_taken_than_allowed(data: bytes) -> None:
    assert len(Query(data, max_pairs=3)) == 3
    with pytest.raises(TooManyPairsError, match="3 pairs where 2 may be") as refused:
        Query(data, max_pairs=2)
    assert refused.value.status == 400


def test_the_default_admits_as_many_pairs_as_it_says() -> None:
    assert len(Query(b"&".join([b"a"] * PAIRS_MAX))) == PAIRS_MAX
    with pytest.raises(TooManyPairsError):
        Query(b"&".join([b"a"] * (PAIRS_MAX + 1)))


def test_names_may_be_text() -> None:
    query = Query(b"caf%C3%A9=1&a=2")
    assert query.get("café") == b"1"
    assert query.get_all("a") == [b"2"]
    assert "café" in query


def test_text_is_decoded_from_utf8_and_refused_otherwise() -> None:
    query = Query(b"a=caf%C3%A9&b=%ff&c=")
    assert query.get_text("a") == "café"
    assert query.get_text(b"c") == ""
    assert query.get_text("d") is None
    assert query.get_text("d", "none") == "none"
    with pytest.raises(MalformedError, match=r"value of 'b': invalid start byte at 0; it has to be UTF-8") as refused:
        query.get_text("b")
    assert refused.value.status == 400
    assert query.get("b") == b"\xff"


def test_it_says_what_it_is() -> None:
    assert repr(Query(b"a=1")) == "<Query b'a=1'>"


@pytest.mark.parametrize("data", ["a=1", None, 3, bytearray(b"a")])
def test_anything_but_bytes_is_a_type_error(data: object) -> None:
    with pytest.raises(TypeError):
        Query(data)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, 3, ["a"]])
def test_a_name_of_another_type_is_a_type_error(name: object) -> None:
    with pytest.raises(TypeError):
        Query(b"a=1").get(name)  # type: ignore[call-overload]


def test_parsing_agrees_with_the_standard_library() -> None:
    chance = random.Random(3)
    taken = 0
    for _ in range(5000):
        data = bytes(chance.choice(b"aab=&&+%%420 ;") for _ in range(chance.randrange(14)))
        try:
            query = Query(data)
        except MalformedError:
            continue
        taken += 1
        expected = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in urllib.parse.parse_qsl(data.decode(), keep_blank_values=True, encoding="latin-1")
        ]
        if b"=" not in (data.split(b"&")):  # parse_qsl drops a pair that is `=` alone
            assert query.pairs() == expected, data
        for name in {name for name, _ in expected} | {b"a", b"b", b"", b"\0"}:
            assert query.get_all(name) == [value for other, value in query if other == name], (data, name)
            assert query.get(name) == next(iter(query.get_all(name)), None)
            assert (name in query) == bool(query.get_all(name))
        assert len(query) == len(query.pairs())
    assert taken > 1500


def test_what_is_encoded_is_read_back() -> None:
    chance = random.Random(4)
    for count in range(60):
        pairs = [(chance.randbytes(count % 7), chance.randbytes(count % 5)) for _ in range(count % 9 + 1)]
        assert Query(encode_pairs(pairs)).pairs() == pairs
    assert encode_pairs({"naïve q": "a&b", "x": b""}.items()) == encode("naïve".encode()) + b"%20q=a%26b&x="
    assert encode_pairs([]) == b""
