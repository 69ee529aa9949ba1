from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.ring_deliveries cimport Port, RingDeliveries
from vanilla.buffers cimport Slab
from vanilla.net.uring cimport Outcome, Submission

cdef int HANGUPS_MAX

cdef class RingReceives(RingDeliveries):
    cdef bint receives_many
    cdef int hangups_fd          # an epoll descriptor

    cdef int open_hangups(self) except -1
    cdef void look_at_listed(self) noexcept nogil
    cdef void arm(self, Channel *channel, Port *port) noexcept nogil
    cdef void receive_now(self, Channel *channel, Port *port) noexcept nogil
    cdef void take_received(self, Outcome *outcome) noexcept nogil
    cdef void take_input(self, Outcome *outcome) noexcept nogil
    cdef void watch_hangup(self, Channel *channel, Port *port) noexcept nogil
    cdef void arm_hangups(self) noexcept nogil
    cdef void take_hangups(self, Outcome *outcome) noexcept nogil
