"""Faults for each test: chosen by the run's seed and the test's own name, so that one test alone has the same ones."""

from __future__ import annotations

import ctypes
import logging
import os
import zlib
from collections.abc import Generator

import pytest

SEED = int(os.environ["FAULTS_SEED"])
STARVED = "accept: out of descriptors"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    seed = SEED << 32 | zlib.crc32(item.nodeid.encode())
    ctypes.CDLL(None).faults_begin(ctypes.c_uint64(seed))
    os.environ["FAULTS_SEED"] = str(seed)  # for the processes that the test starts
    return (yield)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what is true of the faults alone out of the log, which tests look at."""
    logging.getLogger("vanilla").addFilter(lambda record: not str(record.msg).startswith(STARVED))
