from vanilla.backends.ring_watches cimport RingWatches
from vanilla.net.uring cimport Outcome, Submission

cdef class IoUring(RingWatches):
    cdef int wake_fd
    cdef unsigned long long wakes

    cdef int open_wake(self) except -1
    cdef void arm_wake(self) noexcept nogil
    cdef void take(self, Outcome *outcome) noexcept nogil
