from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.listing cimport ChannelList
from vanilla.backends.sockets cimport Sockets

cdef class Readiness(Sockets):
    cdef ChannelList again

    cdef void take_ready(
        self, Channel *channel, bint is_readable, bint is_writable, bint is_ending, bint is_broken
    ) noexcept nogil
    cdef void receive(self, Channel *channel) noexcept nogil
    cdef void push_again(self, Channel *channel) noexcept nogil
    cdef void receive_again(self, int count) noexcept nogil
