cdef int SEMICOLON, EQUALS

# Where one pair lies in a Cookie field; `end` is behind its semicolon.
ctypedef struct Pair:
    Py_ssize_t start
    Py_ssize_t name_end
    Py_ssize_t value_start
    Py_ssize_t value_end
    Py_ssize_t end

cdef class Cookies:
    cdef readonly bytes value

cdef bint read_pair(const unsigned char *source, Py_ssize_t at, Py_ssize_t length, Pair *pair) noexcept nogil
cdef bint find_pair(
    const unsigned char *source, Py_ssize_t at, Py_ssize_t length,
    const unsigned char *name, Py_ssize_t name_length, Pair *pair,
) noexcept nogil
