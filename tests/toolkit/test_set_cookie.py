"""Set-Cookie: every attribute, and the rules by which browsers drop cookies without a word."""

import http.cookies

import pytest

from vanilla import Response
from vanilla.toolkit.set_cookie import COOKIE_BYTES_MAX, delete_cookie, set_cookie

PLAIN = {"path": None, "secure": False, "http_only": False, "same_site": None}

WRITTEN = [
    pytest.param({}, b"sid=x; Path=/; Secure; HttpOnly; SameSite=Lax", id="defaults"),
    pytest.param(PLAIN, b"sid=x", id="nothing"),
    pytest.param({**PLAIN, "path": "/a b"}, b"sid=x; Path=/a b", id="path"),
    pytest.param({**PLAIN, "domain": "example.com"}, b"sid=x; Domain=example.com", id="domain"),
    pytest.param({**PLAIN, "domain": b"localhost"}, b"sid=x; Domain=localhost", id="domain_of_one_label"),
    pytest.param({**PLAIN, "max_age": 3600}, b"sid=x; Max-Age=3600", id="max_age"),
    pytest.param({**PLAIN, "max_age": -1}, b"sid=x; Max-Age=0", id="max_age_in_the_past"),
    pytest.param({**PLAIN, "expires": 784111777.9}, b"sid=x; Expires=Sun, 06 Nov 1994 08:49:37 GMT", id="expires"),
    pytest.param({**PLAIN, "secure": True}, b"sid=x; Secure", id="secure"),
    pytest.param({**PLAIN, "http_only": True}, b"sid=x; HttpOnly", id="http_only"),
    pytest.param({**PLAIN, "same_site": "Strict"}, b"sid=x; SameSite=Strict", id="strict"),
    pytest.param({**PLAIN, "same_site": "None", "secure": True}, b"sid=x; Secure; SameSite=None", id="none"),
    pytest.param({**PLAIN, "partitioned": True, "secure": True}, b"sid=x; Secure; Partitioned", id="partitioned"),
    pytest.param(
        {"path": "/a", "domain": "a.b", "max_age": 1, "expires": 0, "same_site": "None", "partitioned": True},
        b"sid=x; Path=/a; Domain=a.b; Max-Age=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Secure; HttpOnly; SameSite=None"
        b"; Partitioned",
        id="everything",
    ),
]
REFUSED = [
    pytest.param({"name": ""}, "cookie name ''", id="no_name"),
    pytest.param({"name": "a b"}, "cookie name 'a b'", id="space_in_the_name"),
    pytest.param({"name": "a=b"}, "cookie name 'a=b'", id="equals_in_the_name"),
    pytest.param({"name": "a;b"}, "cookie name", id="semicolon_in_the_name"),
    pytest.param({"name": "é"}, "cookie name 'é'", id="name_beyond_ascii"),
    pytest.param({"value": "a b"}, r"b' ' cannot stand in a value; encode it", id="space"),
    pytest.param({"value": "a;b"}, "b';' cannot stand", id="semicolon"),
    pytest.param({"value": "a,b"}, "b',' cannot stand", id="comma"),
    pytest.param({"value": '"a"'}, "cannot stand", id="quotes"),
    pytest.param({"value": "a\\b"}, "cannot stand", id="backslash"),
    pytest.param({"value": "a\r\nSet-Cookie: b=c"}, r"b'\\r' cannot stand", id="line_end"),
    pytest.param({"value": "é"}, r"b'\\xc3' cannot stand", id="beyond_ascii"),
    pytest.param({"value": "x" * COOKIE_BYTES_MAX}, "of 4099 bytes; browsers drop one over 4096", id="too_long"),
    pytest.param({"path": "a"}, "path='a': give an absolute path", id="relative_path"),
    pytest.param({"path": "/a;b"}, "path='/a;b'", id="semicolon_in_the_path"),
    pytest.param({"path": "/a\n"}, "path=", id="line_feed_in_the_path"),
    pytest.param({"path": "/" + "a" * 1024}, "path of 1025 bytes: browsers ignore one over 1024", id="long_path"),
    pytest.param({"domain": ".example.com"}, "without a dot in front", id="dot_in_front"),
    pytest.param({"domain": ""}, "domain=''", id="empty_domain"),
    pytest.param({"domain": "a..b"}, "domain=", id="empty_label"),
    pytest.param({"domain": "a.com; Secure"}, "domain=", id="semicolon_in_the_domain"),
    pytest.param({"domain": "a.com:80"}, "domain=", id="port_in_the_domain"),
    pytest.param({"domain": "é.com"}, "in its ASCII form", id="domain_beyond_ascii"),
    pytest.param({"max_age": 1.5}, "max_age=1.5: give whole seconds", id="fraction"),
    pytest.param({"max_age": True}, "max_age=True", id="boolean"),
    pytest.param({"expires": float("nan")}, "an HTTP date", id="no_date"),
    pytest.param({"same_site": "lax"}, "same_site='lax': give", id="same_site_in_lower_case"),
    pytest.param({"same_site": "None", "secure": False}, "drop SameSite=None without secure", id="none_without_secure"),
    pytest.param({"partitioned": True, "secure": False}, "drop Partitioned without secure", id="partitioned_without"),
    pytest.param({"name": "__Secure-a", "secure": False}, "__Secure- without secure", id="secure_prefix"),
    pytest.param({"name": "__secure-a", "secure": False}, "__Secure- without secure", id="secure_prefix_in_any_case"),
    pytest.param({"name": "__Host-a", "secure": False}, "__Host- without secure", id="host_prefix_without_secure"),
    pytest.param(
        {"name": "__Host-a", "domain": "a.b"}, "__Host- with a domain, or a path", id="host_prefix_and_domain"
    ),
    pytest.param({"name": "__HOST-a", "path": "/a"}, "a path other than '/'", id="host_prefix_and_path"),
    pytest.param({"name": "__Host-a", "path": None}, "a path other than '/'", id="host_prefix_without_path"),
]


@pytest.mark.parametrize(("attributes", "expected"), WRITTEN)
def test_attributes_are_written(attributes: dict, expected: bytes) -> None:
    assert set_cookie("sid", "x", **attributes) == set_cookie(b"sid", b"x", **attributes) == expected


@pytest.mark.parametrize(("attributes", "match"), REFUSED)
def test_what_a_browser_would_drop_is_refused(attributes: dict, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        set_cookie(**{"name": "sid", "value": "x", **attributes})


@pytest.mark.parametrize("name", ["__Host-sid", "__Secure-sid", "__host-sid"])
def test_prefixes_are_written_where_their_promise_is_kept(name: str) -> None:
    assert set_cookie(name, "x") == name.encode() + b"=x; Path=/; Secure; HttpOnly; SameSite=Lax"


def test_the_longest_cookie_is_written() -> None:
    assert len(set_cookie("sid", "x" * (COOKIE_BYTES_MAX - 3)).partition(b";")[0]) == COOKIE_BYTES_MAX + 1


def test_a_cookie_is_deleted_by_what_it_was_set_with() -> None:
    gone = b"Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
    assert delete_cookie("sid") == b"sid=; Path=/; " + gone + b"; Secure; HttpOnly; SameSite=Lax"
    assert delete_cookie("a", path="/b", domain="c.d", secure=False, http_only=False, same_site=None) == (
        b"a=; Path=/b; Domain=c.d; " + gone
    )
    assert delete_cookie("__Host-a", partitioned=True).endswith(b"; Partitioned")
    with pytest.raises(ValueError, match="__Host-"):
        delete_cookie("__Host-a", path="/b")


def test_it_is_the_value_of_a_field() -> None:
    response = Response()
    response.reply(200, headers=[("Set-Cookie", set_cookie("a", "1")), ("Set-Cookie", set_cookie("b", "2"))])
    assert bytes(response).count(b"\r\nSet-Cookie: ") == 2


def test_the_standard_library_reads_what_is_written() -> None:
    written = set_cookie("sid", "x.y-z", domain="a.b", max_age=5, expires=784111777, same_site="Strict")
    [(name, morsel)] = http.cookies.SimpleCookie(written.decode()).items()
    assert (name, morsel.value) == ("sid", "x.y-z")
    assert {key: value for key, value in morsel.items() if value} == {
        "path": "/",
        "domain": "a.b",
        "max-age": "5",
        "expires": "Sun, 06 Nov 1994 08:49:37 GMT",
        "secure": True,
        "httponly": True,
        "samesite": "Strict",
    }
