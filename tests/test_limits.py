"""Every bound: its default, its "off", and what is refused."""

from __future__ import annotations

import dataclasses
import math

import pytest

from vanilla import ConfigError, Limits
from vanilla.contract.worker import LIMIT_NAMES
from vanilla.limits import OFFSET_MAX

FIELDS = {field.name: str(field.type) for field in dataclasses.fields(Limits)}
WHOLE = sorted(name for name, kind in FIELDS.items() if kind.startswith("int"))
SECONDS = sorted(name for name, kind in FIELDS.items() if kind.startswith("float"))
MAY_BE_OFF = sorted(name for name, kind in FIELDS.items() if kind.endswith("None"))
MAY_BE_ZERO = ["max_body_bytes", "max_chunk_extension_bytes", "rate_grace", "low_water_bytes"]
NEVER_REACHED = ["rate_grace", "high_water_bytes", "low_water_bytes"]


def test_the_defaults_are_those_that_the_manual_gives() -> None:
    assert dataclasses.asdict(Limits()) == {
        "max_target_bytes": 8192,
        "max_header_bytes": 32768,
        "max_headers": 128,
        "max_body_bytes": 1048576,
        "max_chunk_extension_bytes": 4096,
        "read_timeout": 30.0,
        "keepalive_timeout": 5.0,
        "write_timeout": 60.0,
        "min_receive_rate": None,
        "min_send_rate": None,
        "rate_grace": 5.0,
        "max_connections": 65536,
        "accept_timeout": 10.0,
        "max_requests_per_connection": None,
        "max_pending_bytes": 1048576,
        "linger_timeout": 2.0,
        "suspend_timeout": None,
        "high_water_bytes": 65536,
        "low_water_bytes": 16384,
    }


def test_every_limit_that_ends_something_is_counted_by_its_name() -> None:
    assert set(LIMIT_NAMES) == set(FIELDS) - set(NEVER_REACHED)


def test_limits_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Limits().max_headers = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", MAY_BE_OFF)
def test_a_limit_may_be_off(name: str) -> None:
    assert getattr(Limits(**{name: None}), name) is None


@pytest.mark.parametrize("name", NEVER_REACHED)
def test_the_grace_and_the_marks_cannot_be_off(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=None: give a (whole number|number of seconds)$"):
        Limits(**{name: None})


@pytest.mark.parametrize("name", FIELDS)
def test_a_limit_takes_what_is_in_range(name: str) -> None:
    for value in (1, 1000):
        assert getattr(Limits(**{name: value}), name) == value


@pytest.mark.parametrize("name", SECONDS)
def test_a_time_takes_fractions(name: str) -> None:
    assert getattr(Limits(**{name: 0.25}), name) == 0.25


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value", [1.0, "1", b"1", True, False, [], math.nan])
def test_a_count_takes_whole_numbers_only(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=.*: give a whole number"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", ["1", b"1", True, False, []])
def test_a_time_takes_numbers_only(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=.*: give a number of seconds"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", FIELDS)
def test_nothing_may_be_negative(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=-1: must be"):
        Limits(**{name: -1})


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -0.001])
def test_a_time_is_finite_and_not_negative(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=.*: must be"):
        Limits(**{name: value})


@pytest.mark.parametrize("name", sorted(set(FIELDS) - set(MAY_BE_ZERO)))
def test_zero_is_not_off(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}=0: must be more than 0"):
        Limits(**{name: 0})


@pytest.mark.parametrize("name", MAY_BE_ZERO)
def test_zero_is_a_bound_where_it_means_none_at_all(name: str) -> None:
    assert getattr(Limits(**{name: 0}), name) == 0


@pytest.mark.parametrize("name", [name for name in WHOLE if name.endswith("_bytes")])
def test_a_size_stays_below_what_offsets_hold(name: str) -> None:
    assert getattr(Limits(**{name: OFFSET_MAX}), name) == OFFSET_MAX
    with pytest.raises(ConfigError, match=rf"{name}=.*: one message may hold"):
        Limits(**{name: OFFSET_MAX + 1})
