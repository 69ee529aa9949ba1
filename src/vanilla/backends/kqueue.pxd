from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.listing cimport ChannelList
from vanilla.backends.readiness cimport Readiness
from vanilla.net.bsd cimport Kevent

cdef long long TIMEOUT_MS_MAX
cdef int CHANGES_FIRST

# What a channel has registered, by its index.
ctypedef struct Standing:
    int pending            # interests that the next wait registers
    bint is_shut           # nothing more can be sent to the peer: one of the two has said so

# What a watch has registered, by its slot.
ctypedef struct Watched:
    unsigned int generation
    int fd
    int registered         # interests, and EVENT_ERROR for a user event instead of one that cannot be had
    bint is_once
    bint is_pipe
    int reported           # where the completion of its last event stood

cdef class Kqueue(Readiness):
    cdef int kqueue_fd
    cdef Kevent *changes
    cdef int change_count
    cdef int change_size
    cdef Kevent *events
    cdef int event_size
    cdef bint is_listener_registered[64]
    cdef bint has_listener_changes
    cdef ChannelList changing    # with something pending; one that was closed since has nothing
    cdef Standing *standings
    cdef unsigned int standing_size
    cdef Watched *watched
    cdef unsigned int watched_size

    cdef int apply(self, Kevent *changes, int count) noexcept nogil
    cdef void register(self, Channel *channel, int interest) noexcept nogil
    cdef void put(self, int fd, int filter, int flags, unsigned long long name) noexcept nogil
    cdef void gather_changes(self) noexcept nogil
    cdef void take_event(self, Kevent *event) noexcept nogil
    cdef void take_refusal(self, Kevent *event) noexcept nogil
    cdef void take_channel(self, Channel *channel, Kevent *event) noexcept nogil
    cdef void drop_watch(self, Watched *watched, unsigned int slot) noexcept nogil
    cdef void report_watch(self, Kevent *event) noexcept nogil
