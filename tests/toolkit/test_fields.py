"""Fields that come in several lines, RFC 9110 section 5.3; and those that options name."""

from collections.abc import Callable

import pytest

from vanilla import Request
from vanilla.toolkit.fields import checked_fields, combined

COMBINED = [
    pytest.param([], None, id="missing"),
    pytest.param([b"X-A: 1"], b"1", id="one_line"),
    pytest.param([b"X-A: 1", b"X-A: 2"], b"1, 2", id="two_lines"),
    pytest.param(
        [b"x-a: 1", b"X-B: no", b"X-A:\t2 ", b"X-AA: no", b"X-: no", b"X-a: 3"], b"1, 2, 3", id="among_others"
    ),
    pytest.param([b"X-A:"], b"", id="empty"),
    pytest.param([b"X-A:", b"X-A: 1", b"X-A:"], b", 1, ", id="empty_among_others"),
    pytest.param([b"X-A: 1, 2", b"X-A: 3"], b"1, 2, 3", id="lists"),
    pytest.param([b"B: X-A: 1"], None, id="name_in_a_value"),
]


@pytest.mark.parametrize(("lines", "expected"), COMBINED)
@pytest.mark.parametrize("name", [b"X-A", b"x-a", "x-A"])
def test_several_lines_mean_one_value(
    request_with: Callable[..., Request], lines: list[bytes], expected: bytes | None, name: str | bytes
) -> None:
    assert combined(request_with(*lines), name) == expected


def test_the_separator_is_what_the_field_wants(request_with: Callable[..., Request]) -> None:
    assert combined(request_with(b"Cookie: a=1", b"Cookie: b=2"), "cookie", b"; ") == b"a=1; b=2"


def test_the_first_and_the_last_line_are_found(request_with: Callable[..., Request]) -> None:
    request = request_with(b"Host2: no", b"Last: end")
    assert combined(request, "host") == b"here"
    assert combined(request, "last") == b"end"


def test_anything_but_a_request_is_a_type_error() -> None:
    for other in (None, b"GET / HTTP/1.1\r\n\r\n"):
        with pytest.raises(TypeError):
            combined(other, "host")  # type: ignore[arg-type]


def test_fields_of_an_option_are_bytes() -> None:
    assert checked_fields([("A", b"1"), (b"A", "2")]) == [(b"A", b"1"), (b"A", b"2")]
    assert checked_fields([]) == []


@pytest.mark.parametrize("field", [("A B", "1"), ("A", "1\r\nB: 2"), ("Content-Length", "1"), ("A", "é")])
def test_what_no_answer_can_have_is_refused(field: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=rf"{field[0]}|ascii"):
        checked_fields([("X", "1"), field])
