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
PAGE_NOACCESS, PAGE_READWRITE = 1, 4


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


def protect(page: int, *, is_guard: bool) -> None:
    """Have the page at this address fault when it is touched, or be as it was."""
    if sys.platform == "win32":
        previous = ctypes.c_ulong()
        access = PAGE_NOACCESS if is_guard else PAGE_READWRITE
        change = ctypes.windll.kernel32.VirtualProtect
        assert change(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), access, ctypes.byref(previous))
    else:
        access = PROT_NONE if is_guard else mmap.PROT_READ | mmap.PROT_WRITE
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), access) == 0


@pytest.fixture
def before_guard_page() -> Iterator[Callable[[bytes], int]]:
    """Copies bytes so that the last one stands right before a page that faults when touched; gives their address."""
    block = mmap.mmap(-1, 64 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    guard = start + 63 * mmap.PAGESIZE
    protect(guard, is_guard=True)

    def place(data: bytes) -> int:
        ctypes.memmove(guard - len(data), data, len(data))
        return guard - len(data)

    yield place
    protect(guard, is_guard=False)
