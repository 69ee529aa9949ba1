cdef unsigned char _CLASS[256]

cdef Py_ssize_t INCOMPLETE, BAD_REQUEST, URI_TOO_LONG, EXPECTATION_FAILED
cdef Py_ssize_t FIELDS_TOO_LARGE, NOT_IMPLEMENTED, VERSION_NOT_SUPPORTED
cdef Py_ssize_t METHOD_BYTES_MAX
cdef long long CONTENT_LENGTH_MAX
cdef int CR, LF, SP, HTAB, COLON, COMMA, SLASH, QUESTION, ASTERISK, DOT, BRACKET, END_BRACKET
cdef int ZERO, ONE, UPPER_A, UPPER_Z
cdef int TOKEN, TARGET, VALUE, HOST, DIGIT, SCHEME

cdef class Head:
    cdef readonly Py_ssize_t start
    cdef readonly Py_ssize_t method_end
    cdef readonly Py_ssize_t target_start
    cdef readonly Py_ssize_t target_end
    cdef readonly Py_ssize_t fields_start
    cdef readonly Py_ssize_t fields_end
    cdef readonly Py_ssize_t field_count
    cdef readonly long long content_length
    cdef readonly int version
    cdef readonly bint is_head
    cdef readonly bint is_chunked
    cdef readonly bint keeps_alive
    cdef readonly bint expects_continue
    cdef readonly bint may_switch
    cdef bint has_close
    cdef bint has_keep_alive
    cdef bint has_codings
    cdef bint has_unknown_coding
    cdef bint has_unknown_expectation
    cdef bint is_misframed
    cdef int host_count

cdef Py_ssize_t parse_head(
    Head head, const unsigned char *data, Py_ssize_t start, Py_ssize_t end,
    Py_ssize_t target_bytes_max, Py_ssize_t header_bytes_max, Py_ssize_t header_count_max,
) noexcept nogil
cdef bint is_token(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef bint is_field_value(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef bint equals(const unsigned char *data, Py_ssize_t start, Py_ssize_t end, const unsigned char *lower, Py_ssize_t length) noexcept nogil
cdef Py_ssize_t find_field(
    const unsigned char *data, Py_ssize_t at, Py_ssize_t end, const unsigned char *lower, Py_ssize_t length,
) noexcept nogil
cdef Py_ssize_t find_line_end(const unsigned char *data, Py_ssize_t at, Py_ssize_t end) noexcept nogil
cdef Py_ssize_t skip_space(const unsigned char *data, Py_ssize_t at, Py_ssize_t end) noexcept nogil
cdef Py_ssize_t trim_space(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
cdef Py_ssize_t find_path(const unsigned char *data, Py_ssize_t start, Py_ssize_t end) noexcept nogil
