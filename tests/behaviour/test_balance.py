"""Workers that take connections for each other: where the load is uneven, and where one is held up in a handler."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import random
import socket
import threading
import zlib
from collections.abc import Iterator

import pytest

from system import IS_WINDOWS, count_descriptors, needs_unix_sockets
from vanilla import Limits, Listener, Request, Response, Server, Worker
from vanilla.testing import Client, Group, Round, Script, Session, ask, eof, frames, repeat, sent

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HOLD = b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n"
LOOK_ACCEPTS_MAX = 64  # of the engine: connections that a worker may keep before it sees that the load is uneven
PATIENT = Limits(keepalive_timeout=None)  # what is counted stays open, however slow the machine
MANY = 400  # over two workers: each gets more than 112, or the load would be uneven
FEW = 20  # 2 * 20 + 64 is less than 112: with so few, another worker still has many fewer


class Held:
    """Answers with the worker's index; `/hold` sits in the handler until `may_return`."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.may_return = threading.Event()

    def __call__(self, request: Request, response: Response, worker: Worker) -> None:
        if request.path == b"/hold":
            self.entered.set()
            assert self.may_return.wait(60)
        response.reply(200, b"%d" % worker.index)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.may_return.set()


@pytest.fixture(params=["tcp", pytest.param("unix", marks=needs_unix_sockets)])
def listener(request: pytest.FixtureRequest, tmp_path) -> Listener:
    """One with a socket for each worker, and one that all workers share."""
    return Listener(port=0) if request.param == "tcp" else Listener(uds=tmp_path / "a.sock")


def shared_listener(tmp_path) -> Listener:
    """One that all workers share."""
    return Listener(port=0) if IS_WINDOWS else Listener(uds=tmp_path / "a.sock")


@contextlib.contextmanager
def waited_for(server: Server) -> Iterator[None]:
    """Somebody is in server.wait(), as in every server that runs by run()."""
    thread = threading.Thread(target=server.wait)
    thread.start()
    try:
        yield
    finally:
        server.shutdown(0)
        thread.join()


@contextlib.contextmanager
def kept_busy(address: object) -> Iterator[None]:
    """A client that asks again and again, over a new connection each time."""
    has_ended = threading.Event()

    def ask_on() -> None:
        while not has_ended.is_set():
            with socket.create_connection(address, timeout=20) as peer:
                peer.settimeout(0.005)  # one that came to the worker that is held up waits with the others
                peer.sendall(GET)
                with contextlib.suppress(TimeoutError):
                    peer.recv(1000)

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        yield
    finally:
        has_ended.set()
        thread.join()


def connect(session: Session, count: int) -> list[Group]:
    """New connections that were answered once, by the worker that has them."""
    connections = session.fire(repeat(count, ask(GET)))
    return [
        Group(one for one in connections if one.result.bodies == [b"%d" % worker.index])
        for worker in session.server.workers
    ]


def let_go(session: Session, connections: Group) -> None:
    """Close connections, and wait until their worker has noticed."""
    left = session.server.counters().open - len(connections)
    session.close(connections)
    session.await_counters(lambda counters: counters.open == left)


def load_unevenly(session: Session) -> Group:
    """Many connections on worker 0, which knows that worker 1 has none; those of worker 0."""
    heavy, light = connect(session, MANY)
    let_go(session, light)
    kept = list(heavy)
    for _ in range(1000):  # until it has looked
        more, light = connect(session, FEW)
        kept += more
        let_go(session, light)
        if not more:
            break
    return Group(kept)


def test_new_connections_of_a_worker_with_many_more_go_to_the_least_busy_one(configure, held, listener) -> None:
    with Session(configure(held, workers=2, limits=PATIENT, listeners=[listener])) as session:
        heavy, light = connect(session, MANY)
        let_go(session, light)
        kept_count = 0
        for _ in range(20):
            kept, given = connect(session, FEW)
            kept_count += len(kept)
            let_go(session, given)
        assert kept_count < LOOK_ACCEPTS_MAX
        counters = session.server.counters()
        assert counters.open == len(heavy) + kept_count
        assert counters.accepted == counters.requests == MANY + 20 * FEW


@pytest.mark.parametrize("worker_count", [2, 4])
@pytest.mark.parametrize("at_once", [True, False], ids=["at_once", "one_by_one"])
def test_connections_are_within_a_fifth_of_each_other_on_every_worker(
    configure, held, listener, worker_count: int, at_once: bool
) -> None:
    with Session(configure(held, workers=worker_count, limits=PATIENT, listeners=[listener])) as session:
        for _ in range(1 if at_once else 32):
            connect(session, 256 if at_once else 8)
        counts = [worker.counters().open for worker in session.server.workers]
        assert sum(counts) == 256
        assert max(counts) <= 1.2 * min(counts), counts


@pytest.mark.parametrize("worker_count", [2, 12])
def test_many_connections_at_once_end_up_even(configure, held, worker_count: int) -> None:
    with Session(configure(held, workers=worker_count, limits=PATIENT)) as session:
        groups = connect(session, 100 * worker_count)
        counts = [worker.counters().open for worker in session.server.workers]
        assert counts == [len(group) for group in groups]
        assert max(counts) < 2 * min(counts) + 64 + LOOK_ACCEPTS_MAX


def test_a_given_connection_has_the_peer_and_the_listener_that_it_came_by(configure, tmp_path, receive_answer) -> None:
    def handle(request: Request, response: Response, worker: Worker) -> None:
        if request.body:
            response.reply(200, b"never sent: this listener takes no content")
        else:
            response.reply(200, b"%d %r" % (worker.index, request.peer))

    listeners = [Listener(port=0), shared_listener(tmp_path), Listener(port=0, limits=Limits(max_body_bytes=0))]
    with Session(configure(handle, workers=2, listeners=listeners)) as session:
        held_open = session.fire(repeat(MANY, ask(GET)))
        session.close(Group(one for one in held_open if one.result.bodies[0].startswith(b"1")))
        for _ in range(20):
            with contextlib.ExitStack() as stack:
                for _ in range(FEW):
                    peer = stack.enter_context(socket.create_connection(session.server.addresses[2], timeout=20))
                    peer.sendall(GET)
                    _, _, body = receive_answer(peer).partition(b"\r\n\r\n")
                    assert body[2:] == b"%r" % (peer.getsockname(),)
                    peer.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
                    assert receive_answer(peer).startswith(b"HTTP/1.1 413 ")


def test_new_clients_of_a_worker_held_up_in_a_handler_are_answered_by_another(configure, held, listener) -> None:
    config = configure(held, workers=3, limits=PATIENT, listeners=[listener])
    with Session(config) as session, waited_for(session.server):
        blocked = session.fire([ask(HOLD, sent)])
        assert held.entered.wait(20)
        results = session.fire(repeat(200, ask(GET))).results
        assert len({result.bodies[0] for result in results}) == 2
        assert session.server.counters().handler_since_ns != 0
        held.may_return.set()
        session.wait(blocked, lambda received: len(received.frames) == 1)
        counters = session.server.counters()
        assert (counters.accepted, counters.open) == (201, 201)


def test_new_clients_of_a_worker_whose_coroutine_does_not_await_are_answered_by_another(configure, held) -> None:
    async def handle(request: Request, response: Response, worker: Worker) -> None:
        await asyncio.sleep(0)  # what follows runs in a turn of asyncio's loop, not in a tick
        held(request, response, worker)

    with Session(configure(handle, workers=2, limits=PATIENT)) as session, waited_for(session.server):
        session.fire([ask(HOLD, sent)])
        assert held.entered.wait(20)
        assert len({result.bodies[0] for result in session.fire(repeat(60, ask(GET))).results}) == 1
        held.may_return.set()


def test_a_busy_worker_takes_the_clients_of_one_held_up_where_nobody_waits_for_the_server(configure, held) -> None:
    with Session(configure(held, workers=2, limits=PATIENT)) as session:
        session.fire([ask(HOLD, sent)])
        assert held.entered.wait(20)
        with kept_busy(session.address):
            assert len({result.bodies[0] for result in session.fire(repeat(60, ask(GET))).results}) == 1
        held.may_return.set()


def test_connections_given_to_a_worker_that_is_held_up_are_answered_by_another(configure, held) -> None:
    """The busier worker sees only after a while that the other one is held up: what it gave until then goes back."""
    with Session(configure(held, workers=2, limits=PATIENT)) as session, waited_for(session.server):
        heavy = load_unevenly(session)
        _, light = connect(session, FEW)
        blocked = session.go_on(light[:1], *ask(HOLD, lambda received: True).rounds)
        assert len(blocked) == 1
        assert held.entered.wait(20)
        results = session.fire(repeat(100, ask(GET))).results
        assert {result.bodies[0] for result in results} == {b"0"}
        held.may_return.set()
        session.await_counters(lambda counters: counters.open == len(heavy) + FEW + 100)


def test_the_most_connections_are_exact_however_they_are_shared_out(configure, held) -> None:
    limits = Limits(max_connections=2 * MANY, accept_timeout=None, keepalive_timeout=None)
    with Session(configure(held, workers=2, limits=limits)) as session:
        for _ in range(3):
            heavy = load_unevenly(session)
            waiting = session.fire(repeat(4 * MANY, ask(GET, sent)))
            session.await_counters(lambda counters: counters.open == 2 * MANY)
            assert [worker.counters().open for worker in session.server.workers] == [MANY] * 2
            session.close(heavy)
            session.close(waiting)
            session.await_counters(lambda counters: counters.open == 0)


@pytest.mark.parametrize("worker_count", [2, 4])
def test_every_place_is_taken_whichever_worker_the_kernel_chose(configure, held, listener, worker_count: int) -> None:
    """It chooses by chance: some workers are full while others are not."""
    count = 20 * worker_count
    limits = Limits(max_connections=count, accept_timeout=None, keepalive_timeout=None)
    with Session(configure(held, workers=worker_count, limits=limits, listeners=[listener])) as session:
        for _ in range(8):
            clients = session.fire(repeat(count, ask(GET)))
            assert session.server.counters().open == count
            waiting = session.fire(repeat(count // 2, ask(GET, sent)))
            session.close(clients[: count // 2])
            assert {tuple(result.statuses) for result in session.wait(waiting, frames(1))} == {(200,)}
            session.close(clients[count // 2 :])
            session.close(waiting)
            session.await_counters(lambda counters: counters.open == 0)


def test_nobody_is_refused_while_another_worker_has_a_place(configure, held) -> None:
    limits = Limits(max_connections=40, accept_timeout=0.2, keepalive_timeout=None)
    with Session(configure(held, workers=2, limits=limits)) as session:
        for _ in range(8):
            clients = session.fire(repeat(40, ask(GET)))
            assert {tuple(result.statuses) for result in clients.results} == {(200,)}
            refused = session.fire(repeat(10, ask(GET, eof)))
            assert {tuple(result.statuses) for result in refused.results} == {(503,)}
            session.close(clients)
            session.await_counters(lambda counters: counters.open == 0)


def test_all_that_come_to_a_full_worker_at_once_are_given_away(configure, held) -> None:
    limits = Limits(max_connections=800, accept_timeout=None, keepalive_timeout=None)
    with Session(configure(held, workers=2, limits=limits)) as session:
        full, free = connect(session, 800)
        let_go(session, free[:390])
        session.go_on(full[:1], *ask(HOLD, lambda received: True).rounds)
        assert held.entered.wait(20)
        waiting = session.fire(repeat(380, ask(GET, sent)))
        held.may_return.set()
        assert [result.bodies for result in session.wait(waiting, frames(1))] == [[b"1"]] * 380


def later(seconds: float) -> Round:
    return Round(send=b"GET /later/%f HTTP/1.1\r\nHost: a\r\n\r\n" % seconds)


@contextlib.contextmanager
def long_full(configure, held: Held) -> Iterator[tuple[Session, Group, Group]]:
    """A session, the connections of a worker that has been full for longer than accept_timeout, and those of another
    with 6 places.
    """

    async def handle(request: Request, response: Response, worker: Worker) -> None:
        if request.path.startswith(b"/later/"):
            await worker.sleep(float(request.path[7:]))
        held(request, response, worker)

    limits = Limits(max_connections=16, accept_timeout=1, keepalive_timeout=None)
    with Session(configure(handle, workers=2, limits=limits)) as session:
        full, free = connect(session, 16)
        let_go(session, free[:6])
        session.go_on(full[:1], later(1.1))
        yield session, full, free[6:]
        held.may_return.set()


def test_a_client_waits_for_its_time_however_long_its_worker_has_been_full(configure, held) -> None:
    with long_full(configure, held) as (session, full, _):
        session.fire(repeat(6, ask(GET)))
        waiting = session.fire(repeat(10, ask(GET, sent)))
        session.go_on(full[:1], later(0.1))
        assert [result.statuses for result in waiting.results] == [[]] * 10
        assert [result.statuses for result in session.wait(waiting, eof)] == [[503]] * 10


def test_a_client_waits_for_a_worker_that_is_held_up_and_has_a_place(configure, held) -> None:
    with long_full(configure, held) as (session, full, free):
        session.go_on(free[:1], *ask(HOLD, lambda received: True).rounds)
        assert held.entered.wait(20)
        session.go_on(full[:1], later(0.2))
        waiting = session.fire(repeat(6, ask(GET, sent)))
        session.go_on(full[:1], later(0.1))
        held.may_return.set()
        assert [result.statuses for result in session.wait(waiting, frames(1))] == [[200]] * 6


def test_what_a_given_connection_sends_is_received_once(configure, listener) -> None:
    """It may have the place of one that has closed with more to receive, and was to be looked at again."""

    def handle(request: Request, response: Response, worker: Worker) -> None:
        response.reply(200, b"%d" % zlib.crc32(request.body))

    chance = random.Random(7)
    limits = Limits(max_connections=8, max_body_bytes=2**20, linger_timeout=None, accept_timeout=None)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    contents = [chance.randbytes(length) for length in (200_000, 900_000)]
    uploads = [ask(head % len(content) + content, eof) for content in contents]
    refused = Script(rounds=[Round(send=head % 2**21 + bytes(400_000), until=eof)])
    with Session(configure(handle, workers=2, limits=limits, listeners=[listener])) as session:
        for _ in range(40):
            chosen = chance.choices(range(3), [1, 1, 3], k=30)
            clients = session.fire([(*uploads, refused)[index] for index in chosen])
            for index, result in zip(chosen, clients.results, strict=True):
                if index < 2:
                    assert result.bodies == [b"%d" % zlib.crc32(contents[index])]
            session.close(clients)


@pytest.mark.exact("a worker may fill up while one is on its way to it")
def test_a_worker_is_given_no_more_than_it_has_places_for(configure, held, tmp_path) -> None:
    """The least busy one may be full on one listener all the same."""
    limits = Limits(max_connections=2 * FEW, accept_timeout=None, keepalive_timeout=None)
    listeners = [Listener(port=0), dataclasses.replace(shared_listener(tmp_path), limits=limits)]
    with Session(configure(held, workers=2, limits=PATIENT, listeners=listeners)) as session:
        heavy = load_unevenly(session)
        with Client(session.server.addresses[1]) as client:
            bodies = [result.bodies[0] for result in client.fire(repeat(2 * FEW, ask(GET))).results]
            assert sorted(bodies) == [b"0"] * FEW + [b"1"] * FEW
            waiting = client.fire(repeat(FEW, ask(GET, sent)))
            connect(session, FEW)  # a worker has turned since
            assert session.server.counters().open == len(heavy) + 3 * FEW
            client.close(waiting[: FEW // 2])
        session.await_counters(lambda counters: counters.open == len(heavy) + FEW)


def test_no_place_is_lost_by_clients_that_come_and_go(configure, held) -> None:
    chance = random.Random(5)
    limits = Limits(max_connections=600, accept_timeout=None, keepalive_timeout=None)
    with Session(configure(held, workers=4, limits=limits)) as session, waited_for(session.server):
        clients: list[object] = []
        for _ in range(60):
            clients += session.fire(repeat(chance.randrange(100), ask(GET, sent)))
            chance.shuffle(clients)
            left = chance.randrange(len(clients) + 1)
            session.close(clients[left:], reset=chance.random() < 0.5)
            del clients[left:]
            assert session.server.counters().open <= 600
        session.close(clients)
        session.await_counters(lambda counters: counters.open == 0)
        session.fire(repeat(1200, ask(GET, sent)))
        session.await_counters(lambda counters: counters.open == 600)
        assert [worker.counters().open for worker in session.server.workers] == [150] * 4


@pytest.mark.parametrize("is_held", [False, True], ids=["free", "held_up"])
def test_a_shutdown_in_the_midst_of_giving_loses_no_client_and_no_descriptor(configure, held, is_held: bool) -> None:
    before = count_descriptors()
    for _ in range(5):
        held.entered.clear()
        held.may_return.clear()
        with Session(configure(held, workers=2, limits=PATIENT)) as session:
            idle = load_unevenly(session)
            blocked = session.fire([ask(HOLD, sent)] * is_held)
            assert held.entered.wait(20 * is_held) == is_held
            clients = session.fire(repeat(100, ask(GET, sent)))
            shutdown = threading.Thread(target=session.server.shutdown, args=(1000,))
            shutdown.start()
            while not session.server.draining:
                pass
            held.may_return.set()
            results = session.wait([*blocked, *clients], eof)
            assert {tuple(result.statuses) for result in results} == {(200,)}
            assert {result.reset for result in results} == {False}
            session.wait(idle, eof)
            shutdown.join()
            counters = session.server.counters()
            assert (counters.open, counters.in_flight) == (0, 0)
    assert count_descriptors() == before


def test_a_shutdown_without_grace_closes_what_was_given_and_not_taken(configure, held) -> None:
    before = count_descriptors()
    for _ in range(5):
        held.entered.clear()
        held.may_return.clear()
        with Session(configure(held, workers=2, limits=PATIENT)) as session:
            load_unevenly(session)
            session.fire([ask(HOLD, sent)])
            assert held.entered.wait(20)
            session.fire(repeat(100, ask(GET, sent)))
            shutdown = threading.Thread(target=session.server.shutdown, args=(0,))
            shutdown.start()
            while not session.server.draining:
                pass
            held.may_return.set()
            shutdown.join()
    assert count_descriptors() == before
