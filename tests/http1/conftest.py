"""The codecs run compiled and uncompiled: the same tests over both; and memory that ends against an unreadable page."""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import mmap
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import vanilla.http1

ROOM = Path(vanilla.http1.__file__).parent
PROT_NONE = 0


def load_uncompiled(name: str) -> ModuleType:
    """A codec from its `.py`, under another name; what it imports from its neighbours is uncompiled too."""
    spec = importlib.util.spec_from_file_location(f"uncompiled_{name}", ROOM / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=[True, False], ids=["compiled", "uncompiled"])
def is_compiled(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="session")
def head(is_compiled: bool) -> ModuleType:
    """vanilla.http1.head, or its source as Python runs it."""
    return importlib.import_module("vanilla.http1.head") if is_compiled else load_uncompiled("head")


@pytest.fixture(scope="session")
def body(is_compiled: bool, head: ModuleType) -> ModuleType:
    """vanilla.http1.body, likewise. Its constants are C integers in the compiled head, so that one stands aside."""
    if is_compiled:
        return importlib.import_module("vanilla.http1.body")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "vanilla.http1.head", head)
        return load_uncompiled("body")


@pytest.fixture
def before_guard_page() -> Iterator[Callable[[bytes], int]]:
    """Copies bytes so that the last one stands right before a page that faults when touched; gives their address."""
    block = mmap.mmap(-1, 64 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    guard = start + 63 * mmap.PAGESIZE
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    assert libc.mprotect(guard, mmap.PAGESIZE, PROT_NONE) == 0

    def place(data: bytes) -> int:
        ctypes.memmove(guard - len(data), data, len(data))
        return guard - len(data)

    yield place
    libc.mprotect(guard, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE)
