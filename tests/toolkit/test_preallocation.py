"""Room that is set aside for a file."""

import os
import pathlib
import sys

import pytest

from vanilla.toolkit.preallocation import preallocate


def test_room_is_set_aside_and_the_file_stays_as_long_as_it_is(tmp_path: pathlib.Path) -> None:
    with open(tmp_path / "a", "wb", buffering=0) as file:
        file.write(b"abc")
        is_set_aside = preallocate(file.fileno(), 3, 1_000_000)
        status = os.fstat(file.fileno())
        assert status.st_size == 3
        if is_set_aside:  # not on every file system
            assert status.st_blocks * 512 >= 1_000_003
            file.truncate(3)
            assert os.fstat(file.fileno()).st_blocks * 512 < 1_000_003
        file.write(b"def")
    assert (tmp_path / "a").read_bytes() == b"abcdef"


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 0), (0, -1), (0, 2**62)])
def test_what_cannot_be_set_aside_is_not(tmp_path: pathlib.Path, start: int, length: int) -> None:
    with open(tmp_path / "a", "wb") as file:
        assert preallocate(file.fileno(), start, length) is False
    assert (tmp_path / "a").stat().st_size == 0


@pytest.mark.skipif(sys.platform == "win32", reason="what is no file of Windows has no descriptor there")
def test_what_is_no_file_has_no_room() -> None:
    reader, writer = os.pipe()
    try:
        assert preallocate(writer, 0, 1) is False
    finally:
        os.close(reader)
        os.close(writer)
    assert preallocate(writer, 0, 1) is False
