from vanilla.backends.completions cimport Polling
from vanilla.backends.iocp_sends cimport IocpSends
from vanilla.backends.listing cimport SlotList

cdef class IocpWatches(IocpSends):
    cdef Polling **watched       # by slot
    cdef unsigned int watched_size
    cdef SlotList rearmed        # when the next wait begins

    cdef void give_up_watches(self) noexcept nogil
    cdef void rearm_watches(self) noexcept nogil
    cdef void take_watched(self, Polling *polling) noexcept nogil
