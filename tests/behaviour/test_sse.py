"""Channels over sockets: what clients of event streams get, in which order, and how their streams end."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading

import pytest

from vanilla import Server, Step
from vanilla.sse import Channel, branch

CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


class Client:
    """Reads one event stream, chunked or until the connection closes."""

    def __init__(self, port: int, source, *fields: str, version: str = "1.1", receive_bytes: int = 0) -> None:
        self.source = source
        self.head = b""
        self.is_ended = self.is_closed = False
        self.unread = b""
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", port))
        self.request(*fields, version=version)

    def request(self, *fields: str, version: str = "1.1") -> None:
        lines = [f"GET /events HTTP/{version}", "Host: a", *fields, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        while b"\r\n\r\n" not in self.unread:
            self.receive()
        self.head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        self.is_chunked = b"Transfer-Encoding: chunked" in self.head
        self.take()

    def receive(self) -> None:
        assert not self.is_closed
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.is_closed = not data
        self.unread += data

    def take(self) -> None:
        """Feed what has arrived of the content."""
        if not self.is_chunked:
            self.source.feed(self.unread)
            self.unread = b""
        while match := CHUNK.match(self.unread):
            end = match.end() + int(match[1], 16)
            if len(self.unread) < end + 2:
                return
            assert self.unread[end : end + 2] == b"\r\n"
            self.source.feed(self.unread[match.end() : end])
            self.unread = self.unread[end + 2 :]
            if match[1] == b"0":
                self.is_ended = True
                return

    def until(self, condition) -> None:
        while not condition():
            self.receive()
            self.take()

    def events(self, count: int) -> list[str]:
        """The data of the first so many events."""
        self.until(lambda: len(self.source.events) >= count)
        return [event.data for event in self.source.events]

    def end(self) -> None:
        """Read to the end of the stream or of the connection."""
        self.until(lambda: self.is_ended or self.is_closed)

    def leave(self) -> None:
        """A reset: the server hears of it at once."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def wait(condition) -> None:
    """For what another thread does; the test's own time limit ends it."""
    pause = threading.Event()
    while not condition():
        pause.wait(0.001)


def serving(channel):
    """GET /events subscribes, everything else is published and answered."""

    def handle(request, response, worker):
        if request.path == b"/events":
            return channel.subscribe(request, response, worker)
        if request.body:
            channel.publish(request.body)
        response.reply(200, b"published")
        return None

    return handle


@pytest.fixture
def connect(event_source):
    """Opens event streams; closed at the end of the test."""
    with contextlib.ExitStack() as stack:

        def connect(server, *fields: str, **options) -> Client:
            client = Client(server.port, event_source(), *fields, **options)
            stack.callback(client.socket.close)
            return client

        yield connect


def post(server, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as publisher:
        publisher.sendall(b"POST / HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return b"".join(iter(lambda: publisher.recv(1000), b""))


@pytest.mark.parametrize("workers", [1, 3])
def test_what_one_client_posts_reaches_every_subscriber(configure, connect, workers) -> None:
    channel = Channel()
    with Server(configure(serving(channel), port=0, workers=workers)) as server:
        clients = [connect(server) for _ in range(8)]
        for client in clients:
            assert client.head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"Content-Type: text/event-stream\r\n" in client.head
            assert b"Cache-Control: no-store\r\n" in client.head
        assert channel.subscribers == server.counters().parked == 8
        assert post(server, b"hello\nyou").endswith(b"published")
        assert [client.events(1) for client in clients] == [["hello\nyou"]] * 8


@pytest.mark.parametrize("workers", [1, 3])
def test_events_of_many_publishers_come_to_all_in_one_order(configure, connect, workers) -> None:
    channel = Channel(max_unsent_bytes=2**22)
    names, count = range(4), 300

    def publish(name: int) -> None:
        for number in range(count):
            channel.publish(f"{name} {number}")

    with Server(configure(serving(channel), port=0, workers=workers)) as server:
        clients = [connect(server) for _ in range(6)]
        threads = [threading.Thread(target=publish, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        orders = [client.events(len(names) * count) for client in clients]
        for thread in threads:
            thread.join()
    assert orders == [orders[0]] * 6
    for name in names:
        own = [data for data in orders[0] if data.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(count)]


@pytest.mark.parametrize("seed", range(3))
def test_clients_that_come_back_while_events_are_published_miss_nothing(configure, connect, seed) -> None:
    channel = Channel(replay=10_000, max_unsent_bytes=2**22)
    chance = random.Random(seed)
    count = 2000
    is_subscribed = threading.Event()

    def publish() -> None:
        is_subscribed.wait(20)
        for number in range(count):
            channel.publish(str(number))

    publisher = threading.Thread(target=publish)
    with Server(configure(serving(channel), port=0, workers=2)) as server:
        client = connect(server)
        publisher.start()
        is_subscribed.set()
        read: list[str] = []
        while len(read) < count:
            events = client.events(min(chance.randrange(1, 200), count - len(read)))
            client.leave()
            read += events
            client = connect(server, f"Last-Event-ID: {client.source.events[-1].last_event_id}")
        publisher.join()
        assert read == [str(number) for number in range(count)]
        client.leave()
        wait(lambda: channel.subscribers == server.counters().parked == 0)
    assert channel.dropped == 0


def test_an_http_1_0_client_reads_the_stream_until_the_connection_closes(configure, connect) -> None:
    channel = Channel(retry=10)
    with Server(configure(serving(channel), port=0)) as server:
        client = connect(server, version="1.0")
        assert b"Connection: close" in client.head
        assert not client.is_chunked
        channel.publish("hello")
        channel.close()
        client.end()
        assert [event.data for event in client.source.events] == ["hello"]
        assert client.source.retry == 10
        assert client.source.is_between_events


def test_a_closed_channel_ends_the_stream_and_the_connection_goes_on(configure, connect) -> None:
    channel = Channel()
    with Server(configure(serving(channel), port=0)) as server:
        client = connect(server)
        client.socket.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")  # waits behind the stream
        channel.publish("hello")
        channel.close()
        client.end()
        assert client.is_ended
        assert client.events(1) == ["hello"]
        client.until(lambda: client.unread.endswith(b"published"))
        assert client.unread.startswith(b"HTTP/1.1 200 OK\r\n")
        client.unread = b""
        client.request()
        assert client.head.startswith(b"HTTP/1.1 204 No Content\r\n")
        assert server.counters().parked == channel.subscribers == 0


def test_a_head_request_is_answered_with_the_head_alone(configure) -> None:
    channel = Channel()
    with (
        Server(configure(serving(channel), port=0)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
    ):
        client.sendall(
            b"HEAD /events HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        received = b""
        while data := client.recv(1000):
            received += data
    first, second, rest = received.split(b"\r\n\r\n")
    assert b"Content-Type: text/event-stream" in first
    assert second.startswith(b"HTTP/1.1 200 OK")
    assert rest == b""


@pytest.mark.parametrize(
    ("before", "after"),
    [(0, 0), (1, 0), (3, 0), (0, 3), (3, 3)],
)
def test_a_coroutine_subscribes_whether_it_waits_or_not(configure, connect, before, after) -> None:
    channel = Channel(retry=10)
    returned = []

    async def handle(request, response, worker):
        for _ in range(before):
            await asyncio.sleep(0)
        step = channel.subscribe(request, response, worker)
        channel.publish("first")
        for _ in range(after):
            await asyncio.sleep(0)
        returned.append(step)
        return step

    with Server(configure(handle, port=0)) as server:
        clients = [connect(server) for _ in range(4)]
        wait(lambda: len(returned) == 4)
        channel.publish("last")
        channel.close()
        for number, client in enumerate(clients):
            client.end()
            assert client.is_ended
            assert client.source.retry == 10
            assert [event.data for event in client.source.events] == ["first"] * (4 - number) + ["last"]
        wait(lambda: server.counters().parked == 0)


def test_a_coroutine_that_does_not_return_is_cut_off_and_holds_up_no_other_stream(configure, connect) -> None:
    channel = Channel()

    async def handle(request, response, worker):
        step = channel.subscribe(request, response, worker)
        if request.query == b"stays":
            await asyncio.sleep(1000)
        return step

    with Server(configure(handle, port=0)) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as staying:
            staying.sendall(b"GET /?stays HTTP/1.1\r\nHost: a\r\n\r\n")
            wait(lambda: channel.subscribers == 1)
            client = connect(server)
            channel.close()
            client.end()
            assert client.is_ended
            assert staying.recv(1000) == b""
        wait(lambda: server.counters().parked == 0)


def test_a_coroutine_whose_client_has_left_subscribes_nobody(configure) -> None:
    channel = Channel()
    steps = []
    has_begun = threading.Event()

    async def handle(request, response, worker):
        has_begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
        steps.append((request.disconnected, channel.subscribe(request, response, worker)))

    with Server(configure(handle, port=0)) as server:
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        has_begun.wait(20)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        wait(lambda: steps)
        assert steps == [(True, Step.DONE)]
        assert channel.subscribers == 0


def test_a_quiet_stream_gets_heartbeats(configure, connect) -> None:
    channel = Channel(heartbeat=0.02)
    with Server(configure(serving(channel), port=0)) as server:
        clients = [connect(server) for _ in range(3)]
        for client in clients:
            client.until(lambda: len(client.source.comments) >= 3)  # noqa: B023
        channel.publish("hello")
        assert [client.events(1) for client in clients] == [["hello"]] * 3


def test_a_client_that_goes_away_is_unsubscribed(configure, connect) -> None:
    channel = Channel()
    with Server(configure(serving(channel), port=0)) as server:
        clients = [connect(server) for _ in range(20)]
        for client in clients[5:]:
            client.leave()
        wait(lambda: channel.subscribers == server.counters().parked == server.counters().open == 5)
        channel.publish("hello")
        assert [client.events(1) for client in clients[:5]] == [["hello"]] * 5
        assert channel.dropped == 0


def test_a_client_that_closes_in_order_is_found_by_what_it_is_sent(configure, connect) -> None:
    channel = Channel(heartbeat=0.02)
    with Server(configure(serving(channel), port=0)) as server:
        clients = [connect(server) for _ in range(3)]
        for client in clients[1:]:
            client.socket.close()
        wait(lambda: channel.subscribers == server.counters().parked == server.counters().open == 1)
        assert channel.dropped == 0


def test_a_client_that_does_not_read_is_dropped_and_holds_up_nobody(configure, connect) -> None:
    channel = Channel(max_unsent_bytes=10_000, replay=2)
    with Server(configure(serving(channel), port=0)) as server:
        sluggard, reader = connect(server, receive_bytes=4096), connect(server)
        number = 0
        while channel.dropped == 0:
            number += 1
            channel.publish(f"{number:10000}")
            reader.events(number)
        assert channel.subscribers == 1
        assert [int(data) for data in reader.events(number)] == list(range(1, number + 1))
        wait(lambda: server.counters().open == 1)
        sluggard.end()
        assert sluggard.is_closed  # cut off: it sees that the stream did not end as it should
        assert not sluggard.is_ended
        seen = len(sluggard.source.events)
        assert 0 < seen < number
        assert [int(event.data) for event in sluggard.source.events] == list(range(1, seen + 1))


def test_a_shutdown_ends_a_thousand_streams_properly_long_before_its_grace(configure, connect) -> None:
    channel = Channel()
    with Server(configure(serving(channel), port=0, workers=2, graceful_timeout=600.0)) as server:
        clients = [connect(server) for _ in range(1000)]
        channel.publish("last")
        server.shutdown()
        for client in clients:
            client.end()
    assert all(client.is_ended for client in clients)
    assert all([event.data for event in client.source.events] == ["last"] for client in clients)
    assert all(client.source.is_between_events for client in clients)
    retries = [client.source.retry for client in clients]
    assert min(retries) >= branch.RECONNECT_MS_MIN
    assert max(retries) <= branch.RECONNECT_MS_MAX
    assert len(set(retries)) > 800  # spread: no stampede on the next server
    assert channel.subscribers == channel.dropped == 0


def test_a_shutdown_waits_for_streams_no_longer_than_its_grace(configure, connect) -> None:
    channel = Channel()
    with Server(configure(serving(channel), port=0, graceful_timeout=0.2)) as server:
        sluggard, reader = connect(server, receive_bytes=4096), connect(server)
        channel.publish("x" * 2**23)  # more than the kernel holds for one that does not read
        reader.events(1)
        server.shutdown()
        reader.end()
        assert reader.is_ended
        sluggard.end()
        assert sluggard.is_closed


def test_a_channel_serves_one_server_after_the_other(configure, connect) -> None:
    channel = Channel(replay=10)
    config = configure(serving(channel), port=0)
    with Server(config) as server:
        client = connect(server)
        channel.publish("1")
        assert client.events(1) == ["1"]
    client.end()
    channel.publish("2")
    with Server(config) as server:
        back = connect(server, f"Last-Event-ID: {client.source.last_event_id}")
        channel.publish("3")
        assert back.events(2) == ["2", "3"]
        assert channel.subscribers == 1
