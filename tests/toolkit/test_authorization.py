"""Credentials and challenges: RFC 9110 section 11, RFC 7617, RFC 6750."""

import base64

import pytest
from werkzeug.datastructures import WWWAuthenticate

from vanilla.toolkit.authorization import (
    Basic,
    challenge,
    is_same_secret,
    parse_basic,
    parse_bearer,
    parse_credentials,
)

BASIC = [
    pytest.param(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", (b"Aladdin", b"open sesame"), id="the_rfcs_example"),
    pytest.param(b"Basic dGVzdDoxMjPCow==", (b"test", "123£".encode()), id="the_rfcs_example_in_utf8"),
    pytest.param(b"basic YTpi", (b"a", b"b"), id="scheme_in_lower_case"),
    pytest.param(b"BASIC   YTpi", (b"a", b"b"), id="several_spaces"),
    pytest.param(b"Basic YTpiOmM=", (b"a", b"b:c"), id="colon_in_the_password"),
    pytest.param(b"Basic Og==", (b"", b""), id="both_empty"),
    pytest.param(b"Basic YTo=", (b"a", b""), id="no_password"),
    pytest.param(b"Basic OmI=", (b"", b"b"), id="no_user"),
    pytest.param(b"Basic YWI=", None, id="no_colon"),
    pytest.param(b"Basic", None, id="nothing_behind"),
    pytest.param(b"Basic ", None, id="nothing_behind_the_space"),
    pytest.param(b"Basic YTpiOmM", None, id="no_padding"),
    pytest.param(b"Basic YTpiOmN=", None, id="another_spelling"),
    pytest.param(b"Basic YT pi", None, id="space_in_it"),
    pytest.param(b"Basic YTpi!", None, id="no_base64"),
    pytest.param(b"Basic YTpi, Basic YTpi", None, id="two_lines_joined"),
    pytest.param(b"Basic\tYTpi", None, id="tab"),
    pytest.param(b"Basic " + base64.b64encode(b"a:b\0"), None, id="nul"),
    pytest.param(b"Basic " + base64.b64encode(b"a\r\n:b"), None, id="line_end"),
    pytest.param(b"Basic " + base64.b64encode(b"a:\x7f"), None, id="delete"),
    pytest.param(b"Bearer YTpi", None, id="another_scheme"),
    pytest.param(b"", None, id="empty"),
    pytest.param(None, None, id="missing"),
]
BEARER = [
    pytest.param(b"Bearer mF_9.B5f-4.1JqM", b"mF_9.B5f-4.1JqM", id="the_rfcs_example"),
    pytest.param(b"bearer a", b"a", id="scheme_in_lower_case"),
    pytest.param(b"Bearer  a+/~==", b"a+/~==", id="every_kind_of_character"),
    pytest.param(b"Bearer a=b", None, id="equals_in_it"),
    pytest.param(b"Bearer ==", None, id="equals_alone"),
    pytest.param(b"Bearer a b", None, id="space_in_it"),
    pytest.param(b"Bearer a, Bearer b", None, id="two_lines_joined"),
    pytest.param(b"Bearer a,b", None, id="comma"),
    pytest.param(b'Bearer "a"', None, id="quotes"),
    pytest.param(b"Bearer", None, id="nothing_behind"),
    pytest.param(b"Bearer ", None, id="nothing_behind_the_space"),
    pytest.param(b"Bearera", None, id="no_space"),
    pytest.param(b"Basic YTpi", None, id="another_scheme"),
    pytest.param(b"", None, id="empty"),
    pytest.param(None, None, id="missing"),
]


@pytest.mark.parametrize(("value", "expected"), BASIC)
def test_basic_credentials_are_read(value: bytes | None, expected: tuple[bytes, bytes] | None) -> None:
    assert parse_basic(value) == expected


@pytest.mark.parametrize(("value", "expected"), BEARER)
def test_a_bearer_token_is_read(value: bytes | None, expected: bytes | None) -> None:
    assert parse_bearer(value) == expected


def test_the_parts_have_names() -> None:
    assert parse_basic(b"Basic YTpi") == Basic(user=b"a", password=b"b")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"Digest a=b, c=d", (b"digest", b"a=b, c=d"), id="any_scheme"),
        pytest.param(b"Negotiate", (b"negotiate", b""), id="scheme_alone"),
        pytest.param(b" Basic a", None, id="space_in_front"),
        pytest.param(b'"Basic" a', None, id="no_token"),
        pytest.param(b"", None, id="empty"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_any_credentials_have_a_scheme(value: bytes | None, expected: object) -> None:
    assert parse_credentials(value) == expected


@pytest.mark.parametrize(
    ("scheme", "parameters", "expected"),
    [
        pytest.param("Bearer", {}, b"Bearer", id="scheme_alone"),
        pytest.param("Basic", {"realm": "home"}, b'Basic realm="home"', id="realm"),
        pytest.param(
            "Basic", {"realm": "home", "charset": "UTF-8"}, b'Basic realm="home", charset="UTF-8"', id="charset"
        ),
        pytest.param("Bearer", {"error": "invalid_token"}, b'Bearer error="invalid_token"', id="no_realm"),
        pytest.param("Basic", {"realm": 'a "b" \\'}, b'Basic realm="a \\"b\\" \\\\"', id="quotes"),
        pytest.param("Basic", {"realm": "é"}, 'Basic realm="é"'.encode(), id="beyond_ascii"),
        pytest.param("Basic", {"realm": ""}, b'Basic realm=""', id="empty_realm"),
    ],
)
def test_a_challenge_is_written(scheme: str, parameters: dict[str, str], expected: bytes) -> None:
    written = challenge(scheme, **parameters)
    assert written == expected
    theirs = WWWAuthenticate.from_header(written.decode())
    assert theirs is not None
    assert (theirs.type, theirs.parameters) == (scheme.lower(), parameters)


@pytest.mark.parametrize(
    ("scheme", "parameters", "match"),
    [
        pytest.param("Ba sic", {}, "'Ba sic': a scheme", id="scheme_is_no_token"),
        pytest.param("", {}, "'': a scheme", id="no_scheme"),
        pytest.param("Bearer", {"a b": "c"}, "'a b': a scheme and a parameter's name", id="name_is_no_token"),
        pytest.param("Bearer", {"realm": "a\r\nb"}, "cannot stand in a quoted string", id="line_end"),
        pytest.param("Basic", {}, "give a realm", id="basic_without_a_realm"),
        pytest.param("Basic", {"realm": "a", "charset": "latin-1"}, "UTF-8 alone", id="another_charset"),
    ],
)
def test_a_challenge_that_says_nothing_is_refused(scheme: str, parameters: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        challenge(scheme, **parameters)


@pytest.mark.parametrize(
    ("given", "expected", "is_same"),
    [
        pytest.param(b"secret", b"secret", True, id="same"),
        pytest.param("secret", b"secret", True, id="text_and_bytes"),
        pytest.param("é", "é", True, id="beyond_ascii"),
        pytest.param(b"secret", b"Secret", False, id="another"),
        pytest.param(b"secre", b"secret", False, id="shorter"),
        pytest.param(b"", b"secret", False, id="empty"),
        pytest.param(None, b"secret", False, id="missing"),
        pytest.param(None, b"", False, id="missing_is_not_empty"),
        pytest.param(b"", b"", True, id="both_empty"),
    ],
)
def test_secrets_are_compared(given: str | bytes | None, expected: str | bytes, is_same: bool) -> None:
    assert is_same_secret(given, expected) is is_same
