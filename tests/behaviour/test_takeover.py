"""Connections that another protocol takes over: what it is told, what it may do, and what becomes of the server."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import threading

import pytest

from system import count_descriptors, give_way, reset, until
from vanilla import Limits, Response, Server, Step

UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n"
CONNECT = b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
MEBIBYTE = 1024 * 1024


class Echo:
    """Sends back what it receives, and notes what it was told."""

    connection = None
    reason: object = "never told"

    def __init__(self) -> None:
        self.got = b""
        self.told: list[str] = []

    def received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.got += data
        self.connection.send(data)

    def drained(self) -> None:
        self.told.append("drained")

    def closed(self, reason) -> None:
        self.reason = reason
        self.told.append("closed")  # what the tests wait for


class Listing(list):
    """The protocols of one handler, in the order of their connections."""

    def __init__(self, kind=Echo) -> None:
        super().__init__()
        self.kind = kind

    def __call__(self, request, response, worker):
        if request.path == b"/plain":
            return response.reply(200, b"plain")
        protocol = self.kind()
        self.append(protocol)
        response += SWITCHING
        protocol.connection = response.takeover(protocol)
        return None

    def are_closed(self) -> bool:
        return all(protocol.told.count("closed") == 1 for protocol in self)


@pytest.fixture
def configure(configure):
    """On a free port."""
    return functools.partial(configure, port=0)


@contextlib.contextmanager
def connected(config):
    with Server(config) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        yield server, client


def receive(client: socket.socket, length: int) -> bytes:
    """`length` bytes, or what came before the end."""
    data = b""
    while len(data) < length and (more := client.recv(length - len(data))):
        data += more
    return data


def receive_all(client: socket.socket) -> bytes:
    data = b""
    while more := client.recv(65536):
        data += more
    return data


def is_at_rest(server: Server) -> bool:
    counters = server.counters()
    return (counters.open, counters.in_flight, counters.parked) == (0, 0, 0)


BEHIND = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"\x00", id="one_byte"),
    pytest.param(b"\r\n", id="an_empty_line"),
    pytest.param(b"frame one|frame two|half a fra", id="frames"),
    pytest.param(PLAIN * 3, id="whole_requests"),
    pytest.param(CHUNKED * 2, id="chunked_requests"),
    pytest.param(CHUNKED[:-9], id="part_of_a_chunked_request"),
    pytest.param(PLAIN + b"\x00\xff garbage\r\n\r\n", id="a_request_and_garbage"),
    pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", id="part_of_a_sized_request"),
    pytest.param(os.urandom(50_000), id="many_bytes"),
]


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("before", [b"", PLAIN * 2], ids=["first", "pipelined"])
def test_what_came_behind_the_request_is_the_protocols_byte_for_byte(configure, before, behind) -> None:
    protocols = Listing()
    with connected(configure(protocols)) as (server, client):
        client.sendall(before + UPGRADE + behind)
        plain = receive(client, receive_plain(client) if before else 0)
        assert plain.count(b"200 OK") <= 2
        assert receive(client, len(SWITCHING) + len(behind)) == SWITCHING + behind
        client.sendall(b"later")
        assert receive(client, 5) == b"later"
        assert server.counters().in_flight == 1
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        until(lambda: is_at_rest(server))
    assert protocols[0].got == behind + b"later"
    assert protocols[0].told == ["closed"]
    assert protocols[0].reason is None


def receive_plain(client: socket.socket) -> int:
    """How long the two answers before the switching one are, by peeking."""
    while SWITCHING not in (seen := client.recv(100_000, socket.MSG_PEEK)):
        give_way()
    return seen.index(SWITCHING)


@pytest.mark.parametrize("at", range(1, len(UPGRADE) + 4, 7))
def test_a_request_in_pieces_switches_like_one_that_came_whole(configure, at) -> None:
    protocols = Listing()
    with connected(configure(protocols)) as (server, client):
        wire = UPGRADE + PLAIN
        client.sendall(wire[:at])
        until(lambda: server.counters().bytes_received == at)
        client.sendall(wire[at:])
        assert receive(client, len(SWITCHING + PLAIN)) == SWITCHING + PLAIN


@pytest.mark.parametrize("behind", BEHIND[4:6])
def test_a_request_that_does_not_switch_leaves_those_behind_it_to_http(configure, behind) -> None:
    def handle(request, response, worker):
        response.reply(200, b"<%b>" % request.body)

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE + behind + PLAIN[:10])
        until(lambda: server.counters().requests == 1 + behind.count(b"HTTP/1.1"))
        client.sendall(PLAIN[10:].replace(b"Host: a", b"Host: a\r\nConnection: close"))
        answers = receive_all(client)
        assert answers.count(b"200 OK") == 2 + behind.count(b"HTTP/1.1")
        assert answers.count(b"<abcde>") == behind.count(b"chunked")
        until(lambda: is_at_rest(server))


def test_a_client_that_ends_its_side_while_a_switch_is_refused_is_answered_what_it_sent_behind(configure) -> None:
    """The end arrives in the very tick that frames what came behind."""

    def handle(request, response, worker):
        if request.path == b"/":
            client.shutdown(socket.SHUT_WR)
        response.reply(200)

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE + PLAIN + PLAIN[:10])
        assert receive_all(client).count(b"200 OK") == 2
        until(lambda: is_at_rest(server))


def test_requests_that_arrive_while_a_switch_is_refused_are_answered_in_order(configure) -> None:
    """They arrive in the very tick that frames what came before them."""

    def handle(request, response, worker):
        if request.path == b"/":
            client.sendall(PLAIN.replace(b"/plain", b"/last"))
        if request.path == b"/plain":
            worker.call_later(0.01, response.park().resume, lambda request, *rest: answer(request, rest[0]))
            return Step.SUSPEND
        return answer(request, response)

    def answer(request, response):
        return response.reply(200, b"<%b>" % request.path)

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE + PLAIN)
        until(lambda: server.counters().responses_2xx == 3)
        client.shutdown(socket.SHUT_WR)
        answers = receive_all(client)
        assert answers.index(b"</>") < answers.index(b"</plain>") < answers.index(b"</last>")
        until(lambda: is_at_rest(server))


def test_garbage_behind_a_request_that_does_not_switch_is_refused(configure, echo) -> None:
    with connected(configure(echo)) as (_server, client):
        client.sendall(UPGRADE + b"\x00\xff\r\n\r\n")
        answers = receive_all(client)
        assert answers.count(b"200 OK") == 1
        assert answers.count(b"400 Bad Request") == 1


def test_connect_switches_by_a_2xx(configure) -> None:
    protocol = Echo()

    def handle(request, response, worker):
        protocol.connection = response.takeover(protocol)
        protocol.connection.send(b"first ")
        response.write(b"HTTP/1.1 200 OK\r\n\r\n")
        return Step.DONE

    with connected(configure(handle)) as (_, client):
        client.sendall(CONNECT + b"tunnelled")
        assert receive(client, 34) == b"HTTP/1.1 200 OK\r\n\r\nfirst tunnelled"[:34]
        assert protocol.connection.peer == client.getsockname()


@pytest.mark.parametrize(
    ("line", "request_bytes"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", UPGRADE, id="200_to_an_upgrade"),
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", CONNECT, id="404_to_connect"),
        pytest.param(b"", UPGRADE, id="no_answer"),
        pytest.param(SWITCHING, PLAIN.replace(b"/plain", b"/"), id="not_asked_for"),
        pytest.param(SWITCHING, UPGRADE.replace(b"1.1", b"1.0", 1), id="asked_for_in_http_1_0"),
    ],
)
def test_an_answer_that_does_not_switch_is_answered_500(configure, line, request_bytes) -> None:
    protocol = Echo()
    errors = []

    def handle(request, response, worker):
        response.write(line)
        try:
            response.takeover(protocol)
        except ValueError as error:
            errors.append(error)
            raise

    with connected(configure(handle)) as (server, client):
        client.sendall(request_bytes)
        assert receive_all(client).startswith(b"HTTP/1.1 500 ")
        until(lambda: is_at_rest(server))
    assert errors or (isinstance(protocol.reason, RuntimeError) and protocol.told == ["closed"])


def test_a_handler_that_raises_after_takeover_is_answered_500(configure) -> None:
    protocol = Echo()

    def handle(request, response, worker):
        response.write(SWITCHING)
        response.takeover(protocol).send(b"never")
        raise KeyError("mine")

    with connected(configure(handle)) as (_, client):
        client.sendall(UPGRADE)
        answer = receive_all(client)
        assert answer.startswith(b"HTTP/1.1 500 ")
        assert b"never" not in answer
        until(lambda: protocol.told)
    assert isinstance(protocol.reason, RuntimeError)


@pytest.mark.parametrize("name", ["received", "drained", "closed"])
def test_a_protocol_that_lacks_a_method_is_refused_at_once(configure, name) -> None:
    kind = type("Lacking", (Echo,), {name: None})
    errors = []

    def handle(request, response, worker):
        with pytest.raises(TypeError) as caught:
            response.takeover(kind())
        errors.append(str(caught.value))
        response.reply(200)

    with connected(configure(handle)) as (_, client):
        client.sendall(UPGRADE)
        assert receive(client, 13) == b"HTTP/1.1 200 "
    assert f"has no {name}()" in errors[0]


def test_what_a_slow_reader_leaves_is_queued_and_told_once_it_has_drained(configure) -> None:
    class Big(Echo):
        def received(self, data: bytes) -> None:
            self.got += data
            if data == b"go":
                self.connection.send(memoryview(bytearray(b"x" * 16 * MEBIBYTE)))

    protocols = Listing(Big)
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE + b"go")
        assert receive(client, len(SWITCHING)) == SWITCHING
        until(lambda: server.counters().bytes_sent > len(SWITCHING))
        client.sendall(b"heard while blocked")
        until(lambda: protocols[0].got.endswith(b"blocked"))
        assert protocols[0].told == []
        assert len(receive(client, 16 * MEBIBYTE)) == 16 * MEBIBYTE
        until(lambda: protocols[0].told == ["drained"])


def test_a_client_that_takes_nothing_is_cut_by_the_write_timeout(configure) -> None:
    class Big(Echo):
        def received(self, data: bytes) -> None:
            self.connection.send(bytes(16 * MEBIBYTE))

    protocols = Listing(Big)
    limits = Limits(write_timeout=0.05, min_send_rate=None)
    with connected(configure(protocols, limits=limits)) as (server, client):
        client.sendall(UPGRADE + b"go")
        until(lambda: protocols and protocols.are_closed())
        assert isinstance(protocols[0].reason, TimeoutError)
        until(lambda: is_at_rest(server))


def test_a_quiet_connection_has_no_deadline(configure) -> None:
    fired = threading.Event()

    class Quiet(Echo):
        def received(self, data: bytes) -> None:
            if data == b"wait":
                self.connection.call_later(0.1, fired.set)
            else:
                super().received(data)

    limits = Limits(keepalive_timeout=0.01, read_timeout=0.01, write_timeout=0.01)
    with connected(configure(Listing(Quiet), limits=limits)) as (_, client):
        client.sendall(UPGRADE + b"wait")
        assert fired.wait(20)
        client.sendall(b"there")
        assert receive(client, len(SWITCHING) + 5) == SWITCHING + b"there"


def test_a_paused_protocol_holds_its_client_back_and_loses_nothing(configure) -> None:
    class Slow(Echo):
        def received(self, data: bytes) -> None:
            assert not self.told
            self.got += data
            self.told.append("received")
            self.connection.pause()
            self.connection.worker.post(self.go_on)

        def go_on(self) -> None:
            self.told.clear()
            self.connection.resume()

        def closed(self, reason) -> None:
            self.told = ["closed"]
            self.reason = reason

    protocols = Listing(Slow)
    sent = os.urandom(2 * MEBIBYTE)
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE + sent)
        client.shutdown(socket.SHUT_WR)
        until(lambda: protocols and protocols.are_closed())
        until(lambda: is_at_rest(server))
    assert protocols[0].got == sent
    assert protocols[0].reason is None


def test_a_protocol_paused_before_it_begins_is_told_once_it_resumes(configure) -> None:
    protocol = Echo()

    def handle(request, response, worker):
        response.write(SWITCHING)
        protocol.connection = response.takeover(protocol)
        protocol.connection.pause()

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE + b"kept ")
        assert receive(client, len(SWITCHING)) == SWITCHING
        client.sendall(b"unread")
        assert protocol.got == b""
        server.workers[0].post(protocol.connection.resume)
        assert receive(client, 11) == b"kept unread"


def test_close_sends_everything_first(configure) -> None:
    class Last(Echo):
        def received(self, data: bytes) -> None:
            self.connection.send(b"y" * 8 * MEBIBYTE)
            self.connection.close()
            assert not self.connection.is_open
            with pytest.raises(RuntimeError):
                self.connection.send(b"late")
            self.connection.close()

    protocols = Listing(Last)
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE + b"go")
        client.sendall(b"ignored")
        assert len(receive_all(client)) == len(SWITCHING) + 8 * MEBIBYTE
        client.close()
        until(lambda: is_at_rest(server))
    assert protocols[0].told[-1] == "closed"
    assert protocols[0].reason is None


@pytest.mark.parametrize("how", ["close", "abort"])
def test_a_connection_may_be_ended_before_it_begins(configure, how) -> None:
    protocol = Echo()

    def handle(request, response, worker):
        response.write(SWITCHING)
        connection = response.takeover(protocol)
        connection.send(b"bye")
        getattr(connection, how)()

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE)
        with contextlib.suppress(ConnectionResetError):
            assert (SWITCHING + b"bye").startswith(receive_all(client))
        client.close()
        until(lambda: is_at_rest(server))
    assert protocol.told == ["closed"]
    assert protocol.reason is None


def test_abort_closes_now(configure) -> None:
    class Cut(Echo):
        def received(self, data: bytes) -> None:
            self.connection.send(b"z" * 8 * MEBIBYTE)
            self.connection.abort()
            self.connection.abort()

    protocols = Listing(Cut)
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE)
        assert receive(client, len(SWITCHING)) == SWITCHING
        client.sendall(b"go")
        until(lambda: protocols.are_closed())
        assert protocols[0].reason is None
        until(lambda: is_at_rest(server))


def test_a_half_closed_client_is_heard_to_its_end_by_a_protocol_that_cares(configure) -> None:
    class Caring(Echo):
        def received(self, data: bytes) -> None:
            self.got += data

        def ended(self) -> None:
            self.told.append("ended")
            self.connection.send(self.got)
            self.connection.close()

    protocols = Listing(Caring)
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE + b"one ")
        client.sendall(b"two")
        client.shutdown(socket.SHUT_WR)
        assert receive_all(client) == SWITCHING + b"one two"
        until(lambda: is_at_rest(server))
    assert protocols[0].told == ["ended", "closed"]
    assert protocols[0].reason is None


def test_a_reset_is_told(configure) -> None:
    protocols = Listing()
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE)
        assert receive(client, len(SWITCHING)) == SWITCHING
        reset(client)
        until(lambda: protocols.are_closed())
        assert isinstance(protocols[0].reason, ConnectionResetError)
        connection = protocols[0].connection
        server.workers[0].post(connection.send, b"to nobody")
        until(lambda: is_at_rest(server))
        assert not connection.is_open
        assert connection.unsent == 0


class Flood(Echo):
    """Sends more than the buffers of both sockets hold, whatever it receives."""

    def received(self, data: bytes) -> None:
        self.connection.send(bytes(32 * MEBIBYTE))


def failing(kind, name):
    def fail(self, *_):
        raise KeyError(name)

    return type("Failing", (kind,), {name: fail})


@pytest.mark.parametrize(("kind", "name"), [(Echo, "received"), (Flood, "drained"), (Echo, "ended"), (Echo, "closed")])
def test_what_a_protocol_raises_closes_its_connection_only(configure, kind, name, caplog) -> None:
    protocols = Listing(failing(kind, name))
    limits = Limits(high_water_bytes=1024, low_water_bytes=0)
    with connected(configure(protocols, limits=limits)) as (server, client):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as other:
            client.sendall(UPGRADE)
            assert receive(client, len(SWITCHING)) == SWITCHING
            client.sendall(b"x")
            if kind is Flood:
                until(lambda: protocols[0].connection.unsent > 1024)
                turned = threading.Event()  # whoever reads while they are sent may get them all at once
                server.workers[0].post(lambda: server.workers[0].post(turned.set))
                assert turned.wait(20)
                assert protocols[0].connection.unsent > 1024
            else:
                client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while client.recv(MEBIBYTE):
                    continue
            client.close()
            until(lambda: f"{name}() raised" in caplog.text)
            other.sendall(PLAIN)
            assert receive(other, 15) == b"HTTP/1.1 200 OK"
        until(lambda: is_at_rest(server))
    if name != "closed":
        assert isinstance(protocols[0].reason, KeyError)
        assert protocols.are_closed()


def test_timers_die_with_their_connection(configure) -> None:
    fired = []

    class Timed(Echo):
        def received(self, data: bytes) -> None:
            self.timers = [self.connection.call_later(1000, fired.append, number) for number in range(3)]
            self.timers[0].cancel()
            self.connection.call_later(0, self.connection.send, b"soon")

    protocols = Listing(Timed)
    with connected(configure(protocols)) as (_, client):
        client.sendall(UPGRADE + b"go")
        assert receive(client, len(SWITCHING) + 4) == SWITCHING + b"soon"
        assert [timer.is_active for timer in protocols[0].timers] == [False, True, True]
        reset(client)
        until(lambda: protocols.are_closed())
        assert [timer.is_active for timer in protocols[0].timers] == [False, False, False]
        with pytest.raises(RuntimeError):
            protocols[0].connection.call_later(0, fired.append, 4)
    assert fired == []


def test_a_timer_that_raises_closes_its_connection(configure, caplog) -> None:
    class Timed(Echo):
        def received(self, data: bytes) -> None:
            self.connection.call_later(0, {}.pop, "nothing")

    protocols = Listing(Timed)
    with connected(configure(protocols)) as (_, client):
        client.sendall(UPGRADE + b"go")
        with contextlib.suppress(ConnectionResetError):
            receive_all(client)
        until(lambda: protocols.are_closed())
    assert isinstance(protocols[0].reason, KeyError)
    assert "raised" in caplog.text


@pytest.mark.parametrize("behind", [b"", PLAIN, b"\x00"], ids=["nothing", "a_request", "garbage"])
def test_a_continuation_hands_its_connection_over(configure, behind) -> None:
    protocol = Echo()

    def go_on(request, response, worker, payload, event):
        response.write(SWITCHING)
        protocol.connection = response.takeover(protocol)

    def handle(request, response, worker):
        worker.post(worker.park().resume, go_on)
        return Step.SUSPEND

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE + behind)
        client.sendall(b"more")
        assert receive(client, len(SWITCHING + behind) + 4) == SWITCHING + behind + b"more"
        client.close()
        until(lambda: is_at_rest(server))
    assert protocol.told == ["closed"]


@pytest.mark.parametrize("waits", [False, True], ids=["at_once", "after_waiting"])
def test_a_coroutine_hands_its_connection_over(configure, waits) -> None:
    protocol = Echo()

    async def handle(request, response, worker):
        if waits:
            await worker.sleep(0.001)
        response.write(SWITCHING)
        protocol.connection = response.takeover(protocol)
        if waits:
            await worker.sleep(0.001)

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE + PLAIN)
        assert receive(client, len(SWITCHING + PLAIN)) == SWITCHING + PLAIN
        client.close()
        until(lambda: is_at_rest(server))
    assert protocol.told == ["closed"]


def test_a_client_gone_before_its_coroutine_is_done_is_told(configure) -> None:
    protocol = Echo()

    async def handle(request, response, worker):
        response.write(SWITCHING)
        protocol.connection = response.takeover(protocol)
        await worker.sleep(1000)

    with connected(configure(handle)) as (server, client):
        client.sendall(UPGRADE)
        until(lambda: server.counters().parked)
        reset(client)
        until(lambda: protocol.told)
        until(lambda: is_at_rest(server))
    assert isinstance(protocol.reason, ConnectionResetError)


def test_a_shutdown_lets_protocols_say_their_last_words(configure) -> None:
    class Polite(Echo):
        def draining(self) -> None:
            self.told.append("draining")
            self.connection.send(b"bye")
            self.connection.close()

    protocols = Listing(Polite)
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE)
        assert receive(client, len(SWITCHING)) == SWITCHING
        stop = threading.Thread(target=server.shutdown, args=(20.0,))
        stop.start()
        assert receive_all(client) == b"bye"
        client.close()
        stop.join()
    assert protocols[0].told == ["draining", "closed"]
    assert protocols[0].reason is None


def test_protocols_left_at_the_end_of_the_grace_are_cut(configure) -> None:
    protocols = Listing()
    with connected(configure(protocols)) as (server, client):
        client.sendall(UPGRADE)
        assert receive(client, len(SWITCHING)) == SWITCHING
        server.shutdown(0.05)
        assert protocols[0].told == ["closed"]
        assert isinstance(protocols[0].reason, ConnectionAbortedError)


def test_many_connections_come_and_go_and_leave_nothing(configure) -> None:
    protocols = Listing()
    with Server(configure(protocols)) as server, contextlib.ExitStack() as stack:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as first:
            first.sendall(UPGRADE)
            assert receive(first, len(SWITCHING)) == SWITCHING  # it is up and runs
        until(lambda: is_at_rest(server) and protocols.are_closed())
        before = count_descriptors()
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20)) for _ in range(200)
        ]
        for number, client in enumerate(clients):
            client.sendall(UPGRADE + b"%03d" % number)
        for number, client in enumerate(clients):
            assert receive(client, len(SWITCHING) + 3) == SWITCHING + b"%03d" % number
        assert server.counters().in_flight == server.counters().responses_1xx - 1 == 200
        for client in clients:
            reset(client)
        until(lambda: is_at_rest(server) and protocols.are_closed())
        assert count_descriptors() == before


def test_a_protocol_is_tested_by_hand() -> None:
    response = Response()
    protocol = Echo()
    protocol.connection = response.takeover(protocol)
    assert response.recorded is protocol.connection
    protocol.received(b"one")
    protocol.connection.close()
    assert (protocol.connection.sent, protocol.connection.is_open) == ([b"one"], False)
