"""What the values of many fields are made of: tokens, quoted strings, lists and parameters. RFC 9110 section 5.6.

# Facts about field values
A list may hold empty elements, which are skipped (5.6.1). In a quoted string a comma separates nothing, and a backslash
stands before the character that it means (5.6.4). A parameter is a name, `=` without space around it, and a token or a
quoted string (5.6.6).
"""

from __future__ import annotations

import re

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(?:(" + _TOKEN + rb")=(" + _TOKEN + rb"|" + _QUOTED + rb"))?")
_IS_TOKEN = re.compile(_TOKEN)
_ELEMENT = re.compile(rb'(?:[^,"]++|"(?:[^"\\]++|\\.?)*+"?)++', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def is_token(value: bytes) -> bool:
    """Whether `value` is a token: what methods, field names and parameter names are. RFC 9110 section 5.6.2."""
    return _IS_TOKEN.fullmatch(value) is not None


def split_list(value: bytes) -> list[bytes]:
    """The elements of a list, without the space around them; empty ones are left out.

    A comma within a quoted string separates nothing. A quoted string that does not end goes to the end of the value.

    Source: RFC 9110 section 5.6.1.
    """
    pieces = _ELEMENT.findall(value) if b'"' in value else value.split(b",")
    return [element for piece in pieces if (element := piece.strip(b" \t"))]


def parse_parameters(value: bytes) -> tuple[bytes, dict[bytes, bytes]] | None:
    """What stands before the first semicolon, and the parameters behind it; None where they are malformed.

    Names are in lower case, values without their quotes; of a name that comes twice the first counts.

    Source: RFC 9110 section 5.6.6, by which space around a parameter's `=` is malformed.
    """
    first, _, _ = value.partition(b";")
    parameters: dict[bytes, bytes] = {}
    at = len(first)
    end = len(value.rstrip(b" \t"))
    while at < end:
        match = _PARAMETER.match(value, at)
        if match is None:
            return None
        name, text = match.groups()
        if name is not None:
            parameters.setdefault(name.lower(), unquote(text))
        at = match.end()
    return first.strip(b" \t"), parameters


def unquote(value: bytes) -> bytes:
    """A quoted string without its quotes and backslashes; what is none, as it is. RFC 9110 section 5.6.4."""
    if len(value) < 2 or not (value.startswith(b'"') and value.endswith(b'"')):
        return value
    return _ESCAPE.sub(rb"\1", value[1:-1]) if b"\\" in value else value[1:-1]


def quote(value: bytes) -> bytes:
    """`value` as a quoted string: what `unquote` takes back.

    Raises: ValueError for a control byte other than a tab, which cannot stand in one.
    Source: RFC 9110 section 5.6.4.
    """
    if (control := _CONTROL.search(value)) is not None:
        raise ValueError(f"{value!r}: {control[0]!r} cannot stand in a quoted string")
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
