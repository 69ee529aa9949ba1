"""What is refused without calling the handler: RFC 9112 strictly read, and the limits on sizes.

Each refusal has no content, closes the connection, and follows the answers to the good requests before it.
"""

import pytest

from vanilla import Limits
from vanilla.testing import Result, Round, Script, ask, drive, eof, frames

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def with_request_line(line: bytes) -> bytes:
    return line + b"\r\nHost: a\r\n\r\n"


def with_fields(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def with_hosts(*lines: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def chunked(body: bytes) -> bytes:
    return with_fields(b"Transfer-Encoding: chunked") + body


MALFORMED = {
    # request line
    "garbage": b"garbage\r\n\r\n",
    "tls_client_hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no_method": with_request_line(b" / HTTP/1.1"),
    "method_is_no_token": with_request_line(b"G(T / HTTP/1.1"),
    "method_without_end": b"A" * 100,
    "no_target": with_request_line(b"GET HTTP/1.1"),
    "two_spaces_before_target": with_request_line(b"GET  / HTTP/1.1"),
    "two_spaces_after_target": with_request_line(b"GET /  HTTP/1.1"),
    "tab_before_target": with_request_line(b"GET\t/ HTTP/1.1"),
    "space_in_target": with_request_line(b"GET /a b HTTP/1.1"),
    "control_in_target": with_request_line(b"GET /\x01 HTTP/1.1"),
    "nul_in_target": with_request_line(b"GET /\x00 HTTP/1.1"),
    "high_byte_in_target": with_request_line(b"GET /\xe9 HTTP/1.1"),
    "fragment_in_target": with_request_line(b"GET /#a HTTP/1.1"),
    "relative_target": with_request_line(b"GET a HTTP/1.1"),
    "asterisk_for_get": with_request_line(b"GET * HTTP/1.1"),
    "origin_form_for_connect": with_request_line(b"CONNECT / HTTP/1.1"),
    "connect_without_port": with_request_line(b"CONNECT a HTTP/1.1"),
    "absolute_form_without_authority": with_request_line(b"GET http:///a HTTP/1.1"),
    "userinfo_in_authority": with_request_line(b"GET http://user@a/ HTTP/1.1"),
    "no_version": with_request_line(b"GET /"),
    "version_in_lower_case": with_request_line(b"GET / http/1.1"),
    "version_with_letters": with_request_line(b"GET / HTTP/1.x"),
    "version_with_two_digits": with_request_line(b"GET / HTTP/1.10"),
    "version_followed_by_space": with_request_line(b"GET / HTTP/1.1 "),
    "bare_lf_after_request_line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare_cr_in_request_line": b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
    "two_empty_lines_before": b"\r\n\r\n" + GET,
    "bare_lf_before": b"\n" + GET,
    # field lines
    "space_before_colon": with_fields(b"A : b"),
    "tab_before_colon": with_fields(b"A\t: b"),
    "no_field_name": with_fields(b": b"),
    "no_colon": with_fields(b"abc"),
    "field_name_is_no_token": with_fields(b"A(b): c"),
    "high_byte_in_field_name": with_fields(b"\xe9: a"),
    "nul_in_field_name": with_fields(b"A\x00: b"),
    "obs_fold_with_space": with_fields(b"A: b", b" c"),
    "obs_fold_with_tab": with_fields(b"A: b", b"\tc"),
    "space_before_first_field": with_hosts(b" Host: a"),
    "bare_cr_in_value": with_fields(b"A: b\rc"),
    "bare_lf_in_value": with_fields(b"A: b\nc"),
    "bare_lf_after_field": b"GET / HTTP/1.1\r\nHost: a\n\r\n",
    "bare_lf_after_head": b"GET / HTTP/1.1\r\nHost: a\r\n\n",
    "bare_cr_after_head": b"GET / HTTP/1.1\r\nHost: a\r\n\rX",
    "nul_in_value": with_fields(b"A: b\x00c"),
    "control_in_value": with_fields(b"A: b\x01c"),
    "delete_in_value": with_fields(b"A: b\x7fc"),
    # Host
    "no_host": with_hosts(),
    "two_hosts": with_hosts(b"Host: a", b"Host: b"),
    "two_equal_hosts": with_hosts(b"Host: a", b"host: a"),
    "empty_host": with_hosts(b"Host:"),
    "space_in_host": with_hosts(b"Host: a b"),
    "path_in_host": with_hosts(b"Host: a/b"),
    "userinfo_in_host": with_hosts(b"Host: user@a"),
    "port_is_no_number": with_hosts(b"Host: a:b"),
    "unclosed_bracket_in_host": with_hosts(b"Host: [::1"),
    "two_hosts_on_http_1_0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    # framing
    "content_length_negative": with_fields(b"Content-Length: -1"),
    "content_length_signed": with_fields(b"Content-Length: +1"),
    "content_length_hexadecimal": with_fields(b"Content-Length: 0x1"),
    "content_length_fraction": with_fields(b"Content-Length: 1.0"),
    "content_length_empty": with_fields(b"Content-Length:"),
    "content_length_letters": with_fields(b"Content-Length: abc"),
    "content_length_with_space": with_fields(b"Content-Length: 1 1"),
    "content_length_list_that_differs": with_fields(b"Content-Length: 5, 6"),
    "content_length_list_with_empty_end": with_fields(b"Content-Length: 5,"),
    "content_length_twice_and_different": with_fields(b"Content-Length: 5", b"Content-Length: 6"),
    "content_length_of_2_to_the_64": with_fields(b"Content-Length: 18446744073709551616"),
    "content_length_of_2_to_the_64_and_5": with_fields(b"Content-Length: 18446744073709551621"),
    "content_length_of_forty_digits": with_fields(b"Content-Length: " + b"9" * 40),
    "content_length_then_chunked": with_fields(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
    "chunked_then_content_length": with_fields(b"Transfer-Encoding: chunked", b"Content-Length: 5"),
    "content_length_zero_and_chunked": with_fields(b"Content-Length: 0", b"Transfer-Encoding: chunked"),
    "chunked_on_http_1_0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked_twice": with_fields(b"Transfer-Encoding: chunked, chunked"),
    "chunked_twice_in_two_fields": with_fields(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked_not_last": with_fields(b"Transfer-Encoding: chunked, gzip"),
    "transfer_encoding_empty": with_fields(b"Transfer-Encoding:"),
    "transfer_encoding_is_no_token": with_fields(b'Transfer-Encoding: "chunked"'),
    "vertical_tab_before_chunked": with_fields(b"Transfer-Encoding: \x0bchunked"),
    # chunks
    "chunk_size_no_number": chunked(b"x\r\n"),
    "chunk_size_empty": chunked(b"\r\n"),
    "chunk_size_negative": chunked(b"-1\r\n"),
    "chunk_size_signed": chunked(b"+1\r\n"),
    "chunk_size_with_0x": chunked(b"0x1\r\n"),
    "chunk_size_after_space": chunked(b" 1\r\n"),
    "chunk_size_underscored": chunked(b"1_0\r\n"),
    "chunk_size_followed_by_another": chunked(b"5 5\r\nhello\r\n0\r\n\r\n"),
    "chunk_size_of_2_to_the_32": chunked(b"100000000\r\n"),
    "chunk_size_of_2_to_the_64": chunked(b"10000000000000000\r\n"),
    "chunk_size_of_forty_digits": chunked(b"f" * 40),
    "chunk_size_with_zeros_without_end": chunked(b"0" * 5000),
    "chunk_size_ended_by_lf": chunked(b"5\nhello\r\n0\r\n\r\n"),
    "chunk_size_ended_by_cr": chunked(b"5\rhello\r\n0\r\n\r\n"),
    "chunk_data_too_long": chunked(b"5\r\nhello!\r\n0\r\n\r\n"),
    "chunk_data_ended_by_lf": chunked(b"5\r\nhello\n0\r\n\r\n"),
    "chunk_data_ended_by_cr": chunked(b"5\r\nhello\r0\r\n\r\n"),
    "chunk_extension_with_lf": chunked(b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    "chunk_extension_with_nul": chunked(b"5;a=\x00\r\nhello\r\n0\r\n\r\n"),
    "last_chunk_ended_by_lf": chunked(b"0\n\r\n"),
    "trailer_without_colon": chunked(b"0\r\nabc\r\n\r\n"),
    "trailer_with_space_before_colon": chunked(b"0\r\nA : b\r\n\r\n"),
    "trailer_folded": chunked(b"0\r\nA: b\r\n c\r\n\r\n"),
    "trailer_with_nul": chunked(b"0\r\nA: \x00\r\n\r\n"),
    "trailer_ended_by_lf": chunked(b"0\r\nA: b\n\r\n"),
    "trailers_ended_by_lf": chunked(b"0\r\n\n"),
}
# A size that is merely huge may be refused as too large instead; it must never be taken for a small one.
TOO_LARGE_INSTEAD = {"chunk_size_of_2_to_the_32": 413}
# A head that comes byte by byte is looked at with each line end and when it has doubled, not with each byte.
DECIDED_LATER = {"method_without_end", "bare_cr_after_head"}
IN_PIECES = pytest.mark.exact("in two pieces it is decided later")


def assert_is_refusal(result: Result, *statuses: int) -> None:
    """The last status is the server's own refusal, and nothing follows it."""
    assert result.statuses == list(statuses)
    assert result.frames[-1].header("content-length") == b"0"
    assert result.frames[-1].closes
    assert (result.rest, result.eof, result.reset) == (b"", True, False)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[IN_PIECES] * (n in DECIDED_LATER)) for n in MALFORMED])
def test_what_is_malformed_is_answered_400(configure, echo, name: str) -> None:
    results = drive(configure(echo), [ask(MALFORMED[name], eof)])
    assert_is_refusal(results[0], TOO_LARGE_INSTEAD.get(name, 400))
    assert (results.counters.requests, results.counters.responses_4xx) == (0, 1)
    assert (results.counters.open, results.counters.in_flight) == (0, 0)


@IN_PIECES
def test_good_requests_before_a_malformed_one_are_answered_first(configure, echo) -> None:
    results = drive(configure(echo), [ask(GET + GET + wire, eof) for wire in MALFORMED.values()])
    for name, result in zip(MALFORMED, results, strict=True):
        assert_is_refusal(result, 200, 200, TOO_LARGE_INSTEAD.get(name, 400))


@pytest.mark.parametrize("name", [n for n, wire in MALFORMED.items() if len(wire) < 200 and n not in DECIDED_LATER])
def test_a_malformed_request_is_refused_however_its_bytes_come(configure, echo, name: str) -> None:
    """Byte by byte, and no later than with its last byte: read_timeout would turn it into a 408."""
    wire = MALFORMED[name]
    singly = ask([wire[at : at + 1] for at in range(len(wire))], eof)
    results = drive(configure(echo, limits=Limits(read_timeout=5)), [singly])
    assert_is_refusal(results[0], TOO_LARGE_INSTEAD.get(name, 400))


def test_what_follows_a_malformed_request_is_never_read_as_another(configure, echo) -> None:
    results = drive(configure(echo), [ask(wire + GET * 100, eof) for wire in MALFORMED.values()])
    assert {tuple(result.statuses) for result in results} <= {(400,), (413,)}
    assert {result.reset for result in results} == {False}
    assert results.counters.requests == 0


OVER_A_LIMIT = [
    # id, bytes, limits, status, the limit counted
    pytest.param(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 8192), {}, 414, "max_target_bytes", id="target"),
    pytest.param(b"GET /" + b"a" * 8192, {}, 414, "max_target_bytes", id="target_without_end"),
    pytest.param(
        b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 10),
        {"max_target_bytes": 10},
        414,
        "max_target_bytes",
        id="target_over_its_own_limit",
    ),
    pytest.param(with_fields(b"A: " + b"b" * 33_000), {}, 431, "max_header_bytes", id="one_long_field"),
    pytest.param(with_fields(*[b"A: " + b"b" * 997] * 33), {}, 431, "max_header_bytes", id="many_long_fields"),
    pytest.param(with_fields(b"A: " + b"b" * 33_000)[:-4], {}, 431, "max_header_bytes", id="field_without_end"),
    pytest.param(b"GET / HTTP/1.1\r\n" + b"A" * 33_000, {}, 431, "max_header_bytes", id="field_name_without_end"),
    pytest.param(
        with_fields(b"A: " + b"b" * 500), {"max_header_bytes": 400}, 431, "max_header_bytes", id="header_over_own_limit"
    ),
    pytest.param(with_fields(*[b"A: b"] * 128), {}, 431, "max_headers", id="129_fields"),
    pytest.param(with_fields(b"A: b", b"B: c"), {"max_headers": 2}, 431, "max_headers", id="3_fields"),
    pytest.param(chunked(b"0\r\n" + b"A: b\r\n" * 10_000), {}, 431, "max_header_bytes", id="trailers_without_end"),
    pytest.param(with_fields(b"Content-Length: 1048577"), {}, 413, "max_body_bytes", id="declared_body"),
    pytest.param(
        with_fields(b"Content-Length: 4611686018427387904"),
        {},
        413,
        "max_body_bytes",
        id="declared_body_of_2_to_the_62",
    ),
    pytest.param(
        with_fields(b"Content-Length: 1"),
        {"max_body_bytes": 0},
        413,
        "max_body_bytes",
        id="any_body_where_none_is_taken",
    ),
    pytest.param(
        with_fields(b"Content-Length: 11", b"Expect: 100-continue"),
        {"max_body_bytes": 10},
        413,
        "max_body_bytes",
        id="declared_body_that_asks_first",
    ),
    pytest.param(chunked(b"100001\r\n"), {}, 413, "max_body_bytes", id="one_chunk_from_its_size_alone"),
    pytest.param(
        chunked(b"6\r\nhello!\r\n5\r\n"), {"max_body_bytes": 10}, 413, "max_body_bytes", id="chunks_that_add_up"
    ),
    pytest.param(chunked(b"1\r\na\r\n" * 11), {"max_body_bytes": 10}, 413, "max_body_bytes", id="many_small_chunks"),
    pytest.param(
        chunked(b"1;" + b"a" * 5000 + b"\r\n"), {}, 400, "max_chunk_extension_bytes", id="one_long_chunk_extension"
    ),
    pytest.param(
        chunked(b"1;abcdef\r\na\r\n" * 1000), {}, 400, "max_chunk_extension_bytes", id="chunk_extensions_that_add_up"
    ),
]


@pytest.mark.parametrize(("wire", "limits", "status", "limit"), OVER_A_LIMIT)
def test_what_is_over_a_limit_is_refused_from_what_has_arrived(configure, echo, wire, limits, status, limit) -> None:
    results = drive(configure(echo, limits=Limits(**limits)), [ask(wire, eof)])
    assert_is_refusal(results[0], status)
    assert results.counters.limits_reached == {limit: 1}
    assert (results.counters.requests, results.counters.in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("pieces", "status", "limit"),
    [
        pytest.param([b"GET /", b"a" * 5000, b"a" * 3200], 414, "max_target_bytes", id="target"),
        pytest.param([with_fields(b"A: " + b"b" * 17_000)[:-4], b"b" * 16_000], 431, "max_header_bytes", id="value"),
        pytest.param([b"GET / HTTP/1.1\r\n" + b"A" * 17_000, b"A" * 16_000], 431, "max_header_bytes", id="name"),
    ],
)
def test_what_comes_over_a_limit_without_a_line_end_is_refused_at_once(configure, echo, pieces, status, limit) -> None:
    results = drive(configure(echo), [Script(rounds=[Round(send=pieces, until=eof)])])
    assert_is_refusal(results[0], status)
    assert results.counters.limits_reached == {limit: 1}


@pytest.mark.parametrize(("wire", "limits", "status", "limit"), OVER_A_LIMIT)
def test_a_refusal_over_a_limit_follows_the_answers_before_it(configure, echo, wire, limits, status, limit) -> None:
    results = drive(configure(echo, limits=Limits(**limits)), [ask(GET + wire, eof)])
    assert_is_refusal(results[0], 200, status)


@pytest.mark.parametrize(
    ("wire", "limits"),
    [
        pytest.param(b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 8191), {}, id="target"),
        pytest.param(with_fields(b"A: " + b"b" * 32_700), {}, id="one_long_field"),
        pytest.param(with_fields(*[b"A: b"] * 127), {}, id="128_fields"),
        pytest.param(with_fields(b"Content-Length: 0"), {"max_body_bytes": 0}, id="empty_body_where_none_is_taken"),
        pytest.param(with_fields(b"Content-Length: 10") + b"a" * 10, {"max_body_bytes": 10}, id="declared_body"),
        pytest.param(chunked(b"a\r\nhellohello\r\n0\r\n\r\n"), {"max_body_bytes": 10}, id="one_chunk"),
        pytest.param(chunked(b"1\r\na\r\n" * 10 + b"0\r\n\r\n"), {"max_body_bytes": 10}, id="many_small_chunks"),
        pytest.param(chunked(b"1;" + b"a" * 4000 + b"\r\na\r\n0\r\n\r\n"), {}, id="chunk_extension"),
        pytest.param(
            with_request_line(b"GET /" + b"a" * 100_000 + b" HTTP/1.1"), {"max_target_bytes": None}, id="target_off"
        ),
        pytest.param(with_fields(b"A: " + b"b" * 100_000), {"max_header_bytes": None}, id="header_bytes_off"),
        pytest.param(with_fields(*[b"A: b"] * 1000), {"max_headers": None}, id="headers_off"),
        pytest.param(
            with_fields(b"Content-Length: 2000000") + b"a" * 2_000_000, {"max_body_bytes": None}, id="declared_body_off"
        ),
        pytest.param(
            chunked(b"1e8480\r\n" + b"a" * 2_000_000 + b"\r\n0\r\n\r\n"),
            {"max_body_bytes": None},
            id="chunked_body_off",
        ),
        pytest.param(
            chunked(b"1;" + b"a" * 50_000 + b"\r\na\r\n0\r\n\r\n"),
            {"max_chunk_extension_bytes": None},
            id="chunk_extension_off",
        ),
    ],
)
def test_what_just_keeps_a_limit_or_has_none_is_served(configure, echo, wire: bytes, limits: dict[str, object]) -> None:
    bounds = Limits(max_pending_bytes=None, **limits)  # whether answers wait for their reader is no matter here
    results = drive(configure(echo, limits=bounds), [ask(wire + GET, frames(2))])
    assert results[0].statuses == [200, 200]
    assert results.counters.limits_reached == {}


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        pytest.param(with_fields(b"Transfer-Encoding: gzip"), 501, id="gzip"),
        pytest.param(with_fields(b"Transfer-Encoding: gzip, chunked"), 501, id="gzip_then_chunked"),
        pytest.param(with_fields(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"), 501, id="in_two_fields"),
        pytest.param(with_fields(b"Transfer-Encoding: identity"), 501, id="identity"),
        pytest.param(with_fields(b"Transfer-Encoding: xchunked"), 501, id="a_name_that_ends_in_chunked"),
        pytest.param(with_fields(b"Transfer-Encoding: chunkedx"), 501, id="a_name_that_begins_with_chunked"),
        pytest.param(with_request_line(b"GET / HTTP/1.2"), 505, id="http_1_2"),
        pytest.param(with_request_line(b"GET / HTTP/0.9"), 505, id="http_0_9"),
        pytest.param(with_request_line(b"GET / HTTP/2.0"), 505, id="http_2_0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, id="http_2_preface"),
        pytest.param(with_fields(b"Expect: 200-ok"), 417, id="unknown_expectation"),
        pytest.param(with_fields(b"Expect: 100-continue, magic"), 417, id="one_more_expectation"),
        pytest.param(with_fields(b"Expect: 200-ok", b"Content-Length: 5"), 417, id="unknown_expectation_with_body"),
    ],
)
def test_what_the_server_cannot_do_is_refused_by_name(configure, echo, wire: bytes, status: int) -> None:
    results = drive(configure(echo), [ask(wire, eof), ask(GET + wire, eof)])
    assert_is_refusal(results[0], status)
    assert_is_refusal(results[1], 200, status)
    assert results.counters.requests == 1
