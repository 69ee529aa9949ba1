"""Response.send_file: which files and ranges are taken, and how they are framed."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import pytest

from system import count_descriptors
from vanilla import OpenFile, Response

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def file(tmp_path: pathlib.Path) -> Iterator[BinaryIO]:
    """100,000 bytes that all differ from their neighbours."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(250)) * 400)
    with path.open("rb") as file:
        yield file


@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (0, 0), (0, 16_384), (0, 16_385), (7, 1), (7, 50_000), (7, None), (100_000, None), (99_999, 1)],
)
@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda file: file, id="object"),
        pytest.param(lambda file: file.fileno(), id="number"),
        pytest.param(lambda file: OpenFile(file.fileno()), id="open_file"),
    ],
)
def test_made_by_hand_a_response_holds_the_bytes(
    file: BinaryIO, offset: int, count: int | None, given: Callable[[BinaryIO], Any]
) -> None:
    content = file.read()[offset:][:count]
    position = file.tell()
    response = Response()
    response += HEAD
    response.send_file(given(file), offset, count)
    response += b">"
    assert bytes(response) == HEAD + content + b">"
    assert len(response) == len(bytes(response))
    assert file.tell() == position


@pytest.mark.parametrize("count", [10, 50_000])
def test_it_is_framed_like_any_content(file: BinaryIO, count: int) -> None:
    content = file.read(count)
    chunked, sized, bodyless = Response(), Response(), Response()
    chunked.start(200)
    chunked.send_file(file, 0, count)
    sized.start(200, length=count)
    sized.send_file(file, 0, count)
    bodyless.start(304)
    bodyless.send_file(file, 0, count)
    assert bytes(chunked).endswith(b"\r\n\r\n%x\r\n%b\r\n" % (count, content))
    assert bytes(sized).endswith(b"\r\n\r\n" + content)
    assert bytes(bodyless).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("offset", "count"), [(-1, None), (100_001, None), (0, 100_001), (1, 100_000), (0, -1), (2**70, None)]
)
def test_a_range_beyond_the_file_is_refused(file: BinaryIO, offset: int, count: int | None) -> None:
    response = Response()
    response += HEAD
    with pytest.raises(ValueError, match="the file has 100000 bytes"):
        response.send_file(file, offset, count)
    assert bytes(response) == HEAD


def test_more_than_the_length_that_was_given_is_refused(file: BinaryIO) -> None:
    response = Response()
    response.start(200, length=99_999)
    head = bytes(response)
    with pytest.raises(ValueError, match="1 bytes more than the length"):
        response.send_file(file)
    assert bytes(response) == head
    response.send_file(file, 1)


def test_what_is_no_regular_file_is_refused() -> None:
    reader, writer = os.pipe()
    response = Response()
    response += HEAD
    with pytest.raises(ValueError, match="only regular files"):
        response.send_file(reader)
    os.close(reader)
    os.close(writer)
    with pytest.raises(OSError, match="Bad file descriptor"):
        response.send_file(reader)
    with pytest.raises(TypeError, match="give a descriptor, an open file, or an OpenFile"):
        response.send_file("path")  # type: ignore[arg-type]


def test_a_file_open_for_writing_only_is_refused(tmp_path: pathlib.Path) -> None:
    response = Response()
    response += HEAD
    with (tmp_path / "file").open("wb") as file, pytest.raises(ValueError, match="open it for reading"):
        response.send_file(file)


@pytest.mark.parametrize("appended", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_file_without_a_head_before_it_is_refused(file: BinaryIO, appended: bytes) -> None:
    response = Response()
    response += appended
    with pytest.raises(RuntimeError, match="append the head first"):
        response.send_file(file)
    assert bytes(response) == appended


def test_clearing_and_dropping_a_response_closes_its_files(file: BinaryIO) -> None:
    before = count_descriptors()
    response = Response()
    for _ in range(20):
        response += HEAD
        response.send_file(file)
    assert count_descriptors() == before + 20
    response.clear()
    assert count_descriptors() == before
    response += HEAD
    response.send_file(file)
    del response
    assert count_descriptors() == before


def test_a_file_that_shrank_cannot_be_copied(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 50_000)
    response = Response()
    response += HEAD
    with path.open("rb") as file:
        response.send_file(file)
    os.truncate(path, 1000)
    with pytest.raises(OSError, match="49000 bytes shorter"):
        bytes(response)
