"""What reaches the handler: every request form that RFC 9112 allows, and its content whole and decoded."""

import hashlib

import pytest

from vanilla import Limits
from vanilla.testing import Round, Script, ask, drive, frames

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "target", "path", "query"),
    [
        pytest.param(b"GET / HTTP/1.1", b"/", b"/", b"", id="origin_form"),
        pytest.param(b"GET /a/b%20c?d=e&f HTTP/1.1", b"/a/b%20c?d=e&f", b"/a/b%20c", b"d=e&f", id="origin_form_query"),
        pytest.param(b"GET /? HTTP/1.1", b"/?", b"/", b"", id="origin_form_with_empty_query"),
        pytest.param(b"GET /a?b?c HTTP/1.1", b"/a?b?c", b"/a", b"b?c", id="question_mark_in_query"),
        pytest.param(b"GET //a//b HTTP/1.1", b"//a//b", b"//a//b", b"", id="two_slashes"),
        pytest.param(b"GET http://h:80/a?b HTTP/1.1", b"http://h:80/a?b", b"/a", b"b", id="absolute_form"),
        pytest.param(b"GET http://h HTTP/1.1", b"http://h", b"/", b"", id="absolute_form_without_path"),
        pytest.param(b"GET http://h?a HTTP/1.1", b"http://h?a", b"/", b"a", id="absolute_form_with_query_only"),
        pytest.param(b"GET http://[::1]/a HTTP/1.1", b"http://[::1]/a", b"/a", b"", id="absolute_form_ipv6"),
        pytest.param(b"CONNECT h:443 HTTP/1.1", b"h:443", b"", b"", id="authority_form"),
        pytest.param(b"OPTIONS * HTTP/1.1", b"*", b"*", b"", id="asterisk_form"),
        pytest.param(b"OPTIONS /a HTTP/1.1", b"/a", b"/a", b"", id="options_with_a_path"),
        pytest.param(b"M-SEARCH / HTTP/1.1", b"/", b"/", b"", id="another_method"),
        pytest.param(b"get / HTTP/1.1", b"/", b"/", b"", id="methods_have_a_case"),
        pytest.param(b"GET / HTTP/1.0", b"/", b"/", b"", id="http_1_0"),
    ],
)
def test_the_request_line_is_given_as_it_was_sent(configure, line, target, path, query) -> None:
    def handle(request, response, worker):
        parts = [request.method, request.target, request.version, request.path, request.query]
        response.reply(200, b" ".join(parts))

    results = drive(configure(handle), [ask(line + b"\r\nHost: a\r\n\r\n")])
    method, _, version = line.split(b" ")
    assert results[0].bodies == [b" ".join([method, target, version, path, query])]


FIELDS = (
    b"Host: a:80\r\nX-Empty:\r\nx-SPACE: \t a b \t\r\nX-High: \xe9\r\nX-Twice: 1\r\nx-twice: 2\r\n"
    b"A!#$%&'*+-.^_`|~: z\r\n"
)


def test_fields_are_found_in_any_case_and_listed_as_sent(configure) -> None:
    def handle(request, response, worker):
        listed = request.headers()
        found = [
            request.header(name) for name in ("host", "X-EMPTY", "x-space", "x-high", "X-Twice", "x-twic", "X-Twices")
        ]
        response.reply(200, repr((listed, found)).encode())

    results = drive(configure(handle), [ask(b"GET / HTTP/1.1\r\n" + FIELDS + b"\r\n")])
    listed = [
        (b"Host", b"a:80"),
        (b"X-Empty", b""),
        (b"x-SPACE", b"a b"),
        (b"X-High", b"\xe9"),
        (b"X-Twice", b"1"),
        (b"x-twice", b"2"),
        (b"A!#$%&'*+-.^_`|~", b"z"),
    ]
    assert results[0].bodies == [repr((listed, [b"a:80", b"", b"a b", b"\xe9", b"1", None, None])).encode()]


@pytest.mark.parametrize("host", [b"a", b"a.example:8080", b"127.0.0.1", b"[::1]:80", b"a_b~c", b"a:"])
def test_a_valid_host_is_taken(configure, echo, host: bytes) -> None:
    results = drive(configure(echo), [ask(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % host)])
    assert results[0].statuses == [200]


def test_http_1_0_needs_no_host(configure, echo) -> None:
    assert drive(configure(echo), [ask(b"GET / HTTP/1.0\r\n\r\n")])[0].statuses == [200]


def test_one_empty_line_before_a_request_is_skipped(configure, numbered) -> None:
    """RFC 9112 section 2.2: some clients send one after a body, uncounted."""
    first, second = (b"\r\nGET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in (1, 2))
    results = drive(configure(numbered), [ask(first + second, frames(2))])
    assert results[0].bodies == [b"1", b"2"]


EVERY_BYTE = bytes(range(256))
BODIES = {
    "none": (b"", b"", b""),
    "content_length": (b"Content-Length: 5\r\n", b"hello", b"hello"),
    "content_length_zero": (b"Content-Length: 0\r\n", b"", b""),
    "content_length_with_leading_zeros": (b"Content-Length: 0005\r\n", b"hello", b"hello"),
    "content_length_list_of_the_same": (b"Content-Length: 5, 5\r\n", b"hello", b"hello"),
    "content_length_twice_the_same": (b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello", b"hello"),
    "every_byte": (b"Content-Length: 256\r\n", EVERY_BYTE, EVERY_BYTE),
    "looks_like_a_request": (b"Content-Length: %d\r\n" % len(GET), GET, GET),
    "one_chunk": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two_chunks": (b"Transfer-Encoding: chunked\r\n", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "no_chunk": (b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b""),
    "coding_in_upper_case": (b"Transfer-Encoding: CHUNKED\r\n", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "coding_in_a_list_with_empty_members": (b"Transfer-Encoding: , chunked ,\r\n", b"0\r\n\r\n", b""),
    "hexadecimal_sizes": (
        b"Transfer-Encoding: chunked\r\n",
        b"00A\r\nhellohello\r\nB\r\nhello world\r\n000\r\n\r\n",
        b"hellohellohello world",
    ),
    "chunk_of_every_byte": (b"Transfer-Encoding: chunked\r\n", b"100\r\n" + EVERY_BYTE + b"\r\n0\r\n\r\n", EVERY_BYTE),
    "chunk_extensions": (
        b"Transfer-Encoding: chunked\r\n",
        b'5;a\r\nhello\r\n1 ; b="c;d" ;e=f\r\n!\r\n0;last\r\n\r\n',
        b"hello!",
    ),
    "trailers": (b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-Empty:\r\n\r\n", b"hello"),
    "chunk_looks_like_the_end": (b"Transfer-Encoding: chunked\r\n", b"5\r\n0\r\n\r\n\r\n0\r\n\r\n", b"0\r\n\r\n"),
}


@pytest.mark.parametrize("name", BODIES)
def test_content_reaches_the_handler_decoded_and_ends_where_it_ends(configure, mirror, name: str) -> None:
    fields, wire, content = BODIES[name]
    post = b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + wire
    results = drive(configure(mirror), [ask(post), ask(post + post + GET, frames(3))])
    assert results[0].bodies == [content]
    assert results[1].bodies == [content, content, b""]
    assert results.counters.in_flight == 0


def digest(request, response, worker):
    response.reply(200, b"%d %b" % (len(request.body), hashlib.sha256(request.body_view).hexdigest().encode()))


def digest_of(content: bytes) -> bytes:
    return b"%d %b" % (len(content), hashlib.sha256(content).hexdigest().encode())


PATTERN = b"".join(b"%07d\n" % n for n in range(1024 * 1024 // 8))


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000, 4096, 65_537, 1024 * 1024])
def test_a_chunked_body_up_to_the_limit_arrives_whole(configure, chunk_bytes: int) -> None:
    content = PATTERN[: min(len(PATTERN), chunk_bytes * 20_000)]
    chunks = [content[at : at + chunk_bytes] for at in range(0, len(content), chunk_bytes)]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    post = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + wire
    results = drive(configure(digest), [ask(post + post, frames(2))])
    assert results[0].bodies == [digest_of(content)] * 2


def test_a_declared_body_up_to_the_limit_arrives_whole_and_leaves_its_neighbour_alone(configure) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(PATTERN)
    results = drive(configure(digest), [ask(head + PATTERN + GET + head + PATTERN, frames(3))])
    assert results[0].bodies == [digest_of(PATTERN), digest_of(b""), digest_of(PATTERN)]


def test_several_large_uploads_on_one_connection_are_answered_after_their_last_byte(configure) -> None:
    content = PATTERN * 2
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(content)
    upload = [head + content[: 64 * 1024], content[64 * 1024 : -1], content[-1:]]
    script = Script(rounds=[Round(send=upload), Round(send=upload), Round(send=GET)])
    results = drive(configure(digest, limits=Limits(max_body_bytes=len(content))), [script] * 4)
    assert [result.bodies for result in results] == [[digest_of(content), digest_of(content), digest_of(b"")]] * 4
    assert results.counters.in_flight == 0


def test_many_uploads_at_once_are_kept_apart(configure) -> None:
    contents = [b"%d " % n * 5000 for n in range(64)]
    posts = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(c), c) for c in contents]
    results = drive(configure(digest), [ask([post[:1000], post[1000:10_000], post[10_000:]]) for post in posts])
    assert [result.bodies for result in results] == [[digest_of(content)] for content in contents]


def test_a_request_that_was_kept_can_be_read_later_on_another_thread(configure) -> None:
    kept = []

    def handle(request, response, worker):
        kept.append(request)
        response.reply(200)

    posts = [b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n%06d" % (n, n) for n in range(500)]
    drive(configure(handle), [ask(b"".join(posts), frames(500))])
    assert [(request.path, request.body, request.header("host")) for request in kept] == [
        (b"/%d" % n, b"%06d" % n, b"a") for n in range(500)
    ]


def test_views_of_a_request_outlive_it(configure) -> None:
    views = []

    def handle(request, response, worker):
        views.append((request.body_view, request.raw))
        response.reply(200)

    posts = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n%06d" % n for n in range(500)]
    drive(configure(handle), [ask(b"".join(posts), frames(500))])
    assert [bytes(body) for body, _ in views] == [b"%06d" % n for n in range(500)]
    assert [bytes(raw) for _, raw in views] == posts
