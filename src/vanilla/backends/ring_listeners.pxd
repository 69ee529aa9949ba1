from vanilla.backends.interface cimport Completion
from vanilla.backends.ring_submissions cimport RingSubmissions
from vanilla.net.platform cimport PeerAddress
from vanilla.net.uring cimport Outcome, Submission

# A connection that was accepted and waits for a place.
ctypedef struct Accepted:
    int fd
    int listener

cdef class RingListeners(RingSubmissions):
    cdef bint accepts_many
    cdef Accepted *waiting
    cdef int waiting_size
    cdef bint is_accepting[64]
    cdef bint is_unaccepting[64]
    cdef bint has_listener_listed

    cdef void arm_listener(self, int number) noexcept nogil
    cdef void take_accepted(self, Outcome *outcome, bint is_kept) noexcept nogil
    cdef void keep_waiting(self, int number, int fd) noexcept nogil
    cdef void drop_waiting(self, int index) noexcept nogil
    cdef void let_in(self) noexcept nogil

cdef void ask_peer(int fd, PeerAddress *peer) noexcept nogil
