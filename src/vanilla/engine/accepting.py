"""Taking connections in: a listener's limits, what it does when connections, descriptors or memory run out, and which
worker takes one where the load is uneven.
"""

from __future__ import annotations

import importlib
import socket

import cython
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.vanilla.backends.interface import ACCEPTS_MAX, LISTENERS_MAX
from cython.cimports.vanilla.contract.worker import LIMIT_ACCEPT, LIMIT_CONNECTIONS
from cython.cimports.vanilla.engine.connections import FIRST_BYTE
from cython.cimports.vanilla.engine.neighbours import close_handed
from cython.cimports.vanilla.engine.state import Trusted, read_clock_ns
from cython.cimports.vanilla.http1.reply import append_refusal
from cython.cimports.vanilla.net.platform import (
    AF_INET6,
    EAGAIN,
    EMFILE,
    ENFILE,
    ENOBUFS,
    ENOMEM,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    close_socket,
    recv,
    send,
)

from vanilla.limits import OFFSET_MAX
from vanilla.net.descriptors import explain
from vanilla.net.listen import ANY_PEER

STARVED_LOG_MS = 60_000  # between two lines of the log about it: descriptors come and go while a server starves
STARVED_RETRY_MS = 100  # until accepting is tried again when descriptors or memory ran out
FAILURES_MAX = 1000  # of accept(2) before a backlog is given up at the end: each may stand for one connection
REFUSALS_MAX = 64  # connections refused at once when a listener is full
SCRATCH_BYTES = 1024  # of what a refused client sent is read before its connection closes
# A worker has many more connections than another if it has an eighth more, and UNEVEN_SPARE at least: moving one costs
# a wake-up, and evens out less than that. With fewer than LOOK_FROM nobody is looked at.
UNEVEN_SHARE, UNEVEN_SPARE, LOOK_FROM = 8, 8, 32
LOOK_SEATS_MAX = 8  # neighbours looked at for one connection; the next look begins behind them
LOOK_ACCEPTS_MAX = 64  # connections between two looks while the load is even
LOOK_AROUND_MS = 100  # between two looks of a busy worker at whether a neighbour is held up
LOOK_FOR_PLACE_MS = 100  # between two looks of a full worker at whether a neighbour has a place
NEVER_MS = 2**62


@cython.cfunc
@cython.exceptval(-1, check=False)
def to_ms(seconds: object) -> cython.longlong:
    """A limit in seconds as milliseconds, at least 1; None, off, as 0."""
    return 0 if seconds is None else max(int(seconds * 1000), 1)


@cython.cfunc
@cython.exceptval(-1, check=False)
def or_most(bound: object, most: cython.longlong) -> cython.longlong:
    """A bound, or `most` where it is None, off."""
    return most if bound is None else bound


@cython.cfunc
@cython.exceptval(-1, check=False)
def add_listener(
    state: State, number: cython.int, fd: cython.int, limits: object, connections_max: cython.int, proxies: object
) -> cython.int:
    """Accept from one listening socket, within its limits, once the engine runs."""
    result: cython.int
    if number >= LISTENERS_MAX:
        raise ValueError(f"{number + 1} listeners: one worker takes {LISTENERS_MAX} at most")
    set_bounds(state, number, limits)
    trust(cython.address(state.bounds[number]), proxies)
    state.allowances[number] = connections_max or 2**31 - 1
    listener = socket.socket(fileno=fd)
    try:
        if listener.family in (socket.AF_INET, socket.AF_INET6):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    finally:
        listener.detach()
    result = state.backend.add_listener(fd, number)
    if result < 0:
        raise OSError(-result, f"listener {number}: {explain(-result)}")
    state.listener_count += 1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_bounds(state: State, number: cython.int, limits: object) -> cython.int:
    """Take over one listener's limits, in the engine's units."""
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    # With all of these off, one message still has offsets of 31 bits.
    bounds.target_bytes = min(or_most(limits.max_target_bytes, OFFSET_MAX), OFFSET_MAX // 4)
    bounds.header_bytes = min(or_most(limits.max_header_bytes, OFFSET_MAX), OFFSET_MAX // 4)
    bounds.header_count = or_most(limits.max_headers, OFFSET_MAX)
    bounds.content_bytes = or_most(limits.max_body_bytes, 2**62 if state.is_streaming else OFFSET_MAX)
    bounds.extension_bytes = or_most(limits.max_chunk_extension_bytes, OFFSET_MAX)
    bounds.read_ms = to_ms(limits.read_timeout)
    bounds.keepalive_ms = to_ms(limits.keepalive_timeout)
    bounds.write_ms = to_ms(limits.write_timeout)
    bounds.receive_rate = or_most(limits.min_receive_rate, 0)
    bounds.send_rate = or_most(limits.min_send_rate, 0)
    bounds.rate_grace_ms = to_ms(limits.rate_grace)
    bounds.accept_ms = to_ms(limits.accept_timeout)
    bounds.linger_ms = to_ms(limits.linger_timeout)
    bounds.suspend_ms = to_ms(limits.suspend_timeout)
    bounds.high_water = limits.high_water_bytes
    bounds.low_water = min(limits.low_water_bytes, limits.high_water_bytes)
    bounds.requests_max = min(or_most(limits.max_requests_per_connection, 2**32 - 1), 2**32 - 1)
    bounds.pending_bytes = or_most(limits.max_pending_bytes, OFFSET_MAX)
    bounds.is_full = bounds.is_shut = bounds.is_starved = False
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def trust(bounds: cython.pointer[Bounds], proxies: object) -> cython.int:
    """Take over the networks whose connections begin with a PROXY header."""
    address: bytes
    names = [name for name in proxies if name not in ANY_PEER]
    bounds.trusts_all = "*" in proxies
    bounds.trusts_unix = bounds.trusts_all or "unix" in proxies
    if not names:
        return 0
    bounds.trusted = cython.cast(cython.pointer[Trusted], calloc(len(names), cython.sizeof(Trusted)))
    if bounds.trusted is cython.NULL:
        raise MemoryError
    to_prefix = importlib.import_module("vanilla.networks").to_prefix  # few have a proxy
    for name in names:
        address, prefix = to_prefix(name)
        memcpy(bounds.trusted[bounds.trusted_count].address, cython.cast(cython.p_uchar, address), 16)
        bounds.trusted[bounds.trusted_count].prefix = prefix
        bounds.trusted_count += 1
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_trusted(bounds: cython.pointer[Bounds], peer: cython.pointer[PeerAddress]) -> cython.bint:
    """Whether what a peer says about whom it speaks for is believed."""
    address: cython.uchar[16]
    index: cython.int
    is_ipv4: cython.bint
    if peer.family == 0 or bounds.trusts_all or bounds.trusted_count == 0:
        return bounds.trusts_unix if peer.family == 0 else bounds.trusts_all
    if peer.family == AF_INET6:
        memcpy(address, peer.host, 16)
    else:  # as IPv6 writes it: RFC 4291 section 2.5.5.2
        memset(address, 0, 10)
        memset(address + 10, 255, 2)
        memcpy(address + 12, peer.host, 4)
    is_ipv4 = begins_mapped(address)
    for index in range(bounds.trusted_count):
        # The least network that holds all of IPv4 is one of IPv6, and not meant.
        if is_ipv4 == begins_mapped(bounds.trusted[index].address) and begins_alike(
            address, bounds.trusted[index].address, bounds.trusted[index].prefix
        ):
            return True
    return False


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def begins_mapped(address: cython.p_const_uchar) -> cython.bint:
    """Whether an address is one of IPv4 in IPv6's clothes, ::ffff:0:0/96."""
    index: cython.int
    for index in range(10):
        if address[index] != 0:
            return False
    return address[10] == 255 and address[11] == 255


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def begins_alike(left: cython.p_const_uchar, right: cython.p_const_uchar, bits: cython.int) -> cython.bint:
    """Whether two addresses have their first bits in common."""
    whole: cython.int = bits // 8
    rest: cython.int = bits % 8
    return memcmp(left, right, whole) == 0 and (rest == 0 or (left[whole] ^ right[whole]) >> (8 - rest) == 0)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def on_accepted(state: State, number: cython.int, fd: cython.int, peer: cython.pointer[PeerAddress]) -> cython.void:
    """A connection came in, or could not."""
    if fd < 0:
        if is_starving(fd):
            note_starved(state, number)
        return  # anything else befell that one connection while it waited: accept(2)
    if state.counts.open < LOOK_FROM or not hand_over(state, number, fd, peer):
        keep(state, number, fd, peer)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_starving(result: cython.int) -> cython.bint:
    """Whether accept(2) failed for want of descriptors or memory: it would for the next connection too."""
    return result == -EMFILE or result == -ENFILE or result == -ENOBUFS or result == -ENOMEM


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def hand_over(state: State, number: cython.int, fd: cython.int, peer: cython.pointer[PeerAddress]) -> cython.bint:
    """Give a connection, and its place back, if this worker has many more than the least busy neighbour.

    While the load is even nobody is looked at for as many connections as could make it uneven, up to a bound.
    """
    least: cython.int
    load: cython.longlong
    missing: cython.longlong = LOOK_ACCEPTS_MAX  # connections until the load is uneven
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    if state.accepts_until_look > 0:
        state.accepts_until_look -= 1
        return False
    if state.has_stopped_accepting:
        return False
    least = state.neighbours.find_least(state.seat, state.first_looked_at, LOOK_SEATS_MAX, number, state.received_ns)
    state.first_looked_at = (state.first_looked_at + LOOK_SEATS_MAX) % state.neighbours.count
    if least >= 0:
        load = state.neighbours.load_of(least)
        missing = load + max(load // UNEVEN_SHARE, UNEVEN_SPARE) - state.neighbours.load_of(state.seat)
    if missing > 0:
        state.accepts_until_look = cython.cast(cython.int, min(missing, LOOK_ACCEPTS_MAX)) - 1
        return False
    if not state.neighbours.hand(least, number, fd, peer):
        return False
    state.allowances[number] += 1
    state.neighbours.note_place(state.seat, number)
    if bounds.is_full:
        bounds.is_full = bounds.is_shut = False
        state.backend.resume_listener(number)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_handed(state: State) -> cython.void:
    """Keep what other workers gave, as far as there are places; the rest goes on to those that have some, or waits as
    if in the backlog. Two workers that take from one backlog may each fill up while the other gives to it.
    """
    link: cython.pointer[cython.pointer[Handed]]
    number: cython.int
    fd: cython.int
    least: cython.int
    peer: PeerAddress
    add_handed(state, state.neighbours.empty_mailbox(state.seat))
    if state.handed is cython.NULL:
        return
    link = cython.address(state.handed)
    while link[0] is not cython.NULL:
        number = link[0].listener
        if state.allowances[number] <= 0:
            least = find_place(state, number)
            if least >= 0 and state.neighbours.hand(least, number, link[0].fd, cython.address(link[0].peer)):
                unlink(link, cython.address(peer))
                state.neighbours.note_moved(state.seat, -1)
            else:
                shut(state, number)  # so that it does not wait for ever
                link = cython.address(link[0].next)
            continue
        fd = unlink(link, cython.address(peer))
        state.allowances[number] -= 1
        keep(state, number, fd, cython.address(peer))
        state.accepts_until_look = max(state.accepts_until_look - 1, 0)  # it makes this one's load uneven sooner
        state.neighbours.note_moved(state.seat, -1)
    for number in range(state.listener_count):
        state.neighbours.note_place(state.seat, number)  # what was on its way had one of each listener's


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pass_on(state: State) -> cython.void:
    """Give connections that there is no place for here to workers that have some."""
    number: cython.int
    state.backend.has_unplaced = False
    if state.has_stopped_accepting:
        return
    for number in range(state.listener_count):
        if state.allowances[number] <= 0 and not pass_on_from(state, number):
            shut(state, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pass_on_from(state: State, number: cython.int) -> cython.bint:
    """Give the connections of one full listener away; False once nobody has a place.

    Those in the backlog up to a bound: more are for another time.
    """
    count: cython.int = 0
    least: cython.int
    fd: cython.int
    peer: PeerAddress
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    while count < ACCEPTS_MAX or state.backend.kept_count > 0:
        count += 1
        # A backlog is looked at again by a timer. What a ring has accepted needs a wake-up: find_place asks for that.
        least = find_place(state, number) if state.backend.kept_count > 0 else find_neighbour(state, number)
        if least < 0:
            return False
        if bounds.is_shut:
            fd = state.backend.accept_next(number, cython.address(peer))
        else:
            fd = state.backend.take_unplaced(number, cython.address(peer))
        if is_starving(fd):
            note_starved(state, number)
            break
        if fd == -EAGAIN:
            break
        if fd < 0:
            continue  # that one is gone: accept(2)
        bounds.refuses_ms = state.now_ms + bounds.accept_ms  # the others have moved up
        if state.neighbours.hand(least, number, fd, cython.address(peer)):
            continue
        if not state.neighbours.hand(state.seat, number, fd, cython.address(peer)):  # that one ends: wait here
            close_socket(fd)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_place(state: State, number: cython.int) -> cython.int:
    """The least busy worker that has a place, or -1: whoever has one later wakes this one then."""
    least: cython.int = find_neighbour(state, number)
    if least >= 0:
        return least
    state.neighbours.note_stuck()
    return find_neighbour(state, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def find_neighbour(state: State, number: cython.int) -> cython.int:
    """The least busy of the other workers that have a place, or -1."""
    return state.neighbours.find_least(state.seat, 0, state.neighbours.count, number, state.received_ns)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def add_handed(state: State, handed: cython.pointer[Handed]) -> cython.int:
    """Queue what was in a mailbox behind what waits for a place already; how many these are."""
    count: cython.int = 0
    link: cython.pointer[cython.pointer[Handed]] = cython.address(state.handed)
    if handed is cython.NULL:
        return 0
    while link[0] is not cython.NULL:
        link = cython.address(link[0].next)
    link[0] = handed
    while handed is not cython.NULL:
        count += 1
        handed = handed.next
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unlink(link: cython.pointer[cython.pointer[Handed]], peer: cython.pointer[PeerAddress]) -> cython.int:
    """Take the connection that `link` leads to off its list: its descriptor."""
    handed: cython.pointer[Handed] = link[0]
    fd: cython.int = handed.fd
    peer[0] = handed.peer
    link[0] = handed.next
    free(handed)
    return fd


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def next_waiting(state: State, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
    """The next connection of one listener that waits for a place, or -errno: one that was given, else the backlog's."""
    link: cython.pointer[cython.pointer[Handed]] = cython.address(state.handed)
    while link[0] is not cython.NULL:
        if link[0].listener == number:
            state.neighbours.note_moved(state.seat, -1)
            return unlink(link, peer)
        link = cython.address(link[0].next)
    return state.backend.accept_next(number, peer)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def look_around(state: State) -> cython.void:
    """Take the new connections of neighbours that are held up in a handler."""
    seat: cython.int
    number: cython.int
    count: cython.int
    state.looks_around_ms = state.now_ms + LOOK_AROUND_MS
    if state.has_stopped_accepting:
        return
    for seat in range(state.neighbours.count):
        if seat == state.seat or not state.neighbours.is_held_up(seat, state.received_ns):
            continue
        count = add_handed(state, state.neighbours.empty_mailbox(seat))
        state.neighbours.note_moved(seat, -count)
        state.neighbours.note_moved(state.seat, count)
        for number in range(state.listener_count):
            if take_from(state, seat, number) == ACCEPTS_MAX:
                state.looks_around_ms = state.now_ms  # more may wait: the next tick goes on
    take_handed(state)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_from(state: State, seat: cython.int, number: cython.int) -> cython.int:
    """Accept from a neighbour's backlog while there are places here; how many."""
    count: cython.int = 0
    fd: cython.int
    peer: PeerAddress
    while count < ACCEPTS_MAX and state.allowances[number] > 0:
        fd = state.neighbours.accept_of(seat, number, cython.address(peer))
        if fd < 0:
            break
        count += 1
        state.allowances[number] -= 1
        on_accepted(state, number, fd, cython.address(peer))
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_handed(state: State) -> cython.void:
    """The worker ends: take no more connections from others, and close those that it has not begun to serve."""
    close_handed(state.neighbours.close_mailbox(state.seat))
    close_handed(state.handed)
    state.handed = cython.NULL
    state.looks_around_ms = NEVER_MS  # coroutines may still clean up, and that takes ticks


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def keep(state: State, number: cython.int, fd: cython.int, peer: cython.pointer[PeerAddress]) -> cython.void:
    """Serve a connection that has a place."""
    connection: cython.pointer[Connection] = state.table.take()
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    if connection is cython.NULL:
        close_socket(fd)
        state.allowances[number] += 1
        state.neighbours.note_place(state.seat, number)
        return
    connection.channel.fd = fd
    connection.peer = peer[0]
    connection.listener = cython.cast(uint8_t, number)
    connection.awaits_proxy = is_trusted(bounds, peer)
    state.counts.accepted += 1
    state.counts.open += 1
    if state.backend.add(cython.address(connection.channel)) < 0:
        state.close(connection)
        return
    state.set_deadline(connection, FIRST_BYTE, state.now_ms + bounds.read_ms if bounds.read_ms else 0)
    if state.allowances[number] == 0:
        note_full(state, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_starved(state: State, number: cython.int) -> cython.void:
    """No descriptor or memory for a new connection: leave them in the backlog for a moment, and say so once."""
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    state.backend.pause_listener(number)
    if state.now_ms >= state.starved_log_ms:
        state.starved_log_ms = state.now_ms + STARVED_LOG_MS
        state.must_log_starved = state.has_notice = True
    bounds.is_starved = True
    keep_house_by(state, state.now_ms + STARVED_RETRY_MS)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_full(state: State, number: cython.int) -> cython.void:
    """The listener has as many connections as it may: further ones are for workers that have a place."""
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    if bounds.is_full:
        return
    bounds.is_full = True
    if find_neighbour(state, number) < 0:
        shut(state, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def shut(state: State, number: cython.int) -> cython.void:
    """Nobody has a place for a connection of a full listener: further ones wait in the backlog, for a bounded time."""
    bounds: cython.pointer[Bounds] = cython.address(state.bounds[number])
    if bounds.is_shut:
        return
    bounds.is_full = bounds.is_shut = True
    bounds.refuses_ms = state.now_ms + bounds.accept_ms
    state.backend.pause_listener(number)
    state.reached(LIMIT_CONNECTIONS)
    await_place(state, bounds)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def await_place(state: State, bounds: cython.pointer[Bounds]) -> cython.void:
    """Look again later for what a listener that is shut waits for."""
    if bounds.accept_ms:
        keep_house_by(state, bounds.refuses_ms)
    if state.neighbours.count > 1:
        keep_house_by(state, state.now_ms + LOOK_FOR_PLACE_MS)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def keep_house_by(state: State, due_ms: cython.longlong) -> cython.void:
    """Have `keep_house` run at `due_ms` at the latest."""
    if state.housekeeping.link is cython.NULL or state.housekeeping.due_ms > due_ms:
        state.wheel.remove(cython.address(state.housekeeping))
        state.wheel.add(cython.address(state.housekeeping), due_ms)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def keep_house(state: State) -> cython.void:
    """What listeners wait for: descriptors that came free, places, and the time to refuse those who waited too long."""
    number: cython.int
    bounds: cython.pointer[Bounds]
    for number in range(state.listener_count):
        bounds = cython.address(state.bounds[number])
        if bounds.is_starved and state.has_stopped_accepting:
            take_backlog(state, number)
        if bounds.is_shut and not state.has_stopped_accepting and pass_on_from(state, number):
            bounds.is_shut = False
            if not bounds.is_starved:
                state.backend.resume_listener(number)
        if bounds.is_shut:
            if bounds.accept_ms and state.now_ms >= bounds.refuses_ms:
                refuse_waiting(state, number)
                bounds.refuses_ms = state.now_ms + bounds.accept_ms
            await_place(state, bounds)
        elif bounds.is_starved and not state.has_stopped_accepting:
            bounds.is_starved = False
            state.backend.resume_listener(number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def refuse_waiting(state: State, number: cython.int) -> cython.void:
    """Answer 503 to those in the backlog of a full listener, and close. What they sent is read first, so that the
    close does not reset the connection under the answer.
    """
    count: cython.int
    fd: cython.int
    peer: PeerAddress
    start: cython.Py_ssize_t = state.buffer.length
    append_refusal(state.buffer, state.date, 503)
    for count in range(REFUSALS_MAX):
        fd = next_waiting(state, number, cython.address(peer))
        if fd == -EAGAIN or is_starving(fd):
            break
        if fd < 0:
            continue  # that one is gone: accept(2)
        if state.pool.make_room(SCRATCH_BYTES):
            recv(
                fd,
                state.pool.current.bytes + state.pool.filled,
                state.pool.current.size - state.pool.filled,
                MSG_DONTWAIT,
            )
        send(fd, state.buffer.bytes + start, state.buffer.length - start, MSG_NOSIGNAL | MSG_DONTWAIT)
        close_socket(fd)
        state.reached(LIMIT_ACCEPT)
        state.counts.responses[5] += 1
    state.buffer.truncate(start)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def stop_accepting(state: State) -> cython.void:
    """Take what other workers gave and what waits in the backlogs, for closing a listener resets it; idle connections
    go after one more tick, which brings what their clients had already sent.
    """
    number: cython.int
    state.has_stopped_accepting = True
    state.cut_ms = read_clock_ns() // 1_000_000 + state.grace_ms
    add_handed(state, state.neighbours.close_mailbox(state.seat))
    for number in range(state.listener_count):
        take_backlog(state, number)
    state.backend.wake()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_backlog(state: State, number: cython.int) -> cython.void:
    """Take what waits in one listener's backlog, as far as there are places, then close the listener. Without
    descriptors it stays open and is tried again: idle connections are about to give theirs back.
    """
    failure_count: cython.int = 0
    fd: cython.int
    peer: PeerAddress
    state.bounds[number].is_starved = False
    while state.allowances[number] > 0 and failure_count < FAILURES_MAX:
        fd = next_waiting(state, number, cython.address(peer))
        if fd == -EAGAIN:
            break
        if is_starving(fd):
            note_starved(state, number)
            return
        if fd < 0:
            failure_count += 1
            continue
        state.allowances[number] -= 1
        on_accepted(state, number, fd, cython.address(peer))
    state.neighbours.close_listener(state.seat, number)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_backlog(state: State) -> cython.bint:
    """Whether a listener is still open after accepting has stopped, for want of descriptors."""
    number: cython.int
    for number in range(state.listener_count):
        if state.bounds[number].is_starved:
            return True
    return False
