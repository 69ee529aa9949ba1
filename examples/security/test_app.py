"""security: each attack of its README over a socket, and that whoever attacks nothing is served."""

import dataclasses
import itertools
import json
import pathlib
import runpy
import shutil

import pytest

from vanilla import Limits, ServerConfig
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames

HERE = pathlib.Path(__file__).parent
PATH = str(HERE / "app.py")
NEIGHBOUR = b"GET /?name=smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def app(monkeypatch) -> dict:
    """With counts of its own."""
    for name in ("HOSTS", "PROXIES", "REQUESTS_PER_SECOND"):
        monkeypatch.delenv(name, raising=False)
    return runpy.run_path(PATH)


def raw(target: str = "/", *fields: str, host: str = "localhost", method: str = "GET") -> bytes:
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode("latin-1")


def post(content: bytes, *fields: bytes) -> bytes:
    lines = b"".join(field + b"\r\n" for field in (*fields, b"Content-Length: %d" % len(content)))
    return POST + lines + b"\r\n" + content


def send(app: dict, *wires: bytes) -> list:
    """The answer to each, on a connection of its own."""
    return [result.frames[0] for result in drive(app["config"], [ask(wire) for wire in wires])]


def with_limits(app: dict, **limits: object) -> ServerConfig:
    """The same site, whose clocks tests need not wait for."""
    return dataclasses.replace(app["config"], limits=dataclasses.replace(app["LIMITS"], **limits))


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (raw(), 200),
        (raw(host="shop.example:8443"), 200),
        (raw("/files/public.txt"), 200),
        (raw("/go?to=/files/public.txt"), 303),
        (raw("/export?name=b.csv"), 200),
        (post(b'{"item": "tea", "count": 2}'), 201),
        (raw("/nowhere"), 404),
    ],
)
def test_whoever_attacks_nothing_is_served(app: dict, wire: bytes, status: int) -> None:
    [answer] = send(app, wire)
    assert answer.status == status
    assert answer.header("X-Content-Type-Options") == b"nosniff"


SMUGGLED = [
    pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length_and_chunked"),
    pytest.param(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", id="chunked_and_length"),
    pytest.param(b"Content-Length: 0\r\nContent-Length: 44\r\n\r\n", id="two_lengths"),
    pytest.param(b"Content-Length: 0, 44\r\n\r\n", id="a_list_of_lengths"),
    pytest.param(b"Content-Length: +0\r\n\r\n", id="a_sign"),
    pytest.param(b"Content-Length: 0x0\r\n\r\n", id="hexadecimal"),
    pytest.param(b"Content-Length: -1\r\n\r\n", id="negative"),
    pytest.param(b"Content-Length: 99999999999999999999\r\n\r\n", id="beyond_64_bits"),
    pytest.param(b"Content-Length : 0\r\n\r\n", id="a_space_before_the_colon"),
    pytest.param(b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="chunked_with_a_space_before_the_colon"),
    pytest.param(b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", id="chunked_is_not_the_last"),
    pytest.param(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked_twice"),
    pytest.param(b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="another_coding"),
    pytest.param(b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", id="a_vertical_tab"),
    pytest.param(b"X: a\nContent-Length: 0\r\n\r\n", id="a_bare_lf"),
    pytest.param(b"X: a\rContent-Length: 0\r\n\r\n", id="a_bare_cr"),
    pytest.param(b"X: a\r\n Content-Length: 0\r\n\r\n", id="a_folded_line"),
    pytest.param(b"X: a\0b\r\n\r\n", id="a_nul"),
    pytest.param(b"X\xff: a\r\n\r\n", id="no_token"),
    pytest.param(b": a\r\n\r\n", id="no_name"),
    pytest.param(b"Host: evil.example\r\n\r\n", id="two_hosts"),
    pytest.param(b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n", id="chunk_size_with_a_prefix"),
    pytest.param(b"Transfer-Encoding: chunked\r\n\r\n-0\r\n\r\n", id="chunk_size_with_a_sign"),
    pytest.param(b"Transfer-Encoding: chunked\r\n\r\n0\n\n", id="chunk_that_ends_in_lf"),
    pytest.param(b"Transfer-Encoding: chunked\r\n\r\n1\r\naXX0\r\n\r\n", id="chunk_that_does_not_end"),
    pytest.param(b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", id="chunk_size_beyond_64_bits"),
]


@pytest.mark.parametrize("rest", SMUGGLED)
def test_nothing_is_smuggled(app: dict, rest: bytes) -> None:
    wire = POST + rest + NEIGHBOUR
    whole, split = drive(app["config"], [ask(wire, eof), ask([wire[:-60], wire[-60:]], eof)])
    for result in (whole, split):
        assert len(result.statuses) == 1
        assert result.statuses[0] in (400, 413, 501)
        assert b"smuggled" not in result.raw
        assert result.frames[0].closes


def test_in_http_1_0_there_are_no_chunks(app: dict) -> None:
    wire = b"POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + NEIGHBOUR
    [result] = drive(app["config"], [ask(wire, eof)])
    assert result.statuses == [400]


INJECTED = [
    "a%0d%0aSet-Cookie:%20b=c",
    "a%0aX:%20y",
    "a%0dX:%20y",
    "%00",
    "a%22;%20filename=%22b.exe",
    "%C4%8D%C4%8ASet-Cookie",
]


@pytest.mark.parametrize("text", INJECTED)
@pytest.mark.parametrize("target", ["/export?name=", "/go?to=/", "/?name="])
def test_nothing_is_injected_into_a_head(app: dict, target: str, text: str) -> None:
    [answer] = send(app, raw(target + text))
    head, _, _ = answer.raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert answer.status in (200, 303)
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert b"\0" not in head
    assert [line for line in lines if line.lower().startswith((b"set-cookie", b"x:"))] == []
    assert b'"' not in (answer.header("Content-Disposition") or b"")


TRAVERSALS = [
    "/files/../app.py",
    "/files/../../security/app.py",
    "/files/%2e%2e/app.py",
    "/files/%2e%2e%2fapp.py",
    "/files/..%2fapp.py",
    "/files/..%5capp.py",
    "/files/%252e%252e/app.py",
    "/files/....//app.py",
    "/files/./../app.py",
    "/files/public.txt/../../app.py",
    "/files/public.txt%00.html",
    "/files/%2fetc%2fpasswd",
    "/files//etc/passwd",
    "/files/%c0%ae%c0%ae/app.py",
    "/files/.hidden",
    "/files/%2ehidden",
    "/files/link",
    "/files/folder/passwd",
    "/files/file:%2f%2f%2fetc%2fpasswd",
]


@pytest.mark.parametrize("target", TRAVERSALS)
def test_no_path_leads_outside(tmp_path, monkeypatch, target: str) -> None:
    site = tmp_path / "security"
    shutil.copytree(HERE / "files", site / "files")
    (site / "files" / ".hidden").write_text("for nobody")
    shutil.copy(PATH, site / "app.py")
    (site / "files" / "link").symlink_to(site / "app.py")
    (site / "files" / "folder").symlink_to("/etc")
    monkeypatch.delenv("HOSTS", raising=False)
    [answer] = send(runpy.run_path(str(site / "app.py")), raw(target))
    assert answer.status in (400, 404)
    assert b"TrustedProxies" not in answer.raw
    assert b"root:" not in answer.raw
    assert b"nobody" not in answer.raw


TRICKLES = [
    pytest.param([b"G"], id="one_byte"),
    pytest.param([raw()[:-2], *[b"X: y\r\n"] * 45], id="fields_that_trickle"),
    pytest.param([post(b"x" * 1_000)[:-1_000], *[b"x"] * 500], id="content_that_trickles"),
    pytest.param([POST + b"Transfer-Encoding: chunked\r\n\r\n", *[b"1\r\nx\r\n"] * 500], id="chunks_that_trickle"),
]


@pytest.mark.parametrize("pieces", TRICKLES)
def test_who_is_slow_on_purpose_is_closed_and_others_are_served_meanwhile(app: dict, pieces: list) -> None:
    slow = Script(rounds=[Round(send=pieces, every=0.02, until=eof)])
    results = drive(with_limits(app, read_timeout=0.2), [slow] * 20 + [ask(raw())])
    assert [result.statuses for result in results] == [[408]] * 20 + [[200]]
    assert results.counters.open == 0


def test_who_takes_no_answer_is_closed(app: dict, tmp_path) -> None:
    site = tmp_path / "security"
    (site / "files").mkdir(parents=True)
    shutil.copy(PATH, site / "app.py")
    (site / "files" / "large.bin").write_bytes(bytes(20_000_000))
    config = with_limits(runpy.run_path(str(site / "app.py")), write_timeout=0.2)
    never = Script(rounds=[Round(send=raw("/files/large.bin"), reads=False)], receive_buffer=4_096)
    with Session(config) as session:
        session.fire([never] * 5)
        session.await_counters(lambda counters: counters.limits_reached.get("write_timeout") == 5)
        assert session.fire([ask(raw())]).results[0].statuses == [200]


CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
HUGE = [
    pytest.param(raw("/" + "x" * 3_000), 414, id="target"),
    pytest.param(raw("/", "X: " + "y" * 9_000), 431, id="field"),
    pytest.param(raw("/", *["X: y"] * 60), 431, id="many_fields"),
    pytest.param(raw("/", "X: " + "y" * 9_000)[:-4], 431, id="head_that_never_ends"),
    pytest.param(b"GET /" + b"x" * 10_000, 414, id="line_that_never_ends"),
    pytest.param(POST + b"Content-Length: 1000000000\r\n\r\n", 413, id="announced_content"),
    pytest.param(POST + b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n", 413, id="asked_for_content"),
    pytest.param(CHUNKED + b"8000\r\n" + b"x" * 0x8000 + b"\r\n9000\r\n", 413, id="chunked_content"),
    pytest.param(CHUNKED + b"1;" + b"x" * 5_000 + b"\r\n", 400, id="chunk_extension"),
    pytest.param(CHUNKED + b"0\r\n" + b"X: y\r\n" * 2_000, 431, id="trailers"),
]


@pytest.mark.parametrize(("wire", "status"), HUGE)
def test_what_is_huge_is_refused_before_it_is_kept(app: dict, wire: bytes, status: int) -> None:
    [result] = drive(app["config"], [ask(wire, eof)])
    assert result.statuses == [status]


def test_a_flood_is_answered_429(app: dict, monkeypatch) -> None:
    monkeypatch.setenv("REQUESTS_PER_SECOND", "1")
    app = runpy.run_path(PATH)
    [result] = drive(app["config"], [ask(raw("/", "X-Forwarded-For: 192.0.2.1") * 2 + raw("/nowhere"), frames(3))])
    assert result.statuses == [200, 429, 429]
    assert result.frames[1].header("Retry-After") == b"1"
    assert json.loads(result.bodies[1])["title"] == "Too Many Requests"


def test_a_connection_does_not_last_for_ever(app: dict) -> None:
    [result] = drive(with_limits(app, max_requests_per_connection=3), [ask(raw() * 5, eof)])
    assert result.statuses == [200] * 3


ELSEWHERE = [
    "//evil.example",
    "///evil.example",
    "/%5Cevil.example",
    "%5C%5Cevil.example",
    "https://evil.example",
    "https:evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "evil.example",
    "%09//evil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "%20//evil.example",
    "/%00/evil.example",
    "",
]


@pytest.mark.parametrize("target", ELSEWHERE)
def test_no_redirect_leads_elsewhere(app: dict, target: str) -> None:
    [answer] = send(app, raw(f"/go?to={target}"))
    assert (answer.status, answer.header("Location")) == (303, b"/")


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(raw(host="evil.example"), id="host"),
        pytest.param(raw(host="localhost.evil.example"), id="longer"),
        pytest.param(raw(host="evil.example:localhost"), id="no_port"),
        pytest.param(raw(host="localhost@evil.example"), id="user"),
        pytest.param(raw(host=""), id="empty"),
        pytest.param(raw(host="[::1]"), id="address"),
        pytest.param(raw("http://evil.example/", host="localhost"), id="target_of_a_proxy"),
        pytest.param(raw("/", "X: y", host="localhost,evil.example"), id="two"),
    ],
)
def test_no_other_host_is_answered_for(app: dict, wire: bytes) -> None:
    [answer] = send(app, wire)
    assert answer.status in (400, 404, 421)
    assert b"evil" not in answer.raw


@pytest.mark.parametrize(
    "field", ["X-Forwarded-Host", "X-Host", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override"]
)
def test_what_a_client_says_of_itself_changes_nothing(app: dict, field: str) -> None:
    plain, said = send(app, raw(), raw("/", f"{field}: evil.example"))
    assert (said.status, said.body) == (plain.status, plain.body)


def test_what_visitors_send_is_text(app: dict) -> None:
    scripts = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'onload='x", "\u2028</h1>"]
    for script in scripts:
        quoted = "".join(f"%{octet:02x}" for octet in script.encode())
        [answer] = send(app, raw(f"/?name={quoted}"))
        text = answer.body.decode().partition("Hello, ")[2].removesuffix("</h1>")
        assert not {"<", ">", '"', "'"} & set(text)
        assert b"default-src 'none'" in answer.header("Content-Security-Policy")
        assert answer.header("Content-Type") == b"text/html; charset=utf-8"


def test_no_page_is_shown_in_a_frame(app: dict) -> None:
    for answer in send(app, raw(), raw("/nowhere"), raw("/files/public.txt")):
        assert answer.header("X-Frame-Options") == b"DENY"
        assert b"frame-ancestors 'none'" in answer.header("Content-Security-Policy")


@pytest.mark.parametrize(
    ("content", "fields", "status"),
    [
        pytest.param(b"[" * 60_000, (), 413, id="large"),
        pytest.param(b"[" * 9_000, (), 400, id="deep"),
        pytest.param(b'{"a":' * 1_900, (), 400, id="deep_objects"),
        pytest.param(b'{"item": "tea", "count": 1e400}', (), 400, id="infinite"),
        pytest.param(b'{"item": "tea", "count": NaN}', (), 400, id="not_a_number"),
        pytest.param(b'{"item": "tea", "count": ' + b"9" * 5_000 + b"}", (), 400, id="long_number"),
        pytest.param(b'{"item": "tea", "count": true}', (), 400, id="another_type"),
        pytest.param(b'{"item": "tea", "count": 1.0}', (), 400, id="a_fraction"),
        pytest.param(b'{"item": {"$ne": null}, "count": 1}', (), 400, id="an_operator"),
        pytest.param(b'{"item": "\'; DROP TABLE orders; --", "count": 1}', (), 400, id="a_query"),
        pytest.param(b'{"item": "tea", "count": 1, "price": 0}', (), 400, id="a_member_of_its_own"),
        pytest.param(b'{"item": "tea", "count": 1, "__class__": {}}', (), 400, id="a_member_of_python"),
        pytest.param(b'{"item": "\xff", "count": 1}', (), 400, id="no_utf8"),
        pytest.param(b"\x1f\x8b" + bytes(50), (b"Content-Encoding: gzip",), 415, id="compressed"),
    ],
)
def test_only_json_that_is_expected_is_taken(app: dict, content: bytes, fields: tuple, status: int) -> None:
    [answer] = send(app, post(content, *fields))
    assert answer.status == status


def test_no_crowd_of_names_costs_more_than_their_length(app: dict) -> None:
    pairs = "&".join(f"a{number}" for number in range(400))
    members = ", ".join(f'"a{number}": 1' for number in range(900))
    many = raw("/?" + pairs), post(b"{" + members.encode() + b"}")
    assert [answer.status for answer in send(app, *many)] == [200, 400]


@pytest.mark.parametrize(
    ("wire", "statuses"),
    [
        pytest.param(raw(method="TRACE"), (405,), id="trace"),
        pytest.param(raw("evil.example:443", method="CONNECT"), (400, 404, 405), id="connect"),
        pytest.param(raw(method="get"), (405,), id="lower_case"),
        pytest.param(raw(method="DELETE"), (405,), id="delete"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505), id="http_2"),
        pytest.param(b"GET /\r\n\r\n", (400,), id="http_0_9"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", (400,), id="no_host"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", (400,), id="tls"),
        pytest.param(b"garbage\r\n\r\n", (400,), id="garbage"),
        pytest.param(b"GET  /  HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,), id="two_spaces"),
        pytest.param(b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,), id="a_control_byte"),
    ],
)
def test_nothing_else_is_a_request(app: dict, wire: bytes, statuses: tuple) -> None:
    with Session(app["config"]) as session:
        [result] = session.fire([Script(rounds=[Round(send=wire, half_close=True)])]).results
    assert result.statuses[0] in statuses
    assert b"evil" not in result.raw


def test_whatever_is_cut_off_leaves_nothing_behind(app: dict) -> None:
    wires = [raw("/export?name=a"), post(b'{"item": "tea", "count": 2}')]
    cuts = [wire[:end] for wire in wires for end in range(1, len(wire), 3)]
    scripts = [Script(rounds=[Round(send=cut, half_close=True, until=eof)]) for cut in cuts]
    results = drive(app["config"], scripts)
    assert set(itertools.chain(*(result.statuses for result in results))) <= {400}
    assert (results.counters.open, results.counters.in_flight, results.counters.parked) == (0, 0, 0)


def test_the_limits_are_tighter_than_those_of_vanilla(app: dict) -> None:
    for name in (
        "max_target_bytes",
        "max_header_bytes",
        "max_headers",
        "max_body_bytes",
        "read_timeout",
        "write_timeout",
    ):
        assert getattr(app["LIMITS"], name) < getattr(Limits(), name)
