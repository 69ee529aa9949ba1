from vanilla.buffers cimport ResponseBuffer

cdef class ResponseHead:
    cdef ResponseBuffer buffer
    cdef Py_ssize_t begin        # where in the buffer this answer's part starts
    cdef bint is_open
    cdef bint closes
    cdef bint has_begun          # the head has left: what follows cannot take it back
    cdef list hooks              # of before_send, in the order registered; None where there are none
    cdef list unsent_calls       # to make where no hook will be called; likewise

    cdef int check_open(self) except -1
    cdef Py_ssize_t find_head(self) noexcept
    cdef Py_ssize_t locate(self) except -1
    cdef Py_ssize_t find_content(self, Py_ssize_t head) noexcept
    cdef bytes find_value(self, Py_ssize_t head, bytes lower)
    cdef int drop_fields(self, bytes lower) except -1
    cdef int insert_field(self, bytes field, object value) except -1
    cdef int insert_line(self, bytes field, bytes text) except -1

cdef bytes encode_text(object text)
cdef bytes check_field(object name, bytes field, object value)
