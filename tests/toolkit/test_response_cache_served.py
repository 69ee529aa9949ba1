"""cached, over sockets: who waits for whom, and what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import re
import socket
import struct
import threading

import pytest

from vanilla import Server, ServerConfig, Step
from vanilla.testing import Session, ask, drive, frames
from vanilla.toolkit.composition import compose
from vanilla.toolkit.conditional import etag
from vanilla.toolkit.response_cache import cached
from vanilla.toolkit.routing import Router


def raw(path: str = "/", *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


class Waiting:
    """A handler that waits until the test lets it go on, and then does what `finish` says."""

    def __init__(self, finish) -> None:
        self.finish = finish
        self.calls = 0
        self.held: list = []
        self.is_let = False

    def let_go(self) -> None:
        self.is_let = True
        for worker, go_on in self.held:
            worker.post(go_on)


class Plain(Waiting):
    def __call__(self, request, response, worker):
        self.calls += 1
        if self.is_let:
            return self.finish(request, response, self.calls)
        number = self.calls
        parked = worker.park()

        def go_on(request, response, worker, payload, event):
            return self.finish(request, response, number)

        self.held.append((worker, lambda: parked.resume(go_on)))
        return Step.SUSPEND


class Async(Waiting):
    async def __call__(self, request, response, worker):
        self.calls += 1
        number = self.calls
        if not self.is_let:
            event = asyncio.Event()
            self.held.append((worker, event.set))
            await event.wait()
        return self.finish(request, response, number)


@pytest.fixture(params=[Plain, Async])
def waiting(request):
    return request.param


def numbered(request, response, number):
    response.reply(200, b"content %d" % number)


def serve(handler, backend: str = "auto") -> Session:
    return Session(ServerConfig(handler, port=0, workers=1, backend=backend))


def connect(session: Session) -> socket.socket:
    return socket.create_connection(session.address[:2], timeout=20)


def play(handler, origin: Waiting, requests: list[bytes], **options: bool) -> list[bytes]:
    """`play_on` a server of its own."""
    with serve(handler) as session:
        return play_on(session, origin, requests, **options)


def play_on(session: Session, origin: Waiting, requests: list[bytes], *, drops_first: bool = False) -> list[bytes]:
    """Send each request on a connection of its own, each once the one before waits; then let the handler go on. What
    each was answered, the first aside if its client goes away before.
    """
    origin.is_let = False
    origin.held.clear()
    with contextlib.ExitStack() as stack:
        clients = []
        for number, request in enumerate(requests, 1):
            clients.append((stack.enter_context(connect(session)), request))
            clients[-1][0].sendall(request)
            session.await_counters(lambda counters, number=number: counters.parked == number)
        if drops_first:
            client, _ = clients.pop(0)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # so that closing resets
            client.close()
            session.await_counters(lambda counters: counters.open == len(clients))
        origin.let_go()
        return [read_answer(*client) for client in clients]


def read_answer(client: socket.socket, request: bytes) -> bytes:
    """One whole answer."""
    with client.makefile("rb") as file:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = file.readline()
            assert line, head
            head += line
        length = re.search(rb"content-length: (\d+)", head.lower())
        return head + file.read(int(length[1]) if length and not request.startswith(b"HEAD") else 0)


def test_requests_for_the_same_wait_for_the_first(waiting) -> None:
    origin = waiting(numbered)
    handler = cached(origin, ttl=60)
    answers = play(handler, origin, [raw()] * 5)
    assert [answer.endswith(b"content 1") for answer in answers] == [True] * 5
    assert [b"Age: 0\r\n" in answer for answer in answers] == [False] + [True] * 4
    assert (origin.calls, handler.hits, handler.misses) == (1, 4, 1)


def test_conditions_count_for_those_that_waited_and_for_the_first(waiting) -> None:
    origin = waiting(numbered)
    tag = etag(b"content 1").decode()
    answers = play(cached(origin, ttl=60), origin, [raw("/", f"If-None-Match: {tag}")] * 2 + [raw()])
    assert [answer[9:12] for answer in answers] == [b"304", b"304", b"200"]
    assert all(b"ETag: " in answer for answer in answers)
    assert origin.calls == 1


def test_others_do_not_wait(waiting) -> None:
    origin = waiting(numbered)
    play(
        cached(origin, ttl=60), origin, [raw("/1"), raw("/2"), raw("/1", "Authorization: x"), raw("/1", method="HEAD")]
    )
    assert origin.calls == 4


def fails(request, response, number):
    if number == 1:
        raise KeyError("down")
    numbered(request, response, number)


def refuses_to_be_kept(request, response, number):
    response.reply(200, b"content %d" % number, headers={"Cache-Control": "no-store"})


def varies(request, response, number):
    response.reply(200, b"content %d" % number, headers={"Vary": "X"})


@pytest.mark.parametrize(
    ("finish", "requests", "calls"),
    [
        (fails, [raw()] * 3, 2),
        (refuses_to_be_kept, [raw()] * 3, 3),
        (varies, [raw("/", "X: 1"), raw("/", "X: 1"), raw("/", "X: 2")], 2),
    ],
)
def test_if_there_is_nothing_to_keep_each_calls_the_handler(waiting, finish, requests, calls, caplog) -> None:
    origin = waiting(finish)
    answers = play(cached(origin, ttl=60), origin, requests)
    assert origin.calls == calls
    assert all(answer.startswith(b"HTTP/1.1 ") for answer in answers)
    assert sum(b"\r\n\r\ncontent " in answer for answer in answers) == (2 if finish is fails else 3)


def test_if_the_client_of_the_first_goes_away_the_others_call_the_handler(waiting) -> None:
    origin = waiting(numbered)
    answers = play(cached(origin, ttl=60), origin, [raw()] * 3, drops_first=True)
    assert [b"\r\n\r\ncontent " in answer for answer in answers] == [True, True]
    assert origin.calls in (2, 3)  # the second may have been kept by the time that the third looks


def test_after_one_that_could_not_be_kept_requests_do_not_wait_for_each_other(waiting) -> None:
    origin = waiting(refuses_to_be_kept)
    now = [1000.0]
    with serve(cached(origin, ttl=60, clock=lambda: now[0])) as session:
        for passed, held in ((0, 1), (0, 2), (1, 2), (2, 1)):
            now[0] += passed
            play_on(session, origin, [raw()] * 2)
            assert len(origin.held) == held, passed


def test_what_is_invalidated_meanwhile_is_not_kept(waiting) -> None:
    origin = waiting(numbered)

    def handle(request, response, worker):
        if request.method == b"POST":
            return response.reply(200)
        return origin(request, response, worker)

    handle.is_async = waiting is Async
    handler = cached(handle, ttl=60)
    with serve(handler) as session, connect(session) as client:
        client.sendall(raw())
        session.await_counters(lambda counters: counters.parked == 1)
        with connect(session) as other:
            other.sendall(raw(method="POST"))
            assert other.recv(100).startswith(b"HTTP/1.1 200 ")
        origin.let_go()
        assert b"content 1" in client.recv(1000)
        client.sendall(raw())
        assert b"content 2" in client.recv(1000)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_refresh_runs_behind(is_async: bool) -> None:
    calls = []
    now = [1000.0]
    refreshed = threading.Event()

    def answer(request, response, worker):
        calls.append((request.header("x"), request.params))
        response.reply(200, b"content %d" % len(calls))
        if len(calls) == 2:
            worker.post(refreshed.set)

    async def wait_and_answer(request, response, worker):
        await worker.sleep(0)
        answer(request, response, worker)

    router = Router()
    handler = cached(wait_and_answer if is_async else answer, ttl=5, stale_while_revalidate=9, clock=lambda: now[0])
    router.get("/:id", handler)
    with serve(router) as session, connect(session) as client:
        for content, passed in ((b"content 1", 0), (b"content 1", 6), (b"content 2", 0)):
            now[0] += passed
            client.sendall(raw("/7", "X: y"))
            assert client.recv(1000).endswith(content)
            if passed:
                assert refreshed.wait(20)
    assert calls == [(b"y", {"id": b"7"})] * 2


def test_a_router_may_be_given_routes_that_wait_later() -> None:
    router = Router()
    router.get("/plain", lambda request, response, worker: response.reply(200, b"plain"))
    handler = cached(router, ttl=60)
    assert not handler.is_async

    async def later(request, response, worker):
        await worker.sleep(0)
        response.reply(200, b"later")

    router.get("/later", later)
    assert handler.is_async
    asked = raw("/plain") + raw("/later")
    [result] = drive(ServerConfig(handler, workers=1), [ask(asked * 2, frames(4))])
    assert [frame.body for frame in result.frames] == [b"plain", b"later"] * 2
    assert (handler.hits, handler.misses) == (2, 2)


@pytest.mark.parametrize("is_asked", [False, True])
def test_an_answer_begun_with_its_length_is_kept_once_it_is_whole(is_asked: bool) -> None:
    def handle(request, response, worker):
        def go_on(request, response, worker, payload, event):
            return None

        response.start(200, length=7)
        response.write(b"content")
        worker.park().resume(go_on)
        return Step.SUSPEND

    handler = cached(handle, ttl=60)
    asked = raw("/", f"If-None-Match: {etag(b'content').decode()}") if is_asked else raw()
    [result] = drive(ServerConfig(handler, workers=1), [ask(asked + raw(), frames(2))])
    assert [frame.body for frame in result.frames] == [b"content"] * 2
    assert handler.hits == 1


def test_a_change_whose_client_went_away_may_have_been_made(waiting) -> None:
    def handle(request, response, worker):
        return slow(request, response, worker) if request.method == b"POST" else counted(request, response, worker)

    def counted(request, response, worker):
        calls.append(request.path)
        response.reply(200, b"content %d" % len(calls))

    calls: list[bytes] = []
    slow = waiting(numbered)
    handle.is_async = waiting is Async
    with serve(cached(handle, ttl=60)) as session, connect(session) as client:
        client.sendall(raw())
        assert read_answer(client, raw()).endswith(b"content 1")
        with connect(session) as other:
            other.sendall(raw(method="POST"))
            session.await_counters(lambda counters: counters.parked == 1)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        session.await_counters(lambda counters: counters.parked == 0)
        client.sendall(raw())
        assert read_answer(client, raw()).endswith(b"content 2")


def test_what_changes_on_one_worker_is_dropped_by_those_of_every_server() -> None:
    def handle(request, response, worker):
        if request.method == b"POST":
            content[0] = b"new"
        response.reply(200, content[0])

    content = [b"old"]
    handler = cached(handle, ttl=600)
    configs = [ServerConfig(handler, port=0, workers=2) for _ in range(2)]
    with Session(configs[0]) as one, Session(configs[1]) as two, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(session)) for session in (one, two) * 6]

        def get(client: socket.socket, method: str = "GET") -> bytes:
            client.sendall(raw(method=method))
            return read_answer(client, raw()).rpartition(b"\r\n\r\n")[2]

        assert {get(client) for client in clients * 3} == {b"old"}
        assert handler.misses <= 4
        assert get(clients[0], "POST") == b"new"
        assert get(clients[0]) == b"new"
        for client in clients:
            while get(client) == b"old":  # its worker's next tick is to come
                continue
        content[0] = b"newer"
        handler.clear()
        for client in clients:
            while get(client) != b"newer":
                continue
    handler.clear()  # the workers have ended, and take no calls


def test_what_asks_for_another_protocol_passes() -> None:
    def handle(request, response, worker):
        calls.append(request.path)
        response.reply(200, b"x")

    calls: list[bytes] = []
    upgrade = raw("/", "Connection: upgrade", "Upgrade: x")
    drive(ServerConfig(cached(handle, ttl=60)), [ask(upgrade), ask(upgrade)])
    assert len(calls) == 2


def test_what_is_around_it_and_within_it() -> None:
    def marked(name, value):
        def middleware(inner):
            def handle(request, response, worker):
                response.before_send(lambda request, response, worker: response.add_header(name, next(value)))
                return inner(request, response, worker)

            return handle

        return middleware

    numbers = iter(["1", "2", "3"]), iter(["a", "b", "c"])
    handler = compose(
        lambda request, response, worker: response.reply(200, b"x"),
        marked("X-Outer", numbers[0]),
        functools.partial(cached, ttl=60),
        marked("X-Inner", numbers[1]),
    )
    [answer] = Server(ServerConfig(handler)).test([raw() * 3])
    answers = answer.split(b"HTTP/1.1 ")[1:]
    assert [b"X-Inner: a\r\n" in one for one in answers] == [True] * 3
    assert [b"X-Outer: %d\r\n" % number in one for number, one in enumerate(answers, 1)] == [True] * 3


def test_workers_and_pipelines_and_old_clients() -> None:
    handler = cached(lambda request, response, worker: response.reply(200, b"content"), ttl=60)
    old = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    garbage = b"GET / HTTP/1.1\r\nHost"
    results = drive(
        ServerConfig(handler, workers=2),
        [ask(raw() * 5 + raw(method="HEAD") * 2 + raw() * 5, frames(12), heads=(5, 6))] * 4 + [ask(old * 3, frames(3))],
    )
    assert [result.statuses for result in results] == [[200] * 12] * 4 + [[200] * 3]
    assert all(frame.body == b"content" for frame in results[-1].frames)
    assert handler.hits + handler.misses == 51
    assert handler.misses <= 4
    assert Server(ServerConfig(handler)).test([garbage])[0] == b""


@pytest.mark.parametrize("is_async", [False, True])
def test_a_hit_is_given_without_the_interpreter(backend: str, is_async: bool) -> None:
    def handle(request, response, worker):
        response.reply(200, b"content")

    async def handle_async(request, response, worker):
        handle(request, response, worker)

    handler = cached(handle_async if is_async else handle, ttl=60)
    with serve(handler, backend) as session, connect(session) as client:

        def ask_once() -> tuple[bytes, int]:
            client.sendall(raw())
            return read_answer(client, raw()), session.server.counters().gil_held_ns

        answers = [ask_once() for _ in range(50)]  # once a second it looks whether what is kept is fresh
        assert all(answer.endswith(b"\r\n\r\ncontent") for answer, _ in answers)
        assert sum(held == before for (_, before), (_, held) in itertools.pairwise(answers)) > 25
        assert handler.hits == 49
        assert handler.misses == 1
        counters = session.await_counters(lambda counters: counters.in_flight == 0)
        assert counters.requests == counters.responses_2xx == 50


PIPELINES = [
    pytest.param(raw("/a") * 3, [b"/a"] * 3, id="hits"),
    pytest.param(raw("/a") + raw("/miss") + raw("/a") * 2, [b"/a", b"/miss", b"/a", b"/a"], id="a_miss_among_hits"),
    pytest.param(raw("/miss") + raw("/a"), [b"/miss", b"/a"], id="a_hit_behind_a_miss"),
    pytest.param(raw("/a") * 2 + b"garbage\r\n\r\n", [b"/a", b"/a", b"400"], id="garbage_behind_hits"),
    pytest.param(raw("/a") + raw("/a", "Connection: close") + raw("/a"), [b"/a", b"/a"], id="the_last_closes"),
    pytest.param(raw("/big") * 9, [b"/big"] * 9, id="more_than_is_sent_at_once"),
    pytest.param(raw("/bigger") * 3, [b"/bigger"] * 3, id="content_that_is_kept_apart"),
    pytest.param(raw("/a") + raw("/a", method="POST") + raw("/a"), [b"/a"] * 3, id="invalidated_meanwhile"),
    pytest.param(raw("/a") * 2 + raw("/wait") + raw("/a"), [b"/a", b"/a", b"/wait", b"/a"], id="one_that_waits"),
    pytest.param(raw("/a") * 2 + raw("/fails") + raw("/a"), [b"/a", b"/a", b"500"], id="one_that_fails"),
]


@pytest.mark.parametrize(("pipeline", "expected"), PIPELINES)
def test_hits_and_others_are_answered_in_their_order(backend, pipeline, expected, caplog) -> None:
    sizes = {b"/big": 60_000, b"/bigger": 200_000}

    def handle(request, response, worker):
        if request.path == b"/wait":
            return wait(request, response, worker)
        if request.path == b"/fails":
            raise LookupError
        content = request.path.ljust(sizes.get(request.path, 0), b".")
        return response.reply(200, content, headers=[(b"Cache-Control", b"no-store")] * (content == b"/miss"))

    def wait(request, response, worker):
        parked = response.park()
        worker.call_later(0, lambda: parked.resume(lambda request, response, *_: response.reply(200, b"/wait")))
        return Step.SUSPEND

    with serve(cached(handle, ttl=60), backend) as session:
        with connect(session) as client:
            for path in ("/a", "/a", "/big", "/big", "/bigger", "/bigger"):
                client.sendall(raw(path))
                read_answer(client, raw(path))
        with connect(session) as client:
            client.sendall(pipeline)
            client.shutdown(socket.SHUT_WR)
            with client.makefile("rb") as file:
                received = file.read()
        counters = session.await_counters(lambda counters: counters.open == 0)
    answers = received.split(b"HTTP/1.1 ")[1:]
    contents = [
        answer[:3] if answer[:3] in (b"400", b"500") else answer.rpartition(b"\r\n\r\n")[2].rstrip(b".")
        for answer in answers
    ]
    assert contents == expected
    assert counters.in_flight == 0
    assert sum(int(answer[:3]) // 100 == 2 for answer in answers) == counters.responses_2xx - 6


def test_the_last_answers_of_a_server_that_drains_say_so(backend: str) -> None:
    handler = cached(lambda request, response, worker: response.reply(200, b"content"), ttl=60)
    with serve(handler, backend) as session, connect(session) as client:
        for _ in range(3):
            client.sendall(raw())
            read_answer(client, raw())
        client.sendall(raw()[:-2])
        session.await_counters(lambda counters: counters.bytes_received == 3 * len(raw()) + len(raw()) - 2)
        stopping = threading.Thread(target=session.server.shutdown, args=(5,))
        stopping.start()
        session.await_counters(lambda counters: session.server.draining)
        client.sendall(b"\r\n")
        assert b"\r\nConnection: close\r\n" in read_answer(client, raw())
        stopping.join()
