"""Urlencoded forms as the content of requests."""

from collections.abc import Callable

import pytest

from vanilla import Request
from vanilla.toolkit.forms import FORM_TYPE, read_form
from vanilla.toolkit.refusals import MalformedError, TooLargeError, UnsupportedTypeError

TYPE = b"Content-Type: " + FORM_TYPE


@pytest.mark.parametrize("line", [TYPE, TYPE.upper(), TYPE + b"; charset=utf-8", b"content-type:\t" + FORM_TYPE])
def test_a_form_is_read(request_with: Callable[..., Request], line: bytes) -> None:
    form = read_form(request_with(line, method=b"POST", body=b"name=caf%C3%A9+au+lait&tag=a&tag=b"))
    assert form.get_text("name") == "café au lait"
    assert form.get_all("tag") == [b"a", b"b"]
    assert len(form) == 3


def test_an_empty_form_has_no_pairs(request_with: Callable[..., Request]) -> None:
    assert list(read_form(request_with(TYPE, method=b"POST"))) == []


def test_content_that_was_read_by_the_handler_is_taken(request_with: Callable[..., Request]) -> None:
    assert read_form(request_with(TYPE), b"a=1").pairs() == [(b"a", b"1")]
    assert read_form(request_with(TYPE, body=b"a=1"), b"").pairs() == []


@pytest.mark.parametrize(
    ("line", "body", "error", "status"),
    [
        pytest.param(b"X: y", b"a=1", UnsupportedTypeError, 415, id="no_type"),
        pytest.param(b"Content-Type: application/json", b"{}", UnsupportedTypeError, 415, id="another_type"),
        pytest.param(b"Content-Type: " + FORM_TYPE + b"x", b"a=1", UnsupportedTypeError, 415, id="a_longer_type"),
        pytest.param(TYPE, b"a=100%", MalformedError, 400, id="malformed_escape"),
        pytest.param(TYPE, b"a&b&c", TooLargeError, 413, id="too_many_pairs"),
        pytest.param(TYPE, b"a=" + b"1" * 9, TooLargeError, 413, id="too_long"),
    ],
)
def test_what_is_no_form_or_too_much_is_refused(
    request_with: Callable[..., Request], line: bytes, body: bytes, error: type[Exception], status: int
) -> None:
    with pytest.raises(error) as refused:
        read_form(request_with(line, method=b"POST", body=body), max_pairs=2, max_bytes=10)
    assert type(refused.value) is error
    assert refused.value.status == status  # type: ignore[attr-defined]


def test_the_limits_are_what_may_be(request_with: Callable[..., Request]) -> None:
    assert len(read_form(request_with(TYPE, body=b"a=1&b=2345"), max_pairs=2, max_bytes=10)) == 2
