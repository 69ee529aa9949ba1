from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.listing cimport ChannelList
from vanilla.backends.ring_listeners cimport RingListeners
from vanilla.buffers cimport Slab

# Received bytes that the engine cannot take yet.
ctypedef struct Kept:
    Kept *next
    Slab *slab
    int start
    int length

# What is under way on one channel, found by its index.
ctypedef struct Port:
    Kept *first
    Kept *last
    unsigned int wait_number   # in which `completion` is this channel's
    int completion
    int error
    bint is_receiving          # into offered buffers
    bint is_stopping           # that is cancelled, and its last outcome is to come
    bint is_polling            # for input that is received where it belongs
    bint is_full               # there is some, or may be
    bint is_watched            # for a hang-up
    bint has_ended
    bint has_told_end
    bint is_listed

cdef class RingDeliveries(RingListeners):
    cdef unsigned int wait_number
    cdef Port *ports
    cdef unsigned int port_size
    cdef ChannelList listed      # to be looked at when the next wait begins
    cdef Kept *delivered         # in the last wait

    cdef Port *keep_port(self, Channel *channel) noexcept nogil
    cdef void look_later(self, Channel *channel) noexcept nogil
    cdef void stop_receiving(self, Channel *channel, Port *port) noexcept nogil
    cdef void deliver(self, Channel *channel, Port *port, Slab *slab, int start, int length) noexcept nogil
    cdef int report(self, Channel *channel, Port *port, Slab *slab, int start, int length) noexcept nogil
    cdef Completion *complete_received(self, Channel *channel, Port *port) noexcept nogil
    cdef void deliver_kept(self, Channel *channel, Port *port) noexcept nogil
    cdef void end(self, Channel *channel, Port *port) noexcept nogil
    cdef void tell_end(self, Channel *channel, Port *port) noexcept nogil
    cdef void fail(self, Channel *channel, Port *port, int error) noexcept nogil

cdef void keep(Port *port, Slab *slab, int start, int length) noexcept nogil
cdef void drop_kept(Kept **first) noexcept nogil
