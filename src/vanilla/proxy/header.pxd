cdef Py_ssize_t INCOMPLETE, MALFORMED
cdef Py_ssize_t LINE_BYTES_MAX, HEADER_BYTES_MAX, FIXED_BYTES, PREFIX_BYTES, SIGNATURE_BYTES
cdef Py_ssize_t IPV4_BYTES, IPV6_BYTES, UNIX_BYTES
cdef int CR, LF, SP, DOT, COLON, ZERO, GROUPS
cdef int LOCAL, PROXY, UNSPECIFIED, TCP_OVER_IPV4, TCP_OVER_IPV6, UNIX_STREAM
cdef unsigned long long LOW_48_BITS

cdef class Origin:
    cdef bint is_proxied
    cdef int family
    cdef int port
    cdef unsigned long long high
    cdef unsigned long long low

cdef Py_ssize_t parse_proxy_header(
    Origin origin, const unsigned char *data, Py_ssize_t start, Py_ssize_t end
) noexcept nogil
