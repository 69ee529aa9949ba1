cdef int TAB, SPACE, QUOTE, ASTERISK, COMMA, DOT, SLASH
cdef int ZERO, NINE, SEMICOLON, EQUALS, BACKSLASH, LOWER_Q

cdef class Elements:
    cdef bytes value
    cdef Py_ssize_t at
    cdef Py_ssize_t count
    cdef Py_ssize_t start
    cdef Py_ssize_t end
    cdef Py_ssize_t element_end
    cdef int weight
    cdef bint has_parameters

    cdef bint advance(self) noexcept
    cdef void read_parameters(self, const unsigned char *source, Py_ssize_t length) noexcept
    cdef Py_ssize_t read_weight(self, const unsigned char *source, Py_ssize_t at, Py_ssize_t length) noexcept
    cdef void skip_element(self, const unsigned char *source, Py_ssize_t length) noexcept
    cdef bint matches(self, bytes name) noexcept
    cdef bint is_any(self) noexcept

cdef Py_ssize_t skip_space(const unsigned char *source, Py_ssize_t at, Py_ssize_t end) noexcept nogil
cdef bint is_range_end(int octet) noexcept nogil
cdef Py_ssize_t skip_parameter(const unsigned char *source, Py_ssize_t at, Py_ssize_t end) noexcept nogil
cdef int lower(int octet) noexcept nogil
cdef bint starts_alike(
    const unsigned char *source, Py_ssize_t start, const unsigned char *name, Py_ssize_t length,
) noexcept nogil
cdef int _weigh_coding(bytes value, bytes offer) except -2
cdef int _weigh_type(Elements elements, bytes offer) except -2
