from vanilla.backends.completions cimport Polling
from vanilla.backends.interface cimport Completion
from vanilla.backends.iocp_sends cimport IocpSends

cdef class IocpWatches(IocpSends):
    cdef Polling **watched       # by slot
    cdef unsigned int watched_size
    cdef unsigned int *rearmed   # slots
    cdef int rearmed_count
    cdef int rearmed_size

    cdef void give_up_watches(self) noexcept nogil
    cdef void list_watch(self, unsigned int slot) noexcept nogil
    cdef void rearm_watches(self) noexcept nogil
    cdef void take_watched(self, Polling *polling) noexcept nogil
