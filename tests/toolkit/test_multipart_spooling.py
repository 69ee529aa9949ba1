"""Long files of forms, on their way to temporary files: gathered within the limits, written whole, cut anywhere."""

import errno
import os
import random
import tempfile
import tracemalloc
from collections.abc import Sequence

import pytest

from system import IS_WINDOWS
from vanilla.toolkit import multipart_forms
from vanilla.toolkit.multipart_forms import MultipartForm, MultipartLimits, MultipartReader

HEAD = b'--XX\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
END = b"\r\n--XX--\r\n"
KIB = 1024
MIB = 1024 * KIB
CONTENT = random.Random(0).randbytes(3 * MIB + 12_345)

writes_by_writev = pytest.mark.skipif(IS_WINDOWS, reason="has no writev")


def read(content: bytes, size: int, memory_bytes: int, *, is_announced: bool = False) -> MultipartForm:
    """A form of one file, in pieces of that size."""
    form = HEAD + content + END
    limits = MultipartLimits(memory_bytes=memory_bytes)
    reader = MultipartReader(b"XX", limits, len(form) if is_announced else None)
    for start in range(0, len(form), size):
        reader.feed(form[start : start + size])
    return reader.finish()


@pytest.mark.parametrize("size", [701, 16 * KIB, 64 * KIB, 256 * KIB, 512 * KIB, MIB + 1, 8 * MIB])
@pytest.mark.parametrize("memory_bytes", [0, 1000, 100 * KIB, MIB])
@pytest.mark.parametrize("is_announced", [False, True], ids=["length_unknown", "length_known"])
def test_a_long_file_is_written_whole(size: int, memory_bytes: int, is_announced: bool) -> None:
    with read(CONTENT, size, memory_bytes, is_announced=is_announced) as form:
        [file] = form.files
        assert file.is_on_disk
        assert file.size == len(CONTENT)
        assert file.file.tell() == 0
        assert file.file.read() == CONTENT
        assert file.read() == CONTENT


@pytest.mark.skipif(IS_WINDOWS, reason="does not say how much room a file takes")
@pytest.mark.parametrize("length", [1, 400, MIB, 2 * MIB, 2 * MIB + 1])
@pytest.mark.parametrize("is_announced", [False, True], ids=["length_unknown", "length_known"])
def test_a_file_that_is_whole_takes_no_more_room_than_it_needs(length: int, is_announced: bool) -> None:
    with read(CONTENT[:length], 64 * KIB, 0, is_announced=is_announced) as form:
        status = os.fstat(form.files[0].file.fileno())
        assert status.st_size == length
        assert status.st_blocks * 512 < length + 512 * KIB


@pytest.fixture
def set_aside(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What room files are set aside, from where to where."""
    noted = []

    def note(fd: int, start: int, length: int) -> bool:
        noted.append((start, start + length))
        return True

    monkeypatch.setattr(multipart_forms, "preallocate", note)
    return noted


def test_room_for_a_long_file_is_set_aside_at_once_where_its_length_is_known(set_aside: list[tuple[int, int]]) -> None:
    for length in (2 * MIB, 3 * MIB, 3 * MIB + 4095):
        read(CONTENT[:length], 64 * KIB, MIB, is_announced=True).close()
        assert set_aside.pop() == (0, length - length % 4096)  # to the block: a file that is given none back
        assert not set_aside


def test_room_for_a_long_file_is_set_aside_as_it_grows_where_its_length_is_not_known(
    set_aside: list[tuple[int, int]],
) -> None:
    read(bytes(7 * MIB), 64 * KIB, MIB).close()
    (start, end), *later = set_aside
    assert start == 0
    assert MIB < end <= 2 * (MIB + 64 * KIB)  # as much again as had come
    for start, later_end in later:
        assert start == end
        assert later_end - start <= 5 * MIB // 2
        end = later_end
    assert end >= 13 * MIB // 2


@pytest.mark.parametrize("content_length", [1, MIB, 2**60], ids=["less", "just_as_much", "much_more"])
def test_little_is_set_aside_for_what_is_announced_alone(set_aside: list[tuple[int, int]], content_length: int) -> None:
    reader = MultipartReader(b"XX", content_length=content_length)
    for piece in (HEAD, CONTENT[:MIB], b"1"):
        reader.feed(piece)
    assert all(end <= 9 * MIB + 1 for _, end in set_aside)
    for piece in (CONTENT[: 2 * MIB], END):  # it limits nothing
        reader.feed(piece)
    with reader.finish() as form:
        assert form.files[0].read() == CONTENT[:MIB] + b"1" + CONTENT[: 2 * MIB]


def test_no_room_is_set_aside_for_short_files(set_aside: list[tuple[int, int]]) -> None:
    files = b"\r\n".join(HEAD + CONTENT[: 600 * KIB] for _ in range(9))
    form = files + END
    for size in (64 * KIB, len(form)):
        reader = MultipartReader(b"XX", MultipartLimits(memory_bytes=MIB), len(form))
        for start in range(0, len(form), size):
            reader.feed(form[start : start + size])
        with reader.finish() as read_form:
            assert [file.is_on_disk for file in read_form.files] == [False] + [True] * 8
    assert not set_aside


@pytest.mark.parametrize("memory_bytes", [0, 1, 7, 63, 64, 65])
def test_a_file_is_written_whole_however_it_is_cut(monkeypatch: pytest.MonkeyPatch, memory_bytes: int) -> None:
    monkeypatch.setattr(multipart_forms, "_WRITE_BYTES", 64)
    monkeypatch.setattr(multipart_forms, "_SMALL_BYTES", 5)  # shorter ones are joined
    content = CONTENT[:400]
    for size in range(1, 200):
        with read(content, size, memory_bytes) as form:
            assert form.files[0].is_on_disk
            assert form.files[0].file.read() == content, size


def test_the_file_may_be_read_by_lines_and_written_to() -> None:
    with read(b"one\ntwo\n", 100, 0) as form:
        file = form.files[0].file
        assert file.readlines() == [b"one\n", b"two\n"]
        file.write(b"three\n")
        assert form.files[0].read() == b"one\ntwo\nthree\n"


@writes_by_writev
def test_a_long_file_is_written_by_long_aligned_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    writev, ends = os.writev, []

    def note(fd: int, pieces: Sequence[memoryview]) -> int:
        written = writev(fd, pieces)
        ends.append(os.lseek(fd, 0, os.SEEK_CUR))
        return written

    monkeypatch.setattr(os, "writev", note)
    read(CONTENT, 10_000, MIB).close()
    assert ends == [*range(512 * KIB, len(CONTENT), 512 * KIB), len(CONTENT)]


@writes_by_writev
def test_a_file_of_which_the_kernel_takes_little_at_a_time_is_written_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda fd, pieces: writev(fd, [b"".join(pieces)[:11]]))
    content = CONTENT[:5000]
    for size in (1, 10, 11, 12, 1500, 6000):
        with read(content, size, 2000) as form:
            assert form.files[0].file.read() == content, size


def test_where_there_is_no_writev_and_no_unnamed_file_a_file_is_written_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "writev", raising=False)
    monkeypatch.setattr(tempfile, "TemporaryFile", tempfile.NamedTemporaryFile)  # as it is in Windows
    for size in (701, 100 * KIB, 8 * MIB):
        with read(CONTENT, size, MIB) as form:
            assert form.files[0].file.read() == CONTENT, size


def test_more_pieces_than_one_call_takes_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart_forms, "_WRITE_BYTES", 8 * MIB)
    with read(CONTENT, KIB, 3 * MIB) as form:  # 3,000 pieces, all of them there when the file is begun
        assert form.files[0].is_on_disk
        assert form.files[0].file.read() == CONTENT


@pytest.mark.parametrize("memory_bytes", [0, 100 * KIB, MIB])
def test_what_waits_to_be_written_stays_within_the_memory_for_files(memory_bytes: int) -> None:
    size = 16 * KIB
    reader = MultipartReader(b"XX", MultipartLimits(memory_bytes=memory_bytes))
    tracemalloc.start()
    try:
        reader.feed(HEAD)
        for start in range(0, len(CONTENT), size):
            reader.feed(CONTENT[start : start + size])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        reader.close()
    assert most < memory_bytes + 4 * size


@writes_by_writev
def test_a_full_disk_is_told_and_nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, pieces: Sequence[memoryview]) -> int:
        fds.append(fd)
        raise OSError(errno.ENOSPC, "no space left on device")

    fds: list[int] = []
    monkeypatch.setattr(os, "writev", refuse)
    with pytest.raises(OSError, match="no space") as refused:
        read(CONTENT, 64 * KIB, MIB)
    assert refused.traceback  # which still holds the reader
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[0])
