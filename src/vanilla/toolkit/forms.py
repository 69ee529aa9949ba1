"""The content of an urlencoded form: application/x-www-form-urlencoded, as a `Query`. WHATWG URL, section 5."""

from __future__ import annotations

from vanilla.contract import Request
from vanilla.toolkit.content_type import require_content_type
from vanilla.toolkit.query import PAIRS_MAX, Query, TooManyPairsError
from vanilla.toolkit.refusals import TooLargeError

FORM_TYPE = b"application/x-www-form-urlencoded"
FORM_BYTES_MAX = 1024 * 1024  # the server's own default for content


def read_form(
    request: Request,
    body: bytes | None = None,
    *,
    max_pairs: int = PAIRS_MAX,
    max_bytes: int = FORM_BYTES_MAX,
) -> Query:
    """The pairs of an urlencoded form that a client sent.

    Args:
        request: its Content-Type is checked, and its body read.
        body: the content, where a streaming handler took it itself: `read_form(request, await request.read())`.
        max_pairs: the most pairs to take.
        max_bytes: the longest content to take; the server's `max_body_bytes` bounds it before that.

    Returns: a view: `form.get(b"name")`, `form.get_all(b"name")`, `form.get_text("name")`.
    Raises: UnsupportedTypeError, answered 415, for content of another type; TooLargeError, 413, for more than
        `max_bytes` or `max_pairs`; MalformedError, 400, for a malformed escape.
    Source: WHATWG URL, application/x-www-form-urlencoded parsing.
    """
    require_content_type(request, FORM_TYPE)
    content = request.body if body is None else body
    if len(content) > max_bytes:
        raise TooLargeError(f"a form of {len(content)} bytes where {max_bytes} may be")
    try:
        return Query(content, max_pairs=max_pairs)
    except TooManyPairsError as error:
        raise TooLargeError(f"a form of {error}") from error
