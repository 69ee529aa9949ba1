"""What the content of a request is: Content-Type, RFC 9110 section 8.3."""

from collections.abc import Callable

import pytest

from vanilla import Request
from vanilla.toolkit.content_type import parse_content_type, require_content_type
from vanilla.toolkit.refusals import UnsupportedTypeError


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"text/html", (b"text/html", {}), id="type_alone"),
        pytest.param(b"Text/HTML;Charset=UTF-8", (b"text/html", {b"charset": b"UTF-8"}), id="any_case"),
        pytest.param(b' text/html ; charset="utf-8" ', (b"text/html", {b"charset": b"utf-8"}), id="space_and_quotes"),
        pytest.param(b"application/ld+json", (b"application/ld+json", {}), id="suffix"),
        pytest.param(b"text", None, id="no_subtype"),
        pytest.param(b"text/", None, id="empty_subtype"),
        pytest.param(b"/html", None, id="empty_type"),
        pytest.param(b"text/html/x", None, id="two_slashes"),
        pytest.param(b"text /html", None, id="space_in_it"),
        pytest.param(b"text/html, text/plain", None, id="two_lines_joined"),
        pytest.param(b"text/html; charset", None, id="malformed_parameter"),
        pytest.param(b"", None, id="empty"),
        pytest.param(None, None, id="missing"),
    ],
)
def test_a_media_type_is_read_or_refused(value: bytes | None, expected: object) -> None:
    assert parse_content_type(value) == expected


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        pytest.param([], "no Content-Type; this takes a/b, c/d", id="missing"),
        pytest.param([b"Content-Type: x/y"], "Content-Type b'x/y'; this takes a/b, c/d", id="another"),
        pytest.param([b"Content-Type: a/b", b"Content-Type: c/d"], "Content-Type b'a/b, c/d'; this", id="two_lines"),
        pytest.param([b"Content-Type: " + b"x" * 200], "Content-Type b'" + "x" * 80 + "'; this", id="long"),
    ],
)
def test_another_type_is_refused(request_with: Callable[..., Request], lines: list[bytes], message: str) -> None:
    with pytest.raises(UnsupportedTypeError) as refused:
        require_content_type(request_with(*lines), b"a/b", b"c/d")
    assert str(refused.value).startswith(message)
    assert refused.value.status == 415


def test_the_parameters_of_an_accepted_type_are_returned(request_with: Callable[..., Request]) -> None:
    assert require_content_type(request_with(b"Content-Type: C/D; x=1"), b"a/b", b"c/d") == {b"x": b"1"}
    request = request_with(b"Content-Type: application/problem+json")
    assert require_content_type(request, b"a/b", suffix=b"+json") == {}
    with pytest.raises(UnsupportedTypeError):
        require_content_type(request, b"a/b")
