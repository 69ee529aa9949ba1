from vanilla.backends.completions cimport Sending
from vanilla.backends.interface cimport Channel
from vanilla.backends.iocp_receives cimport IocpReceives, Port
from vanilla.net.windows cimport DWORD, HANDLE

cdef Py_ssize_t SEND_BYTES_MAX

cdef class IocpSends(IocpReceives):
    cdef bint transmits_files

    cdef Py_ssize_t send_block(
        self, Channel *channel, Port *port, unsigned char *block, Py_ssize_t start, Py_ssize_t length
    ) noexcept nogil
    cdef Py_ssize_t send_read(
        self, Channel *channel, Port *port, int fd, long long offset, Py_ssize_t count
    ) noexcept nogil
    cdef void begin_sending(self, Channel *channel, Port *port, Sending *sending) noexcept nogil
    cdef void take_sent(self, Sending *sending) noexcept nogil

cdef int send_what_fits(int fd, const unsigned char *source, Py_ssize_t length, Py_ssize_t *sent) noexcept nogil
