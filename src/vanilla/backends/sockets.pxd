from vanilla.backends.interface cimport Backend, Channel
from vanilla.net.platform cimport PeerAddress
from vanilla.net.posix cimport sockaddr_in6

cdef enum:
    NAMES_FROM = 128  # channels are named from here on, listeners and the wake-up below

cdef enum:
    A_PIPE = 1  # of check_watchable

cdef unsigned int WATCHES_FROM

# What an event carries: generation and index, never the same for two connections of one batch.
cdef inline unsigned long long name_of(Channel *channel) noexcept nogil:
    return (<unsigned long long>channel.generation << 32) | (channel.index + NAMES_FROM)

# Likewise for a watched descriptor.
cdef inline unsigned long long name_of_watch(unsigned int slot, unsigned int generation) noexcept nogil:
    return (<unsigned long long>generation << 32) | (slot + WATCHES_FROM)

cdef int check_watchable(int fd) noexcept nogil
cdef int poll_mask(int interest) noexcept nogil
cdef int events_polled(int mask) noexcept nogil
cdef void note_peer(PeerAddress *peer, sockaddr_in6 *address) noexcept nogil

cdef class Sockets(Backend):
    cdef int listener_fds[64]
    cdef bint has_listener_armed[64]
    cdef Channel **channels
    cdef unsigned int channel_size

    cdef void keep_channel(self, Channel *channel) noexcept nogil
    cdef Channel *channel_named(self, unsigned long long name) noexcept nogil
    cdef Py_ssize_t send_with(
        self, Channel *channel, const unsigned char *source, Py_ssize_t length, int flags
    ) noexcept nogil
    cdef void await_writable(self, Channel *channel) noexcept nogil
