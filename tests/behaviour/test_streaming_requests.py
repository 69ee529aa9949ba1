"""Handlers that run when the head is in, and take the content piece by piece: RFC 9112 sections 6 and 7, and limits."""

import asyncio
import functools
import hashlib
import socket
import threading

import pytest

from system import needs_freed_memory, resident_bytes
from vanilla import BodyError, Event, Limits, Request, Response, Step, Worker, streaming
from vanilla.testing import Round, Script, Session, ask, count, drive, eof, frames, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PATTERN = b"".join(b"%07d\n" % n for n in range(131_072))  # 1 MiB, in which every cut and every swap shows
BIG = Limits(max_body_bytes=2**30)


def sized(content: bytes, fields: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"%b\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (line, fields, len(content), content)


def chunked(content: bytes, size: int, fields: bytes = b"") -> bytes:
    head = b"POST / HTTP/1.1\r\nHost: a\r\n%bTransfer-Encoding: chunked\r\n\r\n" % fields
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def cuts(wire: bytes, size: int) -> list[bytes]:
    return [wire[at : at + size] for at in range(0, len(wire), size)]


@streaming
class Digest:
    """Answers with the length and the SHA-256 of the content, taken piece by piece."""

    def __call__(self, request, response, worker):
        return self.take(0, hashlib.sha256(), request, response, worker, None, None)

    def take(self, length, digest, request, response, worker, piece, event):
        if event == Event.ERROR:
            raise piece
        if piece == b"":
            return response.reply(200, b"%d %b" % (length, digest.hexdigest().encode()))
        if piece:
            digest.update(piece)
        request.on_body(functools.partial(self.take, length + len(piece or b""), digest))
        return Step.SUSPEND


def digest_of(content: bytes) -> bytes:
    return b"%d %b" % (len(content), hashlib.sha256(content).hexdigest().encode())


@streaming
class Collect:
    """Answers with the content; `pieces` holds what it was handed of the last one."""

    def __init__(self) -> None:
        self.pieces = []

    def __call__(self, request, response, worker):
        self.pieces = []
        request.on_body(functools.partial(self.take, self.pieces))
        return Step.SUSPEND

    def take(self, pieces, request, response, worker, piece, event):
        if event == Event.ERROR:
            raise piece
        if piece == b"":
            return response.reply(200, b"".join(pieces))
        pieces.append(piece)
        request.on_body(functools.partial(self.take, pieces))
        return Step.SUSPEND


WIRES = [
    pytest.param(sized(b"hello, world"), b"hello, world", id="sized"),
    pytest.param(sized(b"x"), b"x", id="one_byte"),
    pytest.param(sized(b""), b"", id="length_zero"),
    pytest.param(GET, b"", id="no_content"),
    pytest.param(chunked(b"hello, world", 1), b"hello, world", id="chunks_of_one"),
    pytest.param(chunked(b"hello, world", 5), b"hello, world", id="chunks_of_five"),
    pytest.param(chunked(b"", 1), b"", id="no_chunk"),
    pytest.param(chunked(b"hello", 3)[:-2] + b"Sum: 1\r\n\r\n", b"hello", id="trailers"),
]


@pytest.mark.parametrize(("wire", "content"), WIRES)
def test_content_is_handed_over_whole_however_it_is_split(configure, wire: bytes, content: bytes) -> None:
    """Whole, byte by byte, at every split, each with a neighbour behind it on the same connection."""
    splits = [[wire], cuts(wire, 1), *([wire[:at], wire[at:]] for at in range(1, len(wire)))]
    alone = [ask(pieces) for pieces in splits]
    behind = [ask([*pieces[:-1], pieces[-1] + GET], frames(2)) for pieces in splits]
    results = drive(configure(Collect()), [Script(rounds=[*script.rounds, Round(send=GET)]) for script in alone])
    assert {tuple(result.bodies) for result in results} == {(content, b"")}
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)
    results = drive(configure(Collect()), behind)
    assert {tuple(result.bodies) for result in results} == {(content, b"")}
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize("size", [1, 7, 100, 16_384, 100_000])
@pytest.mark.parametrize("cut", [1_000, 16_383, 65_536, 2**20])
def test_large_content_arrives_in_order(configure, size: int, cut: int) -> None:
    content = PATTERN[: size * 20_000]
    scripts = [
        Script(rounds=[Round(send=cuts(wire, cut)), Round(send=cuts(wire + GET, cut), until=frames(3))])
        for wire in (sized(content), chunked(content, size))
    ]
    results = drive(configure(Digest(), limits=BIG), scripts, deadline=50)  # 4,000 cuts take 10 s and more under Wine
    assert [result.bodies for result in results] == [[digest_of(content)] * 2 + [digest_of(b"")]] * 2
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_pieces_grow_with_the_pace_of_the_client_and_end_with_nothing(configure) -> None:
    collect = Collect()
    results = drive(configure(collect), [ask(sized(PATTERN))])
    assert results[0].bodies == [PATTERN]
    assert all(1 <= len(piece) <= 262_144 for piece in collect.pieces)


def test_pipelined_requests_around_an_upload_are_answered_in_order(configure) -> None:
    content = PATTERN[:200_000]
    wire = GET + GET + sized(content) + GET + chunked(content, 9_999) + GET + sized(b"small") + GET
    expected = [b"", b"", content, b"", content, b"", b"small", b""]
    results = drive(configure(Collect()), [ask(cuts(wire, cut), frames(8)) for cut in (50_000, 65_536, len(wire))])
    assert [result.bodies for result in results] == [expected] * 3
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_64_uploads_at_once_do_not_mix(configure) -> None:
    contents = [PATTERN[n * 1000 : n * 1000 + 500_000] for n in range(64)]
    wires = [sized(content) if n % 2 else chunked(content, 4_321) for n, content in enumerate(contents)]
    results = drive(configure(Digest(), limits=BIG), [ask(cuts(wire, 50_000)) for wire in wires])
    assert [result.bodies for result in results] == [[digest_of(content)] for content in contents]
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize(
    ("wire", "closes"),
    [
        pytest.param(sized(b"hello", line=b"POST / HTTP/1.0"), True, id="http_1_0"),
        pytest.param(sized(b"hello", b"Connection: keep-alive\r\n", b"POST / HTTP/1.0"), False, id="http_1_0_kept"),
        pytest.param(sized(b"hello", b"Connection: close\r\n"), True, id="close"),
        pytest.param(chunked(b"hello", 2, b"Connection: close\r\n"), True, id="chunked_close"),
    ],
)
def test_the_connection_ends_as_its_client_asked(configure, wire: bytes, closes: bool) -> None:
    scripts = [ask([wire[:at], wire[at:]], eof if closes else frames(1)) for at in range(len(wire) - 8, len(wire))]
    results = drive(configure(Collect()), scripts)
    assert {(tuple(result.bodies), result.frames[0].closes, result.reset) for result in results} == {
        ((b"hello",), closes, False)
    }


# The pace.


def test_a_handler_that_does_not_ask_has_its_client_wait(configure) -> None:
    """What the client can send is bounded by the kernel's buffers: nothing of it is taken before it is asked for."""
    waiting = []

    @streaming
    def handle(request, response, worker):
        waiting.append((request, response, response.park()))
        return Step.SUSPEND

    def ask_on(request, response, worker, payload, event):
        return Digest()(request, response, worker)

    with Session(configure(handle, limits=BIG)) as session, socket.create_connection(session.address) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (64 * len(PATTERN)))
        session.await_counters(lambda counters: counters.parked == 1)
        client.setblocking(False)
        taken = 0
        content = PATTERN * 64
        view = memoryview(content)
        for _ in range(10_000):
            try:
                taken += client.send(view[taken : taken + 65_536])
            except BlockingIOError:
                session.fire([ask(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", sent)])
                counters = session.server.counters()
                break
        assert counters.bytes_received < 10_000
        assert taken < len(content)
        client.setblocking(True)
        worker = session.server.workers[0]
        worker.post(waiting[0][2].resume, ask_on)
        client.sendall(view[taken:])
        answer = b""
        while not answer.endswith(digest_of(content)):
            answer += client.recv(65_536)
        for _, _, parked in waiting[1:]:
            worker.post(parked.abort)


@needs_freed_memory
def test_an_upload_of_256_mib_costs_a_few_pieces(configure) -> None:
    with Session(configure(Digest(), limits=BIG)) as session:
        session.fire([ask(sized(PATTERN))])
        before = resident_bytes()
        with socket.create_connection(session.address) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (256 * len(PATTERN)))
            expected = hashlib.sha256()
            for _ in range(256):
                client.sendall(PATTERN)
                expected.update(PATTERN)
            digest = b"%d %b" % (256 * len(PATTERN), expected.hexdigest().encode())
            answer = b""
            while not answer.endswith(digest):
                answer += client.recv(65_536)
        assert resident_bytes() - before < 8 * 1024 * 1024


# What is wrong with it.

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD_ALONE = pytest.mark.exact("needs the end of the head before what is wrong behind it")


@pytest.mark.parametrize(
    ("pieces", "status", "limit"),
    [
        pytest.param([HEAD, b"x\r\n"], 400, None, id="no_chunk_size"),
        pytest.param([HEAD + b"5\r\nhello\r\n", b"zz\r\n"], 400, None, id="no_second_chunk_size"),
        pytest.param([HEAD + b"5\r\nhel", b"loXX"], 400, None, id="no_line_end_behind_a_chunk"),
        pytest.param([HEAD + b"5\r\nhello\r\n", b"6\r\n"], 413, "max_body_bytes", id="too_large_in_sum"),
        pytest.param([HEAD, b"b\r\n"], 413, "max_body_bytes", id="too_large_at_once"),
        pytest.param([HEAD, b"1;" + b"e" * 200 + b"\r\n"], 400, "max_chunk_extension_bytes", id="long_extension"),
        pytest.param([HEAD, b"0\r\n", b"a: " + b"b" * 300], 431, "max_header_bytes", id="long_trailers"),
        pytest.param([HEAD + b"1\r\nx", b""], 408, "read_timeout", id="too_slow"),
        pytest.param([HEAD, b""], 408, "read_timeout", id="nothing_comes"),
    ],
)
def test_bad_content_is_answered_its_status(configure, caplog, pieces: list[bytes], status: int, limit) -> None:
    limits = Limits(max_body_bytes=10, max_chunk_extension_bytes=100, max_header_bytes=200, read_timeout=0.2)
    results = drive(configure(Collect(), limits=limits), [ask(pieces, eof)] * 2)
    assert [(result.statuses, result.frames[0].closes) for result in results] == [([status], True)] * 2
    assert results.counters.limits_reached.get(limit, 0) == (2 if limit else 0)
    assert not [record for record in caplog.records if record.exc_info]
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_content_that_keeps_its_rate_outlives_the_read_timeout_and_content_that_does_not_is_refused(configure) -> None:
    limits = Limits(read_timeout=0.05, min_receive_rate=1_000, rate_grace=0.3)
    head, content = sized(PATTERN[:1_000]).split(b"\r\n\r\n", 1)
    slow = Script(rounds=[Round(send=[head + b"\r\n\r\n", *cuts(content, 100)], every=0.02)])
    stuck = ask([head + b"\r\n\r\n", b"x"], eof)
    results = drive(configure(Collect(), limits=limits), [slow, stuck])
    assert [result.statuses for result in results] == [[200], [408]]
    assert results.counters.limits_reached["min_receive_rate"] == 1


def test_a_declared_length_over_the_limit_is_refused_before_the_handler_runs(configure) -> None:
    results = drive(configure(Collect(), limits=Limits(max_body_bytes=4)), [ask(sized(b"hello")[:-5], eof)])
    assert results[0].statuses == [413]
    assert results.counters.requests == 0


def test_bad_content_cuts_off_an_answer_that_has_begun(configure) -> None:
    @streaming
    def handle(request, response, worker):
        response.start(200)
        response.write(b"begun")
        return go_on(request, response, worker, None, None)

    def go_on(request, response, worker, piece, event):
        if event == Event.ERROR:
            raise piece
        request.on_body(go_on)
        return Step.SUSPEND

    results = drive(
        configure(handle),
        [Script(rounds=[Round(send=HEAD, until=count(b"begun", 1)), Round(send=b"zz\r\n", until=eof)])],
    )
    assert results[0].raw.endswith(b"5\r\nbegun\r\n")


@HEAD_ALONE
def test_a_handler_may_answer_bad_content_itself_and_the_connection_closes(configure) -> None:
    @streaming
    def handle(request, response, worker):
        request.on_body(take)
        return Step.SUSPEND

    def take(request, response, worker, piece, event):
        assert event == Event.ERROR
        assert isinstance(piece, BodyError)
        response.reply(200, b"%d" % piece.status)

    results = drive(configure(handle), [ask([HEAD, b"zz\r\n" + GET], eof)])
    assert (results[0].bodies, results[0].frames[0].closes) == ([b"400"], True)


# 100 Continue.

EXPECTING = [
    pytest.param(sized(b"", b"Expect: 100-continue\r\n").replace(b": 0", b": 5"), b"hello", id="sized"),
    pytest.param(HEAD[:-2] + b"Expect: 100-continue\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n", id="chunked"),
]


@pytest.mark.parametrize(("head", "content"), EXPECTING)
def test_the_client_is_asked_for_its_content_at_the_first_read(configure, head: bytes, content: bytes) -> None:
    script = Script(
        rounds=[
            Round(send=head),
            Round(send=content),
            Round(send=GET + head, until=frames(4)),
            Round(send=content, until=frames(5)),
        ]
    )
    results = drive(configure(Collect()), [script])
    assert results[0].statuses == [100, 200, 200, 100, 200]
    assert results[0].bodies == [b"", b"hello", b"", b"", b"hello"]
    assert results.counters.responses_1xx == 2


@pytest.mark.parametrize(("head", "content"), EXPECTING)
def test_a_handler_that_does_not_read_never_asks_and_the_connection_closes(configure, head, content) -> None:
    @streaming
    def handle(request, response, worker):
        response.reply(403)

    results = drive(configure(handle), [ask(head, eof)])
    assert (results[0].statuses, results[0].frames[0].closes) == ([403], True)
    assert results.counters.responses_1xx == 0


def test_an_answer_that_has_begun_is_not_interrupted_by_100_continue(configure) -> None:
    @streaming
    def handle(request, response, worker):
        response.start(200)
        response.write(b"begun")
        request.on_body(take)
        return Step.SUSPEND

    def take(request, response, worker, piece, event):
        response.write(piece)
        if piece:
            request.on_body(take)
        return Step.SUSPEND if piece else Step.DONE

    head = EXPECTING[0].values[0]
    script = Script(rounds=[Round(send=head, until=count(b"begun", 1)), Round(send=b"hello")])
    results = drive(configure(handle), [script])
    assert (results[0].statuses, results[0].bodies) == ([200], [b"begunhello"])


# Handlers that are done before the content is.


def answer(request, response, worker):
    response.reply(200, b"done")


def suspend_first(request, response, worker):
    worker.call_later(0, response.park().resume, lambda request, response, *_: response.reply(200, b"done"))
    return Step.SUSPEND


def read_one(request, response, worker):
    request.on_body(lambda request, response, *_: response.reply(200, b"done"))
    return Step.SUSPEND


def begin_and_leave(request, response, worker):
    response.start(200)
    response.write(b"done")


EARLY = [
    pytest.param(streaming(handle), id=handle.__name__) for handle in (answer, suspend_first, read_one, begin_and_leave)
]


@pytest.mark.parametrize("handle", EARLY)
@pytest.mark.parametrize("kind", [sized, functools.partial(chunked, size=5_000)], ids=["sized", "chunked"])
def test_a_rest_under_the_bound_is_read_over(configure, handle, kind) -> None:
    wire = kind(PATTERN[:200_000])
    only_get = streaming(
        lambda request, response, worker: (
            answer(request, response, worker) if request.method == b"GET" else handle(request, response, worker)
        )
    )
    scripts = [
        Script(rounds=[Round(send=wire + GET, until=frames(2)), Round(send=cuts(wire, 10_000)), Round(send=GET)])
    ]
    results = drive(configure(only_get), scripts * 4)
    assert {tuple(result.bodies) for result in results} == {(b"done",) * 4}
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize("handle", EARLY)
@pytest.mark.parametrize("kind", [sized, functools.partial(chunked, size=5_000)], ids=["sized", "chunked"])
def test_a_rest_over_the_bound_closes_the_connection_behind_the_answer(configure, handle, kind) -> None:
    wire = kind(PATTERN)
    results = drive(configure(handle, limits=BIG), [ask(wire[:1_000], frames(1))])
    assert results[0].bodies == [b"done"]
    with Session(configure(handle, limits=BIG)) as session, socket.create_connection(session.address) as client:
        client.sendall(wire[:400_000])
        client.settimeout(10)
        got = b""
        while piece := client.recv(65_536):
            got += piece
        assert b"done" in got
        session.await_counters(lambda counters: counters.in_flight == 0)


@pytest.mark.parametrize("handle", EARLY)
def test_a_rest_that_does_not_come_in_time_closes_the_connection(configure, handle) -> None:
    limits = Limits(read_timeout=0.2)
    results = drive(configure(handle, limits=limits), [ask(sized(PATTERN[:1_000])[:-10], eof)])
    assert (results[0].bodies, results.counters.in_flight) == ([b"done"], 0)


def test_a_rest_that_is_malformed_closes_the_connection_behind_the_answer(configure) -> None:
    results = drive(configure(streaming(answer)), [ask([HEAD + b"5\r\nhe", b"lloXX" + GET], eof)])
    assert results[0].bodies == [b"done"]


def test_an_exception_is_answered_500_and_closes(configure, caplog) -> None:
    @streaming
    def handle(request, response, worker):
        raise ValueError("on purpose")

    results = drive(configure(handle), [ask(sized(PATTERN[:1_000])[:-10], eof)])
    assert results[0].statuses == [500]
    assert "on purpose" in caplog.text


# Clients that leave.


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize("upto", [0, 5, 100_000], ids=["nothing_came", "some_came", "much_came"])
@pytest.mark.parametrize("kind", [sized, functools.partial(chunked, size=5_000)], ids=["sized", "chunked"])
def test_a_client_that_leaves_in_mid_stream_is_noticed(configure, reset: bool, upto: int, kind) -> None:
    left = []

    @streaming
    def handle(request, response, worker):
        request.on_body(take, on_disconnect=lambda: left.append(request.disconnected))
        return Step.SUSPEND

    def take(request, response, worker, piece, event):
        assert event == Event.READABLE
        assert piece
        request.on_body(take)
        return Step.SUSPEND

    wire = kind(PATTERN[:200_000])
    with Session(configure(handle)) as session:
        group = session.fire(repeat(4, ask(wire[: wire.index(b"\r\n\r\n") + 4 + upto], sent)))
        session.await_counters(lambda counters: counters.parked == 4)
        session.close(group, reset=reset)
        session.await_counters(lambda counters: (counters.parked, counters.open) == (0, 0))
        assert session.stop().in_flight == 0
    assert left == [True] * 4


def test_a_client_that_half_closes_behind_whole_content_is_answered(configure) -> None:
    rounds = [Round(send=cuts(sized(PATTERN[:200_000]), 10_000), half_close=True, until=eof)]
    results = drive(configure(Collect()), repeat(4, Script(rounds=rounds)))
    assert {tuple(result.bodies) for result in results} == {(PATTERN[:200_000],)}


def test_requests_behind_an_upload_are_answered_after_a_half_close(configure) -> None:
    wire = chunked(PATTERN[:100_000], 777) + GET * 3
    results = drive(configure(Collect()), [Script(rounds=[Round(send=wire, half_close=True, until=eof)])])
    assert results[0].bodies == [PATTERN[:100_000], b"", b"", b""]


def test_a_shutdown_waits_for_an_upload_that_goes_on(configure) -> None:
    wire = sized(PATTERN[:100_000])
    with Session(configure(Collect())) as session:
        group = session.fire([ask(wire[:50_000], sent)])
        session.await_counters(lambda counters: counters.parked == 1)
        stopping = threading.Thread(target=session.server.shutdown)
        stopping.start()
        results = session.go_on(group, Round(send=wire[50_000:], until=eof))
        stopping.join()
    assert (results[0].bodies, results[0].frames[0].closes) == ([PATTERN[:100_000]], True)


def test_a_shutdown_without_grace_ends_an_upload(configure) -> None:
    left = []

    @streaming
    def handle(request, response, worker):
        request.on_body(take, on_disconnect=lambda: left.append(True))
        return Step.SUSPEND

    def take(request, response, worker, piece, event):
        request.on_body(take)
        return Step.SUSPEND

    with Session(configure(handle, graceful_timeout=0.0)) as session:
        session.fire([ask(sized(PATTERN)[:100], sent)])
        session.await_counters(lambda counters: counters.parked == 1)
        assert session.stop().in_flight == 0
    assert left == [True]


def test_a_handler_may_abort_in_the_midst_of_an_upload(configure) -> None:
    @streaming
    def handle(request, response, worker):
        request.on_body(lambda request, response, *_: response.park().abort())
        return Step.SUSPEND

    results = drive(configure(handle), [ask(sized(PATTERN)[:100], eof)])
    assert results[0].raw == b""
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


# What such a request shows.


def test_the_head_can_be_read_at_any_time_and_the_content_only_by_pieces(configure) -> None:
    seen = []

    @streaming
    def handle(request, response, worker):
        if request.method == b"GET":
            return response.reply(204)
        seen.append((request.method, request.path, request.header("host"), bytes(request.raw)[-5:]))
        for name in ("body", "body_view"):
            with pytest.raises(RuntimeError, match="still to come"):
                getattr(request, name)
        request.on_body(take)
        return Step.SUSPEND

    def take(request, response, worker, piece, event):
        assert (request.path, request.header("host")) == (b"/", b"a")
        if piece:
            request.on_body(take)
            return Step.SUSPEND
        with pytest.raises(RuntimeError, match="still to come"):
            getattr(request, "body")  # noqa: B009  # it is the reading that raises
        return response.reply(200)

    results = drive(configure(handle), [ask([sized(b"hello, world")[:-7], b", world"])])
    assert results[0].statuses == [200]
    assert seen == [(b"POST", b"/", b"a", b"hello")]


@pytest.mark.exact("needs content that comes with its head")
def test_whole_content_can_be_read_either_way_and_on_any_server(configure) -> None:
    def handle(request, response, worker):
        request.on_body(lambda request, response, worker, piece, event: response.reply(200, piece + request.body))
        return Step.SUSPEND

    for handler in (handle, streaming(functools.partial(handle))):
        results = drive(configure(handler), [ask(sized(b"hello") + chunked(b"hello", 2), frames(2))])
        assert results[0].bodies == [b"hellohello"] * 2


def test_a_streaming_handler_is_tested_by_calling_it() -> None:
    request, response, worker = Request(sized(b"hello")), Response(), Worker()
    collect = Collect()
    assert collect(request, response, worker) is Step.SUSPEND
    for piece in (b"he", b"llo"):
        assert request.recorded(request, response, worker, piece, Event.READABLE) is Step.SUSPEND
    assert request.recorded(request, response, worker, b"", Event.READABLE) is None
    assert bytes(response).endswith(b"hello")
    with pytest.raises(BodyError, match="too long"):
        request.recorded(request, response, worker, BodyError(413, "too long"), Event.ERROR)


def test_on_body_refuses_what_cannot_be_called() -> None:
    with pytest.raises(TypeError, match="continuation"):
        Request(GET).on_body(None)


def test_a_request_that_was_answered_cannot_be_asked_for_content(configure) -> None:
    kept = []

    @streaming
    def handle(request, response, worker):
        kept.append(request)
        response.reply(200)

    drive(configure(handle), [ask(sized(b"hello")[:-1], frames(1))])
    with pytest.raises(RuntimeError, match="has been answered"):
        kept[0].on_body(print)


# Coroutines.


@streaming
async def digest(request, response, worker):
    """Answers as `Digest` does."""
    length, total = 0, hashlib.sha256()
    async for piece in request.stream():
        length += len(piece)
        total.update(piece)
    response.reply(200, b"%d %b" % (length, total.hexdigest().encode()))


@streaming
async def read(request, response, worker):
    response.reply(200, await request.read())


@pytest.mark.parametrize(("wire", "content"), WIRES)
def test_a_coroutine_reads_content_whole_however_it_is_split(configure, wire: bytes, content: bytes) -> None:
    splits = [[wire], cuts(wire, 1), *([wire[:at], wire[at:]] for at in range(1, len(wire)))]
    results = drive(configure(read), [ask([*pieces[:-1], pieces[-1] + GET], frames(2)) for pieces in splits])
    assert {tuple(result.bodies) for result in results} == {(content, b"")}
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_64_uploads_to_coroutines_do_not_mix(configure) -> None:
    contents = [PATTERN[n * 1000 : n * 1000 + 500_000] for n in range(64)]
    wires = [sized(content) if n % 2 else chunked(content, 4_321) for n, content in enumerate(contents)]
    results = drive(configure(digest, limits=BIG), [ask(cuts(wire + GET, 50_000), frames(2)) for wire in wires])
    assert [result.bodies[0] for result in results] == [digest_of(content) for content in contents]
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        pytest.param([HEAD, b"x\r\n"], 400, id="malformed", marks=HEAD_ALONE),
        pytest.param([HEAD + b"5\r\nhello\r\n", b"6\r\n"], 413, id="too_large", marks=HEAD_ALONE),
        pytest.param([HEAD + b"1\r\nx", b""], 408, id="too_slow"),
    ],
)
def test_bad_content_is_raised_in_a_coroutine_and_answered(configure, caplog, pieces, status: int) -> None:
    raised = []

    @streaming
    async def handle(request, response, worker):
        try:
            await request.read()
        except BodyError as error:
            raised.append(error.status)
            raise

    results = drive(configure(handle, limits=Limits(max_body_bytes=10, read_timeout=0.2)), [ask(pieces, eof)])
    assert (results[0].statuses, raised) == ([status], [status])
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(("head", "content"), EXPECTING)
def test_a_coroutine_asks_for_its_content_at_the_first_read(configure, head: bytes, content: bytes) -> None:
    results = drive(configure(read), [Script(rounds=[Round(send=head), Round(send=content), Round(send=GET)])])
    assert (results[0].statuses, results[0].bodies) == ([100, 200, 200], [b"", b"hello", b""])


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize(("on_disconnect", "error"), [("cancel", "CancelledError"), ("ignore", "BodyError")])
def test_a_coroutine_hears_that_its_client_left_in_mid_stream(configure, on_disconnect, error, reset: bool) -> None:
    ends = []

    @streaming
    async def handle(request, response, worker):
        try:
            await request.read()
        except BaseException as caught:
            ends.append((type(caught).__name__, request.disconnected))
            raise

    with Session(configure(handle, on_disconnect=on_disconnect)) as session:
        group = session.fire(repeat(4, ask(sized(PATTERN[:1_000])[:-10], sent)))
        session.await_counters(lambda counters: counters.parked == 4)
        session.close(group, reset=reset)
        session.await_counters(lambda counters: len(ends) == 4 and counters.open == 0)
        assert session.stop().in_flight == 0
    assert ends == [(error, True)] * 4


def test_a_read_that_was_cancelled_can_be_taken_up_again(configure) -> None:
    @streaming
    async def handle(request, response, worker):
        try:
            async with asyncio.timeout(0.01):
                await request.read()
        except TimeoutError:
            response.inform(103)
            await response.flush()
        response.reply(200, await request.read())

    script = Script(rounds=[Round(send=HEAD, until=frames(1)), Round(send=b"5\r\nhello\r\n0\r\n\r\n", until=frames(2))])
    results = drive(configure(handle), [script])
    assert (results[0].statuses, results[0].bodies[1]) == ([103, 200], b"hello")


def test_two_tasks_cannot_wait_for_the_same_piece(configure) -> None:
    @streaming
    async def handle(request, response, worker):
        outcomes = await asyncio.gather(request.read(), request.read(), return_exceptions=True)
        response.reply(200, b" ".join(type(outcome).__name__.encode() for outcome in outcomes))

    results = drive(configure(handle), [ask([HEAD, b"5\r\nhello\r\n0\r\n\r\n"])])
    assert results[0].bodies == [b"bytes RuntimeError"]


def test_a_coroutine_is_tested_by_calling_it() -> None:
    for handle, expected in ((read, b"hello"), (digest, digest_of(b"hello"))):
        response = Response()
        asyncio.run(handle(Request(sized(b"hello")), response, Worker()))
        assert bytes(response).endswith(b"\r\n\r\n" + expected)
