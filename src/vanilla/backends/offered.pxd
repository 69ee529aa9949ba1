from vanilla.backends.ring cimport Ring
from vanilla.buffers cimport Slab
from vanilla.net.uring cimport OfferedBuffer

cdef Py_ssize_t SHARED_BYTES, WHOLE_BYTES
cdef int SHARED_COUNT, WHOLE_COUNT, GROUP

cdef class OfferedBuffers:
    cdef OfferedBuffer *entries
    cdef size_t mapped_size
    cdef int count
    cdef unsigned short tail
    cdef readonly bint is_incremental
    cdef Py_ssize_t slab_bytes
    cdef Slab **slabs            # by number; of those in the ring, and of those used up in this tick
    cdef Py_ssize_t *used        # bytes of each
    cdef int *spent              # numbers that are not in the ring
    cdef int spent_count

    cdef int map(self) except -1
    cdef void unmap(self) noexcept nogil
    cdef int register(self, Ring ring, int flags) noexcept nogil
    cdef Slab *take(self, unsigned int flags, int length, int *start) noexcept nogil
    cdef void recycle(self) noexcept nogil
