"""One event as the bytes of an event stream: WHATWG HTML, sections 9.2.5 and 9.2.6. No socket, no clock, no state.

# Facts about event streams
A stream is UTF-8. Its lines end in CRLF, LF or CR; a blank line ends an event. A line that begins with a colon is a
comment. Any other is a field: what stands before the first colon is its name, and one space after it is not part of its
value. Several `data` lines are joined by LF. An event without `data` is not dispatched, but its `id` and its `retry`
are heeded all the same. A browser sends the last `id` back when it reconnects, in the field Last-Event-ID.
"""

from __future__ import annotations

import re

from vanilla.contract import Request

_LINE_END = re.compile(rb"\r\n|\r|\n")
# A browser ignores an id with NUL. It sends any other back as a field value, and RFC 9110 section 5.5 lets no control
# byte but a tab stand there: refused with 400, a browser would not reconnect any more.
_CONTROL_BYTE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def encode(
    data: str | bytes | None = None,
    *,
    id: str | bytes | None = None,
    event: str | bytes | None = None,
    retry: int | None = None,
    comment: str | bytes | None = None,
) -> bytes:
    """One event, whole, as it stands in a stream: its lines, and the blank line that ends it.

    Text is `str`, or UTF-8 as `bytes`. What is left out is not written.

    Args:
        data: what the browser hands over as `event.data`. It may have many lines; a browser shows each of their ends,
            CRLF, LF or CR, as LF. `""` is an event with empty data. Without data there is no event for a browser, but
            `id` and `retry` take effect.
        id: what the browser sends as Last-Event-ID when it reconnects after this event; `""` has it send none. Spaces
            and tabs around it do not survive the way back.
        event: the name that the page listens for, in place of `message`.
        retry: milliseconds that the browser waits from now on before it reconnects.
        comment: ignored by browsers; keeps a quiet stream from being taken for a dead one.

    Raises: ValueError if an id holds a control byte other than a tab, a name holds CR or LF, retry is not a whole
        number of 0 or more, text is not UTF-8, or nothing was given; TypeError for text that is not `str` or `bytes`.
    Source: WHATWG HTML, section 9.2.6.
    """
    lines = []
    if comment is not None:
        lines += [b": " + line if line else b":" for line in _LINE_END.split(_utf8("comment", comment))]
    if retry is not None:
        if isinstance(retry, bool) or not isinstance(retry, int) or retry < 0:
            raise ValueError(f"retry {retry!r}: give milliseconds, a whole number of 0 or more")
        lines.append(b"retry: %d" % retry)
    if event is not None:
        name = _utf8("event", event)
        if b"\r" in name or b"\n" in name:
            raise ValueError(f"event {event!r}: a name is one line; give one without CR and LF")
        lines.append(b"event: " + name)
    if id is not None:
        identity = _utf8("id", id)
        if (control := _CONTROL_BYTE.search(identity)) is not None:
            raise ValueError(
                f"id {id!r}: {control[0]!r} cannot come back in Last-Event-ID; give an id without control bytes"
            )
        lines.append(b"id: " + identity)
    if data is not None:
        lines += [b"data: " + line for line in _LINE_END.split(_utf8("data", data))]
    if not lines:
        raise ValueError("nothing to encode: give data, id, event, retry or comment")
    lines += (b"", b"")
    return b"\n".join(lines)


def last_event_id(request: Request) -> bytes | None:
    """The id of the last event that a reconnecting client has seen, as UTF-8; None if it has seen none with an id.

    Source: the field Last-Event-ID; WHATWG HTML, section 9.2.4.
    """
    return request.header(b"last-event-id") or None


def _utf8(name: str, text: str | bytes) -> bytes:
    """`text` as bytes that every browser reads as they are meant; what is not UTF-8 would arrive as U+FFFD."""
    try:
        if isinstance(text, str):
            return text.encode()
        if isinstance(text, bytes):
            text.decode()
            return text
    except (UnicodeEncodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} {text!r}: {error.reason} at {error.start}; an event stream is UTF-8") from error
    raise TypeError(f"{name} {text!r}: give str, or UTF-8 as bytes")
