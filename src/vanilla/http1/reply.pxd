from libc.string cimport memcmp, memcpy, memmove

from vanilla.buffers cimport ResponseBuffer
from vanilla.http1.head cimport COLON, CR, DIGIT, LF, SP, _CLASS, equals, find_field, find_line_end, is_field_value, is_token, skip_space, trim_space
from vanilla.net.platform cimport read_wall_clock_s

cdef const unsigned char *_LINES[600]
cdef Py_ssize_t _LINE_BYTES[600]
cdef Py_ssize_t DATE_BYTES
cdef int KEEP, CLOSE, KEEP_ALIVE

cdef class DateLine:
    cdef long long second
    cdef unsigned char line[40]

    cdef bint append(self, ResponseBuffer target) noexcept nogil
    cdef void write_line(self, long long second) noexcept nogil

cdef bint append_status_line(ResponseBuffer target, int status) noexcept nogil
cdef bint append_decimal(ResponseBuffer target, Py_ssize_t value) noexcept nogil
cdef bint append_hexadecimal(ResponseBuffer target, Py_ssize_t value) noexcept nogil
cdef bint append_chunk(ResponseBuffer target, const unsigned char *source, Py_ssize_t length) noexcept nogil
cdef bint append_refusal(ResponseBuffer target, DateLine date, int status) noexcept nogil
cdef bint append_interim_continue(ResponseBuffer target) noexcept nogil
cdef int parse_status(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef Py_ssize_t find_final_head(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef Py_ssize_t find_head_end(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef bint has_framing(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef bint drop_content(ResponseBuffer target, Py_ssize_t start) noexcept nogil
cdef void drop_field(
    ResponseBuffer target, Py_ssize_t head, const unsigned char *lower, Py_ssize_t length
) noexcept nogil
cdef bint set_connection(ResponseBuffer target, Py_ssize_t start, int persistence) noexcept nogil
cdef int check_response(
    const unsigned char *data, Py_ssize_t start, Py_ssize_t end, bint is_head, Py_ssize_t more
) noexcept nogil
cdef long long parse_length(const unsigned char *data, Py_ssize_t at, Py_ssize_t end) noexcept nogil
