"""How answers leave: partial writes, slow readers, readers that do not read, and the end of a connection."""

import threading
import time

import pytest

from system import resident_bytes
from vanilla import Limits, Step
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
PATTERN = b"".join(b"%07d\n" % n for n in range(1_000_000))  # 8 MB, in which every cut and every swap shows


def sized(request, response, worker):
    """Answers with as many bytes of the pattern as the path says."""
    response.reply(200, memoryview(PATTERN)[: int(request.path[1:] or 0)])


def get(size: int) -> bytes:
    return b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % size


@pytest.mark.parametrize("sizes", [[8_000_000], [70_000, 70_000], [1, 500_000, 0, 70_000, 3], [300_000] * 20])
@pytest.mark.parametrize("receive_bytes", [1_000, 65_536])
def test_answers_larger_than_the_socket_buffer_arrive_whole_and_in_order(configure, sizes, receive_bytes) -> None:
    rounds = [Round(send=b"".join(map(get, sizes)), until=frames(len(sizes))), Round(send=get(5))]
    script = Script(rounds=rounds, receive_buffer=4096, receive_bytes=receive_bytes)
    results = drive(configure(sized), [script] * 2)
    for result in results:
        assert [len(body) for body in result.bodies] == [*sizes, 5]
        assert result.bodies == [PATTERN[:size] for size in [*sizes, 5]]
    assert results.counters.bytes_sent == sum(len(result.raw) for result in results)
    assert results.counters.in_flight == 0


@pytest.mark.parametrize("size", [0, 1, 4096, 65_536, 262_144, 8_000_000])
def test_a_last_answer_larger_than_the_socket_buffer_arrives_before_the_end(configure, size: int) -> None:
    request = CLOSE.replace(b"/ ", b"/%d " % size)
    script = Script(rounds=[Round(send=[request, b""], reads=False), Round(until=eof)], receive_buffer=4096)
    results = drive(configure(sized), [script, ask(request, eof)])
    for result in results:
        assert result.bodies == [PATTERN[:size]]
        assert result.frames[0].closes
        assert (result.rest, result.reset) == (b"", False)


def test_a_handler_that_closes_does_so_after_its_answer_was_taken(configure) -> None:
    def handle(request, response, worker):
        sized(request, response, worker)
        return Step.CLOSE

    script = Script(rounds=[Round(send=[get(8_000_000), b""], reads=False), Round(until=eof)], receive_buffer=4096)
    results = drive(configure(handle), [script])
    assert results[0].bodies == [PATTERN]
    assert not results[0].reset


def test_others_are_served_while_an_answer_waits_for_its_reader(configure) -> None:
    with Session(configure(sized)) as session:
        stalled = session.fire(repeat(8, Script(rounds=[Round(send=[get(8_000_000), b""], reads=False)])))
        others = session.fire(repeat(16, Script(rounds=[Round(send=get(100))] * 50)))
        assert {tuple(result.statuses) for result in others.results} == {(200,) * 50}
        assert [result.bodies for result in session.wait(stalled, frames(1))] == [[PATTERN]] * 8


def test_a_client_that_pipelines_and_does_not_read_is_held_in_bounded_memory(configure) -> None:
    """50 MB of answers are asked for; what is not read is not made before there is room for it."""
    limits = Limits(max_pending_bytes=1_000_000)
    with Session(configure(sized, limits=limits)) as session:
        session.fire([ask(get(100_000) * 20, frames(20))])
        before = resident_bytes()
        group = session.fire([Script(rounds=[Round(send=[get(100_000) * 500, b""], reads=False)])])
        session.fire(repeat(4, Script(rounds=[Round(send=get(100))] * 20)))
        counters = session.server.counters()
        assert resident_bytes() - before < 8_000_000
        assert counters.requests < 500
        assert counters.limits_reached["max_pending_bytes"] >= 1
        bodies = session.wait(group, frames(500))[0].bodies
        assert len(bodies) == 500
        assert set(bodies) == {PATTERN[:100_000]}
        assert session.stop().in_flight == 0


def test_many_clients_that_do_not_read_get_everything_once_they_do(configure) -> None:
    sizes = [1, 200_000, 70_000] * 10
    with Session(configure(sized, limits=Limits(max_pending_bytes=100_000))) as session:
        script = Script(rounds=[Round(send=[b"".join(map(get, sizes)), b""], reads=False)], receive_buffer=4096)
        group = session.fire(repeat(8, script))
        results = session.wait(group, frames(len(sizes)))
        assert [result.bodies for result in results] == [[PATTERN[:size] for size in sizes]] * 8


def test_a_client_that_pipelines_half_closes_and_reads_late_gets_everything(configure) -> None:
    limits = Limits(max_pending_bytes=100_000)
    rounds = [Round(send=[get(100_000) * 100, b""], reads=False, half_close=True), Round(until=eof)]
    results = drive(configure(sized, limits=limits), repeat(4, Script(rounds=rounds, receive_buffer=4096)))
    assert [len(result.frames) for result in results] == [100] * 4
    assert {body for result in results for body in result.bodies} == {PATTERN[:100_000]}
    assert {(result.rest, result.reset) for result in results} == {(b"", False)}


def test_what_waits_behind_answers_that_are_not_read_is_given_up_with_them(configure) -> None:
    limits = Limits(max_pending_bytes=100_000, write_timeout=0.1)
    with Session(configure(sized, limits=limits)) as session:
        session.fire(repeat(4, Script(rounds=[Round(send=get(100_000) * 500, reads=False)], receive_buffer=4096)))
        counters = session.await_counters(lambda counters: (counters.accepted, counters.open) == (4, 0))
        assert counters.limits_reached["write_timeout"] == 4
        assert counters.in_flight == 0


def test_the_next_request_has_its_time_from_when_the_answers_before_it_were_read(configure) -> None:
    """A 408 never lands in the midst of an answer."""
    pause = Round(send=[b""] * 4, every=0.1, reads=False)
    rounds = [Round(send=get(8_000_000) + b"GET / HT", reads=False), pause, Round(until=eof)]
    results = drive(configure(sized, limits=Limits(read_timeout=0.1)), [Script(rounds=rounds, receive_buffer=4096)])
    assert results[0].statuses == [200, 408]
    assert results[0].bodies[0] == PATTERN


# Early flush: what took long to make is not held back by what comes after it.


class Gate:
    """A handler that takes its time for /long, waits to be let go for /wait, and logs what it was asked."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.is_waiting = threading.Event()

    def __call__(self, request, response, worker) -> None:
        {b"/long": self.take_long, b"/wait": self.wait}.get(request.path, bool)()
        response.reply(200, request.path)

    def take_long(self) -> None:
        end = time.monotonic() + 0.005
        while time.monotonic() < end:
            pass

    def wait(self) -> None:
        self.is_waiting.set()
        assert self.opened.wait(20)


def ask_for(*paths: bytes) -> bytes:
    return b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in paths)


@pytest.mark.exact("needs an early flush that the kernel takes whole")
def test_answers_do_not_wait_for_a_slow_request_pipelined_behind_them(configure) -> None:
    gate = Gate()
    with Session(configure(gate)) as session:
        group = session.fire([ask(ask_for(b"/a", b"/long", b"/wait", b"/b"), frames(2))])
        gate.opened.set()
        assert session.wait(group, frames(4))[0].bodies == [b"/a", b"/long", b"/wait", b"/b"]


@pytest.mark.exact("needs requests of several clients in one tick")
def test_answers_do_not_wait_for_a_slow_request_of_another_client(configure) -> None:
    """All arrive while the worker is held up, and so are handled in one tick."""
    first, gate = Gate(), Gate()

    def handle(request, response, worker):
        (first if request.query == b"first" else gate)(request, response, worker)

    with Session(configure(handle)) as session:
        holding = session.fire([ask(ask_for(b"/wait?first"), sent)])
        assert first.is_waiting.wait(20)
        quick = session.fire([ask(ask_for(b"/a", b"/long"), sent)])
        slow = session.fire([ask(ask_for(b"/wait", b"/b"), sent)])
        first.opened.set()
        assert session.wait(quick, frames(2))[0].bodies == [b"/a", b"/long"]
        assert gate.is_waiting.wait(20)
        gate.opened.set()
        assert session.wait(slow, frames(2))[0].bodies == [b"/wait", b"/b"]
        assert session.wait(holding, frames(1))[0].bodies == [b"/wait"]


# Lingering close, RFC 9112 section 9.6: closed with input unread, a socket would send RST, and the answer be lost.


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n" + b"a" * 10_485_760, 413, id="body"
        ),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nA00000\r\n" + b"a" * 10_485_760,
            413,
            id="chunked_body",
        ),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"a" * 10_000_000, 431, id="header"),
        pytest.param(b"garbage\r\n" * 1_000_000, 400, id="garbage"),
        pytest.param(CLOSE + b"a" * 10_000_000, 200, id="after_the_last_request"),
    ],
)
def test_a_client_that_sends_on_without_reading_still_receives_its_answer(configure, wire: bytes, status: int) -> None:
    script = Script(rounds=[Round(send=wire, reads=False), Round(until=eof)])
    results = drive(configure(sized), [script] * 2)
    assert [result.statuses for result in results] == [[status]] * 2
    assert {(result.rest, result.reset) for result in results} == {(b"", False)}
    assert results.counters.bytes_received <= 2 * len(wire)


def test_a_client_that_never_stops_sending_is_cut_off(configure) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10485760\r\n\r\n"
    script = Script(rounds=[Round(send=[head, *[b"a" * 10] * 2000], every=0.01, reads=False), Round(until=eof)])
    results = drive(configure(sized, limits=Limits(linger_timeout=0.1)), [script])
    assert results[0].reset
    assert results.counters.limits_reached == {"max_body_bytes": 1, "linger_timeout": 1}
