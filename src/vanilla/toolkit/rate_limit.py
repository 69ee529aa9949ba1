"""How often somebody may ask: GCRA for each key, middleware that answers 429, and where the counts are kept.

# Facts about GCRA
For each key one time is kept: when its allowance will be full again. Each request moves it on by the time that one
request is worth, and is refused where that would take it further ahead than a whole burst is worth. So there is no
window at whose edge twice as many get through, nothing runs in the background, and a time that has passed says as much
as no time at all: it may be forgotten. A refused request moves nothing: who keeps on asking is not locked out for good.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import heapq
import ipaddress
import math
import re
import threading
import time
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

from vanilla.contract import Request, Response, Worker
from vanilla.toolkit.composition import Handler, Middleware, awaitable
from vanilla.toolkit.forwarded import TrustedProxies, find_address, read_address

KEY_BYTES_MAX = 64  # what is longer is kept as its hash
KEYS_MAX = 100_000
SHARDS = 64

_IPV6_PREFIX = 64  # what one customer has at least: of single addresses there are 2**64 to hide behind
_SECOND = 1_000_000_000
_SWEPT_MAX = 2  # keys looked at in each check: more than one comes with it, so that what has passed goes away
_KEPT_ADDRESSES = 4096
_NAME = re.compile(r"[A-Za-z0-9_.:/ -]{1,64}")

Announced: TypeAlias = Literal["triple", "draft", "both"] | None
Key: TypeAlias = Callable[[Request], str | bytes | None]


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds, of which so many at once: `Rate(100, per=60, burst=20)`.

    A burst of 20 is there again after 12 seconds of silence, and one more request each 0.6 seconds until then. In any
    minute no more than 120 get through.

    Args:
        limit: requests, or what they cost.
        per: in how many seconds.
        burst: how many may come at once; as many as `limit` unless given.

    Raises: ValueError for what is below 1, and for more than one in a nanosecond.
    """

    limit: int
    per: float = 1.0
    burst: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.limit, int) or self.limit < 1:
            raise ValueError(f"limit={self.limit!r}: give a number of requests, 1 or more")
        if not math.isfinite(self.per) or self.per * _SECOND < self.limit:
            raise ValueError(f"per={self.per!r}: give seconds, for no more than one request in a nanosecond")
        if not isinstance(self.burst, int) or self.burst < 0:
            raise ValueError(f"burst={self.burst!r}: give a number of requests, or leave it out for {self.limit}")
        object.__setattr__(self, "burst", self.burst or self.limit)

    @property
    def interval_ns(self) -> int:
        """Nanoseconds that one request is worth."""
        return round(self.per * _SECOND / self.limit)


class Verdict(NamedTuple):
    """What a store says to one request."""

    is_allowed: bool
    remaining: int  # requests that would be allowed now, after this one
    retry_after: float | None  # seconds until this one would be; 0 if it is; None if it costs more than the burst
    reset_after: float  # seconds until the whole burst is there again


class RateStore(Protocol):
    """Where the times of the keys are kept. `check` may be an `async def`: then the wrapped handlers are async, too."""

    def check(self, key: bytes, rate: Rate, cost: int) -> Verdict | Awaitable[Verdict]:
        """Judge a request, and count it if it is allowed, in one step that no other check of the key comes between.

        Args:
            key: whose requests are counted, of KEY_BYTES_MAX bytes at most.
            rate: what they are allowed; a key always comes with the same one.
            cost: what this one takes of the allowance, 0 or more; 0 only asks.
        """


def judge(full_at: int, now: int, rate: Rate, cost: int) -> tuple[Verdict, int]:
    """GCRA itself, for stores: the verdict, and when the allowance will be full.

    Args:
        full_at: what this returned for the key's last request; 0, or any time that has passed, where there is none.
        now: nanoseconds of the same clock.
        rate: what the key is allowed.
        cost: of this request.
    """
    interval = rate.interval_ns
    burst = rate.burst * interval
    begin = max(full_at, now)
    wanted = begin + cost * interval
    early = wanted - burst - now  # nanoseconds
    if early > 0:
        wait = None if cost > rate.burst else early / _SECOND
        return Verdict(False, max(now + burst - begin, 0) // interval, wait, (begin - now) / _SECOND), begin
    return Verdict(True, -early // interval, 0.0, (wanted - now) / _SECOND), wanted


class MemoryRateStore:
    """The keys of one process, shared by its workers. Each key is in one of many shards, which have a lock each.

    It holds `keys_max` keys at most. Those whose allowance is full again are forgotten as others come, a few in each
    check. Beyond the bound the one of the same shard goes that would have been full again the soonest, so the one that
    owed the least; it has a whole burst again. Who is at its limit owes the most and goes last: a crowd of strangers
    frees nobody who is refused before it has pushed out everybody who is not.

    Args:
        keys_max: keys, of some 200 bytes each.
        shards: how many parts they are in; more threads than that never meet.
        clock: seconds that only grow; for tests.

    Raises: ValueError where there is less than one shard, or one key in each.
    """

    def __init__(
        self, keys_max: int = KEYS_MAX, *, shards: int = SHARDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if shards < 1:
            raise ValueError(f"shards={shards!r}: give 1 or more")
        if keys_max < shards:
            raise ValueError(f"keys_max={keys_max!r}: give {shards} or more, one for each shard")
        self._shards = [_Shard(keys_max // shards) for _ in range(shards)]
        self._clock = clock

    def __len__(self) -> int:
        """How many keys it holds, those that can be forgotten included."""
        return sum(len(shard.full_at) for shard in self._shards)

    def check(self, key: bytes, rate: Rate, cost: int = 1) -> Verdict:
        """As `RateStore` has it; any thread may call it. A handler may, too: to count failed logins alone, say.

        Raises: ValueError for a key that is too long, or a negative cost.
        """
        if len(key) > KEY_BYTES_MAX:
            raise ValueError(f"key of {len(key)} bytes: give {KEY_BYTES_MAX} at most, or a hash")
        if cost < 0:
            raise ValueError(f"cost={cost!r}: give 0 or more")
        # Python's hash of bytes has a seed that no client knows: nobody can fill one shard alone.
        return self._shards[hash(key) % len(self._shards)].check(key, round(self._clock() * _SECOND), rate, cost)


class _Shard:
    """Some of the keys. Each has one place in the heap, by a time that is never later than its own, which only grows:
    so whoever comes to the top is either what it seems, or is put back where it belongs.
    """

    __slots__ = ("full_at", "heap", "keys_max", "lock")

    def __init__(self, keys_max: int) -> None:
        self.keys_max = keys_max
        self.full_at: dict[bytes, int] = {}
        self.heap: list[tuple[int, bytes]] = []
        self.lock = threading.Lock()

    def check(self, key: bytes, now: int, rate: Rate, cost: int) -> Verdict:
        with self.lock:
            for _ in range(_SWEPT_MAX):
                if not self.heap or self.heap[0][0] > now:
                    break
                self._settle_top(now)
            known = self.full_at.get(key)
            verdict, full_at = judge(known or 0, now, rate, cost)
            if known is not None:
                self.full_at[key] = full_at
            elif full_at > now:
                if len(self.full_at) >= self.keys_max:
                    self._make_room()
                self.full_at[key] = full_at
                heapq.heappush(self.heap, (full_at, key))
            return verdict

    def _make_room(self) -> None:
        """Forget the key whose time comes first. Whoever is put back on the way has asked since it was put there."""
        while self.full_at[self.heap[0][1]] != self.heap[0][0]:
            self._settle_top(self.heap[0][0])
        self._settle_top(self.heap[0][0])

    def _settle_top(self, passed: int) -> None:
        """Forget the key at the top if its time has passed, or put it where its time belongs."""
        key = self.heap[0][1]
        full_at = self.full_at[key]
        if full_at <= passed:
            heapq.heappop(self.heap)
            del self.full_at[key]
        else:
            heapq.heapreplace(self.heap, (full_at, key))


def rate_limit(
    rate: Rate,
    *,
    key: Key | None = None,
    trusted: TrustedProxies | None = None,
    fields: Literal["x-forwarded", "forwarded"] = "x-forwarded",
    cost: Callable[[Request], int] | None = None,
    store: RateStore | None = None,
    name: str = "default",
    announce: Announced = "triple",
) -> Middleware:
    """Middleware that answers 429 to who asks too often, and tells everybody what they have left.

    Args:
        rate: what each key is allowed.
        key: whose a request is, such as `lambda request: request.header("x-api-key")`; None that it gives: of nobody,
            and not counted. Without it the client's address is; see `client_key`.
        trusted: your proxies, for that; those of `--forwarded-allow-ips` unless given. Of any other the address is the
            client's, and all that come through it share its allowance.
        fields: as for `find_client`.
        cost: what a request takes, 1 unless given; 0 is not counted. One that costs more than the burst is refused
            whenever it comes, and has no Retry-After.
        store: where the counts are kept; a `MemoryRateStore` of its own unless given. The workers of a process share
            it, processes do not.
        name: of this limit in a store that others use, too, and to clients: letters, digits and `_.:/ -`.
        announce: fields of every answer. `"triple"`: RateLimit-Limit, -Remaining and -Reset, which most clients know;
            `"draft"`: RateLimit-Policy and RateLimit; `"both"`; or None. Limit is the burst, and Reset the seconds
            until it is whole again. A refusal has Retry-After in any case.

    Of several limits around one handler, the triple is that of the one which leaves least.

    Raises: ValueError for a name that cannot be, and for `key` with `trusted`.
    Source: RFC 6585 section 4 for 429; the triple is of draft-ietf-httpapi-ratelimit-headers-06, the other two fields
        are of its version 10.
    """
    if _NAME.fullmatch(name) is None:
        raise ValueError(f"name={name!r}: give up to 64 letters, digits and _.:/ -")
    if announce not in ("triple", "draft", "both", None):
        raise ValueError(f"announce={announce!r}: give 'triple', 'draft', 'both', or None")
    if key is not None and trusted is not None:
        raise ValueError("key and trusted: give one of them; client_key(trusted) is what trusted alone stands for")
    find_key = client_key(trusted, fields=fields) if key is None else _of_request(key)
    kept: RateStore = MemoryRateStore() if store is None else store
    limit = _Limit(rate, name, announce)

    def middleware(inner: Handler) -> Handler:
        def handle(request: Request, response: Response, worker: Worker) -> Any:
            whose = find_key(request, worker)
            if whose is not None:
                verdict: Any = kept.check(limit.full_key(whose), rate, 1 if cost is None else cost(request))
                if not limit.admits(response, verdict):
                    return None
            return inner(request, response, worker)

        async def handle_later(request: Request, response: Response, worker: Worker) -> Any:
            whose = find_key(request, worker)
            if whose is not None:
                asked: Any = kept.check(limit.full_key(whose), rate, 1 if cost is None else cost(request))
                if not limit.admits(response, await asked):
                    return None
            return await awaitable(inner)(request, response, worker)

        return handle_later if iscoroutinefunction(kept.check) else handle

    return middleware


def client_key(
    trusted: TrustedProxies | None = None,
    *,
    fields: Literal["x-forwarded", "forwarded"] = "x-forwarded",
    ipv6_prefix: int = _IPV6_PREFIX,
) -> Callable[[Request, Worker], bytes]:
    """A function of a request and its worker that gives whose it is by the client's address.

    Args:
        trusted: your proxies; those that the worker was started with unless given.
        fields: as for `find_client`.
        ipv6_prefix: bits of an IPv6 address that count, 1 to 128: whoever has one has a whole network of them.

    All that come by a unix socket, and that no proxy named, are one: `b"unix"`.

    Raises: ValueError for a prefix that cannot be.
    """
    if not 1 <= ipv6_prefix <= 128:
        raise ValueError(f"ipv6_prefix={ipv6_prefix!r}: give 1 to 128")
    name_of = functools.lru_cache(_KEPT_ADDRESSES)(functools.partial(_name_address, ipv6_prefix))

    def find_key(request: Request, worker: Worker) -> bytes:
        address = find_address(request, trusted, worker, fields=fields)
        return b"unix" if address is None else name_of(address)

    return find_key


def _of_request(key: Key) -> Callable[[Request, Worker], str | bytes | None]:
    """The same with a worker to be passed over."""
    return lambda request, worker: key(request)


def _name_address(ipv6_prefix: int, text: str) -> bytes:
    """What of an address tells clients apart; an IPv4 one in IPv6's clothes is what it is."""
    address = read_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        return b"%x/%d" % (int(address) >> (128 - ipv6_prefix), ipv6_prefix)
    return text.encode() if address is None else str(address).encode()


class _Limit:
    """What is said of one rate; made once, at the start."""

    def __init__(self, rate: Rate, name: str, announce: Announced) -> None:
        self._prefix = name.encode() + b"\0"
        self._says_triple = announce in ("triple", "both")
        self._says_draft = announce in ("draft", "both")
        self._limit = b"%d" % rate.burst
        # A burst, and the seconds it takes to be there again: the same rate, and what Remaining counts down from.
        self._policy = b'"%b";q=%d;w=%d' % (name.encode(), rate.burst, math.ceil(rate.burst * rate.per / rate.limit))
        self._name = b'"%b"' % name.encode()

    def full_key(self, key: str | bytes) -> bytes:
        """The key in the store, which other limits may share; one that is too long as its hash."""
        whole = self._prefix + (key.encode() if isinstance(key, str) else key)
        if len(whole) <= KEY_BYTES_MAX:
            return whole
        return b"sha256\0" + hashlib.sha256(whole).digest()

    def admits(self, response: Response, verdict: Verdict) -> bool:
        """Whether the request goes on; else it has been answered."""
        if self._says_triple or self._says_draft:
            response.before_send(functools.partial(self._announce, verdict))
        if not verdict.is_allowed:
            wait = verdict.retry_after
            response.reply(429, headers=[] if wait is None else [(b"Retry-After", b"%d" % max(math.ceil(wait), 1))])
        return verdict.is_allowed

    def _announce(self, verdict: Verdict, request: Request, response: Response, worker: Worker) -> None:
        """The hook of each answer."""
        reset = math.ceil(verdict.reset_after)
        if self._says_triple:
            other = response.header(b"ratelimit-remaining")  # of a limit further inside, or the handler's own
            if other is None or not other.isdigit() or verdict.remaining < int(other):
                response.set_header(b"RateLimit-Limit", self._limit)
                response.set_header(b"RateLimit-Remaining", b"%d" % verdict.remaining)
                response.set_header(b"RateLimit-Reset", b"%d" % reset)
        if self._says_draft:
            response.add_header(b"RateLimit-Policy", self._policy)
            response.add_header(b"RateLimit", b"%b;r=%d;t=%d" % (self._name, verdict.remaining, reset))
