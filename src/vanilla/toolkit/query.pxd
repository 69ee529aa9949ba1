from libc.string cimport memchr

from vanilla.toolkit.percent cimport PERCENT, PLUS, SPACE, check, decode_checked, digit_value

cdef int AMPERSAND, EQUALS

cdef class Query:
    cdef readonly bytes data
    cdef Py_ssize_t count

    cdef bytes value(self, Py_ssize_t equals, Py_ssize_t end)
    cdef Py_ssize_t find(self, bytes name, Py_ssize_t at) noexcept

cdef Py_ssize_t match_name(
    const unsigned char *source, Py_ssize_t at, Py_ssize_t end, const unsigned char *wanted, Py_ssize_t wanted_length,
) noexcept nogil
cdef Py_ssize_t find_octet(const unsigned char *source, Py_ssize_t at, Py_ssize_t end, int octet) noexcept nogil
