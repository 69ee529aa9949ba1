"""The compiled readers and their own sources, run by Python, agree on any bytes."""

from __future__ import annotations

import importlib
import importlib.util
import random
import sys
from collections.abc import Callable, Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

import pytest

import vanilla.toolkit
from vanilla import RefusedError

ROOM = Path(vanilla.toolkit.__file__).parent
NAMES = ("percent", "query", "content_ends", "dates", "negotiation")  # each may import from those before it
COMPILED = {name: importlib.import_module(f"vanilla.toolkit.{name}") for name in NAMES}
ATOMS = [
    *(b"a", b"b", b"%41", b"%", b"%zz", b"+", b"&", b"=", b"&&", b"%26", b"\xff", b"\0"),
    *(
        b"*",
        b"/",
        b",",
        b";",
        b"q=",
        b"0",
        b"1",
        b".5",
        b"q=0.",
        b" ",
        b"\t",
        b'"',
        b"\\",
        b"en",
        b"-",
        b"gzip",
        b"x-gzip",
        b"\r",
        b"\r\n--",
    ),
    *(b"Sun, 06 Nov 1994 08:49:37 GMT", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"),
]


@pytest.fixture(scope="module")
def uncompiled() -> Iterator[dict[str, ModuleType]]:
    """The sources as Python runs them; what they import from each other is uncompiled too."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            spec = importlib.util.spec_from_file_location(f"uncompiled_{name}", ROOM / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            found[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(found[name])
            patch.setitem(sys.modules, f"vanilla.toolkit.{name}", found[name])
        yield found


def outcome(call: Callable[[], object]) -> object:
    """What a call returns, or how it refuses."""
    try:
        return call()
    except (RefusedError, ValueError) as error:
        return type(error).__name__, str(error)


CALLS = {
    "decode": ("percent", lambda module, data: module.decode(data)),
    "decode_form": ("percent", lambda module, data: module.decode_form(data)),
    "encode": ("percent", lambda module, data: module.encode(data)),
    "pairs": ("query", lambda module, data: module.Query(data, max_pairs=9).pairs()),
    "get": ("query", lambda module, data: module.Query(data).get(b"a")),
    "get_all": ("query", lambda module, data: module.Query(data).get_all(b"b")),
    "len": ("query", lambda module, data: len(module.Query(data))),
    "content_end": ("content_ends", lambda module, data: module.Delimiter(b"\r\n--a").find_in(data * 9 + b"\r\n-")),
    "parse_date": ("dates", lambda module, data: module.parse_date(data, now=1.7e9)),
    "format_date": ("dates", lambda module, data: module.format_date(float(int.from_bytes(data[:5]) - 2**39))),
    "encoding": ("negotiation", lambda module, data: module.choose_encoding(data, ("a", "gzip", "b"))),
    "type": ("negotiation", lambda module, data: module.choose_type(data, ("a/b", "b/a;a=1", "en/gzip"))),
    "language": ("negotiation", lambda module, data: module.choose_language(data, ("a", "en-a", "b-a-b"))),
}


@pytest.mark.parametrize("name", NAMES)
def test_the_modules_are_what_their_names_say(uncompiled: dict[str, ModuleType], name: str) -> None:
    assert str(uncompiled[name].__file__).endswith(".py")
    assert str(COMPILED[name].__file__).endswith(tuple(EXTENSION_SUFFIXES))


@pytest.mark.parametrize("name", CALLS)
def test_both_agree(uncompiled: dict[str, ModuleType], name: str) -> None:
    module, call = CALLS[name]
    chance = random.Random(14)
    outcomes = set()
    for _ in range(3000):
        data = b"".join(chance.choices(ATOMS, k=chance.randrange(1, 8)))
        expected = outcome(lambda data=data: call(uncompiled[module], data))
        assert outcome(lambda data=data: call(COMPILED[module], data)) == expected, data
        outcomes.add(repr(expected))
    assert len(outcomes) > 1
