"""Tokens, quoted strings, lists and parameters: the grammar of RFC 9110 section 5.6."""

import random

import pytest

from vanilla.toolkit.grammar import is_token, parse_parameters, quote, split_list, unquote

LISTS = [
    pytest.param(b"", [], id="nothing"),
    pytest.param(b"a", [b"a"], id="one"),
    pytest.param(b"a,b", [b"a", b"b"], id="two"),
    pytest.param(b" a\t, b ", [b"a", b"b"], id="space_around"),
    pytest.param(b",a,,b, ,", [b"a", b"b"], id="empty_elements"),
    pytest.param(b", ,", [], id="empty_elements_alone"),
    pytest.param(b'"a,b",c', [b'"a,b"', b"c"], id="comma_in_quotes"),
    pytest.param(b'a;b="c,d";e,f', [b'a;b="c,d";e', b"f"], id="comma_in_a_parameter"),
    pytest.param(b'"a\\",b",c', [b'"a\\",b"', b"c"], id="escaped_quote"),
    pytest.param(b'"a\\\\",b', [b'"a\\\\"', b"b"], id="escaped_backslash"),
    pytest.param(b'a,"b,c', [b"a", b'"b,c'], id="open_quote"),
    pytest.param(b'a,"b\\', [b"a", b'"b\\'], id="backslash_at_the_end"),
    pytest.param(b'"",a', [b'""', b"a"], id="empty_quotes"),
    pytest.param(b"a\\,b", [b"a\\", b"b"], id="backslash_outside"),
]
PARAMETERS = [
    pytest.param(b"text/html", (b"text/html", {}), id="none"),
    pytest.param(b"text/html;charset=utf-8", (b"text/html", {b"charset": b"utf-8"}), id="one"),
    pytest.param(b"text/html ; CharSet=UTF-8", (b"text/html", {b"charset": b"UTF-8"}), id="name_in_lower_case"),
    pytest.param(b"a;b=1;c=2", (b"a", {b"b": b"1", b"c": b"2"}), id="two"),
    pytest.param(b"a;b=1;b=2", (b"a", {b"b": b"1"}), id="the_first_counts"),
    pytest.param(b'a;b="c d"', (b"a", {b"b": b"c d"}), id="quoted"),
    pytest.param(b'a;b="c;d=\\"e\\""', (b"a", {b"b": b'c;d="e"'}), id="quoted_delimiters"),
    pytest.param(b'a;b=""', (b"a", {b"b": b""}), id="quoted_nothing"),
    pytest.param(b"a;", (b"a", {}), id="semicolon_at_the_end"),
    pytest.param(b"a; ;b=1; ", (b"a", {b"b": b"1"}), id="empty_parameters"),
    pytest.param(b";b=1", (b"", {b"b": b"1"}), id="nothing_in_front"),
    pytest.param(b"", (b"", {}), id="nothing"),
    pytest.param(b"a;b", None, id="no_equals"),
    pytest.param(b"a;b=", None, id="no_value"),
    pytest.param(b"a;=b", None, id="no_name"),
    pytest.param(b"a;b =c", None, id="space_before_equals"),
    pytest.param(b"a;b= c", None, id="space_behind_equals"),
    pytest.param(b'a;b="c', None, id="open_quote"),
    pytest.param(b'a;b="c\\"', None, id="open_quote_behind_a_backslash"),
    pytest.param(b'a;b="c"d', None, id="text_behind_a_quote"),
    pytest.param(b"a;b=c d", None, id="space_in_a_token"),
    pytest.param(b"a;b=c,d;e=f", None, id="comma_in_a_token"),
    pytest.param(b'a;b="\x00"', None, id="nul_in_quotes"),
]


@pytest.mark.parametrize(("value", "expected"), LISTS)
def test_a_list_is_split_at_its_commas(value: bytes, expected: list[bytes]) -> None:
    assert split_list(value) == expected


@pytest.mark.parametrize(("value", "expected"), PARAMETERS)
def test_parameters_are_read_or_all_is_refused(value: bytes, expected: object) -> None:
    assert parse_parameters(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"GET", True, id="letters"),
        pytest.param(b"!#$%&'*+-.^_`|~09azAZ", True, id="everything_that_may"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"a b", False, id="space"),
        pytest.param(b"a:b", False, id="colon"),
        pytest.param(b"a\n", False, id="line_feed_at_the_end"),
        pytest.param("é".encode(), False, id="beyond_ascii"),
    ],
)
def test_a_token_is_what_the_grammar_says(value: bytes, expected: bool) -> None:
    assert is_token(value) is expected


def test_what_is_quoted_is_unquoted_and_read_as_a_parameter() -> None:
    chance = random.Random(6)
    for length in range(300):
        value = bytes(chance.choice(b'ab "\\,;=\t\xff') for _ in range(length % 20))
        assert unquote(quote(value)) == value
        assert parse_parameters(b"a;b=" + quote(value)) == (b"a", {b"b": value})
        assert split_list(quote(value) + b",c") == [quote(value), b"c"]


@pytest.mark.parametrize("value", [b"token", b'"', b'"open', b'close"', b""])
def test_what_is_not_quoted_stays_as_it_is(value: bytes) -> None:
    assert unquote(value) == value


@pytest.mark.parametrize("value", [b"a\r\nb", b"\0", b"\x7f"])
def test_a_control_byte_is_not_quoted(value: bytes) -> None:
    with pytest.raises(ValueError, match="cannot stand in a quoted string"):
        quote(value)


@pytest.mark.parametrize("value", [b'"', b'"\\', b'"a', b"a,", b";", b'";"', b" ", b"\\", b'a="\\'])
def test_reading_takes_time_in_proportion_to_the_length(value: bytes) -> None:
    """A megabyte of what makes patterns backtrack: the timeout of the suite is the bound."""
    repeated = value * (1_000_000 // len(value))
    split_list(repeated)
    parse_parameters(b"a;b=" + repeated)
    parse_parameters(repeated)
