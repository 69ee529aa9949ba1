cimport cython
from vanilla.atomics cimport ACQUIRE, ACQUIRE_RELEASE, RELAXED, atomic_add, atomic_exchange, atomic_load

from vanilla.backends.interface cimport Backend
from vanilla.contract.worker cimport Counts, Worker
from vanilla.net.platform cimport PeerAddress

# A connection that one worker accepted and another is to serve. Whoever takes it off a list owns it.
ctypedef struct Handed:
    Handed *next
    int fd
    int listener
    PeerAddress peer

cdef extern from *:
    Handed *load_handed "__atomic_load_n"(Handed **value, int order) nogil
    Handed *exchange_handed "__atomic_exchange_n"(Handed **value, Handed *wanted, int order) nogil
    bint replace_handed "__atomic_compare_exchange_n"(
        Handed **value, Handed **expected, Handed *wanted, bint is_weak, int success, int failure
    ) nogil

# One worker as the others see it.
ctypedef struct Seat:
    void *backend        # borrowed from `members`
    Counts *counts       # likewise
    Handed *mailbox      # newest first; _closed once nothing more is taken
    int handed_count     # given to this worker and not yet counted as open

cdef long long HELD_UP_NS
cdef int FEW_PLACES
cdef Handed _closed

@cython.final
cdef class Neighbours:
    cdef list members
    cdef Seat *seats
    cdef int count
    cdef int size
    cdef int stuck       # whether connections wait somewhere that found nobody with a place
    cdef cython.pythread_type_lock listening

    cdef long long load_of(self, int seat) noexcept nogil
    cdef bint is_held_up(self, int seat, long long now_ns) noexcept nogil
    cdef bint may_take(self, int seat, int listener, long long now_ns) noexcept nogil
    cdef int find_least(self, int own, int first, int looks, int listener, long long now_ns) noexcept nogil
    cdef bint hand(self, int seat, int listener, int fd, PeerAddress *peer) noexcept nogil
    cdef Handed *empty_mailbox(self, int seat) noexcept nogil
    cdef Handed *close_mailbox(self, int seat) noexcept nogil
    cdef void note_moved(self, int seat, int count) noexcept nogil
    cdef int accept_of(self, int seat, int listener, PeerAddress *peer) noexcept nogil
    cdef void close_listener(self, int seat, int listener) noexcept nogil
    cdef void note_stuck(self) noexcept nogil
    cdef void note_place(self, int seat, int listener) noexcept nogil
    cdef bint is_nearly_full(self, int seat, int listener) noexcept nogil
    cdef void wake_least(self, long long now_ns) noexcept nogil

cdef void close_handed(Handed *handed) noexcept nogil
