"""Events as bytes: the grammar and the interpretation of WHATWG HTML sections 9.2.5 and 9.2.6, in both directions."""

from __future__ import annotations

import random
from typing import Any

import pytest

from vanilla import Request
from vanilla.sse import encode, last_event_id

ENCODED = [
    pytest.param({"data": "hello"}, b"data: hello\n\n", id="data"),
    pytest.param({"data": b"hello"}, b"data: hello\n\n", id="data_as_bytes"),
    pytest.param({"data": ""}, b"data: \n\n", id="empty_data"),
    pytest.param({"data": " a"}, b"data:  a\n\n", id="data_that_begins_with_a_space"),
    pytest.param({"data": ": a"}, b"data: : a\n\n", id="data_that_looks_like_a_comment"),
    pytest.param({"data": "a\nb"}, b"data: a\ndata: b\n\n", id="lines_ended_by_lf"),
    pytest.param({"data": "a\rb"}, b"data: a\ndata: b\n\n", id="lines_ended_by_cr"),
    pytest.param({"data": "a\r\nb"}, b"data: a\ndata: b\n\n", id="lines_ended_by_crlf"),
    pytest.param({"data": "a\n\rb"}, b"data: a\ndata: \ndata: b\n\n", id="lf_and_cr_are_two_ends"),
    pytest.param({"data": "a\r\r\nb"}, b"data: a\ndata: \ndata: b\n\n", id="cr_and_crlf_are_two_ends"),
    pytest.param({"data": "a\n"}, b"data: a\ndata: \n\n", id="a_line_end_at_the_end_is_kept"),
    pytest.param({"data": "\n"}, b"data: \ndata: \n\n", id="a_line_end_alone"),
    pytest.param({"data": "a\n\nevent: x"}, b"data: a\ndata: \ndata: event: x\n\n", id="data_that_looks_like_fields"),
    pytest.param(
        {"data": "a\x0bb\x0c\x1c\x85\u2028c"}, "data: a\x0bb\x0c\x1c\x85\u2028c\n\n".encode(), id="no_line_end"
    ),
    pytest.param({"data": "grün \u2603 \U0001f600"}, "data: grün \u2603 \U0001f600\n\n".encode(), id="beyond_ascii"),
    pytest.param({"data": "\ufeffa\0b"}, b"data: \xef\xbb\xbfa\0b\n\n", id="byte_order_mark_and_nul_in_data"),
    pytest.param({"id": "7"}, b"id: 7\n\n", id="id"),
    pytest.param({"id": ""}, b"id: \n\n", id="empty_id"),
    pytest.param({"id": b"a\tb"}, b"id: a\tb\n\n", id="id_with_a_tab"),
    pytest.param({"event": "added"}, b"event: added\n\n", id="event"),
    pytest.param({"event": ": x"}, b"event: : x\n\n", id="event_with_a_colon"),
    pytest.param({"retry": 0}, b"retry: 0\n\n", id="retry_of_zero"),
    pytest.param({"retry": 10**30}, b"retry: 1" + b"0" * 30 + b"\n\n", id="a_long_retry"),
    pytest.param({"comment": ""}, b":\n\n", id="empty_comment"),
    pytest.param({"comment": "a\r\nb\n"}, b": a\n: b\n:\n\n", id="comment_of_several_lines"),
    pytest.param(
        {"data": "a\nb", "id": "7", "event": "added", "retry": 1500, "comment": "why"},
        b": why\nretry: 1500\nevent: added\nid: 7\ndata: a\ndata: b\n\n",
        id="everything",
    ),
]

REFUSED = [
    pytest.param({}, ValueError, "nothing to encode: give data", id="nothing"),
    pytest.param({"data": 7}, TypeError, "data 7: give str", id="data_that_is_no_text"),
    pytest.param({"data": bytearray(b"a")}, TypeError, "data bytearray", id="data_that_may_change"),
    pytest.param({"data": b"\xff"}, ValueError, r"data b'\\xff': invalid start byte at 0", id="data_that_is_not_utf8"),
    pytest.param({"data": "a\ud800"}, ValueError, r"data 'a\\ud800': surrogates not allowed at 1", id="a_surrogate"),
    pytest.param({"id": 7}, TypeError, "id 7: give str", id="id_that_is_no_text"),
    pytest.param({"id": b"\x80"}, ValueError, r"id b'\\x80': invalid start byte", id="id_that_is_not_utf8"),
    *(
        pytest.param({"id": f"a{chr(code)}b"}, ValueError, "cannot come back in Last-Event-ID", id=f"id_with_{code:#x}")
        for code in (*range(9), *range(10, 32), 127)
    ),
    pytest.param({"event": "a\rb"}, ValueError, r"event 'a\\rb': a name is one line", id="event_with_cr"),
    pytest.param({"event": b"a\n"}, ValueError, r"event b'a\\n': a name is one line", id="event_with_lf"),
    pytest.param({"event": True}, TypeError, "event True: give str", id="event_that_is_no_text"),
    *(
        pytest.param({"data": "a", "retry": retry}, ValueError, "give milliseconds, a whole", id=f"retry_{retry!r}")
        for retry in (-1, 1.0, "1", b"1", True, False, float("nan"))
    ),
]


@pytest.mark.parametrize(("fields", "stream"), ENCODED)
def test_an_event_is_its_fields_and_a_blank_line(fields: dict[str, Any], stream: bytes) -> None:
    assert encode(**fields) == stream


@pytest.mark.parametrize(("fields", "error", "why"), REFUSED)
def test_what_would_split_a_stream_or_not_come_back_is_refused(fields: Any, error: type, why: str) -> None:
    with pytest.raises(error, match=why):
        encode(**fields)


# What the standard gives as examples in section 9.2.6, and where its rules are easily got wrong.
INTERPRETED = [
    pytest.param(b"data: YHOO\ndata: +2\ndata: 10\n\n", [("message", "YHOO\n+2\n10", "")], id="three_lines"),
    pytest.param(
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [("message", "first event", "1"), ("message", "second event", "")],
        id="the_unfinished_one_is_dropped",
    ),
    pytest.param(b"data\n\ndata\ndata\n\ndata:", [("message", "", ""), ("message", "\n", "")], id="names_alone"),
    pytest.param(b"data:test\n\ndata: test\n\n", [("message", "test", "")] * 2, id="one_space_is_no_data"),
    pytest.param(b"\xef\xbb\xbfdata: a\n\n", [("message", "a", "")], id="byte_order_mark"),
    pytest.param(b"data: a\r\rdata: b\r\n\r\n", [("message", "a", ""), ("message", "b", "")], id="line_ends_mixed"),
    pytest.param(b"event: x\n\ndata: a\n\n", [("message", "a", "")], id="a_name_without_data_is_forgotten"),
    pytest.param(b"id: 1\n\ndata: a\n\n", [("message", "a", "1")], id="an_id_without_data_stays"),
    pytest.param(b"id: 1\nid: 2\0\ndata: a\n\n", [("message", "a", "1")], id="an_id_with_nul_is_ignored"),
    pytest.param(b"DATA: a\nfoo: b\nevent: x\nevent: y\ndata: c\n\n", [("y", "c", "")], id="unknown_fields"),
]


@pytest.mark.parametrize(("stream", "events"), INTERPRETED)
def test_the_parser_of_these_tests_reads_as_the_standard_says(stream: bytes, events: list, event_source) -> None:
    for split in range(len(stream) + 1):
        source = event_source()
        source.feed(stream[:split])
        source.feed(stream[split:])
        assert [(event.type, event.data, event.last_event_id) for event in source.events] == events, split


@pytest.mark.parametrize(
    ("stream", "milliseconds"),
    [(b"retry: 10\n\n", 10), (b"retry: 10\n", 10), (b"retry: -1\n\n", None), (b"retry:\n\n", None)],
)
def test_the_parser_of_these_tests_heeds_a_retry_of_digits_only(stream: bytes, milliseconds, event_source) -> None:
    source = event_source()
    source.feed(stream)
    assert source.retry == milliseconds


PIECES = (
    "",
    " ",
    "a",
    "data",
    ":",
    ": ",
    "id: 1",
    "\r",
    "\n",
    "\r\n",
    "\n\n",
    "\0",
    "\t",
    "\ufeff",
    "é",
    "\u2028",
    "😀",
)


@pytest.mark.parametrize("seed", range(200))
def test_what_is_encoded_is_what_a_browser_reads_however_it_arrives(seed: int, event_source) -> None:
    chance = random.Random(seed)

    def text(*unwanted: str) -> str:
        pieces = [piece for piece in PIECES if not any(character in piece for character in unwanted)]
        return "".join(chance.choices(pieces, k=chance.randrange(8)))

    sent, stream = [], b""
    for _ in range(chance.randrange(1, 20)):
        fields: dict[str, Any] = {
            "data": text(),
            "id": text("\r", "\n", "\0"),
            "event": text("\r", "\n"),
            "retry": chance.randrange(10**6),
            "comment": text(),
        }
        given = {name: fields[name] for name in fields if chance.random() < 0.6} or {"comment": "nothing"}
        sent.append(given)
        stream += encode(
            **{n: v.encode() if isinstance(v, str) and chance.random() < 0.5 else v for n, v in given.items()}
        )
    source = event_source()
    while stream:
        end = chance.randrange(1, 12)
        source.feed(stream[:end])
        stream = stream[end:]

    wanted, last_id, retry = [], "", None
    for given in sent:
        last_id, retry = given.get("id", last_id), given.get("retry", retry)
        if "data" in given:
            lines = given["data"].replace("\r\n", "\n").replace("\r", "\n")
            wanted.append((given.get("event") or "message", lines, last_id))
    assert [(event.type, event.data, event.last_event_id) for event in source.events] == wanted
    assert source.retry == retry
    assert source.is_between_events


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        pytest.param(b"", None, id="none"),
        pytest.param(b"Last-Event-ID: 7\r\n", b"7", id="an_id"),
        pytest.param(b"last-event-id:\t7 8 \r\n", b"7 8", id="in_any_case_without_the_space_around_it"),
        pytest.param("Last-Event-ID: ü\r\n".encode(), "ü".encode(), id="utf8_as_browsers_send_it"),
        pytest.param(b"Last-Event-ID: \r\n", None, id="an_empty_one_is_none"),
    ],
)
def test_the_last_event_id_is_the_field_that_the_client_sent(field: bytes, wanted: bytes | None) -> None:
    assert last_event_id(Request(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % field)) == wanted


@pytest.mark.parametrize("code", [*range(32, 127), 9, 0xE9, 0x2603, 0x1F600])
def test_an_id_that_is_encoded_comes_back(code: int) -> None:
    stream = encode(id=f"a{chr(code)}b")
    sent_back = stream.removeprefix(b"id: ").removesuffix(b"\n\n")
    request = Request(b"GET / HTTP/1.1\r\nHost: a\r\nLast-Event-ID: %b\r\n\r\n" % sent_back)
    assert last_event_id(request) == f"a{chr(code)}b".encode()
