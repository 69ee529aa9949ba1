from vanilla.backends.completions cimport Accepting, Operation, Polling, Sending
from vanilla.backends.iocp_watches cimport IocpWatches

cdef class Iocp(IocpWatches):
    cdef void take(self, Operation *operation) noexcept nogil
