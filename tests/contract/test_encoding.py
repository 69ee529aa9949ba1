"""encode_content, by hand: what becomes of the head, and of what was appended before and after."""

from __future__ import annotations

import pytest

from vanilla import Response

HEAD = b"HTTP/1.1 200 OK\r\nDate: now\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Upper:
    """Writes capitals; keeps back what does not end with a full stop."""

    def __init__(self) -> None:
        self.kept = b""

    def encode(self, data: bytes) -> bytes:
        data = self.kept + data.upper()
        whole, dot, self.kept = data.rpartition(b".")
        return whole + dot

    def flush(self) -> bytes:
        kept, self.kept = self.kept, b""
        return kept

    def finish(self) -> bytes:
        return self.flush() + b"!"


def begun(status: int = 200, length: int | None = None) -> Response:
    response = Response()
    response.start(status, [(b"Date", b"now")], length=length)
    return response


@pytest.mark.parametrize("length", [None, 9])
@pytest.mark.parametrize(
    ("before", "after", "content"),
    [
        ([], [], b""),
        ([b"abc"], [], b"3\r\nABC\r\n"),
        ([b"a", b"b.", b"c"], [], b"3\r\nAB.\r\n1\r\nC\r\n"),
        ([], [b"a", b"b.c"], b"3\r\nAB.\r\n"),
        ([b"x" * 9], [], b"9\r\nXXXXXXXXX\r\n"),
    ],
)
def test_what_was_written_and_what_follows_goes_through_it(length, before, after, content: bytes) -> None:
    response = begun(length=length)
    for piece in before:
        response.write(piece)
    response.encode_content(Upper())
    for piece in after:
        response.write(piece)
    assert bytes(response) == CHUNKED + content


def test_a_large_piece_and_one_of_every_digit_are_taken_out_of_their_chunks() -> None:
    for size in (9, 10, 15, 16, 0xABCDEF, 0xFEDCBA):
        response = begun()
        response.write(b"x" * size)
        response.encode_content(Upper())
        assert bytes(response) == CHUNKED + b"%x\r\n" % size + b"X" * size + b"\r\n"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_stays_as_it_is(status: int) -> None:
    response = begun(status)
    before = bytes(response)
    response.encode_content(Upper())
    assert bytes(response) == before


def test_more_than_the_length_is_still_refused() -> None:
    response = begun(length=3)
    response.encode_content(Upper())
    response.write(b"ab")
    with pytest.raises(ValueError, match="1 bytes more"):
        response.write(b"cd")


def test_it_is_forgotten_with_the_answer() -> None:
    response = begun()
    response.encode_content(Upper())
    response.clear()
    response.start(200, [(b"Date", b"now")])
    response.write(b"a.")
    assert bytes(response) == CHUNKED + b"2\r\na.\r\n"


def test_what_cannot_be_encoded_is_refused_and_left_alone(tmp_path) -> None:
    (tmp_path / "file").write_bytes(bytes(20_000))
    raw = Response()
    with pytest.raises(RuntimeError, match="no whole head"):
        raw.encode_content(Upper())
    raw.reply(200, b"abc")
    with pytest.raises(ValueError, match="use replace_content"):
        raw.encode_content(Upper())
    twice = begun()
    twice.encode_content(Upper())
    with pytest.raises(RuntimeError, match="already"):
        twice.encode_content(Upper())
    filed = begun()
    with open(tmp_path / "file", "rb") as file:
        filed.send_file(file)
        before = bytes(filed)
        with pytest.raises(ValueError, match="a file"):
            filed.encode_content(Upper())
        assert bytes(filed) == before


@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 100_000])
def test_a_file_is_read_for_it(tmp_path, size: int) -> None:
    (tmp_path / "file").write_bytes(b"." * size)
    response = begun()
    response.encode_content(Upper())
    with open(tmp_path / "file", "rb") as file:
        response.send_file(file)
    assert bytes(response).count(b".") == size + 1  # and that of HTTP/1.1
