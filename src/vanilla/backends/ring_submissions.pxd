from vanilla.backends.interface cimport Channel
from vanilla.backends.offered cimport OfferedBuffers
from vanilla.backends.ring cimport Ring
from vanilla.backends.sockets cimport Sockets
from vanilla.net.uring cimport Submission

# What an operation is for: the lowest bits of its user_data. Then come an index and, above, a generation.
cdef enum:
    OF_NOTHING
    OF_WAKE
    OF_ACCEPT
    OF_RECEIVE
    OF_SEND
    OF_WATCH
    OF_INPUT
    OF_OUTPUT
    OF_HANGUPS
    KIND_BITS = 4
    KIND_MASK = 15
    INDEX_MASK = 0xFFFFFFF

cdef inline unsigned long long name_operation(int kind, Channel *channel) noexcept nogil:
    return (<unsigned long long>channel.generation << 32) | (<unsigned long long>channel.index << KIND_BITS) | kind

cdef inline unsigned long long name_accept(int number) noexcept nogil:
    return (<unsigned long long>number << KIND_BITS) | OF_ACCEPT

cdef inline unsigned long long name_watched(unsigned int slot, unsigned int generation) noexcept nogil:
    return (<unsigned long long>generation << 32) | (<unsigned long long>slot << KIND_BITS) | OF_WATCH

# The open channel that an operation is named after; NULL if it is gone.
cdef inline Channel *find_channel(Channel **channels, unsigned long long user_data) noexcept nogil:
    cdef Channel *channel = channels[(user_data >> KIND_BITS) & INDEX_MASK]
    return channel if channel.fd >= 0 and channel.generation == user_data >> 32 else NULL

cdef class RingSubmissions(Sockets):
    cdef Ring ring
    cdef OfferedBuffers offered

    cdef int open_ring(self, object settings) except -1
    cdef void cancel(self, unsigned long long user_data) noexcept nogil
    cdef void cancel_everything(self) noexcept nogil
    cdef void close_fd(self, int fd) noexcept nogil
    cdef void add_poll(self, int fd, unsigned int mask, unsigned long long user_data) noexcept nogil
