"""Files by sendfile(2): whole and in order with what else is queued, fair to others, and no descriptor left behind."""

import asyncio
import errno
import os
import pathlib
import select
import socket
import threading

import pytest

from system import IS_WINDOWS, close, count_held, needs_descriptor_limit, ready_reader
from vanilla import Event, Interest, Limits, Step
from vanilla.testing import Round, Script, Session, ask, drive, eof, frames, headers_seen, sent

PATTERN = b"".join(b"%07d\n" % n for n in range(1_000_000))  # 8 MB, in which every cut and every swap shows
SHARE_BYTES = 1024 * 1024  # of a file that a connection gets in one tick, where it is alone


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """The pattern as a file."""
    path = tmp_path / "pattern"
    path.write_bytes(PATTERN)
    return path


@pytest.fixture
def serve(path: pathlib.Path):
    """A handler: /a-b is the file's bytes from a to b, by a descriptor that is closed when it returns."""

    def serve(request, response, worker):
        offset, _, end = request.path[1:].partition(b"-")
        count = int(end or len(PATTERN)) - int(offset or 0)
        with path.open("rb") as file:
            response += b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count
            response.send_file(file, int(offset or 0), count)

    return serve


def get(path: str, line: str = "HTTP/1.1", method: str = "GET") -> bytes:
    return f"{method} /{path} {line}\r\nHost: a\r\n\r\n".encode()


SIZES = [0, 1, 16_384, 16_385, 65_536, 1_048_576, 8_000_000]


@pytest.mark.parametrize("receive", [(None, 262_144), (4096, 65_536), (4096, 1_000)], ids=["fast", "slow", "slower"])
def test_a_file_of_any_size_arrives_whole_and_in_order(configure, serve, path, receive) -> None:
    sizes = [size for size in SIZES if size <= 1_000 * receive[1]]
    wire = b"".join(get(f"0-{size}") for size in sizes)
    script = Script(rounds=[Round(send=wire, until=frames(len(sizes)))], receive_buffer=receive[0],
                    receive_bytes=receive[1])  # fmt: skip
    results = drive(configure(serve), [script] * 2)
    assert [result.bodies for result in results] == [[PATTERN[:size] for size in sizes]] * 2
    assert results.counters.bytes_sent == sum(len(result.raw) for result in results)
    assert results.counters.in_flight == 0
    assert count_held(path) == 0


@pytest.mark.parametrize("checks", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 4_095, 65_536, 7_000_001])
@pytest.mark.parametrize("count", [0, 1, 20_000, 999_999])
def test_a_range_is_the_bytes_it_names(configure, serve, offset: int, count: int, checks: bool) -> None:
    results = drive(configure(serve, check_responses=checks), [ask(get(f"{offset}-{offset + count}"))])
    assert results[0].bodies == [PATTERN[offset : offset + count]]


def test_a_large_file_arrives_whole(configure, tmp_path) -> None:
    """100 MiB, of which the last bytes tell that nothing was cut; in as many ticks as its shares need."""
    size = 100 * 1024 * 1024
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, size)
    with path.open("r+b") as file:
        file.seek(size - 4)
        file.write(b"last")

    def handle(request, response, worker):
        with path.open("rb") as file:
            response.start(200, length=size)
            response.send_file(file)

    with Session(configure(handle)) as session, socket.create_connection(session.address) as client:
        client.sendall(get(""))
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65_536)
        length = len(head) - head.index(b"\r\n\r\n") - 4
        while length < size:
            piece = client.recv(1_048_576)
            assert piece
            length += len(piece)
        assert piece.endswith(b"\0last")
        assert length == size
        counters = session.await_counters(lambda counters: counters.in_flight == 0)
        assert counters.ticks >= size // SHARE_BYTES // 2  # two in one tick: its turn, and room in the socket


def test_another_client_is_answered_while_a_file_goes_to_a_fast_reader(configure, tmp_path) -> None:
    size = 1024 * 1024 * 1024
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, size)

    def handle(request, response, worker):
        if request.path == b"/small":
            response.reply(200)
            return
        with path.open("rb") as file:
            response.start(200, length=size)
            response.send_file(file)

    target = bytearray(1_048_576)
    with (
        Session(configure(handle)) as session,
        socket.create_connection(session.address) as fast,
        socket.create_connection(session.address) as small,
        small.makefile("rb") as answer,
    ):
        fast.sendall(get("big"))
        received = fast.recv_into(target)
        small.sendall(get("small"))
        while small not in (ready := select.select([fast, small], [], [])[0]):
            assert fast in ready
            received += fast.recv_into(target)
        assert received < size
        assert answer.readline() == b"HTTP/1.1 200 OK\r\n"


def test_several_files_and_bytes_of_one_answer_keep_their_order(configure, path) -> None:
    pieces = [(b"<", 0, 100_000), (b"-", 5, 70_000), (b"=", 1_000_000, 2_000_000), (b"", 3, 20), (b"#", 9, 300_000)]
    content = b"".join(text + PATTERN[offset : offset + count] for text, offset, count in pieces) + b">"

    def handle(request, response, worker):
        response.start(200, length=None if request.path == b"/chunked" else len(content))
        with path.open("rb") as file:
            for text, offset, count in pieces:
                response.write(text)
                response.send_file(file, offset, count)
        response.write(b">")

    wire = get("sized") + get("chunked") + get("sized")
    scripts = [ask(wire, frames(3)), Script(rounds=[Round(send=wire, until=frames(3))], receive_buffer=4096)]
    results = drive(configure(handle, check_responses=True), scripts)
    assert [result.bodies for result in results] == [[content] * 3] * 2


def test_pipelined_answers_stay_before_and_behind_a_file(configure, serve) -> None:
    def handle(request, response, worker):
        if request.path.startswith(b"/name"):
            response.reply(200, request.path[1:])
        else:
            serve(request, response, worker)

    paths = ["name1", "0-500000", "name2", "name3", "7-2000007", "7-100", "name4"]
    expected = [b"name1", PATTERN[:500_000], b"name2", b"name3", PATTERN[7:2_000_007], PATTERN[7:100], b"name4"]
    wire = b"".join(map(get, paths))
    rounds = [Round(send=[wire, b""], reads=False), Round(until=frames(7)), Round(send=get("name5"))]
    scripts = [ask(wire, frames(7)), Script(rounds=rounds, receive_buffer=4096)]
    results = drive(configure(handle), scripts * 2)
    assert [result.bodies for result in results] == [expected, [*expected, b"name5"]] * 2


@pytest.mark.timeout(120)
def test_more_pipelined_files_than_a_process_has_descriptors_for_hold_few_of_them(configure, serve, path) -> None:
    with Session(configure(serve), deadline=100) as session:  # 40 MB in small pieces are slow under Wine
        wire = get("1-20001") * 2_000
        group = session.fire([Script(rounds=[Round(send=[wire, b""], reads=False)], receive_buffer=4096)])
        assert 0 < count_held(path) < 200
        assert session.wait(group, frames(2_000))[0].bodies == [PATTERN[1:20_001]] * 2_000
        session.close(group)
        session.await_counters(lambda counters: (counters.open, count_held(path)) == (0, 0))


@pytest.mark.parametrize(
    ("wire", "heads", "content", "closes"),
    [
        pytest.param(get("0-70000", method="HEAD"), {0}, b"", False, id="head"),
        pytest.param(get("0-70000", line="HTTP/1.0"), (), PATTERN[:70_000], True, id="http_1_0"),
        pytest.param(
            b"GET /0-3000000 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            (),
            PATTERN[:3_000_000],
            True,
            id="close",
        ),
    ],
)
@pytest.mark.parametrize("starts", [False, True], ids=["raw", "started"])
def test_a_file_is_content_like_any_other(configure, serve, path, wire, heads, content, closes, starts) -> None:
    def start(request, response, worker):
        end = int(request.path.partition(b"-")[2])
        response.start(200, length=end if request.version == b"HTTP/1.1" else None)
        with path.open("rb") as file:
            response.send_file(file, 0, end)

    results = drive(configure(start if starts else serve), [ask(wire, eof if closes else None, heads=heads)])
    assert results[0].bodies == [content]
    assert (results[0].frames[0].closes, results[0].reset) == (closes, False)
    assert count_held(path) == 0


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_has_no_file(configure, path, status: int) -> None:
    def handle(request, response, worker):
        response.start(status)
        with path.open("rb") as file:
            response.send_file(file)

    results = drive(configure(handle), [Script(rounds=[Round(send=get("")), Round(send=get(""))])])
    assert results[0].statuses == [status] * 2
    assert results[0].rest == b""


def test_a_handler_that_closes_does_so_behind_its_file(configure, serve) -> None:
    def handle(request, response, worker):
        serve(request, response, worker)
        return Step.CLOSE

    results = drive(configure(handle), [Script(rounds=[Round(send=get("")), Round(until=eof)], receive_buffer=4096)])
    assert results[0].bodies == [PATTERN]
    assert not results[0].reset


def test_requests_that_wait_send_files_before_and_after(configure, path) -> None:
    """The head and a file leave with the suspension; a file alone, then one behind bytes, with the continuations."""

    def handle(request, response, worker):
        if request.path == b"/plain":
            response.reply(200, b"plain")
            return Step.DONE
        response.start(200)
        with path.open("rb") as file:
            response.send_file(file, 0, 1_000_000)
        response.on_drained(middle)
        return Step.SUSPEND

    def middle(request, response, worker, payload, event):
        assert event == Event.WRITABLE
        with path.open("rb") as file:
            response.send_file(file, 1_000_000, 1_000_000)
        fd = ready_reader()
        worker.watch_fd(fd, Interest.READABLE, last, fd)
        return Step.SUSPEND

    def last(request, response, worker, fd, event):
        close(fd)
        with path.open("rb") as file:
            response.write(b"|")
            response.send_file(file, 2_000_000, 3_000_000)

    expected = PATTERN[:2_000_000] + b"|" + PATTERN[2_000_000:5_000_000]
    wire = get("") + get("plain") + get("")
    scripts = [ask(wire, frames(3)), Script(rounds=[Round(send=wire, until=frames(3))], receive_buffer=4096)]
    results = drive(configure(handle), scripts * 2)
    assert [result.bodies for result in results] == [[expected, b"plain", expected]] * 4
    assert (results.counters.in_flight, results.counters.parked) == (0, 0)


def test_a_whole_answer_of_a_continuation_may_be_a_file(configure, serve) -> None:
    def handle(request, response, worker):
        worker.park().resume(resumed)
        return Step.SUSPEND

    def resumed(request, response, worker, payload, event):
        serve(request, response, worker)
        return Step.DONE

    wire = get("9-1000009") + get("9-70009", method="HEAD") + get("7-70007")
    results = drive(configure(handle, check_responses=True), [ask(wire, frames(3), heads={1})] * 3)
    assert [result.bodies for result in results] == [[PATTERN[9:1_000_009], b"", PATTERN[7:70_007]]] * 3


def test_a_suspension_waits_until_the_file_before_it_is_taken(configure, path) -> None:
    """What drains is the file, too: a handler that writes on does not queue one behind the other."""
    unsent = []

    def handle(request, response, worker):
        response.start(200)
        go_on(request, response, worker, 4, None)
        return Step.SUSPEND

    def go_on(request, response, worker, left, event):
        unsent.append(response.unsent)
        with path.open("rb") as file:
            response.send_file(file)
        if left:
            response.on_drained(go_on, left - 1)
            return Step.SUSPEND
        return Step.DONE

    script = Script(rounds=[Round(send=get(""))], receive_buffer=4096)
    results = drive(configure(handle), [script])
    assert results[0].bodies == [PATTERN * 5]
    assert len(unsent) == 5
    assert max(unsent) <= Limits().low_water_bytes


@pytest.mark.parametrize("waits", [False, True], ids=["at_once", "resumed"])
def test_an_exception_behind_a_file_is_answered_500_and_leaves_no_descriptor(
    configure, serve, path, caplog, waits
) -> None:
    def fail(request, response, worker, *_):
        serve(request, response, worker)
        raise LookupError("behind the file")

    def handle(request, response, worker):
        if waits:
            worker.park().resume(fail)
            return Step.SUSPEND
        return fail(request, response, worker)

    results = drive(configure(handle), [ask(get("0-100000"), eof)])
    assert (results[0].statuses, results[0].bodies) == ([500], [b""])
    assert count_held(path) == 0
    assert "behind the file" in caplog.text


def test_what_was_cleared_is_not_sent(configure, serve, path) -> None:
    def handle(request, response, worker):
        serve(request, response, worker)
        response.clear()
        assert len(response) == 0
        response.reply(404)

    results = drive(configure(handle), [ask(get("0-100000") + get("0-100000"), frames(2))])
    assert (results[0].statuses, results[0].bodies) == ([404, 404], [b"", b""])
    assert count_held(path) == 0


def test_a_file_that_is_not_as_long_as_the_head_says_is_found_where_responses_are_checked(configure, path) -> None:
    def handle(request, response, worker):
        with path.open("rb") as file:
            response.write(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n")
            response.send_file(file, 0, 70_000 + int(request.path[1:]))

    results = drive(configure(handle, check_responses=True), [ask(get(more), eof) for more in ("1", "-1")])
    assert [result.statuses for result in results] == [[500], [500]]
    assert drive(configure(handle, check_responses=True), [ask(get("0"))])[0].bodies == [PATTERN[:70_000]]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_client_that_goes_away_in_the_midst_leaves_no_descriptor(configure, serve, path, caplog, reset: bool) -> None:
    with Session(configure(serve)) as session:
        script = Script(rounds=[Round(send=get("") * 3, until=headers_seen)], receive_buffer=4096, receive_bytes=1000)
        group = session.fire([script] * 4)
        assert count_held(path) >= 4
        session.close(group, reset=reset)
        session.await_counters(lambda counters: (counters.open, count_held(path)) == (0, 0))
        assert session.server.counters().in_flight == 0
    assert caplog.text == ""  # who goes away is nobody's news


def test_a_reader_that_stops_is_closed_in_time_and_leaves_no_descriptor(configure, serve, path) -> None:
    with Session(configure(serve, limits=Limits(write_timeout=0.1))) as session:
        group = session.fire([Script(rounds=[Round(send=get(""), reads=False)], receive_buffer=4096)] * 2)
        counters = session.await_counters(lambda counters: (counters.accepted, counters.open) == (2, 0))
        assert counters.limits_reached["write_timeout"] == 2
        session.close(group)
        assert count_held(path) == 0


def test_a_stop_in_the_midst_of_files_leaves_no_descriptor(configure, serve, path) -> None:
    with Session(configure(serve)) as session:
        session.fire([Script(rounds=[Round(send=get("") * 3, until=headers_seen)], receive_buffer=4096)] * 3)
        session.server.shutdown(0)
    assert count_held(path) == 0


def test_a_shutdown_lets_a_file_be_taken(configure, serve) -> None:
    with Session(configure(serve)) as session:
        group = session.fire([Script(rounds=[Round(send=[get(""), b""], reads=False)], receive_buffer=4096)] * 2)
        stopping = threading.Thread(target=session.server.shutdown, args=(20,))
        stopping.start()
        results = session.wait(group, frames(1))
        stopping.join()
    assert [result.bodies for result in results] == [[PATTERN]] * 2


def test_a_file_that_shrinks_closes_the_connection_short(configure, serve, path, caplog) -> None:
    with Session(configure(serve)) as session:
        script = Script(rounds=[Round(send=[get("") + get("0-1"), b""], reads=False)], receive_buffer=4096)
        group = session.fire([script] * 3)
        os.truncate(path, 4096)
        results = session.wait(group, eof)
        assert [result.frames for result in results] == [()] * 3
        for result in results:
            content = result.raw.partition(b"\r\n\r\n")[2]
            assert len(content) < len(PATTERN)
            assert content.startswith(PATTERN[:4096])  # the kernel blanks what it still has of the rest
        session.await_counters(lambda counters: counters.open == 0)
        assert session.server.counters().in_flight == 0
    assert count_held(path) == 0
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert 1 <= len(warnings) <= 3
    assert f"send_file: {path}: the file became shorter while it was sent" in warnings[0].getMessage()
    assert "('127.0.0.1', " in warnings[0].getMessage()


def test_a_file_that_shrinks_in_the_last_tick_of_its_server_is_told_of(configure, path, caplog) -> None:
    def serve(request, response, worker) -> None:
        with path.open("rb") as file:
            response.start(200, length=len(PATTERN))
            response.send_file(file, 0, len(PATTERN))
        os.truncate(path, 0)
        session.server.shutdown(0)
        worker._reach_loop().drain(0)  # which the server would have it do a little later

    with Session(configure(serve)) as session:
        [result] = session.wait(session.fire([Script(rounds=[Round(send=get(""), until=eof)])]), eof)
    assert result.frames == ()
    assert any("the file became shorter while it was sent" in message for message in caplog.messages)


@pytest.mark.skipif(IS_WINDOWS, reason="the path of a handle is always known there")
def test_a_file_that_shrinks_is_told_of_where_no_path_is_known(configure, serve, path, caplog, monkeypatch) -> None:
    def refuse(_: str) -> str:
        raise FileNotFoundError(errno.ENOENT, "no procfs here")

    monkeypatch.setattr(os, "readlink", refuse)
    with Session(configure(serve)) as session:
        script = Script(rounds=[Round(send=[get("") + get("0-1"), b""], reads=False)], receive_buffer=4096)
        group = session.fire([script])
        os.truncate(path, 4096)
        session.wait(group, eof)
        session.await_counters(lambda counters: counters.open == 0)
    assert any("send_file: a file: the file became shorter" in message for message in caplog.messages)


def test_a_file_that_shrank_before_it_was_sent_at_all_closes_the_connection(configure, path) -> None:
    def handle(request, response, worker):
        if request.path == b"/small":
            response.reply(200)
            return
        with path.open("rb") as file:
            response.start(200, length=len(PATTERN))
            response.send_file(file)
        os.truncate(path, 0)

    results = drive(configure(handle), [ask(get("small") + get(""), eof)])
    assert results[0].statuses == [200]
    assert results[0].eof


def test_a_file_that_is_unlinked_or_grows_is_sent_as_it_was_asked_for(configure, serve, path) -> None:
    with Session(configure(serve)) as session:
        group = session.fire([Script(rounds=[Round(send=[get(""), b""], reads=False)], receive_buffer=4096)])
        with path.open("ab") as file:
            file.write(b"more")
        path.unlink()
        assert session.wait(group, frames(1))[0].bodies == [PATTERN]


@needs_descriptor_limit
def test_without_descriptors_the_answer_is_500(configure, path, caplog) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    file = path.open("rb")

    def handle(request, response, worker):
        if request.path == b"/none":
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            response.start(200, length=100_000)
            response.send_file(file, 0, 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    with file:
        results = drive(configure(handle), [ask(get("none"), eof), ask(get(""))])
    assert results[0].statuses == [500]
    assert results[1].bodies == [PATTERN[:100_000]]
    assert "Too many open files" in caplog.text


def test_timings_tell_the_bytes_of_the_file_and_when_they_were_taken(configure, serve) -> None:
    timings = []
    config = configure(serve, on_timing=timings.append)
    results = drive(config, [Script(rounds=[Round(send=get("0-3000000"))] * 2, receive_buffer=4096)])
    assert [timing.response_bytes for timing in timings] == [len(results[0].raw) // 2] * 2
    assert all(timing.sent_ns >= timing.returned_ns for timing in timings)


def test_many_readers_of_every_pace_share_one_worker(configure, serve, path) -> None:
    scripts = [
        Script(rounds=[Round(send=get(f"{n}-{n + 1_000_000}"))] * 3, receive_buffer=size, receive_bytes=most)
        for n in range(8)
        for size, most in [(None, 262_144), (4096, 65_536), (16_384, 10_000)]
    ]
    results = drive(configure(serve), scripts)
    for index, result in enumerate(results):
        start = index // 3
        assert result.bodies == [PATTERN[start : start + 1_000_000]] * 3
    assert count_held(path) == 0


def test_a_client_that_shuts_its_writing_side_gets_its_file(configure, serve) -> None:
    rounds = [Round(send=[get("")], until=sent, half_close=True), Round(until=eof)]
    results = drive(configure(serve), [Script(rounds=rounds, receive_buffer=4096)])
    assert results[0].bodies == [PATTERN]


@pytest.mark.parametrize("flushes", [False, True])
@pytest.mark.parametrize("waits", [False, True])
def test_a_coroutine_sends_files_before_and_after_it_waits(configure, path, flushes: bool, waits: bool) -> None:
    async def handle(request, response, worker):
        response.start(200)
        with path.open("rb") as file:
            for n in range(5):
                response.write(b"<%d" % n)
                response.send_file(file, n * 1_000_000, 1_000_000)
                if waits:
                    await asyncio.sleep(0)
                if flushes:
                    await response.flush()

    expected = b"".join(b"<%d" % n + PATTERN[n * 1_000_000 : (n + 1) * 1_000_000] for n in range(5))
    scripts = [ask(get("") * 3, frames(3)), Script(rounds=[Round(send=get(""))] * 2, receive_buffer=4096)]
    results = drive(configure(handle), scripts * 2)
    assert [result.bodies for result in results] == [[expected] * 3, [expected] * 2] * 2
    assert count_held(path) == 0


@pytest.mark.parametrize("waits", [False, True])
def test_a_coroutine_that_raises_behind_a_file_leaves_no_descriptor(configure, serve, path, caplog, waits) -> None:
    async def handle(request, response, worker):
        serve(request, response, worker)
        if waits:
            await asyncio.sleep(0)
        serve(request, response, worker)
        raise LookupError("behind the file")

    results = drive(configure(handle), [ask(get("0-100000"), eof)] * 3)
    assert [result.statuses for result in results] == [[500]] * 3
    assert count_held(path) == 0


def test_a_coroutine_whose_client_goes_away_leaves_no_descriptor(configure, path) -> None:
    async def handle(request, response, worker):
        response.start(200)
        with path.open("rb") as file:
            while True:
                response.send_file(file)
                await response.flush()

    with Session(configure(handle)) as session:
        group = session.fire([Script(rounds=[Round(send=get(""), until=headers_seen)], receive_buffer=4096)] * 3)
        session.close(group, reset=True)
        session.await_counters(lambda counters: (counters.open, count_held(path)) == (0, 0))
