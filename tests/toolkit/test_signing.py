"""Signed values: they come back as they were, or not at all."""

import random

import pytest

from vanilla.toolkit.set_cookie import set_cookie
from vanilla.toolkit.signing import Signer

OLD, NEW, OTHER = b"o" * 32, b"n" * 32, b"x" * 32


class Clock:
    """Seconds that a test sets."""

    def __init__(self, now: float = 1_700_000_000.5) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("value", [b"", b"user-42", b"\0\xff" * 100, b"a.b.c", "é".encode()])
def test_what_was_signed_comes_back(value: bytes) -> None:
    signer = Signer(NEW, "sid")
    assert signer.verify(signer.sign(value)) == value
    assert signer.verify(signer.sign(value), max_age=60) == value


def test_it_may_stand_in_a_cookie() -> None:
    chance = random.Random(10)
    signer = Signer(NEW, "sid")
    for length in range(100):
        assert set_cookie("sid", signer.sign(chance.randbytes(length)))


def test_its_form_stays_what_it_is() -> None:
    """What is out in browsers has to be taken by later versions too."""
    clock = Clock(1_700_000_000)
    signed = b"dXNlci00Mg.1700000000.s0ssS8ESkmu2XF8Lzp8MfAoD7sm-QQUYcueflyDT89A"
    assert Signer(NEW, "sid", clock=clock).sign(b"user-42") == signed


@pytest.mark.parametrize("at", range(65))
def test_one_changed_character_is_refused(at: int) -> None:
    signer = Signer(NEW, "sid", clock=Clock())
    signed = signer.sign(b"user-42")
    assert len(signed) == 65
    for octet in b"A.=0z ":
        changed = signed[:at] + bytes([octet]) + signed[at + 1 :]
        assert (signer.verify(changed) is not None) == (changed == signed)
    assert signer.verify(signed[:at]) is None


def test_another_spelling_of_the_same_mac_is_refused() -> None:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    signer = Signer(NEW, "sid")
    signed = signer.sign(b"x")
    last = alphabet.index(signed[-1:])
    for spare in range(1, 4):  # two bits of the last character mean nothing
        assert signer.verify(signed[:-1] + alphabet[last ^ spare : (last ^ spare) + 1]) is None
    assert signer.verify(signed + b"=") is None


@pytest.mark.parametrize(
    "junk", [None, b"", b".", b"..", b"...", b"a.b", b"a.1.b", b"a.1." + b"A" * 43, b"\xff.\xff.\xff"]
)
def test_junk_is_refused(junk: bytes | None) -> None:
    assert Signer(NEW, "sid").verify(junk) is None


def test_a_value_signed_for_another_purpose_or_by_another_key_is_refused() -> None:
    signed = Signer(NEW, "sid").sign(b"x")
    assert Signer(NEW, b"sid").verify(signed) == b"x"
    assert Signer(NEW, "csrf").verify(signed) is None
    assert Signer(OTHER, "sid").verify(signed) is None


def test_keys_are_changed_by_putting_a_new_one_in_front() -> None:
    before, between, after = Signer(OLD, "sid"), Signer([NEW, OLD], "sid"), Signer([NEW], "sid")
    old, new = before.sign(b"x"), between.sign(b"y")
    assert (between.verify(old), between.verify(new)) == (b"x", b"y")
    assert (after.verify(old), after.verify(new)) == (None, b"y")
    assert before.verify(new) is None


def test_an_old_value_is_refused_once_it_is_older_than_allowed() -> None:
    clock = Clock(1000.0)
    signer = Signer(NEW, "sid", clock=clock)
    signed = signer.sign(b"x")
    clock.now = 1060.0
    assert signer.verify(signed, max_age=60) == b"x"
    clock.now = 1060.1
    assert signer.verify(signed, max_age=60) is None
    assert signer.verify(signed) == b"x"


def test_a_clock_that_is_ahead_does_no_harm() -> None:
    clock = Clock(1000.0)
    signer = Signer(NEW, "sid", clock=clock)
    signed = signer.sign(b"x")
    clock.now = 990.0
    assert signer.verify(signed, max_age=1) == b"x"


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        pytest.param([], "give at least one", id="none"),
        pytest.param(b"short", "16 bytes each at least", id="short"),
        pytest.param([NEW, b"short"], "16 bytes each at least", id="short_among_others"),
        pytest.param(["n" * 32], "16 bytes each at least", id="text"),
    ],
)
def test_weak_keys_are_refused(keys: object, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Signer(keys, "sid")  # type: ignore[arg-type]
