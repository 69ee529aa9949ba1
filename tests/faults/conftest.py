"""The shim at rates of a test's own. Collected only where `make test-faults` has preloaded it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable

import pytest

if "FAULTS_ENGINE" not in os.environ:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture
def inject() -> Callable[..., None]:
    """Injects these faults and no others until the test is over, per thousand calls: inject(accept_eproto=500)."""
    shim = ctypes.CDLL(None)
    shim.faults_name.restype = ctypes.c_char_p

    def inject(**rates: int) -> None:
        kind = 0
        while name := shim.faults_name(kind):
            shim.faults_set_rate(name, 0)
            kind += 1
        for kind_name, rate in rates.items():
            assert shim.faults_set_rate(kind_name.encode(), rate), kind_name

    return inject
