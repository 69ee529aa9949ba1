"""The Cookie field: RFC 6265 section 5.4, with junk in it."""

import http.cookies
import random
from collections.abc import Callable

import pytest

from vanilla import Request
from vanilla.toolkit.cookies import Cookies, read_cookies
from vanilla.toolkit.set_cookie import set_cookie

FIELDS = [
    pytest.param(b"", [], id="nothing"),
    pytest.param(b"a=1", [(b"a", b"1")], id="one"),
    pytest.param(b"a=1; b=2", [(b"a", b"1"), (b"b", b"2")], id="two"),
    pytest.param(b"a=1;b=2;", [(b"a", b"1"), (b"b", b"2")], id="no_space"),
    pytest.param(b"  a = 1 ;\tb =\t2\t", [(b"a", b"1"), (b"b", b"2")], id="space_around"),
    pytest.param(b"a=", [(b"a", b"")], id="empty_value"),
    pytest.param(b"a=b=c==", [(b"a", b"b=c==")], id="equals_in_a_value"),
    pytest.param(b"a=1; a=2", [(b"a", b"1"), (b"a", b"2")], id="repeated"),
    pytest.param(b'a="1"', [(b"a", b'"1"')], id="quotes_belong_to_the_value"),
    pytest.param(b'a="1; b=2"', [(b"a", b'"1'), (b"b", b'2"')], id="quotes_hide_no_semicolon"),
    pytest.param(b"a=x y, z", [(b"a", b"x y, z")], id="space_and_comma_in_a_value"),
    pytest.param(b"a=%20", [(b"a", b"%20")], id="nothing_is_decoded"),
    pytest.param(b"junk; a=1", [(b"a", b"1")], id="no_equals"),
    pytest.param(b"=x; a=1", [(b"a", b"1")], id="no_name"),
    pytest.param(b" =x; a=1", [(b"a", b"1")], id="no_name_but_space"),
    pytest.param(b"=; ;;; ; a=1;;", [(b"a", b"1")], id="nothing_between_semicolons"),
    pytest.param(b"a b=1", [(b"a b", b"1")], id="space_in_a_name"),
    pytest.param("né=1; a=\xff".encode("latin-1"), [(b"n\xe9", b"1"), (b"a", b"\xff")], id="bytes_above_ascii"),
    pytest.param(b"evil=sid=fake", [(b"evil", b"sid=fake")], id="a_name_in_a_value"),
    pytest.param(b"$Version=1; a=1", [(b"$Version", b"1"), (b"a", b"1")], id="rfc_2965"),
    pytest.param(b"a=1, b=2", [(b"a", b"1, b=2")], id="comma_separates_nothing"),
]


@pytest.mark.parametrize(("field", "expected"), FIELDS)
def test_pairs_are_read_and_junk_is_passed_over(field: bytes, expected: list[tuple[bytes, bytes]]) -> None:
    cookies = Cookies(field)
    assert list(cookies) == cookies.pairs() == expected
    assert len(cookies) == len(expected)
    for name in {name for name, _ in expected}:
        values = [value for other, value in expected if other == name]
        assert cookies.get(name) == values[0]
        assert cookies.get_all(name) == values
        assert name in cookies
    for other in (b"sid", b"A", b"", b"junk", b"b2", b"Version"):
        assert (cookies.get(other), cookies.get(other, b"none"), cookies.get_all(other)) == (None, b"none", [])
        assert other not in cookies


def test_names_are_matched_whole_and_in_their_case() -> None:
    cookies = Cookies(b"xsid=1; SID=2; sidx=3; sid=4")
    assert cookies.get("sid") == b"4"
    assert cookies.get_all("sid") == [b"4"]
    assert cookies.get("SID") == b"2"


def test_all_lines_of_a_request_are_read(request_with: Callable[..., Request]) -> None:
    assert list(read_cookies(request_with(b"Cookie: a=1", b"X: y=0", b"cookie: b=2; c=3"))) == [
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b"3"),
    ]
    assert list(read_cookies(request_with())) == []
    assert list(read_cookies(request_with(b"Cookie:"))) == []


def test_values_are_not_shown() -> None:
    assert repr(Cookies(b"sid=secret; theme=dark")) == "<Cookies sid, theme>"


@pytest.mark.parametrize("name", [None, 3])
def test_a_name_of_another_type_is_a_type_error(name: object) -> None:
    for use in (Cookies(b"a=1").get, Cookies(b"a=1").get_all, Cookies(b"a=1").__contains__):
        with pytest.raises(TypeError):
            use(name)  # type: ignore[arg-type]


def test_what_is_set_comes_back() -> None:
    chance = random.Random(8)
    allowed = [bytes([octet]) for octet in range(33, 127) if octet not in b'",;\\']
    for length in range(200):
        value = b"".join(chance.choices(allowed, k=length % 30))
        pair = set_cookie("a", value).partition(b";")[0]
        assert Cookies(b"x=1; " + pair + b"; a=other").get("a") == value


def test_reading_agrees_with_the_standard_library_on_well_formed_fields() -> None:
    chance = random.Random(9)
    for _ in range(500):
        pairs = {f"n{at}": "".join(chance.choices("abc123.-_~=", k=chance.randrange(6))) for at in range(5)}
        field = "; ".join(f"{name}={value}" for name, value in pairs.items())
        theirs = {name: morsel.value for name, morsel in http.cookies.SimpleCookie(field).items()}
        assert {name.decode(): value.decode() for name, value in Cookies(field.encode())} == theirs == pairs
