from vanilla.backends.interface cimport Channel
from vanilla.backends.ring_receives cimport RingReceives
from vanilla.net.uring cimport Outcome, Submission

cdef Py_ssize_t QUEUED_BYTES_MAX

# A send that has been noted.
ctypedef struct Noted:
    Channel *channel
    unsigned int generation
    const unsigned char *source
    Py_ssize_t length

cdef class RingSends(RingReceives):
    cdef Noted *sends            # of this submission
    cdef int send_count
    cdef int send_size

    cdef bint is_behind(self, Channel *channel) noexcept nogil
    cdef void take_sent(self, Outcome *outcome) noexcept nogil
    cdef void take_writable(self, Outcome *outcome) noexcept nogil
    cdef void forget_sends(self) noexcept nogil
