from libc.string cimport memmove

from vanilla.http1.head cimport _CLASS, BAD_REQUEST, COLON, CR, HTAB, INCOMPLETE, LF, SP, TOKEN, VALUE

cdef int SIZE_FIRST, SIZE, SPACE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF
cdef int TRAILER_FIRST, TRAILER_NAME, TRAILER_VALUE, TRAILER_LF, LAST_LF
cdef int EXTENSION_FIRST, QUOTED, ESCAPED
cdef int QUOTE, SEMICOLON, BACKSLASH
cdef Py_ssize_t CONTENT_TOO_LARGE, FIELDS_TOO_LARGE
cdef Py_ssize_t CHUNK_BYTES_MAX

cdef class Chunked:
    cdef readonly int state
    cdef readonly Py_ssize_t unread
    cdef readonly Py_ssize_t decoded_end
    cdef readonly Py_ssize_t extension_bytes
    cdef readonly Py_ssize_t trailer_bytes
    cdef Py_ssize_t content_start
    cdef Py_ssize_t content_bytes_max
    cdef Py_ssize_t extension_bytes_max
    cdef Py_ssize_t trailer_bytes_max

cdef void begin_chunked(
    Chunked chunked, Py_ssize_t content_start, Py_ssize_t content_bytes_max, Py_ssize_t extension_bytes_max,
    Py_ssize_t trailer_bytes_max,
) noexcept nogil
cdef Py_ssize_t decode_chunked(Chunked chunked, unsigned char *data, Py_ssize_t at, Py_ssize_t end) noexcept nogil
