cdef int CR, BUCKETS
cdef Py_ssize_t FEW_EVERY

cdef class Delimiter:
    cdef bytes delimiter
    cdef bytes shifts  # by bucket: how far the last pair lies behind one of it; all that is passed over where none is

cdef unsigned int bucket(const unsigned char *source, Py_ssize_t at) noexcept nogil
cdef Py_ssize_t find_whole(
    const unsigned char *source, Py_ssize_t start, Py_ssize_t end, const unsigned char *delimiter, Py_ssize_t length,
    const unsigned char *shifts, Py_ssize_t few,
) noexcept nogil
cdef Py_ssize_t find_begun(
    const unsigned char *source, Py_ssize_t at, Py_ssize_t end, const unsigned char *delimiter, Py_ssize_t length,
) noexcept nogil
cdef bint begins_with(
    const unsigned char *source, Py_ssize_t at, Py_ssize_t end, const unsigned char *wanted, Py_ssize_t length,
) noexcept nogil
