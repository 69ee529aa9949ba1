from libc.stdint cimport uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

cdef int SEEN_COUNT
cdef Py_ssize_t SEEN_BYTES_MAX

# The head of a request, and what it was answered: both belong to whom `owners` has in this place.
ctypedef struct Seen:
    const unsigned char *head
    Py_ssize_t length
    void *answer

cdef class SeenHeads:
    cdef Seen *seen
    cdef list owners

    cdef void *find(self, const unsigned char *head, Py_ssize_t length) noexcept nogil
    cdef int remember(self, bytes head, void *answer, object owner) except -1

cdef int find_slot(const unsigned char *head, Py_ssize_t length) noexcept nogil
