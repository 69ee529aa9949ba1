"""Channels over workers that a test turns by hand: who is sent what, in which order, and when."""

from __future__ import annotations

import collections
import itertools
import math
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from vanilla import ConfigError, Request, Response, Step, Worker
from vanilla.sse import Channel, branch

RETRY = range(branch.RECONNECT_MS_MIN, branch.RECONNECT_MS_MAX + 1)


class Clock:
    """The time of day in these tests, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(branch, "time", clock)
    return clock


class Stream:
    """A client, its response and its parked handle in one: what it is sent arrives at the end of a tick."""

    def __init__(self, worker: Turned, source: Any) -> None:
        self.worker = worker
        self.source = source
        self.reads = True
        self.is_active = True
        self.end: str | None = None
        self.head: Any = None
        self.unsent_bytes = b""
        self.arrived = b""
        self.times: list[float] = []
        self.on_disconnect: Callable[[], Any] = lambda: None

    # As a response.

    def start(self, status: int, headers: Any = (), *, content_type: str) -> None:
        assert self.head is None
        self.head = (status, content_type, dict(headers))

    def reply(self, status: int, *, headers: Any = ()) -> None:
        self.head = (status, None, dict(headers))

    def park(self, *, on_disconnect: Callable[[], Any]) -> Stream:
        self.on_disconnect = on_disconnect
        return self

    def write(self, data: bytes) -> None:
        assert self.head is not None
        assert self.is_active
        self.unsent_bytes += data

    # As a parked handle.

    def finish(self) -> None:
        assert self.is_active
        self.is_active = False
        self.end = "finished"

    def abort(self) -> None:
        assert self.is_active
        self.is_active = False
        self.end = "aborted"
        self.unsent_bytes = b""

    # As a client.

    def take(self) -> None:
        """What was sent to it arrives, if it reads."""
        if self.reads and self.unsent_bytes:
            self.times.append(self.worker.clock.now)
            self.arrived += self.unsent_bytes
            self.source.feed(self.unsent_bytes)
            self.unsent_bytes = b""

    def leave(self) -> None:
        """The worker hears of it in its next tick."""
        if self.is_active:
            self.is_active = False
            self.worker.left.append(self)

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.source.events]


class Turned:
    """A worker that does what it was asked for when it is turned."""

    draining = False
    has_ended = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.posted: collections.deque = collections.deque()
        self.timers: list[tuple[float, Callable[[], Any]]] = []
        self.drain_calls: list = []
        self.streams: list[Stream] = []
        self.left: list[Stream] = []
        self.write_count = 0

    def post(self, function: Callable[..., Any], *args: object) -> None:
        if self.has_ended:
            raise RuntimeError("post: the worker has ended")
        self.posted.append((function, args))

    def call_later(self, seconds: float, function: Callable[[], Any]) -> None:
        assert seconds >= 0
        self.timers.append((self.clock.now + seconds, function))

    def on_drain(self, function: Callable[..., Any], *args: object) -> None:
        self.drain_calls.append((function, args))

    def write_each(self, streams: list[Stream], data: bytes, unsent_max: int) -> list[Stream]:
        self.write_count += 1
        assert data
        refused = []
        for stream in streams:
            if stream.is_active and len(stream.unsent_bytes) <= unsent_max:
                stream.write(data)
            else:
                refused.append(stream)
        return refused

    def turn(self) -> None:
        """One tick: mail, timers, those who left, and what was sent arrives."""
        for _ in range(len(self.posted)):
            function, args = self.posted.popleft()
            function(*args)
        due = [timer for timer in self.timers if timer[0] <= self.clock.now]
        self.timers = [timer for timer in self.timers if timer not in due]
        for _, beat in due:
            beat()
        left, self.left = self.left, []
        for stream in left:
            stream.on_disconnect()
        for stream in self.streams:
            stream.take()
        self.streams = [stream for stream in self.streams if stream.is_active or stream.unsent_bytes]

    def settle(self) -> None:
        """Turn until nothing is left to do now."""
        while self.posted or self.left or any(s.unsent_bytes and s.reads for s in self.streams):
            self.turn()

    def drain(self) -> None:
        self.draining = True
        calls, self.drain_calls = self.drain_calls, []
        for function, args in calls:
            function(*args)


@pytest.fixture
def workers(clock: Clock) -> list[Any]:
    return [Turned(clock), Turned(clock)]


@pytest.fixture
def worker(workers: list[Any]) -> Any:
    return workers[0]


@pytest.fixture
def subscribe(event_source: type) -> Callable[..., Stream]:
    """Subscribes a new client to a channel on a worker; what it was sent at once arrives at the end of the tick."""

    def subscribe(channel: Channel, worker: Any, last_id: str = "", method: str = "GET", **options: Any) -> Stream:
        field = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        request = Request(f"{method} / HTTP/1.1\r\nHost: a\r\n{field}\r\n".encode())
        stream = Stream(worker, event_source())
        step = channel.subscribe(request, stream, worker, **options)
        worker.streams.append(stream)
        if step is not Step.SUSPEND:
            assert step is Step.DONE
            stream.is_active = False
            stream.end = "done"
        return stream

    return subscribe


def step_on(clock: Clock, seconds: float, *workers: Any) -> None:
    """Time goes by, and the workers turn as often as they have something to do."""
    end = clock.now + seconds
    while True:
        for worker in workers:
            worker.settle()
        due = min((at for worker in workers for at, _ in worker.timers), default=math.inf)
        if due > end:
            break
        clock.now = max(clock.now, due)
        for worker in workers:
            worker.turn()
    clock.now = end


def test_a_stream_begins_with_a_head_that_nobody_keeps(worker, subscribe) -> None:
    stream = subscribe(Channel(), worker)
    assert stream.head == (200, "text/event-stream", {"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
    assert stream.is_active
    worker.settle()
    assert stream.arrived == b""


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"cache-control": "private", "A": "b"}, id="a_mapping"),
        pytest.param([(b"cache-control", b"private"), ("A", "b")], id="pairs"),
        pytest.param(iter([("cache-control", "private"), ("A", "b")]), id="pairs_to_be_read_once"),
    ],
)
def test_fields_that_are_given_replace_the_channels_own(worker, subscribe, headers) -> None:
    _, _, fields = subscribe(Channel(), worker, headers=headers).head
    as_text = {
        (n if isinstance(n, str) else n.decode()): (v if isinstance(v, str) else v.decode()) for n, v in fields.items()
    }
    assert as_text == {"X-Accel-Buffering": "no", "cache-control": "private", "A": "b"}


def test_every_subscriber_on_every_worker_is_sent_each_event(workers, subscribe) -> None:
    channel = Channel()
    streams = [subscribe(channel, worker) for worker in workers for _ in range(4)]
    assert channel.subscribers == 8
    assert channel.publish("hello", event="greeting") is None
    for worker in workers:
        worker.settle()
        assert worker.write_count == 1
    assert [stream.arrived for stream in streams] == [b"event: greeting\ndata: hello\n\n"] * 8
    assert (channel.published, channel.dropped) == (1, 0)


def test_events_published_between_two_ticks_are_sent_in_one_go(worker, subscribe) -> None:
    channel = Channel()
    stream = subscribe(channel, worker)
    for number in range(100):
        channel.publish(str(number))
    assert len(worker.posted) == 1
    worker.settle()
    assert stream.data == [str(number) for number in range(100)]
    assert worker.write_count == 1


def test_what_was_published_before_is_not_sent_to_a_new_subscriber(worker, subscribe) -> None:
    channel = Channel(replay=10)
    first = subscribe(channel, worker)
    channel.publish("1")  # pending while the next one subscribes
    second = subscribe(channel, worker)
    channel.publish("2")
    worker.settle()
    assert first.data == ["1", "2"]
    assert second.data == ["2"]


def test_one_that_comes_back_is_sent_what_it_missed_and_then_what_comes(worker, subscribe) -> None:
    channel = Channel(replay=10)
    gone = subscribe(channel, worker)
    channel.publish("1")
    worker.settle()
    gone.leave()
    worker.settle()
    channel.publish("2")
    worker.settle()
    channel.publish("3")
    back = subscribe(channel, worker, last_id=gone.source.last_event_id)
    channel.publish("4")
    worker.settle()
    assert gone.data == ["1"]
    assert back.data == ["2", "3", "4"]


def test_ids_are_those_given_or_got(worker, subscribe) -> None:
    channel = Channel(replay=2)
    stream = subscribe(channel, worker)
    ids = [channel.publish("a"), channel.publish("b", id="x"), channel.publish("c", id=b"y")]
    worker.settle()
    assert [event.last_event_id.encode() for event in stream.source.events] == ids
    assert ids[1:] == [b"x", b"y"]


def test_without_replay_an_event_has_the_id_that_was_given_or_none(worker, subscribe) -> None:
    channel = Channel()
    stream = subscribe(channel, worker, last_id="x")
    assert [channel.publish("a"), channel.publish("b", id="x"), channel.publish("c", id=b"y")] == [None, b"x", b"y"]
    worker.settle()
    assert [event.last_event_id for event in stream.source.events] == ["", "x", "y"]


def test_the_retry_of_a_channel_comes_first(worker, subscribe) -> None:
    channel = Channel(retry=2500, replay=2)
    channel.publish("1", id="1")
    channel.publish("2", id="2")
    stream = subscribe(channel, worker, last_id="1")
    worker.settle()
    assert stream.arrived == b"retry: 2500\n\nid: 2\ndata: 2\n\n"


def test_what_cannot_be_encoded_is_sent_to_nobody(worker, subscribe) -> None:
    channel = Channel(replay=2)
    stream = subscribe(channel, worker)
    with pytest.raises(ValueError, match="id"):
        channel.publish("a", id="a\nb")
    with pytest.raises(ValueError, match="nothing"):
        channel.publish()
    worker.settle()
    assert stream.arrived == b""
    assert channel.published == 0


def test_a_head_request_is_answered_and_does_not_subscribe(worker, subscribe) -> None:
    channel = Channel()
    stream = subscribe(channel, worker, method="HEAD")
    assert stream.end == "done"
    assert stream.head[:2] == (200, "text/event-stream")
    assert channel.subscribers == 0


def test_one_that_does_not_read_is_dropped_at_the_bound_and_counted(worker, subscribe) -> None:
    channel = Channel(max_unsent_bytes=100)
    reader, sluggard = subscribe(channel, worker), subscribe(channel, worker)
    sluggard.reads = False
    texts = [str(number) * 40 for number in range(8)]
    for text in texts:
        channel.publish(text)
        worker.turn()
        assert len(sluggard.unsent_bytes) <= 100 + 48
    assert sluggard.end == "aborted"
    assert (channel.dropped, channel.subscribers) == (1, 1)
    assert reader.data == texts
    assert reader.is_active


def test_an_event_larger_than_the_bound_is_sent_to_those_who_read(worker, subscribe) -> None:
    channel = Channel(max_unsent_bytes=100)
    stream = subscribe(channel, worker)
    channel.publish("a" * 1000)
    channel.publish("b" * 1000)
    worker.settle()
    assert [len(data) for data in stream.data] == [1000, 1000]
    assert channel.dropped == 0


def test_a_burst_above_the_bound_is_sent_over_several_ticks(worker, subscribe) -> None:
    channel = Channel(max_unsent_bytes=1000)
    stream = subscribe(channel, worker)
    texts = [str(number) * 100 for number in range(100)]
    for text in texts:
        channel.publish(text)
    late = subscribe(channel, worker)
    channel.publish("last")
    worker.settle()
    assert stream.data == [*texts, "last"]
    assert late.data == ["last"]
    assert worker.write_count > 10
    assert channel.dropped == 0


def test_subscribers_of_a_worker_that_does_not_turn_are_dropped_at_a_bound(workers, subscribe, monkeypatch) -> None:
    monkeypatch.setattr(branch, "PENDING_BYTES_MAX", 1000)
    channel = Channel(replay=1000)
    stuck, other = (subscribe(channel, worker) for worker in workers)
    for number in range(50):
        channel.publish(f"{number:100}")
        workers[1].settle()
    late = subscribe(channel, workers[0], last_id="0")  # replayed what overflowed
    channel.publish("last")
    for worker in workers:
        worker.settle()
    assert stuck.end == "aborted"
    assert (channel.dropped, channel.subscribers) == (1, 2)
    assert late.data == other.data
    assert [data.strip() for data in late.data] == [*map(str, range(50)), "last"]


def test_one_event_above_that_bound_is_sent_and_what_was_sent_counts_no_more(worker, subscribe, monkeypatch) -> None:
    monkeypatch.setattr(branch, "PENDING_BYTES_MAX", 1000)
    channel = Channel()
    stream = subscribe(channel, worker)
    sizes = [2000, *[300] * 20]
    channel.publish("a" * sizes[0])
    worker.settle()
    for size in sizes[1:]:
        channel.publish("a" * size)
        if channel.published % 2:
            worker.settle()
    assert [len(data) for data in stream.data] == sizes


def test_clients_that_leave_are_counted_out_and_let_go(worker, subscribe) -> None:
    channel = Channel()
    streams = [subscribe(channel, worker) for _ in range(1000)]
    (part,) = channel._shared.branches.values()
    for left, stream in enumerate(streams[:990], 1):
        stream.leave()
        worker.settle()
        assert channel.subscribers == 1000 - left
        kept = sum(len(cohort.streams) for cohort in part._cohorts)
        assert kept <= (1000 - left) * 66 / 64 + 1
    channel.publish("a")
    worker.settle()
    assert [stream.data for stream in streams[989:]] == [[], *[["a"]] * 10]
    assert channel.dropped == 0


def test_one_that_left_in_the_same_tick_as_an_event_is_counted_once(worker, subscribe) -> None:
    channel = Channel(heartbeat=None)
    one, two = subscribe(channel, worker), subscribe(channel, worker)
    one.leave()
    channel.publish("a")  # delivered before the worker says that it left
    worker.settle()
    assert two.data == ["a"]
    assert (channel.subscribers, channel.dropped) == (1, 0)
    two.leave()
    channel.close()
    worker.settle()
    assert (channel.subscribers, channel.dropped) == (0, 0)


def test_close_ends_every_stream_after_what_was_published(workers, subscribe) -> None:
    channel = Channel(max_unsent_bytes=10)
    streams = [subscribe(channel, worker) for worker in workers]
    channel.publish("a" * 100)
    channel.publish("b" * 100)
    channel.close()
    channel.close()
    for worker in workers:
        worker.settle()
    assert [stream.end for stream in streams] == ["finished"] * 2
    assert [stream.arrived for stream in streams] == [b"data: %b\n\ndata: %b\n\n" % (b"a" * 100, b"b" * 100)] * 2
    assert channel.subscribers == 0
    with pytest.raises(RuntimeError, match="publish: this channel is closed"):
        channel.publish("c")


def test_a_closed_channel_tells_a_client_not_to_come_back(worker, subscribe) -> None:
    channel = Channel()
    channel.close()
    stream = subscribe(channel, worker, headers={"A": "b"})
    assert stream.head == (204, None, {"A": "b"})
    assert stream.end == "done"


def test_a_shutdown_ends_every_stream_and_spreads_their_return(worker, subscribe) -> None:
    channels = [Channel(), Channel(max_unsent_bytes=1), Channel(), Channel()]
    streams = [subscribe(channel, worker) for channel in channels for _ in range(250)]
    assert len(worker.drain_calls) == 1
    channels[0].publish("last")
    channels[1].publish("first")
    channels[1].publish("last")
    channels[1].close()
    worker.drain()
    worker.settle()
    assert {stream.end for stream in streams} == {"finished"}
    assert all(stream.data == ["last"] for stream in streams[:250])
    assert all(stream.data == ["first", "last"] for stream in streams[250:500])
    retries = {stream.source.retry for stream in streams}
    assert retries <= set(RETRY)
    assert len(retries) > 900
    assert all(stream.source.is_between_events for stream in streams)
    assert [channel.subscribers for channel in channels] == [0] * 4


def test_the_other_worker_goes_on_while_one_shuts_down(workers, subscribe) -> None:
    channel = Channel()
    streams = [subscribe(channel, worker) for worker in workers]
    workers[0].drain()
    channel.publish("a")
    for worker in workers:
        worker.settle()
    assert [stream.data for stream in streams] == [[], ["a"]]
    assert channel.subscribers == 1
    assert list(channel._shared.branches) == [workers[1]]


def test_one_that_comes_while_its_worker_shuts_down_is_told_to_come_back(worker, subscribe) -> None:
    channel = Channel(replay=9)
    subscribe(channel, worker)
    worker.drain()
    stream = subscribe(channel, worker, last_id="x")
    worker.settle()
    assert stream.head[0] == 200
    assert stream.source.retry in RETRY
    assert stream.end == "done"
    assert not worker.drain_calls


def test_a_worker_that_has_ended_is_forgotten(workers, subscribe) -> None:
    channel = Channel()
    streams = [subscribe(channel, worker) for worker in workers]
    workers[0].has_ended = True
    channel.publish("a")
    workers[1].settle()
    assert [stream.data for stream in streams] == [[], ["a"]]
    assert list(channel._shared.branches) == [workers[1]]
    workers[1].has_ended = True
    channel.close()


def test_a_worker_remembers_nothing_of_channels_that_were_closed(worker, subscribe) -> None:
    for _ in range(100):
        channel = Channel()
        subscribe(channel, worker)
        channel.close()
        worker.settle()
    assert len(worker.drain_calls) == 1
    assert branch._here.branches[worker] == set()


def test_a_quiet_stream_gets_a_heartbeat_and_a_busy_one_gets_none(worker, subscribe, clock) -> None:
    busy, quiet = Channel(heartbeat=8.0), Channel(heartbeat=8.0)
    one, two = subscribe(busy, worker), subscribe(quiet, worker)
    for _ in range(10):
        busy.publish("a")
        step_on(clock, 5.0, worker)
    assert one.source.comments == []
    assert [at - 1000 for at in two.times] == [9.0 * number for number in range(1, 6)]
    assert set(two.source.comments) == {""}


def test_no_heartbeat_comes_before_the_interval_is_over_nor_much_later(worker, subscribe, clock) -> None:
    channel = Channel(heartbeat=8.0)
    chance = random.Random(1)
    began: dict[Stream, list[float]] = {}
    for _ in range(300):
        stream = subscribe(channel, worker)
        began[stream] = [clock.now]
        step_on(clock, chance.random() / 2, worker)
        if chance.random() < 0.03:
            channel.publish("a")
            worker.settle()
        (part,) = channel._shared.branches.values()
        assert len(part._cohorts) <= 11
    step_on(clock, 30.0, worker)
    for stream, times in began.items():
        times += stream.times
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert max(gaps) <= 9.0 + 0.1
        comments = len(stream.source.comments)
        assert sum(gap >= 8.0 for gap in gaps) >= comments > 0
    assert len(worker.timers) == 1


def test_many_are_told_in_parts_with_a_pause_between(worker, subscribe, clock) -> None:
    channel = Channel(heartbeat=8.0)
    streams = [subscribe(channel, worker) for _ in range(5000)]
    channel.publish("a")
    worker.settle()
    step_on(clock, 9.5, worker)
    assert {len(stream.source.comments) for stream in streams} == {1}
    told = collections.Counter(stream.times[-1] for stream in streams)
    assert sorted(told.values()) == [904, 1024, 1024, 1024, 1024]


def test_without_heartbeats_there_is_no_timer(worker, subscribe, clock) -> None:
    channel = Channel(heartbeat=None)
    streams = [subscribe(channel, worker) for _ in range(3)]
    channel.publish("a")
    step_on(clock, 1000.0, worker)
    assert [stream.arrived for stream in streams] == [b"data: a\n\n"] * 3
    assert not worker.timers


def test_a_worker_without_subscribers_has_no_timer(worker, subscribe, clock) -> None:
    channel = Channel(heartbeat=8.0)
    for _ in range(3):
        stream = subscribe(channel, worker)
        assert len(worker.timers) == 1
        stream.leave()
        step_on(clock, 20.0, worker)
        assert not worker.timers


def test_a_heartbeat_finds_those_who_do_not_read(worker, subscribe, clock) -> None:
    channel = Channel(heartbeat=1.0, max_unsent_bytes=10)
    stream = subscribe(channel, worker)
    stream.reads = False
    step_on(clock, 20.0, worker)
    assert stream.end == "aborted"
    assert (channel.dropped, channel.subscribers) == (1, 0)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        pytest.param({"replay": -1}, "replay=-1: give a number of events, a whole number of 0 or more", id="replay"),
        pytest.param({"replay": True}, "replay=True", id="replay_that_is_no_number"),
        pytest.param({"max_unsent_bytes": 0}, "max_unsent_bytes=0: .* 1 or more", id="no_bytes"),
        pytest.param({"max_unsent_bytes": 1e6}, "max_unsent_bytes=1000000.0", id="bytes_that_are_not_whole"),
        pytest.param({"heartbeat": 0}, "heartbeat=0: give seconds, more than 0, or None", id="heartbeat_of_zero"),
        pytest.param({"heartbeat": math.nan}, "heartbeat=nan", id="heartbeat_nan"),
        pytest.param({"heartbeat": math.inf}, "heartbeat=inf", id="heartbeat_without_end"),
        pytest.param({"heartbeat": "1"}, "heartbeat='1'", id="heartbeat_that_is_no_number"),
        pytest.param({"heartbeat": True}, "heartbeat=True", id="heartbeat_that_is_a_bool"),
        pytest.param({"retry": -1}, "retry=-1: give milliseconds", id="retry"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Channel(**settings)


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_lost_doubled_or_out_of_order_whatever_happens(seed, workers, subscribe, clock) -> None:
    chance = random.Random(seed)
    channel = Channel(replay=10_000, heartbeat=2.0, max_unsent_bytes=chance.choice([1, 100, 10**6]))
    published = 0
    streams: list[tuple[Stream, int]] = []  # and the number of the first event that it is to get
    for _ in range(400):
        act = chance.random()
        if act < 0.4:
            published += 1
            channel.publish(str(published))
        elif act < 0.6:
            before, first = chance.choice(streams) if streams and chance.random() < 0.6 else (None, 0)
            last_id = before.source.last_event_id if before is not None else ""
            first = first + len(before.data) if before is not None and last_id else published + 1
            streams.append((subscribe(channel, chance.choice(workers), last_id=last_id), first))
        elif act < 0.7 and streams:
            chance.choice(streams)[0].leave()
        elif act < 0.75 and streams:
            chance.choice(streams)[0].reads = False
        elif act < 0.8:
            step_on(clock, chance.random(), *workers)
        else:
            chance.choice(workers).turn()
    for worker in workers:
        worker.settle()
    for stream, first in streams:
        wanted = [str(number) for number in range(first, published + 1)]
        if stream.is_active and stream.reads:
            assert stream.data == wanted
        else:
            assert stream.data == wanted[: len(stream.data)]
    assert channel.subscribers == sum(stream.is_active for stream, _ in streams)
    assert channel.dropped == sum(stream.end == "aborted" for stream, _ in streams)


def test_publishers_on_many_threads_are_told_to_all_in_one_order(workers, subscribe) -> None:
    channel = Channel(replay=100)
    streams = [subscribe(channel, worker) for worker in workers]
    count, thread_count = 500, 4

    def publish(name: int) -> None:
        for number in range(count):
            channel.publish(f"{name} {number}")

    threads = [threading.Thread(target=publish, args=(name,)) for name in range(thread_count)]
    for thread in threads:
        thread.start()
    while any(len(stream.data) < count * thread_count for stream in streams):
        for worker in workers:
            worker.turn()
    for thread in threads:
        thread.join()
    assert streams[0].data == streams[1].data
    for name in range(thread_count):
        own = [data for data in streams[0].data if data.startswith(f"{name} ")]
        assert own == [f"{name} {number}" for number in range(count)]
    assert channel.published == count * thread_count


def test_a_handler_that_subscribes_is_tested_by_calling_it() -> None:
    channel = Channel(retry=1000)
    request, response, worker = Request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Response(), Worker()
    assert channel.subscribe(request, response, worker) is Step.SUSPEND
    head, _, content = bytes(response).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n")
    assert b"retry: 1000\n\n" in content
    channel.publish("hello")
    ((deliver, arguments),) = worker.recorded.posted
    deliver(*arguments)
    stream = response.recorded
    assert stream.written == [b"data: hello\n\n"]
