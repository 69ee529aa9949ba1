from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.sockets cimport Sockets
from vanilla.net.platform cimport PeerAddress

cdef class Readiness(Sockets):
    cdef Channel **again
    cdef int again_count
    cdef int again_size

    cdef void accept_ready(self, int number) noexcept nogil
    cdef void take_ready(
        self, Channel *channel, bint is_readable, bint is_writable, bint is_ending, bint is_broken
    ) noexcept nogil
    cdef void receive(self, Channel *channel) noexcept nogil
    cdef void push_again(self, Channel *channel) noexcept nogil
    cdef void receive_again(self, int count) noexcept nogil
