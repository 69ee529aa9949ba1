"""Answers kept and given again: a shared cache in front of a handler, within each worker. RFC 9111.

# Facts about this cache
It is the origin's own, so an answer that says nothing of its lifetime has `ttl`, and what clients send to have theirs
fetched anew is heeded only where that is asked for: anybody could have the handler called by it (section 5.2.1).
A worker looks nothing up under a lock and copies a hit once. The head of a request that was answered from the cache,
and asked for nothing special, is remembered as a whole: when it comes again, byte by byte, it is not read. Where the
cache is the handler of the server itself, such a GET is answered without the GIL; once a second one takes it, to look
whether what is kept is fresh.
"""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Collection, Iterable
from typing import Any

import cython

from vanilla.steps import Step
from vanilla.streaming import may_return_coroutines, streams_requests
from vanilla.toolkit.cache_control import STATUSES, judge, parse_cache_control, seconds_of
from vanilla.toolkit.conditional import Outcome, etag, evaluate, not_modified_fields, parse_etags
from vanilla.toolkit.dates import format_date, parse_date
from vanilla.toolkit.fields import combined
from vanilla.toolkit.flights import follow, release, run_behind
from vanilla.toolkit.grammar import is_token, split_list

log = logging.getLogger("vanilla")

WORKER_BYTES_MAX = 64 * 1024 * 1024

JOINED_BYTES_MAX = 64 * 1024  # of content that is cheaper to copy each second than to append by itself each time
ENTRY_BYTES = 512  # that an entry takes beside its head and its content, about
CALM_SECONDS = 1.5  # a second of the wall clock is over by then, however late in it one looks
RETRY_SECONDS = 1.0  # between refreshes that fail
PASS_SECONDS = 2.0  # for which requests do not wait for each other, since the last answer could not be kept
NONE, FRESH, STALE = range(3)

_OF_THE_CONNECTION = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authentication-info te transfer-encoding upgrade"
    b" trailer age".split()
)
_OF_THIS_REQUEST = frozenset(
    b"if-match if-none-match if-modified-since if-unmodified-since if-range range cache-control pragma"
    b" connection".split()
)
_UNKEEPABLE = frozenset((206, 304))
_SAFE_METHODS = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE"))
_SUSPEND = Step.SUSPEND


@cython.final
@cython.cclass
class Flight:
    """A handler at work on an answer that may be kept, and the requests that wait for it. The hook of that answer."""

    def __call__(self, request: object, response: object, worker: object) -> None:
        """The answer is complete, or begins to stream."""
        is_kept: cython.bint = False
        try:
            is_kept = self.cache.keep(self, request, response)
        finally:
            self.land(worker, is_kept)

    def give_up(self) -> None:
        """There will be no answer: its client is gone, or a refresh failed."""
        self.land(self.store.worker, False)

    def disown(self) -> None:
        """Its target has changed meanwhile: the answer is not to be kept."""
        self.may_keep = False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def land(self, worker: object, is_kept: cython.bint) -> cython.int:
        """Let everybody go on who waits."""
        place: tuple = (self.target, self.key)
        waiting: list = self.waiting
        entry: Entry
        if self.is_over:
            return 0
        self.is_over = True
        if self.store.flights.get(place) is self:
            del self.store.flights[place]
        if self.stale is not None:
            self.stale.is_refreshing = False
            self.stale.retry_at = self.cache.clock() + RETRY_SECONDS
        self.waiting = []
        if waiting and not is_kept and self.may_keep:
            entry = Entry()
            entry.is_pass = True
            entry.show(b"", b"")
            entry.fresh_until = entry.stale_until = self.cache.clock() + PASS_SECONDS
            entry.size = ENTRY_BYTES + len(self.target)
            entry.key = self.key
            entry.group = self.store.groups.get(self.target) or Group(self.target, self.names)
            self.store.add(entry)
        for waiter in waiting:
            if hasattr(waiter, "resume"):
                waiter.resume(self.go_on)
            else:
                release(waiter)
        return 0

    def go_on(
        self, request: object, response: object, worker: object, payload: object = None, event: object = None
    ) -> object:
        """One that has waited: with the answer that is kept now, or else by the handler itself."""
        key: bytes
        entry: Entry = find_entry(self.store, self.target, request, cython.cast(Request, request).framed.is_head)
        if entry is not None and not entry.is_pass and self.cache.check(self.store, entry, self.cache.clock()) == FRESH:
            self.store.counts.hits += 1
            return self.cache.reply(request, response, self.store, entry)
        self.store.counts.misses += 1
        key = find_key(request, self.names, cython.cast(Request, request).framed.is_head)
        return self.cache.lead(
            request, response, worker, new_flight(self.cache, self.store, self.target, key, self.names)
        )


@cython.final
@cython.cclass
class CachedHandler(CompiledHandler):
    """The handler that `cached` makes. What it has counted, of all workers:

    hits: answers from the cache, those after a wait and 304s among them.
    misses: requests that could have been, and called the handler.
    stored_bytes: heads and contents that are kept now, and about what it takes to find them.
    evictions: answers dropped to make room.
    """

    def __init__(
        self,
        handler: object,
        ttl: float,
        names: tuple[bytes, ...],
        max_bytes: int,
        stale_seconds: float,
        statuses: frozenset[int],
        by_host: bool,
        clients_may_refresh: bool,
        clock: Callable[[], float],
    ) -> None:
        self.handler = handler
        self.ttl = ttl
        self.names = names
        self.max_bytes = max_bytes
        self.stale_seconds = stale_seconds
        self.statuses = statuses
        self.by_host = by_host
        self.clients_may_refresh = clients_may_refresh
        self.clock = clock
        self.refreshes_behind = True
        self.stores = []
        self.counts = []

    @property
    def is_async(self) -> bool:
        """Whether the handler within may return coroutines: a router may be given one later."""
        return may_return_coroutines(self.handler)

    @property
    def streams_requests(self) -> bool:
        """Whether the handler within takes contents piece by piece."""
        return streams_requests(self.handler)

    @property
    def hits(self) -> int:
        """Requests answered from the cache."""
        return sum(counts.hits for counts in self.counts)

    @property
    def misses(self) -> int:
        """Requests that called the handler."""
        return sum(counts.misses for counts in self.counts)

    @property
    def evictions(self) -> int:
        """Answers dropped to make room."""
        return sum(counts.evictions for counts in self.counts)

    @property
    def stored_bytes(self) -> int:
        """What is kept now."""
        return sum(store.stored_bytes for store in [known() for known in self.stores] if store is not None)

    def invalidate(self, target: str | bytes, *, host: str | bytes = b"") -> None:
        """Have every worker drop what it keeps of a target, by its next tick. Any thread.

        Args:
            target: path and query as clients send them, such as `"/news?page=1"`.
            host: as clients send it; without it the target of every host.
        """
        path: bytes = target.encode() if isinstance(target, str) else target
        name: bytes = (host.encode() if isinstance(host, str) else host).lower()
        for known in self.stores:
            store: Store = known()
            if store is None:
                continue
            if not self.by_host or name:
                self.tell(store, store.forget, (name if self.by_host else b"") + b" " + path)
            else:
                self.tell(store, store.forget_everywhere, path)

    def clear(self) -> None:
        """Have every worker drop all, likewise."""
        for known in self.stores:
            store: Store = known()
            if store is not None:
                self.tell(store, store.forget, None)

    def tell(self, store: Store, function: object, argument: object) -> None:
        """Call a store's function on its worker's thread."""
        if store.worker is None:
            function(argument)
            return
        try:
            store.worker.post(function, argument)
        except RuntimeError:
            return  # the worker has ended, and asks nothing of it any more

    # Answering.

    @cython.cfunc
    def answer(self, request: Request, response: Response, worker: object) -> object:
        """The whole of a hit whose head was seen before."""
        store: Store = self.reach(worker)
        entry: Entry
        head: cython.p_const_uchar = request.framed.slab.bytes + request.framed.start
        found: cython.p_void = store.seen.find(head, request.framed.content_start - request.framed.start)
        kept: cython.pointer[Kept] = cython.cast(cython.pointer[Kept], found)
        if kept is not cython.NULL and kept.head is not cython.NULL and not request.framed.is_partial:
            entry = cython.cast(Entry, kept.used.owner)
            if kept.calm_s == read_wall_clock_s() or self.check(store, entry, self.clock()) == FRESH:
                store.counts.hits += 1
                note_use(cython.address(store.order), cython.address(kept.used))
                append_entry(response, entry, request.framed.is_head)
                return None
        return self.answer_slowly(request, response, worker, store)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def answer_at_once(
        self, worker: Worker, framed: cython.pointer[cython.const[Framed]], answers: ResponseBuffer, date: DateLine
    ) -> cython.int:
        """The whole of a GET whose head was seen before, within the second of the last look at what is kept."""
        if cython.cast(cython.p_void, worker.keeper) != cython.cast(cython.p_void, self):
            return 0
        return give_at_once(
            cython.cast(Store, cython.cast(cython.p_void, worker.last_kept)), framed, answers, read_wall_clock_s()
        )

    @cython.cfunc
    def reach(self, worker: object) -> Store:
        """What the worker keeps."""
        owner: Worker
        store: Store
        if type(worker) is Worker:
            owner = worker
            store = owner.find_kept(self)
            if store is not None:
                return store
            store = Store(worker, self.max_bytes)
            owner.keep(self, store)
        elif self.spare is not None:
            return self.spare
        else:
            store = self.spare = Store(None, self.max_bytes)
        self.stores.append(weakref.ref(store))
        self.counts.append(store.counts)
        return store

    @cython.cfunc
    def answer_slowly(self, request: Request, response: Response, worker: object, store: Store) -> object:
        """A request that has to be read."""
        is_head: cython.bint = request.framed.is_head
        special: cython.bint = is_special(request)
        target: bytes = self.find_target(request)
        directives: dict = {}
        is_authorized: cython.bint = False
        now: cython.double = self.clock()
        state: cython.int = NONE
        entry: Entry
        group: Group
        flight: Flight
        if not is_head and request.method != b"GET":
            if request.method not in _SAFE_METHODS:
                invalidation = _Invalidation(self, store, target)
                response.before_send(invalidation, otherwise=invalidation.drop)
            return self.handler(request, response, worker)
        if (
            request.framed.is_partial
            or request.framed.content_end > request.framed.content_start
            or request.framed.may_switch
        ):
            return self.handler(request, response, worker)
        if special:
            value: object = combined(request, b"cache-control")
            directives = parse_cache_control(value)
            if value is None and request.header(b"pragma") is not None:
                directives = parse_cache_control(combined(request, b"pragma"))  # RFC 9111 section 5.4
            is_authorized = request.header(b"authorization") is not None
        entry = find_entry(store, target, request, is_head)
        if entry is not None and not entry.is_pass and (entry.is_public or not is_authorized):
            state = self.check(store, entry, now)
            if (
                self.clients_may_refresh
                and directives
                and not suits(directives, now - entry.born, entry.fresh_until - now)
            ):
                state = NONE
            if state == STALE and not self.begin_refresh(request, worker, store, entry):
                state = NONE
        if state != NONE:
            store.counts.hits += 1
            if state == FRESH and not special and request.framed.content_start - request.framed.start <= SEEN_BYTES_MAX:
                seen: bytes = request.copy(request.framed.start, request.framed.content_start)
                store.seen.remember(seen, cython.address(entry.kept), entry)
            return self.reply(request, response, store, entry)
        if b"only-if-cached" in directives:
            response.reply(504)
            return None
        group = store.groups.get(target)
        names: tuple = self.names if group is None else group.names
        key: bytes = find_key(request, names, is_head)
        flight = store.flights.get((target, key))
        if (
            is_authorized
            or b"no-store" in directives
            or (entry is not None and entry.is_pass and now < entry.fresh_until)
        ):
            store.counts.misses += 1
            flight = new_flight(self, store, target, key, names)
            flight.may_keep = b"no-store" not in directives
            flight.is_authorized = is_authorized
            return self.lead(request, response, worker, flight)
        if flight is not None:
            return self.follow(request, response, worker, store, flight)
        store.counts.misses += 1
        flight = new_flight(self, store, target, key, names)
        if entry is not None and not entry.is_pass:
            flight.stale = entry
            entry.is_refreshing = True  # others get what there is, as long as they may
        store.flights[(target, key)] = flight
        return self.lead(request, response, worker, flight)

    @cython.cfunc
    def lead(self, request: Request, response: Response, worker: object, flight: Flight) -> object:
        """Have the handler answer, and look at what it does."""
        response.before_send(flight, otherwise=flight.give_up)
        return self.handler(request, response, worker)

    @cython.cfunc
    def follow(self, request: Request, response: Response, worker: object, store: Store, flight: Flight) -> object:
        """Wait for the answer that another request awaits."""
        if self.is_async:
            return follow(flight.waiting, flight.go_on, request, response, worker)
        flight.waiting.append(response.park())
        return _SUSPEND

    @cython.cfunc
    def reply(self, request: Request, response: Response, store: Store, entry: Entry) -> object:
        """Answer with what is kept, as far as the conditions of the request let it."""
        note_use(cython.address(store.order), cython.address(entry.kept.used))
        if is_special(request) and (entry.etag is not None or entry.last_modified is not None):
            outcome = evaluate(request, etag=entry.etag, last_modified=entry.last_modified)
            if outcome is Outcome.NOT_MODIFIED:
                response.append(b"HTTP/1.1 304 Not Modified\r\n%bAge: %d\r\n\r\n" % (entry.unchanged, entry.age))
                return None
            if outcome is Outcome.PRECONDITION_FAILED:
                response.reply(412)
                return None
        append_entry(response, entry, request.framed.is_head)
        return None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check(self, store: Store, entry: Entry, now: cython.double) -> cython.int:
        """Whether an entry is FRESH, STALE but may be answered, or NONE; its age is brought up to date."""
        age: cython.longlong
        if now >= entry.fresh_until:
            entry.kept.calm_s = -1
            if now >= entry.stale_until:
                return NONE
        elif now + CALM_SECONDS < entry.fresh_until and self.clock is time.monotonic:
            entry.kept.calm_s = read_wall_clock_s()
        age = cython.cast(cython.longlong, max(now - entry.born, 0))
        if age != entry.age:
            entry.age = age
            content: bytes = entry.head[len(entry.head) - entry.joined :]
            entry.show(b"%bAge: %d\r\n\r\n%b" % (entry.fields, age, content), entry.content)
        return FRESH if now < entry.fresh_until else STALE

    # Refreshing what is stale, for nobody.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin_refresh(self, request: Request, worker: object, store: Store, entry: Entry) -> cython.int:
        """Have a stale entry refreshed behind; 0 where that has to be done by this request."""
        flight: Flight
        if entry.is_refreshing or self.clock() < entry.retry_at:
            return 1
        if not self.refreshes_behind or store.worker is None:
            return 0
        group: Group = entry.group
        flight = new_flight(self, store, group.target, entry.key, group.names)
        flight.stale = entry
        entry.is_refreshing = True
        method: bytes = b"HEAD" if entry.key.startswith(b"H") else b"GET"  # HEAD is answered by what GET was, too
        lines: list = [b"%b %b HTTP/1.1" % (method, request.target)]
        lines += [b"%b: %b" % field for field in request.headers() if field[0].lower() not in _OF_THIS_REQUEST]
        worker.post(self.refresh, flight, b"\r\n".join(lines) + b"\r\n\r\n", request.params, worker)
        return 1

    def refresh(self, flight: Flight, raw: bytes, params: dict[str, bytes], worker: object) -> None:
        """Call the handler with a copy of a request that was answered already."""
        request: Request = Request(raw, params=params)
        response: Response = Response()

        def finish(result: object, error: object) -> None:
            if result is _SUSPEND:
                error = RuntimeError("it waits, and is no `async def`")
            if error is not None:
                self.miss_refresh(flight, request, error)
                return
            try:
                for hook in reversed(response.recorded_hooks):
                    hook(request, response, worker)
            except Exception as failure:
                self.miss_refresh(flight, request, failure)
                return
            flight(request, response, worker)

        try:
            result = self.handler(request, response, worker)
        except Exception as error:
            finish(None, error)
            return
        if hasattr(result, "__await__"):
            run_behind(result, finish)
        else:
            finish(result, None)

    def miss_refresh(self, flight: Flight, request: object, error: object) -> None:
        """A refresh failed: log it. A plain handler waits for clients only: the next one has to wait for it then."""
        if isinstance(error, RuntimeError) and not self.is_async:
            self.refreshes_behind = False
        log.warning("%r: it could not be refreshed: %r", request, error)
        flight.give_up()

    # Keeping.

    @cython.cfunc
    def find_target(self, request: Request) -> bytes:
        """What a group is found by: host and target, the target in the form that clients send to an origin."""
        target: bytes = request.target
        host: bytes = request.header(b"host") or b""
        if not target.startswith(b"/"):
            _, _, rest = target.partition(b"://")
            host = rest.partition(b"/")[0].partition(b"?")[0] if rest else host
            query: bytes = request.query
            target = request.path + (b"?" + query if query else b"")
        return (host.lower() if self.by_host else b"") + b" " + target

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep(self, flight: Flight, request: Request, response: Response) -> cython.bint:
        """Keep an answer if that may be, and answer its own request by it; whether it was."""
        store: Store = flight.store
        stale: Entry = flight.stale
        group: Group = store.groups.get(flight.target)
        entry: Entry
        is_head: cython.bint = request.framed.is_head
        status: cython.int = response.status
        fields: list = response.headers()
        content: object = b"" if is_head or status == 204 else response.content
        now: cython.double = self.clock()
        today: cython.double = time.time()
        if not flight.may_keep or content is None or not is_whole(response, status, is_head):
            return False

        term = judge(status, fields, self.ttl, self.statuses, flight.is_authorized, today)
        if term is None:
            return False
        names: tuple = flight.names if group is None else group.names
        missing: list = [name for name in term.varies if name not in names]
        if missing:
            names = (*names, *missing)
            if group is not None:
                for known in list(group.entries.values()):
                    store.drop(known)  # they were found by less
            group = None
        if group is None:
            group = Group(flight.target, names)
        entry = Entry()
        if status == 200 and not is_head:
            add_validators(response, content, stale, today)
            fields = response.headers()
        tag: object = response.header(b"etag")
        entry.etag = tag if tag is not None and tag != b"*" and parse_etags(tag) == [tag] else None
        modified = response.header(b"last-modified")
        entry.last_modified = None if modified is None else parse_date(modified)
        entry.joined = len(content) if len(content) <= JOINED_BYTES_MAX else 0
        entry.show(content if entry.joined else b"", b"" if entry.joined else content)
        entry.kept.status = status
        entry.is_public = term.is_public
        entry.born = now - term.age
        entry.fresh_until = now + term.fresh
        entry.stale_until = entry.fresh_until + (self.stale_seconds if term.stale is None else term.stale)
        dropped = _OF_THE_CONNECTION | {name.lower() for name in split_list(response.header(b"connection") or b"")}
        kept: list = [pair for pair in fields if pair[0].lower() not in dropped]
        entry.fields = line_of(response) + lines_of(kept)
        entry.unchanged = lines_of(not_modified_fields(kept))
        entry.age = -1
        entry.kept.calm_s = -1
        entry.group = group
        entry.key = find_key(request, names, is_head)
        entry.size = ENTRY_BYTES + 2 * len(entry.fields) + len(entry.unchanged) + len(content) + len(entry.key)
        entry.size += len(group.target)
        if entry.size > store.max_bytes:
            return False
        self.check(store, entry, now)
        store.add(entry)
        if is_special(request) and status == 200 and (response.coding == RAW or response.has_ended):
            self.mend(request, response, store, entry)
        return True

    def mend(self, request: Request, response: Response, store: Store, entry: Entry) -> None:
        """Conditions of the request that had the handler called: it may not know the validators."""
        if evaluate(request, etag=entry.etag, last_modified=entry.last_modified) is not Outcome.PROCEED:
            response.clear()
            self.reply(request, response, store, entry)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def forget_target(self, store: Store, target: bytes) -> cython.int:
        """What a target is has changed: drop what is kept of it, here now, elsewhere by the next tick."""
        other: Store
        store.drop_target(target)
        for known in self.stores:
            other = known()
            if other is not None and other is not store:
                self.tell(other, other.forget, target)
        return 0


class _Invalidation:
    """The hook of an answer to an unsafe method: what is kept of its target is no longer true. RFC 9111 section 4.4."""

    def __init__(self, cache: CachedHandler, store: Store, target: bytes) -> None:
        self.cache = cache
        self.store = store
        self.target = target

    def __call__(self, request: object, response: object, worker: object) -> None:
        cache: CachedHandler = self.cache
        if not 200 <= response.status < 400:
            return
        self.drop()
        host, _, _ = self.target.partition(b" ")
        for name in (b"location", b"content-location"):
            place = response.header(name)
            if place is not None and place.startswith(b"/") and not place.startswith(b"//"):
                cache.forget_target(self.store, host + b" " + place)

    def drop(self) -> None:
        """Also where its client is gone: nobody knows how far the handler came."""
        cache: CachedHandler = self.cache
        cache.forget_target(self.store, self.target)


def new_flight(cache: CachedHandler, store: Store, target: bytes, key: bytes, names: tuple) -> Flight:
    """A handler about to be called."""
    flight: Flight = Flight()
    flight.cache = cache
    flight.store = store
    flight.target = target
    flight.key = key
    flight.names = names
    flight.waiting = []
    flight.may_keep = True
    return flight


def suits(directives: dict[bytes, bytes | None], age: float, left: float) -> bool:
    """Whether what is kept is what the client asks for, by no-cache, max-age and min-fresh. RFC 9111 section 5.2.1."""
    if b"no-cache" in directives:
        return False
    oldest = seconds_of(directives, b"max-age")
    freshest = seconds_of(directives, b"min-fresh")
    return (oldest is None or age <= oldest) and (freshest is None or left >= freshest)


def is_whole(response: Response, status: int, is_head: bool) -> bool:
    """Whether an answer is complete, or the whole head of one to HEAD, and no stream."""
    begin: cython.Py_ssize_t = response.find_content(response.locate())
    if response.source is not None or response.taking is not None:
        return False
    if response.buffer.has_files(response.begin, response.buffer.length):
        return False
    if status == 204 or status == 304:
        return response.buffer.length == begin
    return response.content_length is not None


def add_validators(response: Response, content: bytes, stale: Entry | None, now: float) -> None:
    """Give an answer a strong ETag, and the Last-Modified since which it has been the same, where it has none."""
    tag: object = response.header(b"etag")
    if tag is None:
        tag = etag(content)
        response.set_header(b"ETag", tag)
    if response.header(b"last-modified") is None:
        is_same: cython.bint = stale is not None and stale.etag == tag and stale.last_modified is not None
        response.set_header(b"Last-Modified", format_date(stale.last_modified if is_same else now))


def line_of(response: Response) -> bytes:
    """The status line of an answer, and its end."""
    head: cython.Py_ssize_t = response.locate()
    end: cython.Py_ssize_t = find_line_end(response.buffer.bytes, head, response.buffer.length) + 2
    return response.copy(head, end)


def lines_of(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Field lines."""
    return b"".join([b"%b: %b\r\n" % pair for pair in fields])


def cached(
    handler: Callable[[Any, Any, Any], Any],
    *,
    ttl: float,
    vary: Iterable[str] | str = (),
    max_bytes: int = WORKER_BYTES_MAX,
    stale_while_revalidate: float = 0,
    statuses: Collection[int] = STATUSES,
    by_host: bool = True,
    clients_may_refresh: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> CachedHandler:
    """A handler whose complete answers to GET and HEAD are kept, and given again while they are fresh.

    Found by method, host, target, and the fields of the request that `vary` and the answer's own Vary name. Each worker
    keeps its own. Requests that come while the handler waits for the answer to the same one wait for that. What is kept
    has an ETag and a Last-Modified, the handler's or its own, and If-None-Match and its kin are answered from it.

    An answer is kept only if its status is among `statuses`, its length is known, and nothing in it says otherwise:
    Cache-Control with no-store, private, no-cache or a lifetime of 0, Set-Cookie without public, `Vary: *`. Streamed
    answers, files and answers to requests with content pass. A request with Authorization is answered from the cache,
    and its answer kept, only where that says public, s-maxage or must-revalidate. Who sends cookies gets what is kept:
    have answers that depend on them say `Cache-Control: private`, or `Vary: Cookie`.

    Args:
        handler: plain or async. In a `compose`, `functools.partial(cached, ttl=60)` is the middleware.
        ttl: seconds for which an answer is fresh that does not say so by s-maxage, max-age or Expires.
        vary: names of fields that the answers depend on beside those in their Vary.
        max_bytes: that each worker keeps; then those go that were used longest ago.
        stale_while_revalidate: seconds after that for which it is still given, while the handler is called behind,
            once, with a copy of the request, without a client. Answers may say it themselves (RFC 5861). A plain
            handler that suspends cannot be called so: the next request waits for it, and others get what is stale.
        statuses: that may be kept. 302 and 307 are where they say for how long.
        by_host: whether answers differ by Host; False keeps clients from filling the cache with names.
        clients_may_refresh: heed no-cache, max-age and min-fresh of requests. Anybody can have the handler called then.
        clock: seconds that never go back; for tests.

    Raises: TypeError for a handler that cannot be called; ValueError for seconds or bytes below 0, a `vary` that is no
        name, or a status that cannot be kept.
    Source: RFC 9111; RFC 5861 section 3.
    """
    names = [vary] if isinstance(vary, str) else list(vary)
    if not callable(handler):
        raise TypeError(f"handler {handler!r}: cannot be called")
    for what, seconds in (("ttl", ttl), ("stale_while_revalidate", stale_while_revalidate)):
        if not 0 <= seconds < math.inf:
            raise ValueError(f"{what}={seconds!r}: give seconds, 0 or more")
    if max_bytes < 0:
        raise ValueError(f"max_bytes={max_bytes!r}: give bytes, 0 or more")
    if not _UNKEEPABLE.isdisjoint(statuses) or any(not 200 <= status < 600 for status in statuses):
        raise ValueError(f"statuses={statuses!r}: give final ones, but 206 and 304, which are parts of an answer")
    for name in names:
        if not is_token(name.encode()):
            raise ValueError(f"vary: {name!r} is no name of a field; give each alone, such as 'Accept-Language'")
    return CachedHandler(
        handler,
        ttl,
        tuple(dict.fromkeys(name.lower().encode() for name in names)),
        max_bytes,
        stale_while_revalidate,
        frozenset(statuses),
        by_host,
        clients_may_refresh,
        clock,
    )
