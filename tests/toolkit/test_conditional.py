"""Conditional requests: RFC 9110 section 13, each row of its order of precedence."""

import itertools
import os
import pathlib
from collections.abc import Callable

import pytest
from werkzeug.http import parse_etags as parse_their_etags

from vanilla import Request
from vanilla.toolkit.conditional import (
    Outcome,
    etag,
    etag_of_file,
    evaluate,
    matches_strongly,
    matches_weakly,
    may_send_range,
    not_modified_fields,
    parse_etags,
)
from vanilla.toolkit.dates import format_date

PROCEED, NOT_MODIFIED, FAILED = Outcome.PROCEED, Outcome.NOT_MODIFIED, Outcome.PRECONDITION_FAILED
TAG, WEAK = b'"one"', b'W/"one"'
CHANGED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
BEFORE, SAME, AFTER = format_date(CHANGED - 1), format_date(CHANGED), format_date(CHANGED + 1)

# The fields, and what GET and PUT are to be answered, for a representation with TAG that was changed at CHANGED.
OUTCOMES = [
    pytest.param([], PROCEED, PROCEED, id="no_precondition"),
    # 13.1.1
    pytest.param([b'If-Match: "one"'], PROCEED, PROCEED, id="if_match"),
    pytest.param([b'If-Match: "other"'], FAILED, FAILED, id="if_match_of_another"),
    pytest.param([b'If-Match: W/"one"'], FAILED, FAILED, id="if_match_compares_strongly"),
    pytest.param([b'If-Match: "a", "one"'], PROCEED, PROCEED, id="if_match_list"),
    pytest.param([b'If-Match: "a"', b'If-Match: "one"'], PROCEED, PROCEED, id="if_match_lines"),
    pytest.param([b"If-Match: *"], PROCEED, PROCEED, id="if_match_any"),
    pytest.param([b"If-Match: one"], FAILED, FAILED, id="if_match_without_quotes"),
    pytest.param([b'If-Match: "a" "one"'], FAILED, FAILED, id="if_match_without_a_comma"),
    pytest.param([b"If-Match:"], FAILED, FAILED, id="if_match_empty"),
    pytest.param([b'If-Match: "x", *'], FAILED, FAILED, id="if_match_any_beside_a_tag"),
    pytest.param([b'If-Match: "one", *'], PROCEED, PROCEED, id="if_match_any_beside_the_tag"),
    pytest.param([b"If-Match: *", b"If-Match: *"], PROCEED, PROCEED, id="if_match_any_twice"),
    # 13.1.2
    pytest.param([b'If-None-Match: "one"'], NOT_MODIFIED, FAILED, id="if_none_match"),
    pytest.param([b'If-None-Match: W/"one"'], NOT_MODIFIED, FAILED, id="if_none_match_compares_weakly"),
    pytest.param([b'If-None-Match: "other"'], PROCEED, PROCEED, id="if_none_match_of_another"),
    pytest.param([b'If-None-Match: "a" , ,W/"one","b"'], NOT_MODIFIED, FAILED, id="if_none_match_list"),
    pytest.param([b'If-None-Match: "a"', b'If-None-Match: "one"'], NOT_MODIFIED, FAILED, id="if_none_match_lines"),
    pytest.param([b"If-None-Match: *"], NOT_MODIFIED, FAILED, id="if_none_match_any"),
    pytest.param([b"If-None-Match: *", b"If-None-Match: *"], NOT_MODIFIED, FAILED, id="if_none_match_any_twice"),
    pytest.param([b'If-None-Match: "*"'], PROCEED, PROCEED, id="a_tag_that_is_an_asterisk"),
    pytest.param([b'If-None-Match: "a,*,b"'], PROCEED, PROCEED, id="a_tag_with_an_asterisk"),
    pytest.param([b"If-None-Match: one"], PROCEED, PROCEED, id="if_none_match_without_quotes"),
    pytest.param([b'If-None-Match: w/"one"'], PROCEED, PROCEED, id="weak_in_lower_case"),
    pytest.param([b'If-None-Match: "x", *'], NOT_MODIFIED, FAILED, id="if_none_match_any_beside_a_tag"),
    pytest.param([b"If-None-Match:"], PROCEED, PROCEED, id="if_none_match_empty"),
    # 13.1.3
    pytest.param([b"If-Modified-Since: " + SAME], NOT_MODIFIED, PROCEED, id="if_modified_since_then"),
    pytest.param([b"If-Modified-Since: " + AFTER], NOT_MODIFIED, PROCEED, id="if_modified_since_later"),
    pytest.param([b"If-Modified-Since: " + BEFORE], PROCEED, PROCEED, id="if_modified_since_earlier"),
    pytest.param([b"If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], NOT_MODIFIED, PROCEED, id="rfc_850_date"),
    pytest.param([b"If-Modified-Since: Sun Nov  6 08:49:37 1994"], NOT_MODIFIED, PROCEED, id="asctime_date"),
    pytest.param([b"If-Modified-Since: tomorrow"], PROCEED, PROCEED, id="if_modified_since_no_date"),
    pytest.param([b"If-Modified-Since: " + SAME] * 2, PROCEED, PROCEED, id="if_modified_since_two_dates"),
    # 13.1.4
    pytest.param([b"If-Unmodified-Since: " + SAME], PROCEED, PROCEED, id="if_unmodified_since_then"),
    pytest.param([b"If-Unmodified-Since: " + AFTER], PROCEED, PROCEED, id="if_unmodified_since_later"),
    pytest.param([b"If-Unmodified-Since: " + BEFORE], FAILED, FAILED, id="if_unmodified_since_earlier"),
    pytest.param([b"If-Unmodified-Since: yesterday"], PROCEED, PROCEED, id="if_unmodified_since_no_date"),
    # 13.2.2: step 1 over 2, and either over 3 and 4; 3 over 4
    pytest.param(
        [b'If-Match: "one"', b"If-Unmodified-Since: " + BEFORE],
        PROCEED,
        PROCEED,
        id="if_match_over_if_unmodified_since",
    ),
    pytest.param([b'If-Match: "x"', b'If-None-Match: "one"'], FAILED, FAILED, id="if_match_comes_first"),
    pytest.param([b'If-Match: "one"', b'If-None-Match: "one"'], NOT_MODIFIED, FAILED, id="then_if_none_match"),
    pytest.param(
        [b'If-Match: "one"', b"If-Modified-Since: " + SAME], NOT_MODIFIED, PROCEED, id="then_if_modified_since"
    ),
    pytest.param(
        [b"If-Unmodified-Since: " + BEFORE, b'If-None-Match: "one"'], FAILED, FAILED, id="if_unmodified_since_first"
    ),
    pytest.param(
        [b"If-Unmodified-Since: " + SAME, b'If-None-Match: "one"'], NOT_MODIFIED, FAILED, id="if_none_match_after_it"
    ),
    pytest.param(
        [b'If-None-Match: "x"', b"If-Modified-Since: " + SAME], PROCEED, PROCEED, id="if_none_match_over_a_date"
    ),
    pytest.param(
        [b'If-None-Match: "one"', b"If-Modified-Since: " + BEFORE], NOT_MODIFIED, FAILED, id="over_a_date_that_differs"
    ),
]


@pytest.mark.parametrize(("fields", "get", "put"), OUTCOMES)
def test_preconditions_count_in_the_order_of_the_rfc(
    request_with: Callable[..., Request], fields: list[bytes], get: Outcome, put: Outcome
) -> None:
    outcomes = {
        method: evaluate(request_with(*fields, method=method), etag=TAG, last_modified=CHANGED + 0.9)
        for method in (b"GET", b"HEAD", b"PUT", b"DELETE", b"POST")
    }
    assert outcomes == {b"GET": get, b"HEAD": get, b"PUT": put, b"DELETE": put, b"POST": put}


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE"])
@pytest.mark.parametrize("field", [b'If-Match: "x"', b"If-None-Match: *", b"If-Unmodified-Since: " + BEFORE])
def test_methods_that_select_nothing_have_no_preconditions(
    request_with: Callable[..., Request], method: bytes, field: bytes
) -> None:
    assert evaluate(request_with(field, method=method), etag=TAG, last_modified=CHANGED) is PROCEED


@pytest.mark.parametrize(
    ("field", "etag", "last_modified", "exists", "get", "put"),
    [
        pytest.param(b"If-Match: *", None, None, False, FAILED, FAILED, id="nothing_is_there_to_match"),
        pytest.param(b'If-Match: "one"', TAG, None, False, FAILED, FAILED, id="its_tag_is_not_there"),
        pytest.param(b"If-None-Match: *", None, None, False, PROCEED, PROCEED, id="nothing_is_there_to_overwrite"),
        pytest.param(b"If-None-Match: *", None, None, True, NOT_MODIFIED, FAILED, id="something_without_a_tag"),
        pytest.param(b"If-Match: *", None, None, True, PROCEED, PROCEED, id="something_without_a_tag_matches"),
        pytest.param(b'If-Match: "one"', None, CHANGED, True, FAILED, FAILED, id="no_tag_to_match"),
        pytest.param(b'If-None-Match: "one"', None, CHANGED, True, PROCEED, PROCEED, id="no_tag"),
        pytest.param(b"If-Modified-Since: " + AFTER, TAG, None, True, PROCEED, PROCEED, id="no_date"),
        pytest.param(b"If-Unmodified-Since: " + BEFORE, TAG, None, True, PROCEED, PROCEED, id="no_date_to_compare"),
        pytest.param(b'If-None-Match: "one"', WEAK, None, True, NOT_MODIFIED, FAILED, id="weak_tag"),
        pytest.param(b'If-None-Match: W/"one"', WEAK, None, True, NOT_MODIFIED, FAILED, id="both_weak"),
        pytest.param(b'If-Match: W/"one"', WEAK, None, True, FAILED, FAILED, id="both_weak_never_match_strongly"),
        pytest.param(b'If-Match: "one"', WEAK, None, True, FAILED, FAILED, id="weak_tag_never_matches_strongly"),
    ],
)
def test_what_is_not_known_of_a_representation_matters(
    request_with: Callable[..., Request],
    field: bytes,
    etag: bytes | None,
    last_modified: float | None,
    exists: bool,
    get: Outcome,
    put: Outcome,
) -> None:
    for method, expected in ((b"GET", get), (b"PUT", put)):
        request = request_with(field, method=method)
        assert evaluate(request, etag=etag, last_modified=last_modified, exists=exists) is expected


@pytest.mark.parametrize("tag", [b"one", b"", b'"a"b"', b'w/"a"', b'"a', b'"a\r\n"', b'"a b"'])
def test_a_tag_of_yours_that_is_none_is_refused(request_with: Callable[..., Request], tag: bytes) -> None:
    with pytest.raises(ValueError, match="give it in quotes"):
        evaluate(request_with(), etag=tag)


def test_outcomes_are_statuses() -> None:
    assert [outcome.value for outcome in Outcome] == [200, 304, 412]


@pytest.mark.parametrize(
    ("left", "right", "strongly", "weakly"),
    [  # the table of section 8.8.3.2
        pytest.param(b'W/"1"', b'W/"1"', False, True, id="both_weak"),
        pytest.param(b'W/"1"', b'W/"2"', False, False, id="both_weak_and_different"),
        pytest.param(b'W/"1"', b'"1"', False, True, id="one_weak"),
        pytest.param(b'"1"', b'"1"', True, True, id="both_strong"),
    ],
)
def test_tags_are_compared_as_in_the_rfcs_table(left: bytes, right: bytes, strongly: bool, weakly: bool) -> None:
    for one, other in itertools.permutations((left, right)):
        assert (matches_strongly(one, other), matches_weakly(one, other)) == (strongly, weakly)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b'"a"', [b'"a"'], id="one"),
        pytest.param(b'"a","b" ,\tW/"c"', [b'"a"', b'"b"', b'W/"c"'], id="three"),
        pytest.param(b', "a",, ', [b'"a"'], id="empty_elements"),
        pytest.param(b'"a,b"', [b'"a,b"'], id="comma_in_a_tag"),
        pytest.param(b'"a\\"', [b'"a\\"'], id="backslash_escapes_nothing"),
        pytest.param(b'""', [b'""'], id="empty_tag"),
        pytest.param(b"*", [b"*"], id="any"),
        pytest.param(b"a", None, id="no_quotes"),
        pytest.param(b'"a" "b"', None, id="no_comma"),
        pytest.param(b'"a', None, id="open_quote"),
        pytest.param(b'W/ "a"', None, id="space_behind_weak"),
        pytest.param(b'"a b"', None, id="space_in_a_tag"),
    ],
)
def test_tags_are_read_or_all_is_refused(value: bytes, expected: list[bytes] | None) -> None:
    assert parse_etags(value) == expected


def test_tags_are_read_as_another_library_does() -> None:
    tags = [b'"a"', b'W/"a"', b'"b-1"', b'W/"c:d"']
    for count in range(5):
        for chosen in itertools.permutations(tags, count):
            value = b", ".join(chosen)
            theirs = parse_their_etags(value.decode())
            ours = parse_etags(value) or []
            assert {tag.strip(b'"').decode() for tag in ours if not tag.startswith(b"W/")} == theirs.as_set()
            assert len(ours) == count


@pytest.mark.parametrize("piece", [b'"', b'"a",', b" ", b",", b"W/", b'"a" '])
def test_a_list_of_tags_takes_time_in_proportion_to_its_length(piece: bytes) -> None:
    parse_etags(piece * (1_000_000 // len(piece)))


def test_the_tag_of_bytes_is_that_of_no_others() -> None:
    assert etag(b"one") == etag(bytearray(b"one")) == etag(memoryview(b"one"))
    assert etag(b"one") != etag(b"two")
    assert len(etag(b"")) == 34
    assert parse_etags(etag(b"one")) == [etag(b"one")]
    assert etag(b"one", weak=True) == b"W/" + etag(b"one")


def test_the_tag_of_a_file_changes_with_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 1_000_000_000))
    first = etag_of_file(path.stat())
    assert parse_etags(first) == [first]
    assert etag_of_file(path.stat(), weak=True) == b"W/" + first
    os.utime(path, ns=(0, 1_000_000_100))
    later = etag_of_file(path.stat())
    path.write_bytes(b"longer")
    os.utime(path, ns=(0, 1_000_000_100))
    longer = etag_of_file(path.stat())
    other = tmp_path / "other"
    other.write_bytes(b"LONGER")
    os.utime(other, ns=(0, 1_000_000_100))
    other.replace(path)
    assert len({first, later, longer, etag_of_file(path.stat())}) == 4


@pytest.mark.parametrize(
    ("fields", "etag", "last_modified", "expected"),
    [
        pytest.param([], TAG, CHANGED, True, id="missing"),
        pytest.param([b'If-Range: "one"'], TAG, CHANGED, True, id="same_tag"),
        pytest.param([b'If-Range: "other"'], TAG, CHANGED, False, id="another_tag"),
        pytest.param([b'If-Range: W/"one"'], TAG, CHANGED, False, id="weak_tag"),
        pytest.param([b'If-Range: W/"one"'], WEAK, CHANGED, False, id="both_weak"),
        pytest.param([b'If-Range: "one"'], WEAK, CHANGED, False, id="ours_is_weak"),
        pytest.param([b'If-Range: "one"'], None, CHANGED, False, id="no_tag"),
        pytest.param([b'If-Range: "one", "two"'], TAG, CHANGED, False, id="a_list"),
        pytest.param([b'If-Range: "one"', b'If-Range: "one"'], TAG, CHANGED, False, id="two_lines"),
        pytest.param([b"If-Range: " + SAME], TAG, CHANGED + 0.5, True, id="same_date"),
        pytest.param([b"If-Range: " + AFTER], TAG, CHANGED, False, id="later_date_is_not_the_same"),
        pytest.param([b"If-Range: " + BEFORE], TAG, CHANGED, False, id="earlier_date"),
        pytest.param([b"If-Range: " + SAME], TAG, None, False, id="no_date"),
        pytest.param([b"If-Range: garbage"], TAG, CHANGED, False, id="neither"),
        pytest.param([b"If-Range:"], TAG, CHANGED, False, id="empty"),
    ],
)
def test_a_range_is_heeded_where_if_range_fits(
    request_with: Callable[..., Request],
    fields: list[bytes],
    etag: bytes | None,
    last_modified: float | None,
    expected: bool,
) -> None:
    assert may_send_range(request_with(*fields), etag=etag, last_modified=last_modified) is expected


def test_a_date_of_this_second_is_no_strong_validator(request_with: Callable[..., Request]) -> None:
    request = request_with(b"If-Range: " + SAME)
    assert not may_send_range(request, last_modified=CHANGED, now=CHANGED + 0.9)
    assert may_send_range(request, last_modified=CHANGED, now=CHANGED + 1)


def test_a_304_carries_what_does_not_describe_the_content() -> None:
    kept = [
        (b"Cache-Control", b"max-age=60"),
        (b"Content-Location", b"/a"),
        (b"Date", SAME),
        (b"ETag", TAG),
        (b"Expires", AFTER),
        (b"Vary", b"Accept"),
        (b"Set-Cookie", b"a=1"),
        (b"X-Frame-Options", b"DENY"),
    ]
    dropped = [
        (b"Content-Type", b"text/html"),
        (b"Content-Encoding", b"gzip"),
        (b"content-language", b"en"),
        (b"Content-Length", b"3"),
        (b"Content-Range", b"bytes 0-1/2"),
        (b"Accept-Ranges", b"bytes"),
        (b"Last-Modified", SAME),
    ]
    assert not_modified_fields(dropped + kept) == kept


def test_a_304_without_a_tag_carries_the_date() -> None:
    fields = {"Content-Type": "text/html", "Last-Modified": SAME.decode()}
    assert not_modified_fields(fields.items()) == [(b"Last-Modified", SAME)]
