from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

cdef int PERCENT, PLUS, SPACE

cdef int digit_value(int octet) noexcept nogil
cdef Py_ssize_t find_fault(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef bytes decode_checked(bytes data, Py_ssize_t start, Py_ssize_t end, bint is_form)
cpdef int check(bytes data) except -1
