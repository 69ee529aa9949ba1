"""The head of an answer, looked at and edited while it lies in the buffer."""

from __future__ import annotations

import pathlib

import pytest

from vanilla import Response

RAW = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-two:  2 \r\nX-ONE: 3\r\nContent-Length: 5\r\n\r\nhello"


def raw(data: bytes = RAW) -> Response:
    response = Response()
    response += data
    return response


def head_of(response: Response) -> list[bytes]:
    return bytes(response).partition(b"\r\n\r\n")[0].split(b"\r\n")


@pytest.mark.parametrize(
    ("append", "status"),
    [
        (lambda response: None, 0),
        (lambda response: response.reply(404), 404),
        (lambda response: response.start(206), 206),
        (lambda response: response.write(RAW), 200),
        (lambda response: response.inform(103), 0),
        (lambda response: (response.inform(103), response.reply(503)), 503),
        (lambda response: response.write(b"HTTP/1.1 nonsense"), 0),
    ],
)
def test_the_status_is_that_of_the_final_answer(append, status: int) -> None:
    response = Response()
    append(response)
    assert response.status == status


def test_fields_are_found_in_any_case_without_the_space_around_them() -> None:
    response = raw()
    assert response.header("x-one") == b"1"
    assert response.header(b"X-TWO") == b"2"
    assert response.header("x-three") is None
    assert response.header("x-three", b"none") == b"none"
    assert response.headers() == [(b"X-One", b"1"), (b"x-two", b"2"), (b"X-ONE", b"3"), (b"Content-Length", b"5")]
    assert response.content_length == 5


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_announces_none(status: int) -> None:
    response = Response()
    response.reply(status)
    assert response.content_length is None
    assert response.content is None


def test_one_field_takes_the_place_of_all_of_its_name() -> None:
    response = raw()
    response.set_header("x-ONE", "new")
    assert head_of(response) == [b"HTTP/1.1 200 OK", b"x-two:  2 ", b"Content-Length: 5", b"x-ONE: new"]
    assert bytes(response).endswith(b"\r\n\r\nhello")


def test_a_field_is_added_behind_the_others() -> None:
    response = raw()
    response.add_header(b"X-One", b"\xff")
    assert head_of(response)[-1] == b"X-One: \xff"
    assert [value for name, value in response.headers() if name.lower() == b"x-one"] == [b"1", b"3", b"\xff"]


def test_a_field_is_removed_and_its_absence_is_no_error() -> None:
    response = raw()
    response.remove_header("X-One")
    response.remove_header("X-Nothing")
    assert head_of(response) == [b"HTTP/1.1 200 OK", b"x-two:  2 ", b"Content-Length: 5"]


def test_interim_answers_are_left_alone() -> None:
    response = Response()
    response.inform(103, {"Link": "</a.css>"})
    response.reply(200, b"x", headers={"Link": "</b.css>"})
    response.set_header("Link", "</c.css>")
    assert bytes(response).count(b"Link: </a.css>") == 1
    assert b"b.css" not in bytes(response)
    assert response.header("link") == b"</c.css>"


def test_files_behind_the_head_stay_in_their_place(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * 20_000)
    response = Response()
    response.start(200, length=20_002)
    response += b"<"
    with path.open("rb") as file:
        response.send_file(file)
    response += b">"
    response.set_header("X-Longer", "1" * 100)
    response.remove_header("Date")
    assert bytes(response).endswith(b"1\r\n\r\n<" + b"f" * 20_000 + b">")
    assert response.content is None


@pytest.mark.parametrize("change", ["set_header", "add_header"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X y", "1"),
        ("", "1"),
        ("X", "a\r\nb: c"),
        ("X", b"\0"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
    ],
)
def test_what_would_split_or_frame_an_answer_is_refused_and_changes_nothing(change: str, name: str, value) -> None:
    response = raw()
    with pytest.raises(ValueError, match="header"):
        getattr(response, change)(name, value)
    assert bytes(response) == RAW


def test_framing_cannot_be_removed() -> None:
    response = raw()
    with pytest.raises(ValueError, match="frames the content"):
        response.remove_header("content-length")


@pytest.mark.parametrize("content", [b"", b"more than there was", b"x" * 100_000])
def test_content_is_replaced_with_its_length(content: bytes) -> None:
    response = raw()
    assert response.content == b"hello"
    response.replace_content(content)
    assert response.content == content
    assert response.content_length == len(content)
    assert [name for name, _ in response.headers()].count(b"Content-Length") == 1


@pytest.mark.parametrize(
    "append",
    [
        lambda response: response.start(200),
        lambda response: response.start(200, length=3),
        lambda response: response.reply(204),
        lambda response: response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"),
    ],
)
def test_content_that_is_not_whole_cannot_be_replaced(append) -> None:
    response = Response()
    append(response)
    assert response.content is None
    with pytest.raises(ValueError, match="complete"):
        response.replace_content(b"x")


@pytest.mark.parametrize(
    "ask",
    [
        lambda response: response.header("a"),
        lambda response: response.headers(),
        lambda response: response.set_header("a", "b"),
        lambda response: response.add_header("a", "b"),
        lambda response: response.remove_header("a"),
        lambda response: response.content,
        lambda response: response.content_length,
        lambda response: response.replace_content(b""),
    ],
)
@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nA: b\r\n", b"nonsense\r\n\r\n"])
def test_without_a_whole_head_there_is_nothing_to_look_at(ask, data: bytes) -> None:
    with pytest.raises(RuntimeError, match="no whole head"):
        ask(raw(data))


def test_an_edited_connection_field_closes() -> None:
    response = raw()
    response.set_header("Connection", "close")
    assert head_of(response)[-1] == b"Connection: close"


def test_hooks_are_recorded_for_tests() -> None:
    response = Response()
    assert response.recorded_hooks == []
    response.before_send(print)
    response.before_send(repr)
    assert response.recorded_hooks == [print, repr]
    with pytest.raises(TypeError, match="give a function"):
        response.before_send(3)


@pytest.mark.parametrize(("hook", "otherwise"), [(None, None), (print, 5)])
def test_a_hook_and_what_stands_in_for_it_can_be_called(hook: object, otherwise: object) -> None:
    with pytest.raises(TypeError, match="give a function"):
        Response().before_send(hook, otherwise=otherwise)
