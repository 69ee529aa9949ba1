"""Every example does what its README says: the same as `make examples`."""

from __future__ import annotations

import pathlib

import pytest

from readmes.run import ROOT, find_missing, run_readme

READMES = sorted((ROOT / "examples").glob("*/README.md"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_a_readme_is_so(path: pathlib.Path) -> None:
    if missing := find_missing(path.parent):
        pytest.skip(f"not installed: {', '.join(missing)}")
    assert run_readme(path) > 0
