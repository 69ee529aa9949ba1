"""Forms with files: whole, cut at every byte, over sockets, and what clients do wrong."""

import io
import os
import pathlib
import random
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from werkzeug.formparser import FormDataParser

import vanilla
from system import IS_WINDOWS, count_descriptors
from vanilla import Event, Request, Response, ServerConfig, Step, Worker
from vanilla.testing import ask, drive, frames
from vanilla.toolkit.multipart_forms import (
    FILE_NAME_BYTES_MAX,
    MultipartForm,
    MultipartLimits,
    MultipartReader,
    find_boundary,
    read_multipart,
    receive_multipart,
    safe_file_name,
    stream_multipart,
)
from vanilla.toolkit.refusals import MalformedError, TooLargeError, UnsupportedTypeError

TYPE = b"Content-Type: multipart/form-data; boundary=XX"
FORM = (
    b"--XX\r\n"
    b'Content-Disposition: form-data; name="title"\r\n\r\n'
    b"caf\xc3\xa9\r\n"
    b"--XX\r\n"
    b'Content-Disposition: form-data; name="photo"; filename="a b.png"\r\n'
    b"Content-Type: image/png\r\n\r\n"
    b"\x89PNG\r\n--X\r\n\r\n"
    b"\r\n--XX\r\n"
    b'content-disposition: form-data; name="title"\r\n\r\n'
    b"\r\n--XX\r\n"
    b'Content-Disposition: form-data; name="empty"; filename=""\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
    b"\r\n--XX--\r\n"
)
PARTS = [
    ("title", None, None, "café".encode()),
    ("photo", "a b.png", "image/png", b"\x89PNG\r\n--X\r\n\r\n"),
    ("title", None, None, b""),
    ("empty", "", "application/octet-stream", b""),
]


def part(head: bytes, content: bytes = b"x") -> bytes:
    return b"--XX\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


NAME = b'Content-Disposition: form-data; name="a"'
NAMED = part(NAME)
END = b"--XX--"

MALFORMED = [
    pytest.param(b"", "ends before its last boundary", id="nothing"),
    pytest.param(b"--XX", "ends before its last boundary", id="boundary_alone"),
    pytest.param(NAMED, "ends before its last boundary", id="no_last_boundary"),
    pytest.param(NAMED + b"--XX-", "ends before its last boundary", id="half_of_the_last_boundary"),
    pytest.param(b"--YY--", "does not begin with its boundary", id="another_boundary"),
    pytest.param(b"preamble\r\n" + NAMED + END, "does not begin with its boundary", id="preamble"),
    pytest.param(b"\r\n\r\n" + NAMED + END, "does not begin with its boundary", id="blank_lines_in_front"),
    pytest.param(b"--XXX\r\n" + NAMED + END, "does not begin with its boundary", id="a_longer_boundary"),
    pytest.param(b"--XX\n" + NAMED + END, "does not begin with its boundary", id="bare_line_feed"),
    pytest.param(part(NAME + b"\r\nContent-Length: 2") + END, "does not match Content-Length", id="too_little_content"),
    pytest.param(part(NAME + b"\r\nContent-Length: 0") + END, "Content-Length exceeded", id="too_much_content"),
    pytest.param(NAMED + b"--XXX\r\n" + NAMED + END, "after boundary", id="a_longer_boundary_later"),
    pytest.param(part(b"Content-Disposition: form-data") + END, "part 1 of the form has no name", id="no_name"),
    pytest.param(part(b'Content-Disposition: form-data; name=""') + END, "has no name", id="empty_name"),
    pytest.param(NAMED + part(b'Content-Disposition: form-data; filename="a"') + END, "part 2 .* no name", id="file"),
    pytest.param(part(b"Content-Type: text/plain") + END, "part 1 of the form: Missing", id="no_disposition"),
    pytest.param(part(b'Content-Disposition: attachment; name="a"') + END, "part 1", id="another_disposition"),
    pytest.param(part(b"garbage") + END, "part 1", id="no_field_line"),
    pytest.param(part(b'Content-Disposition: form-data; name="\xff"') + END, "part 1", id="name_is_no_utf8"),
    pytest.param(part(b'Content-Disposition: form-data; name="a"\r\nX: a\nb\rc') + END, "part 1", id="bare_line_ends"),
    pytest.param(part(b'Content-Disposition: form-data; name="a\0"') + END, "control byte in a field", id="nul"),
    pytest.param(
        part(b'Content-Disposition: form-data; name="a"\r\nContent-Disposition: form-data; name="b"') + END,
        "part 1 of the form: two fields Content-Disposition",
        id="two_dispositions",
    ),
    pytest.param(
        part(b'Content-Disposition: form-data; name="a"\r\nContent-Type: a/b\r\nContent-Type: c/d') + END,
        "part 1 of the form: two fields Content-Type",
        id="two_types",
    ),
    pytest.param(
        part(b'Content-Disposition: form-data; name="a"; Name=b') + END,
        "part 1 of the form: two parameters name",
        id="two_names",
    ),
    pytest.param(
        part(b'Content-Disposition: form-data; name="a"; filename="b;c" ; filename="d"') + END,
        "part 1 of the form: two parameters filename",
        id="two_file_names",
    ),
    pytest.param(NAMED[:-2] + b"\r\n--XXgarbage", "part 2", id="text_behind_a_boundary"),
]


@pytest.mark.parametrize(
    ("disposition", "file_name"),
    [
        pytest.param(b'filename="; name=b"', "; name=b", id="in_quotes"),
        pytest.param(b'filename="\\"; name=b"', '"; name=b', id="behind_an_escaped_quote"),
        pytest.param(b'filename="b\\\\"', "b\\\\", id="backslashes_at_the_end"),
        pytest.param(b"xname=b; filename=c", "c", id="longer_name"),
    ],
)
def test_a_name_within_a_file_name_is_no_second_one(disposition: bytes, file_name: str) -> None:
    reader = MultipartReader(b"XX")
    reader.feed(part(b'Content-Disposition: form-data; name="a"; ' + disposition) + END)
    [read] = reader.finish()
    assert (read.name, read.file_name) == ("a", file_name)


class Taken:
    """What a reader made of content, in a form that two runs can be compared by."""

    def __init__(self, form: MultipartForm) -> None:
        self.parts = [(part.name, part.file_name, part.content_type, part.read()) for part in form]
        form.close()


def read_in_pieces(content: bytes, sizes: Iterator[int], limits: MultipartLimits | None = None) -> MultipartForm:
    """The form of content that arrives in pieces of these sizes, the last as often as needed."""
    reader = MultipartReader(b"XX", limits or MultipartLimits())
    at = 0
    while at < len(content):
        size = next(sizes)
        reader.feed(content[at : at + size])
        at += size
    return reader.finish()


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def first(size: int) -> Iterator[int]:
    yield size
    yield from always(1_000_000)


def test_a_form_is_read(request_with: Callable[..., Request]) -> None:
    with read_multipart(request_with(TYPE, method=b"POST", body=FORM)) as form:
        assert [(part.name, part.file_name, part.content_type, part.read()) for part in form] == PARTS
        assert [part.size for part in form] == [5, 13, 0, 0]
        assert len(form) == 4
        assert form.get("title") == "café".encode()
        assert form.get_text("title") == "café"
        assert form.get_all("title") == ["café".encode(), b""]
        photo = form.file("photo")
        assert photo is not None
        assert photo.file.read() == photo.read() == PARTS[1][3]
        assert photo.safe_name == "a b.png"
        assert not photo.is_on_disk
        assert form.files == [photo]


def test_a_file_is_no_field_and_none_chosen_is_no_file(request_with: Callable[..., Request]) -> None:
    form = read_multipart(request_with(TYPE, body=FORM))
    assert (form.get("photo"), form.get("empty"), form.get("other"), form.get("other", b"x")) == (
        None,
        None,
        None,
        b"x",
    )
    assert (form.file("empty"), form.file("title"), form.file("other")) == (None, None, None)
    assert form.get_all("photo") == []


def test_it_is_the_same_form_however_it_is_cut() -> None:
    for size in range(1, 40):
        assert Taken(read_in_pieces(FORM, always(size))).parts == PARTS, size
    for size in range(1, len(FORM)):
        assert Taken(read_in_pieces(FORM, first(size))).parts == PARTS, size


@pytest.mark.parametrize(
    ("content", "count"),
    [
        pytest.param(b"--XX--", 0, id="no_parts"),
        pytest.param(b"--XX--\r\n", 0, id="no_parts_and_a_line_end"),
        pytest.param(b"\r\n" + NAMED + END, 1, id="line_end_in_front"),
        pytest.param(NAMED + END, 1, id="no_line_end_behind"),
        pytest.param(NAMED + END + b"\r\nepilogue\r\n--XX\r\n", 1, id="epilogue"),
        pytest.param(part(b'Content-Disposition: form-data; name="a"; x=y\r\nX-Other: z') + END, 1, id="other_fields"),
        pytest.param(part(b"Content-Disposition: form-data; name=a; filename=b") + END, 1, id="no_quotes"),
        pytest.param(part(NAME + b"\r\nContent-Length: 5", b"\r\n--X") + NAMED + END, 2, id="content_length"),
        pytest.param(part(NAME, b"\r\n--X\r\n--") + NAMED + END, 2, id="delimiters_begun"),
        pytest.param(part(NAME, b"\r" * 99) + part(NAME, b"\r\n" * 99) + END, 2, id="line_ends"),
    ],
)
def test_forms_of_other_clients_are_read_however_they_are_cut(content: bytes, count: int) -> None:
    whole = Taken(read_in_pieces(content, always(1_000_000))).parts
    assert len(whole) == count
    for size in (*range(1, 12), len(content) - 1):
        assert Taken(read_in_pieces(content, always(size))).parts == whole, size


@pytest.mark.parametrize(("content", "match"), MALFORMED)
def test_a_malformed_form_is_refused_however_it_is_cut(content: bytes, match: str) -> None:
    for sizes in (always(1_000_000), *(always(size) for size in range(1, 12))):
        with pytest.raises(MalformedError, match=match) as refused:
            read_in_pieces(content, sizes)
        assert refused.value.status == 400


SMALL = MultipartLimits(
    max_bytes=400,
    max_parts=2,
    max_field_bytes=10,
    max_fields_bytes=15,
    max_file_bytes=20,
    max_header_bytes=100,
    memory_bytes=5,
)
FILE = b'Content-Disposition: form-data; name="f"; filename="f"'


@pytest.mark.parametrize(
    ("content", "match"),
    [
        pytest.param(NAMED * 3 + END, "too many", id="parts"),
        pytest.param(part(NAME, b"x" * 11) + END, "'a' of more than 10", id="field"),
        pytest.param(part(NAME, b"x" * 8) * 2 + END, "of more than 15 bytes", id="fields"),
        pytest.param(part(FILE, b"x" * 21) + END, "file 'f' of more than 20 bytes", id="file"),
        pytest.param(part(FILE + b"\r\nX: " + b"x" * 98) + END, "too large parts", id="field_line"),
        pytest.param(part(FILE + b"\r\nX: y" * 8) + END, "too many", id="field_lines"),
        pytest.param(part(FILE) + END + b"x" * 400, "a form of more than 400 bytes", id="all"),
    ],
)
def test_more_than_the_limits_is_refused_however_it_is_cut(content: bytes, match: str) -> None:
    for sizes in (always(1_000_000), *(always(size) for size in range(1, 12))):
        with pytest.raises(TooLargeError, match=match) as refused:
            read_in_pieces(content, sizes, SMALL)
        assert refused.value.status == 413


def test_the_limits_are_what_may_be() -> None:
    content = part(NAME, b"x" * 10) + part(FILE, b"y" * 20) + END
    assert [part.size for part in read_in_pieces(content, always(3), SMALL)] == [10, 20]


def test_fields_are_held_in_memory_and_files_as_far_as_there_is_room() -> None:
    sizes = (4, 3, 2, 5)
    content = part(NAME, b"x" * 10)
    content += b"".join(part(FILE, b"y" * size) for size in sizes) + END
    for cut in (1, 4, 1_000_000):
        with read_in_pieces(content, always(cut), MultipartLimits(memory_bytes=6)) as form:
            assert [part.is_on_disk for part in form] == [
                False,
                False,
                True,
                False,
                True,
            ]  # 4, and 2 once 3 was too much
            assert [part.read() for part in form] == [b"x" * 10, *(b"y" * size for size in sizes)]


def count_open_files() -> int:
    """Descriptors of this process that refer to files which have no name any more; in Windows to any file."""
    if IS_WINDOWS:
        return count_descriptors()
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    return sum(os.path.islink(link) and "(deleted)" in os.readlink(link) for link in links)


def test_a_closed_form_leaves_nothing_on_disk() -> None:
    before = count_open_files()
    limits = MultipartLimits(memory_bytes=0)
    form = read_in_pieces(part(FILE) + END, always(100), limits)
    assert count_open_files() == before + 1
    form.close()
    assert count_open_files() == before
    read_in_pieces(part(FILE) + END, always(100), limits)  # nobody keeps it
    assert count_open_files() == before


@pytest.mark.parametrize(
    "content", [part(FILE), part(FILE) + b"--XX\r\ngarbage\r\n\r\n", part(FILE, b"x" * 20) + END + b"x" * 400]
)
def test_a_form_that_is_refused_leaves_nothing_on_disk(content: bytes) -> None:
    before = count_open_files()
    with pytest.raises((MalformedError, TooLargeError)) as refused:
        read_in_pieces(content, always(1), SMALL)
    assert refused.traceback  # which still holds the reader
    assert count_open_files() == before


def test_a_file_is_saved_where_nothing_is(tmp_path: pathlib.Path) -> None:
    form = read_in_pieces(part(FILE, b"content") + END, always(3), MultipartLimits(memory_bytes=4))
    [file] = form.files
    for path in (tmp_path / "one", str(tmp_path / "two"), os.fsencode(tmp_path / "three")):
        file.save(path)
        assert pathlib.Path(os.fsdecode(path)).read_bytes() == b"content"
        with pytest.raises(FileExistsError):
            file.save(path)
        assert pathlib.Path(os.fsdecode(path)).read_bytes() == b"content"


@pytest.mark.parametrize("memory_bytes", [4, 100])
def test_a_closed_part_is_refused(tmp_path: pathlib.Path, memory_bytes: int) -> None:
    form = read_in_pieces(part(FILE, b"content") + END, always(3), MultipartLimits(memory_bytes=memory_bytes))
    file = form.files[0].file
    form.close()
    assert file.closed
    for use in (form.files[0].read, lambda: form.files[0].save(tmp_path / "one")):
        with pytest.raises(ValueError, match="closed"):
            use()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory_bytes", [4, 100])
def test_content_may_be_read_and_saved_again_and_again(tmp_path: pathlib.Path, memory_bytes: int) -> None:
    form = read_in_pieces(part(FILE, b"content") + END, always(3), MultipartLimits(memory_bytes=memory_bytes))
    [file] = form.files
    assert file.file.read(4) == b"cont"
    for number in range(2):
        assert file.read() == b"content"
        file.save(tmp_path / str(number))
        assert (tmp_path / str(number)).read_bytes() == b"content"


def test_content_in_single_bytes_takes_no_object_for_each() -> None:
    reader = MultipartReader(b"XX")
    reader.feed(part(FILE, b"")[:-2])
    tracemalloc.start()
    for _ in range(100_000):
        reader.feed(b"xy")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    reader.feed(b"\r\n" + END)
    assert reader.finish().parts[0].read() == b"xy" * 100_000
    assert held < 500_000


def test_a_file_that_cannot_be_saved_whole_leaves_nothing(tmp_path: pathlib.Path) -> None:
    form = read_in_pieces(part(FILE, b"content") + END, always(3), MultipartLimits(memory_bytes=4))
    [file] = form.files
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.save(tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(b"multipart/form-data; boundary=XX", b"XX", id="token"),
        pytest.param(b'Multipart/Form-Data; Boundary="X X"', b"X X", id="quoted"),
        pytest.param(
            b"multipart/form-data; boundary=----WebKitFormBoundaryAb0", b"----WebKitFormBoundaryAb0", id="webkit"
        ),
    ],
)
def test_the_boundary_is_found(request_with: Callable[..., Request], value: bytes, expected: bytes) -> None:
    assert find_boundary(request_with(b"Content-Type: " + value)) == expected
    MultipartReader(expected)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        pytest.param(b"X: y", UnsupportedTypeError, id="no_type"),
        pytest.param(b"Content-Type: application/x-www-form-urlencoded", UnsupportedTypeError, id="another_type"),
        pytest.param(b"Content-Type: multipart/mixed; boundary=XX", UnsupportedTypeError, id="another_multipart"),
        pytest.param(b"Content-Type: multipart/form-data", MalformedError, id="no_boundary"),
        pytest.param(b'Content-Type: multipart/form-data; boundary=""', MalformedError, id="empty_boundary"),
        pytest.param(b"Content-Type: multipart/form-data; boundary=" + b"x" * 71, MalformedError, id="long_boundary"),
        pytest.param(b'Content-Type: multipart/form-data; boundary="a\\"b"', MalformedError, id="quote_in_it"),
        pytest.param(b'Content-Type: multipart/form-data; boundary="a "', MalformedError, id="space_at_its_end"),
        pytest.param(b"Content-Type: multipart/form-data; boundary=a=b c", UnsupportedTypeError, id="malformed"),
    ],
)
def test_a_request_that_is_no_such_form_is_refused(
    request_with: Callable[..., Request], line: bytes, error: type[Exception]
) -> None:
    for use in (read_multipart, lambda request: receive_multipart(request, lambda *_: None)):
        with pytest.raises(error) as refused:
            use(request_with(line, body=FORM))
        assert type(refused.value) is error


def test_random_forms_are_read_as_they_were_written() -> None:
    chance = random.Random(12)
    for _ in range(60):
        written = []
        content = b""
        for number in range(chance.randrange(5)):
            data = b"".join(
                chance.choices([b"\r", b"\n", b"-", b"--XX", b"\r\n--", b"X", b"\0"], k=chance.randrange(30))
            )
            data = data.replace(b"\r\n--XX", b"")
            name, file_name = f"n{number}", chance.choice([None, f"f{number}"])
            head = f'Content-Disposition: form-data; name="{name}"'
            if file_name is not None:
                head += f'; filename="{file_name}"'
            content += part(head.encode(), data)
            written.append((name, file_name, None, data))
        content += END
        limits = MultipartLimits(memory_bytes=chance.randrange(40))
        for sizes in (always(1_000_000), always(1), iter(lambda: chance.randrange(1, 20), 0)):
            assert Taken(read_in_pieces(content, sizes, limits)).parts == written


def test_forms_are_read_as_another_library_does() -> None:
    _, fields, files = FormDataParser().parse(io.BytesIO(FORM), "multipart/form-data", len(FORM), {"boundary": "XX"})
    form = read_in_pieces(FORM, always(7))
    assert fields.getlist("title") == [value.decode() for value in form.get_all("title")]
    assert [(file.name, file.filename, file.read()) for file in files.getlist("photo")] == [
        (part.name, part.file_name, part.read()) for part in form.files
    ]
    for _, file in files.items(multi=True):
        file.close()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("report.pdf", "report.pdf", id="plain"),
        pytest.param("Résumé 2.pdf", "Résumé 2.pdf", id="letters_of_any_kind"),
        pytest.param("re\u0301sume\u0301", "résumé", id="composed"),
        pytest.param("../../etc/passwd", "passwd", id="slashes"),
        pytest.param("C:\\Users\\me\\a.txt", "a.txt", id="backslashes"),
        pytest.param("a/", "file", id="slash_at_the_end"),
        pytest.param("..", "file", id="dots_alone"),
        pytest.param(".htaccess", "htaccess", id="dot_in_front"),
        pytest.param(" a. ", "a", id="dots_and_spaces_around"),
        pytest.param("a\0.png", "a.png", id="nul"),
        pytest.param("a\r\nb\x1b[31m", "ab[31m", id="control_bytes"),
        pytest.param("a\u202egnp.exe", "agnp.exe", id="text_turned_around"),
        pytest.param('a<b>:"|?*c', "abc", id="what_windows_refuses"),
        pytest.param("con.txt", "_con.txt", id="device_of_windows"),
        pytest.param("NUL", "_NUL", id="another_device"),
        pytest.param("CON .\u00e9", "_CON.\u00e9", id="device_before_a_space"),
        pytest.param("aux .tar.gz", "_aux .tar.gz", id="device_before_a_space_and_two_extensions"),
        pytest.param("COM\u00b9", "_COM\u00b9", id="device_with_a_superscript"),
        pytest.param("console.txt", "console.txt", id="no_device"),
        pytest.param("", "file", id="nothing"),
        pytest.param(None, "file", id="none"),
        pytest.param("/", "file", id="slash_alone"),
        pytest.param("a.tar.gz", "a.tar.gz", id="two_extensions"),
        pytest.param("\ud800.txt", "txt", id="half_a_character"),
        pytest.param("x" * 300 + ".png", "x" * (FILE_NAME_BYTES_MAX - 4) + ".png", id="long"),
        pytest.param("é" * 300, "é" * (FILE_NAME_BYTES_MAX // 2), id="long_in_bytes"),
        pytest.param("a." + "b" * 300, "a." + "b" * (FILE_NAME_BYTES_MAX - 2), id="no_extension"),
    ],
)
def test_a_file_name_is_made_safe(name: str | None, expected: str) -> None:
    assert safe_file_name(name) == expected


def test_any_file_name_can_be_a_file(tmp_path: pathlib.Path) -> None:
    chance = random.Random(13)
    for _ in range(300):
        name = "".join(chance.choices("./\\:\0 aé\ud83d😀\u202eCON.", k=chance.randrange(200)))
        safe = safe_file_name(name)
        assert safe_file_name(safe) == safe
        path = tmp_path / safe
        path.write_bytes(b"")
        assert path.parent == tmp_path
        assert path.resolve().parent == tmp_path.resolve()
        path.unlink()


def answer(response: Response, form: MultipartForm) -> None:
    lines = [b"%b %d %d" % (part.name.encode(), part.size, part.is_on_disk) for part in form]
    response.reply(200, b"\n".join(lines))
    form.close()


def whole(request: Request, response: Response, worker: Worker) -> None:
    answer(response, read_multipart(request, limits=LIMITS))


@vanilla.streaming
def plain(request: Request, response: Response, worker: Worker) -> Step:
    return receive_multipart(request, then, limits=LIMITS)


def then(request: Request, response: Response, worker: Worker, form: MultipartForm, event: Event) -> None:
    assert event is Event.READABLE
    answer(response, form)


@vanilla.streaming
async def coroutine(request: Request, response: Response, worker: Worker) -> None:
    answer(response, await stream_multipart(request, limits=LIMITS))


LIMITS = MultipartLimits(max_file_bytes=300_000, memory_bytes=100_000)
HANDLERS = [whole, plain, coroutine]


def post(body: bytes, *lines: bytes) -> bytes:
    fields = b"\r\n".join((TYPE, *lines, b"Content-Length: %d" % len(body)))
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n\r\n" + body


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize("size", [0, 5, 100_000, 300_000])
def test_a_form_is_taken_over_a_socket(handler, size: int, backend: str) -> None:
    body = part(NAME, b"12345") + part(FILE, b"x" * size) + END + b"\r\n"
    config = ServerConfig(handler, port=0, workers=1, backend=backend)
    results = drive(config, [ask(post(body) + post(body), until=frames(2))])
    expected = b"a 5 0\nf %d %d" % (size, size > 100_000)
    assert [frame.body for frame in results[0].frames] == [expected] * 2


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize(
    ("fields", "framed"),
    [
        pytest.param(b"Content-Length: %(length)d, %(length)d", b"%(body)b", id="length_said_twice"),
        pytest.param(b"Content-Length: %(length)d\r\nContent-Length: %(length)d", b"%(body)b", id="two_lengths"),
        pytest.param(b"Transfer-Encoding: chunked", b"%(length)x\r\n%(body)b\r\n0\r\n\r\n", id="no_length"),
    ],
)
def test_a_form_is_taken_however_its_length_is_said(handler, fields: bytes, framed: bytes, backend: str) -> None:
    body = part(NAME, b"12345") + part(FILE, b"x" * 200_000) + END + b"\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + TYPE + b"\r\n" + fields + b"\r\n\r\n"
    wire = (head + framed) % {b"length": len(body), b"body": body}
    results = drive(ServerConfig(handler, port=0, workers=1, backend=backend), [ask(wire, until=frames(1))])
    assert results[0].frames[0].body == b"a 5 0\nf 200000 1"


@pytest.mark.parametrize("handler", HANDLERS)
@pytest.mark.parametrize(
    ("wire", "status"),
    [
        pytest.param(post(b"garbage"), 400, id="malformed"),
        pytest.param(post(FORM[:-20]), 400, id="cut"),
        pytest.param(post(part(FILE, b"x" * 300_001) + END), 413, id="too_large"),
        pytest.param(post(FORM).replace(b"multipart/form-data", b"text/plain"), 415, id="another_type"),
    ],
)
def test_a_refusal_is_the_answer(handler, wire: bytes, status: int, backend: str) -> None:
    before = count_open_files()
    results = drive(ServerConfig(handler, port=0, workers=1, backend=backend), [ask(wire)])
    assert results[0].frames[0].status == status
    assert count_open_files() == before


@pytest.mark.parametrize("handler", [plain, coroutine])
def test_content_that_the_server_refuses_leaves_nothing(handler, backend: str) -> None:
    before = count_open_files()
    chunk = b"%x\r\n" % 200_000 + (part(FILE, b"x" * 200_000) + END)[:200_000] + b"\r\n"
    wire = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + TYPE + b"\r\n\r\n" + chunk + b"garbage"
    results = drive(ServerConfig(handler, port=0, workers=1, backend=backend), [ask(wire)])
    assert results[0].frames[0].status == 400
    assert count_open_files() == before


def test_a_handler_that_takes_a_form_is_tested_by_calling_it(request_with: Callable[..., Request]) -> None:
    request, response, worker = request_with(TYPE, method=b"POST", body=FORM), Response(), Worker()
    assert plain(request, response, worker) is Step.SUSPEND
    assert request.recorded(request, response, worker, FORM[:50], Event.READABLE) is Step.SUSPEND
    assert request.recorded(request, response, worker, FORM[50:], Event.READABLE) is Step.SUSPEND
    assert request.recorded(request, response, worker, b"", Event.READABLE) is None
    assert bytes(response).endswith(b"\r\n\r\ntitle 5 0\nphoto 13 0\ntitle 0 0\nempty 0 0")


def test_a_missing_package_is_an_error_that_names_the_extra() -> None:
    program = "import sys; sys.modules['multipart'] = None; import vanilla.toolkit.multipart_forms"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs the package multipart: pip install 'vanilla-http[multipart]'\n" in done.stderr
