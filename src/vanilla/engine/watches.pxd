from vanilla.backends.interface cimport Completion
from vanilla.engine.calls cimport Timer
from vanilla.engine.parking cimport Parked, Parking

# A watched descriptor that became ready, until the GIL is held.
ctypedef struct Ready:
    unsigned int slot
    unsigned int generation
    int events

cdef int EVENT_TIMEOUT

cdef class Watch:
    cdef Watches loop
    cdef readonly int fd
    cdef int interest
    cdef unsigned int slot
    cdef unsigned int generation
    cdef readonly bint is_active
    cdef bint is_persistent
    cdef bint is_limited
    cdef object continuation
    cdef object payload
    cdef object on_disconnect
    cdef Parked parked
    cdef Timer deadline

cdef class Watches(Parking):
    cdef list watches
    cdef list free_slots
    cdef unsigned int watch_count
    cdef dict watched
    cdef Ready *ready
    cdef int ready_count
    cdef int ready_size

    cdef int forget_watch(self, Watch watch) except -1
    cdef void on_ready(self, Completion *completion) noexcept nogil
    cdef int run_ready(self) except -1
    cdef int fire(self, Watch watch, int events) except -1
