from libc.string cimport memchr

cdef int CR, LF
cdef Py_ssize_t FEW_EVERY

cdef Py_ssize_t find_next(
    const unsigned char *source, Py_ssize_t start, Py_ssize_t end, const unsigned char *wanted, Py_ssize_t wanted_length,
    Py_ssize_t few,
) noexcept nogil
cdef Py_ssize_t find_cr(const unsigned char *source, Py_ssize_t at, Py_ssize_t end) noexcept nogil
cdef bint begins_with(
    const unsigned char *source, Py_ssize_t at, Py_ssize_t end, const unsigned char *wanted, Py_ssize_t length,
) noexcept nogil
