"""What the content of a request is: Content-Type. RFC 9110 section 8.3."""

from __future__ import annotations

from vanilla.contract import Request
from vanilla.toolkit.fields import combined
from vanilla.toolkit.grammar import is_token, parse_parameters
from vanilla.toolkit.refusals import UnsupportedTypeError

_SHOWN_BYTES = 80  # of what the client sent, in a message


def parse_content_type(value: bytes | None) -> tuple[bytes, dict[bytes, bytes]] | None:
    """Type and subtype in lower case, `b"text/html"`, and the parameters: names in lower case, values as they are.

    None where the field is missing or malformed, as it is with two lines joined into one value.

    Source: RFC 9110 section 8.3.1.
    """
    parsed = None if value is None else parse_parameters(value)
    if parsed is None:
        return None
    kind, slash, subtype = parsed[0].partition(b"/")
    if not (slash and is_token(kind) and is_token(subtype)):
        return None
    return parsed[0].lower(), parsed[1]


def require_content_type(request: Request, *accepted: bytes, suffix: bytes | None = None) -> dict[bytes, bytes]:
    """The parameters of a request's Content-Type, which has to be one of those accepted.

    Args:
        request: its Content-Type is read.
        accepted: media types in lower case, such as `b"application/json"`.
        suffix: one that is accepted behind any subtype, such as `b"+json"` (RFC 6839).

    Raises: UnsupportedTypeError, answered 415, for any other, a malformed one, or none.
    Source: RFC 9110 sections 8.3 and 15.5.16.
    """
    value = combined(request, b"content-type")
    parsed = parse_content_type(value)
    if parsed is not None and (parsed[0] in accepted or (suffix is not None and parsed[0].endswith(suffix))):
        return parsed[1]
    given = "no Content-Type" if value is None else f"Content-Type {value[:_SHOWN_BYTES]!r}"
    raise UnsupportedTypeError(f"{given}; this takes {b', '.join(accepted).decode()}")
