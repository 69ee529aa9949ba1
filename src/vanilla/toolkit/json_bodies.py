"""JSON as the content of requests and answers, RFC 8259: by orjson where it is installed, else by the standard library.

# Where the two differ
orjson also writes dataclasses, datetimes, enums and UUIDs, and NaN as null; the standard library refuses those. orjson
reads integers of more than 64 bits as floats, and refuses to write them. In what they read, both refuse NaN and
Infinity, numbers that a float cannot hold, bytes that are not UTF-8, half a surrogate pair, too deep nesting.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from vanilla.contract import Request, Response
from vanilla.toolkit.content_type import require_content_type
from vanilla.toolkit.refusals import MalformedError, TooLargeError

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment]

JSON_TYPE = b"application/json"

_Text = str | bytes

_SHOWN_CHARACTERS = 40  # of what the client sent, in a message

# One escape; what of a surrogate pair stands alone is a group. RFC 8259 section 7, RFC 3629 section 3.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)")

_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*+"|(-?Infinity|NaN)', re.DOTALL)


class JSONError(MalformedError):
    """The content is not JSON; answered 400.

    Attributes:
        line, column: where it broke, from 1, the column in characters; 0 where that is not known.
    """

    def __init__(self, reason: str, line: int = 0, column: int = 0) -> None:
        super().__init__(f"line {line} column {column}: {reason}" if line else reason)
        self.line = line
        self.column = column


def read_json(request: Request, body: bytes | None = None, *, max_bytes: int | None = None) -> Any:
    """The JSON value that a client sent.

    Args:
        request: its Content-Type is checked: application/json, or any that ends in `+json`; and its body read.
        body: the content, where a streaming handler took it itself: `read_json(request, await request.read())`.
        max_bytes: the longest content to take; None leaves it to the server's `max_body_bytes`.

    Returns: dict, list, str, int, float, bool or None.
    Raises: UnsupportedTypeError, answered 415, for content of another type; TooLargeError, 413; JSONError, 400, for
        what is not JSON, and says where it broke.
    Source: RFC 8259; UTF-8 without a byte order mark, section 8.1. Of a name that comes twice the last counts.
    """
    require_content_type(request, JSON_TYPE, suffix=b"+json")
    content = request.body if body is None else body
    if max_bytes is not None and len(content) > max_bytes:
        raise TooLargeError(f"JSON of {len(content)} bytes where {max_bytes} may be")
    return parse_json(content)


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises: JSONError, answered 400 where it is let through.
    Source: RFC 8259.
    """
    text = ""
    try:
        if orjson is not None:
            return orjson.loads(content)
        text = content.decode()
        value = json.loads(text, parse_constant=_refuse, parse_float=_read_float)
        if "\\u" in text and (lone := _find_lone_surrogate(text)) is not None:
            raise _broken("half a surrogate pair, which is no text", text[:lone])
        return value
    except RecursionError as error:
        raise JSONError("nested too deep") from error
    except _ConstantError as error:
        raise _broken(f"{error} is no JSON", text[: _find_constant(text)]) from error
    except UnicodeDecodeError as error:
        raise _not_utf8(content, error) from error
    except json.JSONDecodeError as error:
        if (bad := _find_bad_text(content)) is not None:  # which orjson does not tell from the rest
            raise _not_utf8(content, bad) from error
        raise JSONError(error.msg, error.lineno, error.colno) from error
    except ValueError as error:  # an integer of thousands of digits, which int() refuses
        raise JSONError(str(error)) from error


def encode_json(value: object) -> bytes:
    """A value as JSON, in UTF-8, without space.

    Raises: TypeError for what JSON has no form for; ValueError for NaN and Infinity with the standard library.
    Source: RFC 8259.
    """
    if orjson is not None:
        return orjson.dumps(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def reply_json(
    response: Response,
    value: object,
    status: int = 200,
    *,
    content_type: _Text = JSON_TYPE,
    headers: Mapping[str, _Text] | Mapping[bytes, _Text] | Iterable[tuple[_Text, _Text]] = (),
) -> None:
    """Append one complete response whose content is `value` as JSON.

    Args:
        response: what to append it to, by `response.reply`.
        value: what `encode_json` takes.
        status: any that has content.
        content_type: another type in its place, such as `"application/problem+json"`.
        headers: further fields, as for `response.reply`.

    Raises: what `encode_json` and `response.reply` raise; nothing is appended then.
    """
    response.reply(status, encode_json(value), content_type=content_type, headers=headers)


class _ConstantError(ValueError):
    """What the standard library reads beyond JSON: NaN and Infinity, RFC 8259 section 6."""


def _refuse(constant: str) -> None:
    raise _ConstantError(constant)


def _read_float(text: str) -> float:
    """A number with a fraction or an exponent; one beyond a float would become Infinity, which is no JSON again."""
    value = float(text)
    if math.isinf(value):
        raise JSONError(f"number {text[:_SHOWN_CHARACTERS]} is too large")
    return value


def _find_constant(text: str) -> int:
    """Where the first of those stands that is in no string."""
    return next(match.start() for match in _CONSTANT.finditer(text) if match[1])


def _find_lone_surrogate(text: str) -> int | None:
    """Where half a surrogate pair is escaped in a JSON text; None where none is."""
    return next((match.start() for match in _ESCAPE.finditer(text) if match[1]), None)


def _find_bad_text(content: bytes) -> UnicodeDecodeError | None:
    """What keeps the content from being UTF-8; None where it is."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return error
    return None


def _not_utf8(content: bytes, error: UnicodeDecodeError) -> JSONError:
    return _broken(f"{error.reason}; JSON is UTF-8", content[: error.start].decode())


def _broken(reason: str, before: str) -> JSONError:
    """The error of a place that is behind `before`."""
    return JSONError(reason, before.count("\n") + 1, len(before) - before.rfind("\n"))
