"""What the workers of one server know of each other: how busy each is, and where to leave a connection for it.

A worker that is given a connection need not run: it finds the connection in its mailbox, a list that any thread pushes
to by compare-and-swap and that is taken whole. Nobody waits for anybody, but for one lock, held for a single accept(2)
from another's listener, and for closing one. Nothing here takes the GIL.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.vanilla.net.platform import close_socket, read_monotonic_ns

FEW_PLACES = 8
HELD_UP_NS = 100_000_000  # in one handler: longer than any that should run on a worker, shorter than a person notices


@cython.final
@cython.cclass
class Neighbours:
    """The workers in the order of their seats. It outlives each of them: engines hold it until they are gone.

    Args:
        size: how many there will be.
    """

    def __init__(self, size: cython.int) -> None:
        self.members = []
        self.size = size
        self.seats = cython.cast(cython.pointer[Seat], calloc(size, cython.sizeof(Seat)))
        if self.seats is cython.NULL:
            raise MemoryError

    def __dealloc__(self) -> None:
        seat: cython.int
        for seat in range(self.count):  # of engines that never ran
            close_handed(self.close_mailbox(seat))
        free(self.seats)

    def seat(self, backend: Backend, worker: Worker) -> int:
        """Give a worker the next seat: its number. Before any of them runs."""
        seat: cython.int = self.count
        if seat == self.size:
            raise ValueError(f"{self.size} workers have a seat; there is none for another")
        self.members.append((backend, worker))
        self.seats[seat].backend = cython.cast(cython.p_void, backend)
        self.seats[seat].counts = cython.address(worker.counts)
        self.count += 1
        return seat

    def relieve(self) -> None:
        """Have the least busy worker look around if another one is held up. Any thread."""
        with cython.nogil:
            self.wake_least(read_monotonic_ns())

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def load_of(self, seat: cython.int) -> cython.longlong:
        """Connections that a worker has or is about to have."""
        return self.seats[seat].counts.open + atomic_load(cython.address(self.seats[seat].handed_count), RELAXED)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_held_up(self, seat: cython.int, now_ns: cython.longlong) -> cython.bint:
        """Whether a worker has sat inside one handler for long."""
        since_ns: cython.longlong = self.seats[seat].counts.handler_since_ns
        return since_ns != 0 and now_ns - since_ns > HELD_UP_NS

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def may_take(self, seat: cython.int, listener: cython.int, now_ns: cython.longlong) -> cython.bint:
        """Whether a worker runs, is not held up, and has a place; a listener below 0 asks for none.

        What it has may be gone when the connection arrives, which waits then as it would in the backlog.
        """
        if load_handed(cython.address(self.seats[seat].mailbox), RELAXED) == cython.address(_closed):
            return False
        if self.is_held_up(seat, now_ns):
            return False
        if listener < 0:
            return True
        return cython.cast(Backend, self.seats[seat].backend).allowances[listener] > atomic_load(
            cython.address(self.seats[seat].handed_count), RELAXED
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_least(
        self, own: cython.int, first: cython.int, looks: cython.int, listener: cython.int, now_ns: cython.longlong
    ) -> cython.int:
        """The worker with the fewest connections that may take one, among `looks` seats from `first` on, or -1."""
        look: cython.int
        seat: cython.int
        load: cython.longlong
        least: cython.int = -1
        least_load: cython.longlong = 0
        for look in range(min(looks, self.count)):
            seat = (first + look) % self.count
            if seat == own or not self.may_take(seat, listener, now_ns):
                continue
            load = self.load_of(seat)
            if least < 0 or load < least_load:
                least = seat
                least_load = load
        return least

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def hand(
        self, seat: cython.int, listener: cython.int, fd: cython.int, peer: cython.pointer[PeerAddress]
    ) -> cython.bint:
        """Leave a connection for a worker, and wake it if its mailbox was empty; False if it takes none any more."""
        mailbox: cython.pointer[cython.pointer[Handed]] = cython.address(self.seats[seat].mailbox)
        newest: cython.pointer[Handed] = load_handed(mailbox, ACQUIRE)
        handed: cython.pointer[Handed] = cython.cast(cython.pointer[Handed], malloc(cython.sizeof(Handed)))
        if handed is cython.NULL:
            return False
        handed.fd = fd
        handed.listener = listener
        handed.peer = peer[0]
        self.note_moved(seat, 1)
        while True:
            if newest == cython.address(_closed):
                self.note_moved(seat, -1)
                free(handed)
                return False
            handed.next = newest
            if replace_handed(mailbox, cython.address(newest), handed, True, ACQUIRE_RELEASE, ACQUIRE):
                break
        if newest is cython.NULL:
            cython.cast(Backend, self.seats[seat].backend).wake()
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def empty_mailbox(self, seat: cython.int) -> cython.pointer[Handed]:
        """Take what lies in a worker's mailbox, oldest first. Any worker may; a closed one stays closed."""
        mailbox: cython.pointer[cython.pointer[Handed]] = cython.address(self.seats[seat].mailbox)
        newest: cython.pointer[Handed] = load_handed(mailbox, ACQUIRE)
        while newest is not cython.NULL and newest != cython.address(_closed):
            if replace_handed(mailbox, cython.address(newest), cython.NULL, True, ACQUIRE_RELEASE, ACQUIRE):
                return turn_round(newest)
        return cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_mailbox(self, seat: cython.int) -> cython.pointer[Handed]:
        """Take what lies in a worker's mailbox, oldest first, and have it take nothing more."""
        newest: cython.pointer[Handed] = exchange_handed(
            cython.address(self.seats[seat].mailbox), cython.address(_closed), ACQUIRE_RELEASE
        )
        return cython.NULL if newest == cython.address(_closed) else turn_round(newest)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def note_moved(self, seat: cython.int, count: cython.int) -> cython.void:
        """Connections are on their way to a worker, or, below 0, have arrived or gone elsewhere."""
        atomic_add(cython.address(self.seats[seat].handed_count), count, RELAXED)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_of(self, seat: cython.int, listener: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        """One connection from another worker's backlog: its descriptor, or -errno, also where it listens no more."""
        fd: cython.int
        with self.listening:
            fd = cython.cast(Backend, self.seats[seat].backend).accept(listener, peer)
        return fd

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, seat: cython.int, listener: cython.int) -> cython.void:
        """Close a worker's own listener, while nobody accepts from it: its number may be used again at once."""
        with self.listening:
            cython.cast(Backend, self.seats[seat].backend).close_listener(listener)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def note_stuck(self) -> cython.void:
        """A connection waits, for nobody had a place. Look for one once more after this: one that came free before it
        is seen then, and whoever frees one later sees this.
        """
        atomic_exchange(cython.address(self.stuck), 1, ACQUIRE_RELEASE)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def note_place(self, seat: cython.int, listener: cython.int) -> cython.void:
        """A worker may have a place again, where it had none: have those look again with whom connections wait."""
        other: cython.int
        if self.count == 1 or not self.is_nearly_full(seat, listener):
            return
        if atomic_exchange(cython.address(self.stuck), 0, ACQUIRE_RELEASE) == 0:
            return
        for other in range(self.count):
            if other != seat and load_handed(cython.address(self.seats[other].mailbox), RELAXED) != cython.address(
                _closed
            ):
                cython.cast(Backend, self.seats[other].backend).wake()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_nearly_full(self, seat: cython.int, listener: cython.int) -> cython.bint:
        """Whether a worker has a few places, as `may_take` sees it: with more of them it had some before, too."""
        places: cython.int = cython.cast(Backend, self.seats[seat].backend).allowances[listener]
        places -= atomic_load(cython.address(self.seats[seat].handed_count), RELAXED)
        return 0 < places <= FEW_PLACES

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake_least(self, now_ns: cython.longlong) -> cython.void:
        """Wake the least busy worker if another is held up: it looks around itself."""
        seat: cython.int
        least: cython.int
        for seat in range(self.count):
            if self.is_held_up(seat, now_ns):
                least = self.find_least(seat, 0, self.count, -1, now_ns)
                if least >= 0:
                    cython.cast(Backend, self.seats[least].backend).wake()
                return


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def turn_round(newest: cython.pointer[Handed]) -> cython.pointer[Handed]:
    """The same list, oldest first."""
    older: cython.pointer[Handed]
    turned: cython.pointer[Handed] = cython.NULL
    while newest is not cython.NULL:
        older = newest.next
        newest.next = turned
        turned = newest
        newest = older
    return turned


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_handed(handed: cython.pointer[Handed]) -> cython.void:
    """Close connections that nobody serves."""
    following: cython.pointer[Handed]
    while handed is not cython.NULL:
        following = handed.next
        close_socket(handed.fd)
        free(handed)
        handed = following
