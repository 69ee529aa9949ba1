from vanilla.backends.listing cimport SlotList
from vanilla.backends.ring_sends cimport RingSends
from vanilla.net.uring cimport Outcome, Submission

# A user's descriptor, by slot; -1 once the watch is over.
ctypedef struct Watched:
    int fd
    unsigned int generation
    unsigned int mask
    bint is_persistent
    bint is_armed

cdef class RingWatches(RingSends):
    cdef Watched *watched
    cdef unsigned int watched_size
    cdef SlotList rearmed        # when the next wait begins

    cdef void arm_watch(self, unsigned int slot) noexcept nogil
    cdef void take_watched(self, Outcome *outcome) noexcept nogil
    cdef void rearm_watches(self) noexcept nogil
