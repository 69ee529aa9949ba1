"""Answers in pieces from plain functions: how they are framed, paced, ended and cut off."""

from __future__ import annotations

import itertools
import threading

import pytest

from system import count_descriptors, give_way, needs_freed_memory, resident_bytes
from vanilla import Event, Limits, Server, Step
from vanilla.testing import Client, Round, Script, Session, ask, count, drive, eof, frames, headers_seen, repeat

PIECES = [b"one", b"two", b"three"]
WHOLE = b"".join(PIECES)
END = b"0\r\n\r\n"


def get(path: str = "/", version: str = "1.1", method: str = "GET", fields: str = "") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: a\r\n{fields}\r\n".encode()


def later(appends, *more):
    """A handler that suspends after `appends` and goes on with each of `more` in a later call."""

    def handle(request, response, worker):
        steps = iter(more)

        def go_on(request, response, worker, parked, event):
            step = next(steps)(response)
            if step is Step.SUSPEND:
                parked.resume(go_on, parked)
            return step

        appends(response)
        parked = worker.park()
        parked.resume(go_on, parked)
        return Step.SUSPEND

    return handle


def plain(request, response, worker):
    """Three pieces in one call; a query gives the length."""
    response.start(200, length=int(request.query) if request.query else None)
    for piece in PIECES:
        response.write(piece)


def streamed(request, response, worker):
    """The same pieces from an iterable."""
    response.start(200, length=int(request.query) if request.query else None)
    response.stream(iter(PIECES))


def parked(request, response, worker):
    """The same pieces through a handle, each from a timer of its own."""
    response.start(200, length=int(request.query) if request.query else None)
    handle = worker.park()
    rest = iter(PIECES)

    def go_on():
        piece = next(rest, None)
        if piece is None:
            handle.finish()
        else:
            handle.write(piece)
            worker.call_later(0, go_on)

    worker.call_later(0, go_on)
    return Step.SUSPEND


@pytest.fixture(params=[plain, streamed, parked])
def pieces(request):
    """A handler that answers in pieces, of each kind."""
    return request.param


@pytest.mark.parametrize(
    ("request_bytes", "coding", "length", "closes"),
    [
        pytest.param(get(), b"chunked", None, False, id="chunked"),
        pytest.param(get("/?11"), None, b"11", False, id="of_a_length"),
        pytest.param(get(version="1.0"), None, None, True, id="1.0"),
        pytest.param(get(version="1.0", fields="Connection: keep-alive\r\n"), None, None, True, id="1.0_keep_alive"),
        pytest.param(get("/?11", version="1.0"), None, b"11", True, id="1.0_of_a_length"),
    ],
)
def test_pieces_are_framed_as_the_client_understands(configure, pieces, request_bytes, coding, length, closes) -> None:
    results = drive(configure(pieces), repeat(4, ask(request_bytes, eof if closes else None)))
    for result in results:
        (frame,) = result.frames
        assert (frame.body, frame.closes) == (WHOLE, closes)
        assert (frame.header("transfer-encoding"), frame.header("content-length")) == (coding, length)
    assert (results.counters.parked, results.counters.in_flight, results.counters.responses_2xx) == (0, 0, 4)


@pytest.mark.parametrize("path", ["/", "/?11"])
def test_head_is_answered_with_the_head_alone_and_the_connection_goes_on(configure, pieces, path) -> None:
    script = ask(get(path, method="HEAD") + get(path), frames(2), heads={0})
    (result,) = drive(configure(pieces), [script])
    assert result.bodies == [b"", WHOLE]
    assert result.frames[0].header("transfer-encoding") == result.frames[1].header("transfer-encoding")


def test_requests_pipelined_behind_pieces_are_answered_in_order(configure, pieces) -> None:
    script = Script(rounds=[Round(send=get() * 20 + get("/?11") * 20, until=frames(40)), Round(send=get())])
    results = drive(configure(pieces), repeat(4, script))
    assert [result.bodies for result in results] == [[WHOLE] * 41] * 4


@pytest.mark.parametrize("length", [10, 12])
def test_a_wrong_length_is_a_500_as_long_as_the_head_has_not_left(configure, caplog, length) -> None:
    (result,) = drive(configure(plain), [ask(get(f"/?{length}"), eof)])
    assert result.statuses == [500]
    assert "the length that start() was given" in caplog.text


@pytest.mark.parametrize("length", [10, 12])
def test_a_wrong_length_is_cut_visibly_once_the_head_has_left(configure, caplog, length) -> None:
    def more(response):
        response.write(b"x" * 11)

    handle = later(lambda response: response.start(200, length=length), more)
    (result,) = drive(configure(handle), [ask(get() + get(), eof)])
    assert result.frames == ()
    assert b"Content-Length: %d\r\n" % length in result.raw
    assert "the length that start() was given" in caplog.text


def test_what_is_cleared_does_not_count_as_written(configure) -> None:
    def again(response):
        response.write(b"wrong")
        response.clear()
        response.write(b"right")

    (result,) = drive(configure(later(lambda response: response.start(200, length=5), again)), [ask(get())])
    assert result.bodies == [b"right"]


@pytest.mark.parametrize("waits", [False, True])
def test_trailers_follow_the_last_chunk_and_only_that(configure, waits) -> None:
    def begin(response):
        response.start(200)
        response.trailers({"X-Sum": "0"})
        response.write(b"a")

    def end(response):
        response.trailers({"X-Sum": "1", "X-More": "2"})

    def at_once(request, response, worker):
        begin(response)
        end(response)

    handle = later(begin, end) if waits else at_once
    results = drive(configure(handle), [ask(get()), ask(get(version="1.0"), eof)])
    assert [result.bodies for result in results] == [[b"a"], [b"a"]]
    assert [result.frames[0].trailers for result in results] == [((b"X-Sum", b"1"), (b"X-More", b"2")), ()]


@pytest.mark.parametrize("waits", [False, True])
def test_early_hints_are_for_clients_that_know_them(configure, waits) -> None:
    def hint(response):
        response.inform(103, {"Link": "</a.css>"})

    def end(response):
        response.reply(200, b"page")

    def at_once(request, response, worker):
        hint(response)
        end(response)

    handle = later(hint, end) if waits else at_once
    results = drive(configure(handle), [ask(get() * 2, frames(4)), ask(get(version="1.0"), eof)])
    assert [result.statuses for result in results] == [[103, 200, 103, 200], [200]]
    assert results[1].bodies == [b"page"]


def test_early_hints_leave_before_the_final_head_is_known(configure) -> None:
    waiting = []

    def end(request, response, worker, payload, event):
        response.start(200)
        response.write(b"page")

    def handle(request, response, worker):
        if request.path == b"/go":
            waiting.pop().resume(end)
            return response.reply(204)
        response.inform(103)
        waiting.append(worker.park())
        return Step.SUSPEND

    with Session(configure(handle)) as session:
        group = session.fire([ask(get(), frames(1))])
        assert group.results[0].statuses == [103]
        session.fire([ask(get("/go"))])
        assert session.wait(group, frames(2))[0].bodies == [b"", b"page"]


@pytest.mark.parametrize("kind", ["plain", "streamed", "later"])
def test_a_field_that_says_close_closes_after_the_content(configure, kind) -> None:
    def begin(response):
        response.start(200, {"Connection": "close"})

    def handle(request, response, worker):
        begin(response)
        if kind == "streamed":
            response.stream(PIECES)
        else:
            response.write(WHOLE)

    handler = later(begin, lambda response: response.write(WHOLE)) if kind == "later" else handle
    (result,) = drive(configure(handler), [ask(get() + get(), eof)])
    assert (result.bodies, result.frames[0].closes) == ([WHOLE], True)


# Iterables.


class Source:
    """Counts what is taken of it, and notices when it is closed."""

    def __init__(self, pieces) -> None:
        self.pieces = iter(pieces)
        self.taken = 0
        self.closed = threading.Event()

    def __iter__(self):
        return self

    def __next__(self):
        piece = next(self.pieces)
        if isinstance(piece, Exception):
            raise piece
        self.taken += 1
        return piece

    def close(self) -> None:
        self.closed.set()


def streaming(source):
    """Streams the source for /stream, answers others at once."""

    def handle(request, response, worker):
        if request.path != b"/stream":
            return response.reply(200, b"other")
        return response.stream(source)

    return handle


def test_an_endless_source_is_pulled_as_its_client_takes_it_and_others_are_served(configure) -> None:
    source = Source(itertools.repeat(b"x" * 10_000))
    script = Script(rounds=[Round(send=[get("/stream"), b""], reads=False)], receive_buffer=4096)
    with Session(configure(streaming(source))) as session:
        slow = session.fire([script])
        session.fire(repeat(8, Script(rounds=[Round(send=get())] * 20)))
        assert source.taken * 10_000 < 20_000_000  # what the kernel holds, and the marks
        taken = source.taken
        session.wait(slow, count(b"x" * 10_000, taken + 100))
        assert source.taken > taken
        session.close(slow, reset=True)
        counters = session.await_counters(lambda counters: counters.parked == 0)
        assert source.closed.wait(20)
        assert counters.in_flight == 0


def test_a_source_is_closed_at_its_end_and_when_the_server_ends(configure) -> None:
    ended, endless = Source(PIECES), Source(itertools.repeat(b"x" * 10_000))
    drive(configure(streaming(ended)), [ask(get("/stream"))])
    assert ended.closed.is_set()
    with Session(configure(streaming(endless))) as session:
        session.fire([Script(rounds=[Round(send=[get("/stream"), b""], reads=False)], receive_buffer=4096)])
        session.server.shutdown(0)
    assert endless.closed.is_set()


@pytest.mark.parametrize("wrong", [ValueError("no more"), "text", None, 7], ids=repr)
def test_a_source_that_fails_at_first_is_a_500(configure, caplog, wrong) -> None:
    source = Source([wrong])
    results = drive(configure(streaming(source)), [ask(get("/stream"), eof)])
    assert results[0].statuses == [500]
    assert source.closed.is_set()
    assert results.counters.parked == 0


@pytest.mark.parametrize("wrong", [ValueError("no more"), "text", None, 7], ids=repr)
def test_a_source_that_fails_later_cuts_its_answer_visibly(configure, caplog, wrong) -> None:
    source = Source([b"x" * 100_000] * 3 + [wrong])
    results = drive(configure(streaming(source)), [ask(get("/stream") + get(), eof)])
    assert results[0].frames == ()
    assert results[0].raw.count(b"x") == 300_000
    assert not results[0].raw.endswith(END)
    assert source.closed.is_set()
    assert "a continuation raised" in caplog.text
    assert (results.counters.parked, results.counters.in_flight) == (0, 0)


def test_empty_pieces_do_not_end_an_answer(configure) -> None:
    (result,) = drive(configure(streaming([b"", b"a", b"", b"b", b""])), [ask(get("/stream"))])
    assert result.bodies == [b"ab"]


def test_nothing_is_pulled_for_an_answer_without_content(configure) -> None:
    source = Source(PIECES)
    (result,) = drive(configure(streaming(source)), [ask(get("/stream", method="HEAD"), heads={0})])
    assert (result.statuses, source.taken, source.closed.is_set()) == ([200], 0, True)


def test_a_large_stream_arrives_whole_at_any_pace(configure) -> None:
    content = [bytes([number]) * 50_000 for number in range(100)]
    scripts = [
        Script(rounds=[Round(send=get("/stream")), Round(send=get())], receive_buffer=4096, receive_bytes=size)
        for size in (3_000, 65_536)
    ]
    results = drive(configure(streaming(content)), scripts)
    assert [result.bodies for result in results] == [[b"".join(content), b"other"]] * 2


def test_on_drained_goes_on_at_the_pace_of_the_client(configure) -> None:
    most = []

    def more(request, response, worker, left, event):
        assert event == Event.WRITABLE
        most.append(response.unsent)
        response.write(b"x" * 100_000)
        if left == 0:
            return Step.DONE
        response.on_drained(more, left - 1)
        return Step.SUSPEND

    def handle(request, response, worker):
        response.start(200)
        response.on_drained(more, 49)
        return Step.SUSPEND

    script = Script(rounds=[Round(send=get()), Round(send=get())], receive_buffer=4096)
    (result,) = drive(configure(handle, limits=Limits(low_water_bytes=1000)), [script])
    assert [len(body) for body in result.bodies] == [5_000_000] * 2
    assert len(most) == 100
    assert max(most) <= 1000


# Handles.


class Hub:
    """Opens streams at /open and /raw, and lets other requests do things to them."""

    def __init__(self, **deeds) -> None:
        self.handles = []
        self.gone = 0
        self.deeds = deeds
        self.results = []

    def __call__(self, request, response, worker):
        deed = self.deeds.get(request.path[1:].decode())
        if deed is not None:
            self.results.append(deed(self, worker))
            return response.reply(200, b"done")
        if request.path not in (b"/open", b"/raw"):
            return response.reply(200, b"other")
        if request.path == b"/open":
            response.start(200)
        self.handles.append(worker.park(on_disconnect=self.leave))
        return Step.SUSPEND

    def leave(self) -> None:
        self.gone += 1


def from_a_request(hub, worker, deed) -> None:
    deed()


def from_a_timer(hub, worker, deed) -> None:
    worker.call_later(0, deed)


def from_a_post(hub, worker, deed) -> None:
    worker.post(deed)


@pytest.mark.parametrize("run", [from_a_request, from_a_timer, from_a_post])
@pytest.mark.parametrize(("version", "end"), [("1.1", frames(1)), ("1.0", eof)])
def test_a_handle_writes_and_ends_its_answer_from_anywhere(configure, run, version, end) -> None:
    def write(hub, worker):
        run(hub, worker, lambda: hub.handles[0].write(b"one"))

    def finish(hub, worker):
        run(hub, worker, lambda: (hub.handles[0].write(b"two"), hub.handles[0].finish(), hub.handles[0].write(b"no")))

    with Session(configure(Hub(write=write, finish=finish))) as session:
        group = session.fire([ask(get("/open", version), headers_seen)])
        session.fire([ask(get("/write"))])
        assert session.wait(group, count(b"one", 1))[0].frames == ()
        session.fire([ask(get("/finish"))])
        assert session.wait(group, end)[0].bodies == [b"onetwo"]
        counters = session.await_counters(lambda counters: counters.parked == 0)
        assert counters.responses_2xx == 3


def test_abort_cuts_an_answer_off_and_tells_nobody(configure) -> None:
    hub = Hub(abort=lambda hub, worker: [handle.abort() for handle in hub.handles])
    with Session(configure(hub)) as session:
        group = session.fire([ask(get("/open") + get("/open"), headers_seen), ask(get("/open", "1.0"), headers_seen)])
        session.fire(repeat(2, ask(get("/abort"))))
        for result in session.wait(group, eof):
            assert not result.raw.endswith(END)
        session.await_counters(lambda counters: (counters.parked, counters.in_flight) == (0, 0))
        assert hub.gone == 0


def test_an_answer_that_has_not_begun_takes_no_pieces_and_goes_on(configure) -> None:
    def write(hub, worker):
        with pytest.raises(RuntimeError, match="has not begun"):
            hub.handles[0].write(b"x")

    def answer(hub, worker):
        hub.handles[0].resume(lambda request, response, *_: response.reply(200, b"late"))

    with Session(configure(Hub(write=write, answer=answer))) as session:
        group = session.fire([ask(get("/raw") + get(), lambda received: True)])
        session.await_counters(lambda counters: counters.parked == 1)
        session.fire([ask(get("/write"))])
        session.fire([ask(get("/answer"))])
        assert session.wait(group, frames(2))[0].bodies == [b"late", b"other"]


def test_to_finish_an_answer_that_has_not_begun_is_a_500(configure, caplog) -> None:
    with Session(configure(Hub(finish=lambda hub, worker: hub.handles[0].finish()))) as session:
        group = session.fire([ask(get("/raw"), lambda received: True)])
        session.await_counters(lambda counters: counters.parked == 1)
        session.fire([ask(get("/finish"))])
        assert session.wait(group, eof)[0].statuses == [500]
    assert "appended no response" in caplog.text


def test_a_handle_whose_client_is_gone_takes_everything_and_does_nothing(configure) -> None:
    def use(hub, worker):
        handle = hub.handles[0]
        handle.write(b"x")
        handle.finish()
        handle.abort()
        return (handle.is_active, handle.unsent, worker.write_each([handle], b"x", 0) == [handle])

    hub = Hub(use=use)
    with Session(configure(hub)) as session:
        group = session.fire([ask(get("/open"), headers_seen)])
        session.close(group, reset=True)
        session.await_counters(lambda counters: counters.parked == 0)
        others = session.fire([ask(get("/use"))])
        assert others.results[0].statuses == [200]
        assert (hub.results, hub.gone) == ([(False, 0, True)], 1)


def test_pieces_written_in_the_call_and_the_tick_of_the_suspension_are_in_order(configure) -> None:
    def handle(request, response, worker):
        response.start(200)
        parked = worker.park()
        response.write(b"1")
        parked.write(b"2")
        parked.resume(go_on, parked)
        worker.post(lambda: (parked.write(b"6"), parked.finish()))
        return Step.SUSPEND

    def go_on(request, response, worker, parked, event):
        response.write(b"3")
        parked.write(b"4")
        worker.write_each([parked], b"5", 0)
        return Step.SUSPEND

    results = drive(configure(handle), [ask(get() * 10, frames(10))] * 4)
    assert [result.bodies for result in results] == [[b"123456"] * 10] * 4


def test_a_response_cannot_be_finished_in_its_own_call(configure) -> None:
    def handle(request, response, worker):
        response.start(200)
        with pytest.raises(RuntimeError, match=r"return Step\.DONE there"):
            worker.park().finish()
        response.write(b"a")

    assert drive(configure(handle), [ask(get())])[0].bodies == [b"a"]


def test_one_piece_for_many_keeps_its_place_among_others(configure) -> None:
    def write(hub, worker):
        for handle in hub.handles[::2]:
            handle.write(b"a")
        left = worker.write_each(hub.handles, b"b", 1_000_000)
        for handle in hub.handles:
            handle.write(b"c")
        left += worker.write_each(hub.handles, b"", 0)
        for handle in hub.handles:
            handle.finish()
        return left

    hub = Hub(write=write)
    with Session(configure(hub)) as session:
        new = session.fire(repeat(20, ask(get("/open"), headers_seen)))
        old = session.fire(repeat(20, ask(get("/open", "1.0"), headers_seen)))
        session.fire([ask(get("/write"))])
        bodies = [result.bodies for result in session.wait(new, frames(1)) + session.wait(old, eof)]
        assert sorted(bodies) == [[b"abc"]] * 20 + [[b"bc"]] * 20
        assert hub.results == [[]]
        session.await_counters(lambda counters: counters.parked == 0)


def test_one_piece_for_many_leaves_out_those_who_do_not_keep_up(configure) -> None:
    def flood(hub, worker):
        left = []
        while not left:
            left = worker.write_each(hub.handles[:1], b"x" * 100_000, 0)
        return (left == hub.handles[:1], worker.write_each(hub.handles, b"last", 0) == hub.handles[:1])

    hub = Hub(flood=flood)
    with Session(configure(hub)) as session:
        slow = session.fire([Script(rounds=[Round(send=[get("/open"), b""], reads=False)], receive_buffer=4096)])
        quick = session.fire([ask(get("/open"), headers_seen)])
        session.fire([ask(get("/flood"))])
        session.wait(quick, count(b"4\r\nlast\r\n", 1))
        assert hub.results == [(True, True)]
        session.close(slow, reset=True)
        session.await_counters(lambda counters: counters.parked == 1)


# Shutdown.


def test_a_shutdown_ends_a_thousand_open_streams_properly_long_before_its_grace(configure) -> None:
    before = count_descriptors()

    def handle(request, response, worker):
        response.start(200)
        parked = worker.park()
        worker.on_drain(lambda: (parked.write(b"bye"), parked.finish()))
        return Step.SUSPEND

    with Server(configure(handle, port=0, graceful_timeout=600.0)) as server:
        with Client(("127.0.0.1", server.port)) as client:
            group = client.fire(repeat(1000, ask(get(), headers_seen)))
            server.shutdown()
            results = client.wait(group, frames(1))
        assert {tuple(result.bodies) for result in results} == {(b"bye",)}
        counters = server.counters()
        assert (counters.parked, counters.in_flight, counters.open) == (0, 0, 0)
    assert count_descriptors() == before


@pytest.mark.parametrize("finishes", [True, False])
def test_streams_are_told_once_short_answers_are_finished_or_half_the_grace_is_over(configure, finishes) -> None:
    order = []

    def short(request, response, worker, parked, event):
        order.append("short")
        response.reply(200, b"short")

    def handle(request, response, worker):
        parked = worker.park()
        if request.path == b"/short":

            def look():
                if worker.draining and finishes:
                    parked.resume(short, parked)
                else:
                    worker.call_later(0.001, look)

            worker.call_later(0, look)
            return Step.SUSPEND
        response.start(200)
        worker.on_drain(lambda: (order.append("stream"), parked.finish()))
        return Step.SUSPEND

    grace = 600.0 if finishes else 0.2
    server = Server(configure(handle, port=0, graceful_timeout=grace))
    with server, Client(("127.0.0.1", server.port)) as client:
        stream = client.fire([ask(get(), headers_seen)])
        other = client.fire([ask(get("/short"), lambda received: True)])
        while server.counters().parked < 2:
            give_way()
        server.shutdown()
        assert client.wait(stream, frames(1))[0].statuses == [200]
        assert client.wait(other, eof)[0].statuses == [200] * finishes
    assert order == ["short"] * finishes + ["stream"]


def test_on_drain_calls_in_an_idle_server_too(configure) -> None:
    """Also what was asked for at the start, and by a request that is long answered."""
    called = []

    def handle(request, response, worker):
        worker.on_drain(called.append, "request")
        response.reply(204)

    def start(worker):
        worker.on_drain(called.append, "start")

    drive(configure(handle, on_worker_start=start), [ask(get())])
    assert called == ["start", "request"]


def test_what_on_drain_calls_may_raise_and_others_are_called(configure, caplog) -> None:
    def handle(request, response, worker):
        response.start(200)
        parked = worker.park()
        worker.on_drain(int, "no number")
        worker.on_drain(parked.finish)
        return Step.SUSPEND

    with Server(configure(handle, port=0)) as server, Client(("127.0.0.1", server.port)) as client:
        group = client.fire([ask(get(), headers_seen)])
        server.shutdown()
        assert client.wait(group, frames(1))[0].statuses == [200]
    assert "no number" in caplog.text


def test_a_streamed_answer_is_timed_with_all_its_bytes(configure, pieces) -> None:
    timings = []
    results = drive(configure(pieces, on_timing=timings.append), repeat(3, ask(get())))
    assert len(timings) == 3
    for timing in timings:
        assert (timing.status, timing.sent_ns >= timing.returned_ns > 0) == (200, True)
        assert timing.response_bytes == len(results[0].raw)


@needs_freed_memory
def test_streams_of_small_requests_hold_no_slab_that_others_stood_in(configure) -> None:
    """512 of them, each pipelined behind 60 KiB that were answered: the slabs would be 32 MiB."""

    def handle(request, response, worker):
        if request.path != b"/open":
            return response.reply(200)
        response.start(200)
        worker.park()
        return Step.SUSPEND

    filler = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    with Session(configure(handle)) as session:
        session.fire(repeat(16, ask(filler)))
        before = resident_bytes()
        for _ in range(32):
            session.fire(repeat(16, ask(filler + get("/open"), count(b"\r\n\r\n", 2))))
        assert session.server.counters().parked == 512
        assert resident_bytes() - before < 16 * 2**20


def test_a_handle_given_twice_is_written_to_twice_even_if_its_client_has_just_gone(configure) -> None:
    """Nobody has told the worker: the first of the two sends finds out."""
    held = threading.Event()
    gone = threading.Event()

    def write(hub, worker):
        held.set()
        assert gone.wait(20)
        return len([worker.write_each(hub.handles * 3, b"x" * 100, 10**6) for _ in range(3)])

    hub = Hub(write=write)
    with Session(configure(hub)) as session:
        group = session.fire([ask(get("/open"), headers_seen)])
        other = session.fire([ask(get("/write"), lambda received: True)])
        assert held.wait(20)
        session.close(group, reset=True)
        gone.set()
        assert session.wait(other, frames(1))[0].statuses == [200]
        counters = session.await_counters(lambda counters: counters.parked == 0)
        assert (hub.gone, counters.open) == (1, 1)
