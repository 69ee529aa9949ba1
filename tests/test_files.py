"""Files that answers share: who keeps them open, and what is refused."""

import os
import pathlib
import sys
import threading

import pytest

from system import count_held
from vanilla import OpenFile, Response

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CONTENT = bytes(range(250)) * 400


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """100,000 bytes that all differ from their neighbours."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def answer(file: OpenFile) -> Response:
    response = Response()
    response += HEAD
    response.send_file(file)
    return response


@pytest.mark.parametrize("name", [str, os.fsencode, pathlib.Path], ids=["str", "bytes", "path"])
def test_a_file_is_opened_once_for_any_number_of_answers(path: pathlib.Path, name) -> None:
    with OpenFile(name(path)) as file:
        assert (file.size, count_held(path)) == (len(CONTENT), 1)
        answers = [answer(file) for _ in range(20)]
        assert count_held(path) == 1
        assert {bytes(one) for one in answers} == {HEAD + CONTENT}
    del answers
    assert count_held(path) == 0


def test_a_descriptor_stays_its_owners(path: pathlib.Path) -> None:
    with path.open("rb") as opened:
        with OpenFile(opened.fileno()) as file:
            assert file.fileno() != opened.fileno()
            assert os.fstat(file.fileno()).st_size == len(CONTENT)
        assert opened.read() == CONTENT


@pytest.mark.parametrize("let_go", [OpenFile.close, OpenFile.__exit__], ids=["close", "exit"])
def test_an_answer_that_has_begun_is_sent_after_the_file_was_closed(path: pathlib.Path, let_go) -> None:
    file = OpenFile(path)
    begun = answer(file)
    let_go(file)
    let_go(file)
    assert file.closed
    assert bytes(begun) == HEAD + CONTENT
    del begun
    assert count_held(path) == 0


def test_an_object_that_is_gone_is_closed(path: pathlib.Path) -> None:
    begun = answer(OpenFile(path))
    assert bytes(begun) == HEAD + CONTENT
    begun.clear()
    assert count_held(path) == 0


def test_a_closed_file_is_refused(path: pathlib.Path) -> None:
    file = OpenFile(path)
    file.close()
    response = Response()
    response += HEAD
    for use in (file.fileno, lambda: response.send_file(file)):
        with pytest.raises(ValueError, match="this OpenFile was closed; open the file again"):
            use()
    assert bytes(response) == HEAD


def test_a_file_that_has_grown_is_sent_as_it_was_opened(path: pathlib.Path) -> None:
    with OpenFile(path) as file:
        with path.open("ab") as more:
            more.write(b"more")
        assert bytes(answer(file)) == HEAD + CONTENT


@pytest.mark.parametrize(
    ("flags", "match"),
    [
        pytest.param(os.O_WRONLY, "open for writing only; open it for reading", id="write_only"),
        pytest.param(None, "only regular files can be sent", id="pipe"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(path: pathlib.Path, flags: int | None, match: str) -> None:
    reader, writer = os.pipe()
    fd = reader if flags is None else os.open(path, flags)
    with pytest.raises(ValueError, match=match):
        OpenFile(fd)
    for one in {fd, reader, writer}:
        os.close(one)
    with pytest.raises(OSError, match="Bad file descriptor"):
        OpenFile(fd)


def test_what_is_not_there_or_no_file_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        OpenFile(tmp_path / "none")
    with pytest.raises(PermissionError if sys.platform == "win32" else ValueError):  # there no folder can be opened
        OpenFile(tmp_path)


def test_threads_share_a_file_that_one_of_them_closes(path: pathlib.Path) -> None:
    file = OpenFile(path)
    ready = threading.Barrier(5)
    failures: list[bytes] = []

    def send() -> None:
        ready.wait()
        try:
            while True:
                if bytes(answer(file)) != HEAD + CONTENT:
                    failures.append(b"wrong bytes")
        except ValueError:
            return  # closed

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    file.close()
    for thread in threads:
        thread.join()
    assert not failures
    assert count_held(path) == 0
