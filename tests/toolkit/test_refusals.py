"""What the readers raise is the answer, where a handler lets it through."""

import pytest

from vanilla import RefusedError, Request, Response, ServerConfig, Worker
from vanilla.testing import ask, drive, frames
from vanilla.toolkit.forms import read_form
from vanilla.toolkit.json_bodies import read_json, reply_json
from vanilla.toolkit.percent import decode
from vanilla.toolkit.query import Query
from vanilla.toolkit.refusals import MalformedError, TooLargeError, UnsupportedTypeError


def handle(request: Request, response: Response, worker: Worker) -> None:
    path = decode(request.path)
    query = Query(request.query, max_pairs=2)
    if path == b"/form":
        reply_json(response, [len(query), len(read_form(request, max_pairs=3))])
    elif path == b"/json":
        reply_json(response, [len(query), read_json(request, max_bytes=20)])
    else:
        reply_json(response, query.get_text("q"))


def wire(line: bytes, content_type: bytes = b"", body: bytes = b"") -> bytes:
    fields = b"Content-Type: %b\r\nContent-Length: %d\r\n" % (content_type, len(body)) if content_type else b""
    return line + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + body


FORM, JSON = b"application/x-www-form-urlencoded", b"application/json"


@pytest.mark.parametrize(
    ("request_bytes", "status", "body"),
    [
        pytest.param(wire(b"GET /?q=caf%C3%A9"), 200, '"café"'.encode(), id="query"),
        pytest.param(wire(b"GET /?q=100%"), 400, b"", id="malformed_query"),
        pytest.param(wire(b"GET /?q=%ff"), 400, b"", id="query_is_no_utf8"),
        pytest.param(wire(b"GET /?a&b&c"), 400, b"", id="too_many_pairs"),
        pytest.param(wire(b"GET /%zz"), 400, b"", id="malformed_path"),
        pytest.param(wire(b"POST /form?x", FORM, b"a=1&b=2"), 200, b"[1,2]", id="form"),
        pytest.param(wire(b"POST /form", FORM, b"a=%"), 400, b"", id="malformed_form"),
        pytest.param(wire(b"POST /form", FORM, b"a&b&c&d"), 413, b"", id="form_of_too_many_pairs"),
        pytest.param(wire(b"POST /form", JSON, b"{}"), 415, b"", id="no_form"),
        pytest.param(wire(b"POST /json", JSON, b"[1]"), 200, b"[0,[1]]", id="json"),
        pytest.param(wire(b"POST /json", JSON, b"[1"), 400, b"", id="malformed_json"),
        pytest.param(wire(b"POST /json", JSON, b"[" + b" " * 20 + b"]"), 413, b"", id="long_json"),
        pytest.param(wire(b"POST /json", FORM, b"a=1"), 415, b"", id="no_json"),
    ],
)
def test_a_refusal_that_is_let_through_is_the_answer(
    request_bytes: bytes, status: int, body: bytes, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    results = drive(ServerConfig(handle, port=0, workers=1, backend=backend), [ask(request_bytes, until=frames(1))])
    [frame] = results[0].frames
    assert (frame.status, frame.body) == (status, body)
    assert not [record for record in caplog.records if record.exc_info]  # no traceback for a client's mistake


@pytest.mark.parametrize(
    ("error", "status"), [(MalformedError, 400), (TooLargeError, 413), (UnsupportedTypeError, 415)]
)
def test_each_refusal_has_a_status(error: type[RefusedError], status: int) -> None:
    assert issubclass(error, RefusedError)
    assert error("what").status == status
