"""JSON as content: the same by orjson and by the standard library."""

import datetime
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from vanilla import Request, Response
from vanilla.toolkit import json_bodies
from vanilla.toolkit.json_bodies import JSONError, encode_json, parse_json, read_json, reply_json
from vanilla.toolkit.refusals import TooLargeError, UnsupportedTypeError

TYPE = b"Content-Type: application/json"

READ = [
    pytest.param(b"{}", {}, id="object"),
    pytest.param(b' [1, -2.5e3, true, false, null, "a"] \n', [1, -2500.0, True, False, None, "a"], id="values"),
    pytest.param(b'"caf\\u00e9 \xc3\xa9 \\ud83d\\ude00"', "café é 😀", id="text"),
    pytest.param(b'"\\\\ud83d \\uD83D\\uDE00\\"\\u0041"', '\\ud83d 😀"A', id="escaped_text"),
    pytest.param(b"0", 0, id="number_alone"),
    pytest.param(b'{"a":1,"a":2}', {"a": 2}, id="the_last_of_a_name_counts"),
    pytest.param(b"9007199254740993", 9007199254740993, id="integer_beyond_a_float"),
    pytest.param(b"[" * 100 + b"]" * 100, json.loads("[" * 100 + "]" * 100), id="nested"),
]
# The content, and the line and the column that the standard library says.
BROKEN = [
    pytest.param(b"", 1, 1, id="nothing"),
    pytest.param(b"{", 1, 2, id="open_object"),
    pytest.param(b'{"a": 1,\n "b": x}', 2, 7, id="on_the_second_line"),
    pytest.param(b"[1,]", 1, 4, id="comma_at_the_end"),
    pytest.param(b"{'a': 1}", 1, 2, id="single_quotes"),
    pytest.param(b"[1] [2]", 1, 5, id="two_values"),
    pytest.param(b'"\xff"', 1, 2, id="no_utf8"),
    pytest.param(b'[1,\n"\xc3\xa9\xff"]', 2, 3, id="no_utf8_on_the_second_line"),
    pytest.param(b"\xef\xbb\xbf{}", 1, 1, id="byte_order_mark"),
    pytest.param(b"NaN", 1, 1, id="nan"),
    pytest.param(b'["NaN\\"",\nInfinity]', 2, 1, id="infinity"),
    pytest.param(b"[-Infinity]", 1, 2, id="negative_infinity"),
    pytest.param(b"01", 1, 2, id="leading_zero"),
    pytest.param(b'"a\nb"', 1, 3, id="line_feed_in_text"),
    pytest.param(b"nul", 1, 1, id="half_a_word"),
    pytest.param('{"a": 1}'.encode("utf-16"), 1, 1, id="utf_16"),
    pytest.param(b"// a\n1", 1, 1, id="comment"),
    pytest.param(b'["\\ud83d"]', 1, 3, id="half_a_pair"),
    pytest.param(b'["\\\\\\ude00"]', 1, 5, id="the_other_half"),
    pytest.param(b'"\\ude00\\ud83d"', 1, 2, id="a_pair_the_wrong_way_round"),
    pytest.param(b'"\\uD83D\\u0041"', 1, 2, id="half_a_pair_and_a_letter"),
]


@pytest.fixture(params=["json", "orjson"] if importlib.util.find_spec("orjson") else ["json"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each library that there is for this Python."""
    if request.param == "json":
        monkeypatch.setattr(json_bodies, "orjson", None)
    else:
        assert json_bodies.orjson is not None
    return request.param


@pytest.mark.parametrize(("content", "expected"), READ)
def test_a_value_is_read(request_with: Callable[..., Request], content: bytes, expected: object) -> None:
    assert parse_json(content) == expected
    assert read_json(request_with(TYPE, method=b"POST", body=content)) == expected


@pytest.mark.parametrize(("content", "line", "column"), BROKEN)
def test_what_is_no_json_is_refused_with_its_place(content: bytes, line: int, column: int, library: str) -> None:
    with pytest.raises(JSONError, match=f"^line {line} column [0-9]+: .") as refused:
        parse_json(content)
    assert (refused.value.status, refused.value.line) == (400, line)
    # They point at different ends of it; so does the standard library, at a comma, from Python 3.13 on.
    assert abs(refused.value.column - column) <= {"json": 1, "orjson": 3}[library]


@pytest.mark.parametrize("content", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000])
def test_nesting_has_an_end(content: bytes) -> None:
    with pytest.raises(JSONError) as refused:
        parse_json(content)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"1e999", id="exponent"),
        pytest.param(b'{"a": [-1E+400]}', id="negative_in_an_array"),
        pytest.param(b"1" * 400 + b".0", id="digits"),
    ],
)
def test_a_number_beyond_a_float_is_refused(content: bytes) -> None:
    with pytest.raises(JSONError) as refused:
        parse_json(content)
    assert refused.value.status == 400


@pytest.mark.parametrize("digits", [5000, 100_000])
def test_an_endless_integer_is_a_number_or_refused(digits: int) -> None:
    content = b"1" * digits
    try:
        assert isinstance(parse_json(content), float)
    except JSONError as refused:
        assert refused.status == 400  # noqa: PT017


@pytest.mark.parametrize(
    "line", [TYPE, b"content-type: Application/JSON; charset=utf-8", b"Content-Type: application/vnd.api+json"]
)
def test_json_has_several_types(request_with: Callable[..., Request], line: bytes) -> None:
    assert read_json(request_with(line, body=b"[1]")) == [1]
    assert read_json(request_with(line), b"[2]") == [2]


@pytest.mark.parametrize(
    "line",
    [
        b"X: y",
        b"Content-Type: text/json",
        b"Content-Type: application/jsonx",
        b"Content-Type: json",
        TYPE + b", " + TYPE,
    ],
)
def test_another_type_is_refused(request_with: Callable[..., Request], line: bytes) -> None:
    with pytest.raises(UnsupportedTypeError, match="this takes application/json"):
        read_json(request_with(line, body=b"{}"))


def test_more_than_allowed_is_refused(request_with: Callable[..., Request]) -> None:
    request = request_with(TYPE, body=b"[1, 2]")
    assert read_json(request, max_bytes=6) == [1, 2]
    with pytest.raises(TooLargeError, match="JSON of 6 bytes where 5 may be") as refused:
        read_json(request, max_bytes=5)
    assert refused.value.status == 413


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param({"a": [1, 2.5, True, None]}, b'{"a":[1,2.5,true,null]}', id="values"),
        pytest.param("café 😀", '"café 😀"'.encode(), id="text_in_utf8"),
        pytest.param('"\\\n\x00', b'"\\"\\\\\\n\\u0000"', id="escapes"),
        pytest.param({}, b"{}", id="nothing"),
        pytest.param("</script>", b'"</script>"', id="slashes_stay"),
    ],
)
def test_a_value_is_written_without_space(value: object, expected: bytes) -> None:
    assert encode_json(value) == expected
    assert parse_json(encode_json(value)) == value


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_json_has_no_form_for_is_a_type_error(value: object) -> None:
    response = Response()
    with pytest.raises(TypeError):
        reply_json(response, value)
    assert bytes(response) == b""


def test_nan_is_never_written() -> None:
    try:
        assert encode_json(float("nan")) == b"null"
    except ValueError as refused:
        assert "not JSON compliant" in str(refused)  # noqa: PT017


def test_an_answer_is_json_of_some_type() -> None:
    response = Response()
    reply_json(response, {"a": 1})
    assert bytes(response).startswith(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    assert bytes(response).endswith(b'\r\n\r\n{"a":1}')
    response = Response()
    reply_json(response, [], 404, content_type="application/problem+json", headers={"X-A": "1"})
    assert bytes(response).startswith(b"HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nX-A: 1\r\n")


def test_orjson_is_taken_where_it_is_installed(library: str) -> None:
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    if library == "orjson":
        assert encode_json(now) == b'"2026-01-01T00:00:00+00:00"'
    else:
        with pytest.raises(TypeError):
            encode_json(now)


def test_nothing_is_missing_where_orjson_is() -> None:
    program = "import sys; sys.modules['orjson'] = None; from vanilla.toolkit.json_bodies import parse_json"
    program += "; print(parse_json(b'[1]'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[1]\n", "")
