from vanilla.backends.interface cimport Channel
from vanilla.backends.readiness cimport Readiness
from vanilla.net.posix cimport pollfd

cdef long long TIMEOUT_MS_MAX
cdef int NOWHERE, ENTRIES_FIRST

# What belongs to one entry of the set besides what poll(2) sees of it.
ctypedef struct Detail:
    unsigned long long name
    bint is_once

cdef class Poll(Readiness):
    cdef int wake_fds[2]
    cdef pollfd *entries
    cdef Detail *details
    cdef int entry_count
    cdef int entry_size
    cdef int *places             # of channels, by their index
    cdef unsigned int place_size
    cdef int *watch_places       # of watches, by their slot
    cdef unsigned int watch_size
    cdef int fixed_places[65]    # of listeners, and of the wake-up

    cdef int *place_of(self, unsigned long long name) noexcept nogil
    cdef void enter(self, int fd, int events, unsigned long long name) noexcept nogil
    cdef void leave(self, unsigned long long name) noexcept nogil
    cdef void ask(self, Channel *channel, bint has_ended) noexcept nogil
    cdef void report_watch(self, int at, int mask) noexcept nogil
    cdef void take_entry(self, int at, int mask) noexcept nogil
