"""Where the time of each request went, and what the counters say."""

import threading
import time

from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, repeat, sent

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


def test_every_request_is_timed_in_order(configure, numbered) -> None:
    timings = []
    scripts = [Script(rounds=[Round(send=GET % 1 + GET % 22, until=frames(2)), Round(send=GET % 333)])] * 8
    drive(configure(numbered, on_timing=timings.append), scripts)
    assert sorted(timing.target for timing in timings) == [b"/1"] * 8 + [b"/22"] * 8 + [b"/333"] * 8
    for timing in timings:
        assert 0 < timing.received_ns <= timing.entered_ns <= timing.returned_ns <= timing.sent_ns
        assert (timing.method, timing.status) == (b"GET", 200)
        assert timing.request_bytes == len(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % timing.target)
        assert timing.response_bytes == len(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%b" % timing.target[1:])


def test_pipelined_requests_are_timed_one_by_one(configure, numbered) -> None:
    timings = []
    drive(configure(numbered, on_timing=timings.append), [ask(b"".join(GET % n for n in range(100)), frames(100))])
    assert [timing.target for timing in timings] == [b"/%d" % n for n in range(100)]
    entered = [timing.entered_ns for timing in timings]
    returned = [timing.returned_ns for timing in timings]
    assert entered == sorted(entered)
    assert all(earlier <= later for earlier, later in zip(returned, entered[1:], strict=False))


def test_a_request_is_received_with_its_last_byte_and_answered_with_its_last(configure) -> None:
    timings = []

    def handle(request, response, worker):
        response.reply(200, b"x" * 8_000_000 * (request.path == b"/a"))

    post = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
    with Session(configure(handle, on_timing=timings.append)) as session:
        script = Script(rounds=[Round(send=[post[:-1], b""], reads=False)], receive_buffer=4096)
        group = session.fire([script])
        before_its_last_byte = time.monotonic_ns()
        session.go_on(group, Round(send=post[-1:], reads=False))
        session.await_counters(lambda counters: counters.bytes_sent > 10_000)
        before_it_is_read = time.monotonic_ns()
        session.wait(group, frames(1))
        session.stop()
    [timing] = [timing for timing in timings if timing.target == b"/a"]  # the other one is the barrier's
    assert timing.request_bytes == len(post)
    assert timing.response_bytes > 8_000_000
    assert before_its_last_byte <= timing.received_ns
    assert timing.returned_ns <= before_it_is_read <= timing.sent_ns


def test_a_request_that_fails_is_timed_with_the_status_it_was_answered(configure, caplog) -> None:
    timings = []

    def handle(request, response, worker):
        raise RuntimeError("on purpose")

    drive(configure(handle, on_timing=timings.append), [ask(GET % 1, eof)])
    assert [(timing.status, timing.target) for timing in timings] == [(500, b"/1")]


def test_the_counters_add_up(configure) -> None:
    def handle(request, response, worker):
        response.reply(int(request.path[1:]))

    statuses = [200, 201, 204, 301, 304, 404, 404, 503]
    wire = b"".join(GET % status for status in statuses)
    results = drive(configure(handle), repeat(10, ask(wire, frames(len(statuses)))))
    counters = results.counters
    assert (counters.accepted, counters.open, counters.requests, counters.in_flight) == (10, 0, 80, 0)
    by_class = [getattr(counters, f"responses_{n}xx") for n in (1, 2, 3, 4, 5)]
    assert by_class == [0, 30, 20, 20, 10]
    assert counters.bytes_received == 10 * len(wire)
    assert counters.bytes_sent == sum(len(result.raw) for result in results)
    assert counters.ticks > 0
    assert counters.gil_held_ns > 0
    assert (counters.parked, counters.handler_since_ns, counters.limits_reached) == (0, 0, {})


def test_another_thread_sees_since_when_a_worker_is_inside_a_handler(configure) -> None:
    go_on = threading.Event()

    def handle(request, response, worker):
        go_on.wait(10)
        response.reply(200)

    with Session(configure(handle)) as session:
        began = time.monotonic_ns()
        group = session.fire([ask(GET % 1, sent)])
        counters = session.await_counters(lambda counters: counters.handler_since_ns > 0)
        assert began <= counters.handler_since_ns <= time.monotonic_ns()
        assert counters.in_flight == 1
        go_on.set()
        assert session.wait(group, frames(1))[0].statuses == [200]
        session.await_counters(lambda counters: counters.handler_since_ns == 0)
