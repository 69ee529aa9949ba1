"""Rate limits: who gets through and who does not, what they are told, and that no crowd fills the memory."""

from __future__ import annotations

import collections
import random
import threading

import pytest

from vanilla import Request, Server, ServerConfig, Worker
from vanilla.testing import ask, drive, frames
from vanilla.toolkit.composition import compose
from vanilla.toolkit.forwarded import TrustedProxies
from vanilla.toolkit.rate_limit import MemoryRateStore, Rate, Verdict, client_key, judge, rate_limit

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryRateStore:
    return MemoryRateStore(clock=clock)


def plain(request, response, worker):
    response.reply(200, b"done")


def by_field(request: Request) -> bytes | None:
    return request.header("x-key")


def test_a_burst_gets_through_at_once_and_then_one_at_a_time(store: MemoryRateStore, clock: Clock) -> None:
    rate = Rate(100, per=60, burst=3)
    assert [store.check(b"k", rate) for _ in range(3)] == [
        Verdict(True, 2, 0.0, 0.6),
        Verdict(True, 1, 0.0, 1.2),
        Verdict(True, 0, 0.0, 1.8),
    ]
    assert store.check(b"k", rate) == Verdict(False, 0, 0.6, 1.8)
    assert store.check(b"k", rate) == Verdict(False, 0, 0.6, 1.8)  # a refused one costs nothing
    clock.now += 0.5
    refused = store.check(b"k", rate)
    assert (refused.is_allowed, refused.retry_after) == (False, pytest.approx(0.1))
    clock.now += 0.1
    assert store.check(b"k", rate).is_allowed
    assert not store.check(b"k", rate).is_allowed
    clock.now += 100  # silence fills one burst, and no more
    assert [store.check(b"k", rate).is_allowed for _ in range(4)] == [True, True, True, False]


def test_keys_have_allowances_of_their_own(store: MemoryRateStore) -> None:
    assert [store.check(key, Rate(1)).is_allowed for key in (b"a", b"b", b"a", b"b")] == [True, True, False, False]


def test_what_costs_more_takes_more(store: MemoryRateStore) -> None:
    rate = Rate(10, per=10)
    assert store.check(b"k", rate, 7) == Verdict(True, 3, 0.0, 7.0)
    assert store.check(b"k", rate, 5) == Verdict(False, 3, 2.0, 7.0)
    assert store.check(b"k", rate, 0) == Verdict(True, 3, 0.0, 7.0)  # only asks
    assert store.check(b"k", rate, 3) == Verdict(True, 0, 0.0, 10.0)
    assert store.check(b"other", rate, 11) == Verdict(False, 10, None, 0.0)  # however long it waits


def test_it_agrees_with_a_bucket_that_is_filled_by_hand() -> None:
    chance = random.Random(11)
    for _ in range(50):
        rate = Rate(chance.randint(1, 50), per=chance.choice([1, 10, 60]), burst=chance.randint(1, 30))
        interval = rate.interval_ns
        tokens, now, full_at = rate.burst * interval, 0, 0
        seen = collections.Counter[bool]()
        for _ in range(200):
            passed, cost = chance.randrange(3 * interval), chance.randint(0, 3)
            now += passed
            tokens = min(tokens + passed, rate.burst * interval)
            verdict, full_at = judge(full_at, now, rate, cost)
            is_allowed = tokens >= cost * interval
            tokens -= cost * interval if is_allowed else 0
            assert (verdict.is_allowed, verdict.remaining) == (is_allowed, tokens // interval)
            seen[is_allowed] += 1
        assert seen[True] > 10


@pytest.mark.usefixtures("busy_switching")
def test_no_request_gets_through_twice_however_many_threads_ask(clock: Clock) -> None:
    store = MemoryRateStore(clock=clock)
    rate = Rate(1_000, per=3600)
    barrier = threading.Barrier(8)
    allowed = []

    def hammer() -> None:
        barrier.wait()
        for number in range(2_000):
            key = b"%d" % (number % 5)
            if store.check(key, rate).is_allowed:
                allowed.append(key)

    threads = [threading.Thread(target=hammer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert collections.Counter(allowed) == {b"%d" % number: 1_000 for number in range(5)}


def test_a_million_keys_are_not_kept(clock: Clock) -> None:
    store = MemoryRateStore(10_000, clock=clock)
    rate = Rate(1, per=3600)
    for number in range(1_000_000):
        store.check(b"%d" % number, rate)
    assert 9_000 < len(store) <= 10_000
    places = [len(shard.heap) for shard in store._shards]
    assert places == [len(shard.full_at) for shard in store._shards]


def test_what_has_passed_is_forgotten_as_others_come(clock: Clock) -> None:
    store = MemoryRateStore(100_000, clock=clock)
    for number in range(10_000):
        store.check(b"%d" % number, Rate(1))
    assert len(store) == 10_000
    clock.now += 2
    for number in range(10_000):
        store.check(b"new%d" % number, Rate(1))
        clock.now += 0.000_01
    assert len(store) <= 10_100  # of 20000; each has swept more than it has brought


def test_a_key_that_keeps_coming_has_one_place(clock: Clock) -> None:
    store = MemoryRateStore(8, shards=1, clock=clock)
    for number in range(1_000):
        store.check(b"busy", Rate(10, per=1))
        store.check(b"%d" % number, Rate(10, per=1))
        clock.now += 0.2
        [shard] = store._shards
        assert len(shard.heap) == len(shard.full_at) <= 8
        assert sorted(key for _, key in shard.heap) == sorted(shard.full_at)


def test_at_the_bound_who_owes_least_goes_and_who_is_refused_stays(clock: Clock) -> None:
    store = MemoryRateStore(4, shards=1, clock=clock)
    rate = Rate(5, per=100)
    for key, count in ((b"refused", 5), (b"half", 3), (b"once", 1), (b"twice", 2)):
        for _ in range(count):
            assert store.check(key, rate).is_allowed
    for number in range(100):  # each pushes out the one before
        assert store.check(b"stranger %d" % number, rate).is_allowed
        assert len(store) == 4
    assert store.check(b"refused", rate) == Verdict(False, 0, 20.0, 100.0)
    assert store.check(b"half", rate, 0).remaining == 2
    assert store.check(b"once", rate, 0).remaining == 5  # it has a whole burst again


def test_what_only_asks_takes_no_place(store: MemoryRateStore) -> None:
    store.check(b"k", Rate(1), 0)
    store.check(b"k", Rate(1), 2)
    assert len(store) == 0


@pytest.mark.parametrize(
    ("key", "cost", "match"), [(b"x" * 65, 1, "key of 65 bytes"), (b"k", -1, "cost=-1: give 0 or more")]
)
def test_a_store_refuses_what_it_cannot_count(store: MemoryRateStore, key: bytes, cost: int, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        store.check(key, Rate(1), cost)


def test_every_answer_tells_what_is_left(store: MemoryRateStore, clock: Clock, answer_of) -> None:
    handle = rate_limit(Rate(100, per=60, burst=2), store=store)(plain)
    seen = []
    for _ in range(3):
        response = answer_of(handle)
        seen.append(
            (response.status, *(response.header(f"ratelimit-{name}") for name in ("limit", "remaining", "reset")))
        )
    assert seen == [(200, b"2", b"1", b"1"), (200, b"2", b"0", b"2"), (429, b"2", b"0", b"2")]
    assert (response.header("retry-after"), response.content) == (b"1", b"")
    assert response.header("ratelimit") is None


@pytest.mark.parametrize(
    ("announce", "names"),
    [
        ("triple", {b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset"}),
        ("draft", {b"ratelimit-policy", b"ratelimit"}),
        (None, set()),
        (
            "both",
            {b"ratelimit-policy", b"ratelimit", b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset"},
        ),
    ],
)
def test_they_are_told_in_the_fields_that_you_choose(announce, names: set, store: MemoryRateStore, answer_of) -> None:
    response = answer_of(rate_limit(Rate(100, per=60, burst=20), store=store, announce=announce)(plain))
    assert {name.lower() for name, _ in response.headers() if name.lower().startswith(b"ratelimit")} == names
    if b"ratelimit" in names:
        assert response.header("ratelimit-policy") == b'"default";q=20;w=12'
        assert response.header("ratelimit") == b'"default";r=19;t=1'


def test_a_streamed_answer_tells_it_too(store: MemoryRateStore, answer_of) -> None:
    def stream(request, response, worker):
        response.start(200)
        response.write(b"piece")

    assert answer_of(rate_limit(Rate(5), store=store)(stream)).header("ratelimit-remaining") == b"4"


def test_of_several_limits_the_one_that_leaves_least_is_told(store: MemoryRateStore, answer_of) -> None:
    wide = rate_limit(Rate(100, per=3600), store=store, name="hour", announce="both")
    narrow = rate_limit(Rate(2), store=store, name="second", announce="both")
    for handle in (compose(plain, wide, narrow), compose(plain, narrow, wide)):
        response = answer_of(handle)
        assert response.header("ratelimit-limit") == b"2"
        assert sum(name.lower() == b"ratelimit" for name, _ in response.headers()) == 2
    assert answer_of(handle).status == 429


def test_a_function_says_whose_a_request_is(store: MemoryRateStore, answer_of) -> None:
    handle = rate_limit(Rate(1), key=by_field, store=store)(plain)
    statuses = [answer_of(handle, b"X-Key: " + key).status for key in (b"a", b"b", b"a")]
    assert statuses == [200, 200, 429]
    nobody = [answer_of(handle) for _ in range(3)]
    assert [answer.status for answer in nobody] == [200, 200, 200]
    assert nobody[0].header("ratelimit-limit") is None


def test_a_long_key_is_kept_as_its_hash(store: MemoryRateStore, answer_of) -> None:
    handle = rate_limit(Rate(1), key=by_field, store=store)(plain)
    long, longer = b"x" * 3_000, b"x" * 3_001
    assert [answer_of(handle, b"X-Key: " + key).status for key in (long, longer, long)] == [200, 200, 429]
    assert max(len(key) for shard in store._shards for key in shard.full_at) <= 64


def test_a_request_may_cost_more(store: MemoryRateStore, answer_of) -> None:
    handle = rate_limit(Rate(10, per=10), store=store, cost=lambda request: len(request.body))(plain)
    cheap, dear, too_dear = (answer_of(handle, body=b"x" * length) for length in (6, 5, 11))
    assert (cheap.status, cheap.header("ratelimit-remaining")) == (200, b"4")
    assert (dear.status, dear.header("retry-after")) == (429, b"1")
    assert (too_dear.status, too_dear.header("retry-after")) == (429, None)


def test_behind_a_proxy_each_client_is_one_and_nobody_makes_another_up(store: MemoryRateStore, answer_of) -> None:
    proxied = rate_limit(Rate(1), store=store, trusted=TrustedProxies(["unix", "10.0.0.0/8"]))(plain)
    statuses = [
        answer_of(proxied, b"X-Forwarded-For: " + value).status
        for value in (b"192.0.2.1", b"192.0.2.2", b"6.6.6.6, 192.0.2.1", b"::ffff:192.0.2.2")
    ]
    assert statuses == [200, 200, 429, 429]
    direct = rate_limit(Rate(1), store=store, name="direct")(plain)
    assert [answer_of(direct, b"X-Forwarded-For: 192.0.2.%d" % end).status for end in (1, 2)] == [200, 429]


@pytest.mark.parametrize(
    ("addresses", "count"),
    [
        (["2001:db8::1", "2001:db8::ffff:1", "2001:DB8:0:0::2"], 1),
        (["2001:db8:0:1::1", "2001:db8:0:2::1"], 2),
        (["::ffff:192.0.2.1", "192.0.2.1"], 1),
        (["192.0.2.1", "192.0.2.2"], 2),
    ],
)
def test_an_ipv6_network_is_one_client(addresses: list, count: int, request_with) -> None:
    for trusted, worker in ((TrustedProxies(["unix"]), Worker()), (None, Worker(forwarded_allow_ips=["unix"]))):
        find = client_key(trusted)
        keys = {find(request_with(f"X-Forwarded-For: {address}".encode()), worker) for address in addresses}
        assert len(keys) == count
    assert client_key()(request_with(), Worker()) == b"unix"


def test_handlers_that_wait_may_have_a_store_that_waits() -> None:
    class NetworkedStore:
        def __init__(self) -> None:
            self.inner = MemoryRateStore()
            self.keys: list[bytes] = []

        async def check(self, key: bytes, rate: Rate, cost: int) -> Verdict:
            self.keys.append(key)
            return self.inner.check(key, rate, cost)

    async def later(request, response, worker):
        await worker.sleep(0)
        response.reply(200)

    for handler in (plain, later):
        store = NetworkedStore()
        handle = compose(handler, rate_limit(Rate(2, per=3600), store=store))
        answers = Server(ServerConfig(handle)).test([GET * 3])[0]
        statuses = [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"200", b"429"]
        assert answers.count(b"RateLimit-Remaining: 0\r\n") == 2
        assert set(store.keys) == {b"default\x00127.0.0.1"}


def test_the_answers_of_an_async_handler_are_limited_and_told() -> None:
    async def later(request, response, worker):
        await worker.sleep(0)
        response.reply(200)

    [answers] = Server(ServerConfig(compose(later, rate_limit(Rate(1, per=3600))))).test([GET * 2])
    assert [part[:3] for part in answers.split(b"HTTP/1.1 ")[1:]] == [b"200", b"429"]
    assert answers.count(b"RateLimit-Remaining: 0\r\n") == 2


def test_all_workers_count_together() -> None:
    seen = set()
    limited = compose(lambda request, response, worker: response.reply(200), rate_limit(Rate(50, per=3600)))

    def handle(request, response, worker):
        seen.add(worker.index)  # also of what is refused: what is not may come to one of them alone
        return limited(request, response, worker)

    results = drive(ServerConfig(handle, workers=3), [ask(GET * 4, frames(4)) for _ in range(25)])
    statuses = collections.Counter(status for result in results for status in result.statuses)
    assert statuses == {200: 50, 429: 50}
    assert len(seen) > 1


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Rate(0), "limit=0"),
        (lambda: Rate(1.5), "limit=1.5"),
        (lambda: Rate(1, per=0), "per=0"),
        (lambda: Rate(1, per=float("inf")), "per=inf"),
        (lambda: Rate(10, per=1e-9), "per=1e-09"),
        (lambda: Rate(1, burst=-1), "burst=-1"),
        (lambda: MemoryRateStore(shards=0), "shards=0"),
        (lambda: MemoryRateStore(10), "keys_max=10: give 64 or more"),
        (lambda: client_key(ipv6_prefix=0), "ipv6_prefix=0"),
        (lambda: rate_limit(Rate(1), name='a"b'), "name="),
        (lambda: rate_limit(Rate(1), announce="all"), "announce='all'"),
        (lambda: rate_limit(Rate(1), key=by_field, trusted=TrustedProxies([])), "key and trusted"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(make, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()
