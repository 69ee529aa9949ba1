"""toolkit/negotiation.py and dates.py: any field chooses what the same sources choose when Python runs them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from run import main

import vanilla.toolkit.dates
import vanilla.toolkit.negotiation

ROOM = Path(vanilla.toolkit.negotiation.__file__).parent
CHOICES = {
    "choose_type": ("a/b", "text/html", "text/plain;format=flowed"),
    "choose_encoding": ("br", "gzip", "identity"),
    "choose_language": ("en-GB", "de", "zh-Hant-x-CN"),
}
NOW = 1.7e9


def load_uncompiled(name: str) -> ModuleType:
    """A module of the toolkit that imports no other compiled one, as Python runs it."""
    spec = importlib.util.spec_from_file_location(f"uncompiled_{name}", ROOM / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


negotiation, dates = load_uncompiled("negotiation"), load_uncompiled("dates")


def check(data: bytes) -> None:
    """Each of the three choices, and the date."""
    for name, offers in CHOICES.items():
        chosen = getattr(vanilla.toolkit.negotiation, name)(data, offers)
        assert chosen is None or chosen in offers
        assert chosen == getattr(negotiation, name)(data, offers), (name, data)
    second = vanilla.toolkit.dates.parse_date(data, now=NOW)
    assert second == dates.parse_date(data, now=NOW), data
    if second is not None:
        assert vanilla.toolkit.dates.parse_date(vanilla.toolkit.dates.format_date(second)) == second


if __name__ == "__main__":
    main("negotiation", check)
