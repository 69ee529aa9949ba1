"""Cache-Control, and how long what it stands in stays fresh."""

from __future__ import annotations

import pytest

from vanilla.toolkit.cache_control import SECONDS_MAX, lifetime_of, parse_cache_control, seconds_of
from vanilla.toolkit.dates import format_date

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("value", "directives"),
    [
        (None, {}),
        (b"", {}),
        (b"no-store", {b"no-store": None}),
        (b"Max-Age=60 , ,public", {b"max-age": b"60", b"public": None}),
        (b'private="set-cookie, x", max-age="5"', {b"private": b"set-cookie, x", b"max-age": b"5"}),
        (b"max-age=1, max-age=2", {b"max-age": b"1"}),
    ],
)
def test_directives_are_read_the_first_of_a_name_counts(value: bytes | None, directives: dict) -> None:
    assert parse_cache_control(value) == directives


@pytest.mark.parametrize(
    ("argument", "seconds"),
    [
        (b"0", 0),
        (b"0060", 60),
        (b"99999999999999999999", SECONDS_MAX),
        (b"4294967296", SECONDS_MAX),
        (b"-1", 0),
        (b"1.5", 0),
        (b"", 0),
        (None, 0),
    ],
)
def test_seconds_that_are_none_make_it_stale(argument: bytes | None, seconds: int) -> None:
    assert seconds_of({b"max-age": argument}, b"max-age") == seconds
    assert seconds_of({}, b"max-age") is None


@pytest.mark.parametrize(
    ("fields", "lifetime"),
    [
        ({}, None),
        ({b"cache-control": b"max-age=5"}, 5),
        ({b"cache-control": b"max-age=5, s-maxage=7"}, 7),
        ({b"expires": format_date(NOW + 30), b"date": format_date(NOW)}, 30),
        ({b"expires": format_date(NOW + 30), b"date": format_date(NOW - 10)}, 40),
        ({b"expires": format_date(NOW + 30)}, 30),
        ({b"expires": format_date(NOW - 30)}, 0),
        ({b"expires": b"0"}, 0),
        ({b"expires": b"0", b"cache-control": b"max-age=9"}, 9),
    ],
)
def test_the_lifetime_is_what_is_said_for_shared_caches_first(fields: dict, lifetime: float | None) -> None:
    directives = parse_cache_control(fields.get(b"cache-control"))
    assert lifetime_of(fields.get, directives, NOW) == lifetime
