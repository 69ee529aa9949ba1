"""Who a request is, across services: X-Request-Id, and traceparent of W3C Trace Context."""

import re
import secrets

from vanilla.toolkit.fields import combined

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
# An id of zeros, and version ff, are none. A version later than 00 may go on behind the flags.
TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
VERSION_00_BYTES = 55


def identify(request):
    """The ids of a request: those that its client sent, where they are well formed, else new ones.

    They are for finding lines, not for trusting: any client can send any id.
    """
    given = combined(request, "x-request-id")
    context = {
        "request_id": given.decode() if given and REQUEST_ID.fullmatch(given) else secrets.token_hex(16),
        "span_id": secrets.token_hex(8),
    }
    parent = read_traceparent(combined(request, "traceparent"))
    if parent is None:
        return {**context, "trace_id": secrets.token_hex(16), "trace_flags": "00"}
    trace, span, flags = parent
    return {**context, "trace_id": trace, "parent_id": span, "trace_flags": flags}


def read_traceparent(value):
    """(trace id, parent id, flags), or None for a field that is malformed, which is to be ignored."""
    match = TRACEPARENT.fullmatch(value or b"")
    if match is None or (value.startswith(b"00") and len(value) != VERSION_00_BYTES):
        return None
    trace, span, flags = (part.decode() for part in match.groups())
    return trace, span, "01" if int(flags, 16) & 1 else "00"  # we speak version 00, which has this one flag


def outgoing(context):
    """The fields for a call to another service, which becomes a child of this request."""
    return {
        "X-Request-Id": context["request_id"],
        "traceparent": f"00-{context['trace_id']}-{context['span_id']}-{context['trace_flags']}",
    }
