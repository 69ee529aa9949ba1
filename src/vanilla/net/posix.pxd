# The system calls that every POSIX platform has, as the engine needs them: no GIL, errno left to the caller.
from libc.stdint cimport uint16_t, uint32_t

cdef extern from "<errno.h>" nogil:
    int errno
    int EAGAIN, EEXIST, EPERM, EBADF, EBUSY, EINTR, EINVAL, EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, ECONNRESET, EIO, EPIPE
    int ETIMEDOUT, ENOSYS, ETIME, ECANCELED

cdef extern from "<sys/types.h>" nogil:
    ctypedef long long off_t
    ctypedef unsigned int mode_t

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t pread(int fd, void *target, size_t size, off_t offset)
    ssize_t read(int fd, void *target, size_t size)
    ssize_t write(int fd, const void *source, size_t length)

cdef extern from "<fcntl.h>" nogil:
    int F_DUPFD_CLOEXEC, F_GETFL, O_ACCMODE, O_WRONLY
    int fcntl(int fd, int command, ...)

cdef extern from "<sys/stat.h>" nogil:
    cdef struct file_status "stat":
        mode_t st_mode
        off_t st_size
    int fstat(int fd, file_status *status)
    bint S_ISREG(mode_t mode)
    bint S_ISDIR(mode_t mode)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    cdef struct sockaddr:
        sa_family_t sa_family
    int AF_INET, AF_INET6
    int MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL
    int SHUT_WR
    ssize_t recv(int fd, void *target, size_t size, int flags)
    ssize_t send(int fd, const void *source, size_t length, int flags)
    int shutdown(int fd, int how)
    int getpeername(int fd, sockaddr *address, socklen_t *length)

cdef extern from "<netinet/in.h>" nogil:
    uint16_t ntohs(uint16_t number)
    cdef struct in_addr:
        pass
    cdef struct in6_addr:
        pass
    cdef struct sockaddr_in:
        sa_family_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        sa_family_t sin6_family
        uint16_t sin6_port
        uint32_t sin6_flowinfo
        in6_addr sin6_addr
        uint32_t sin6_scope_id

cdef extern from *:
    """
    #include <poll.h>
    #ifndef POLLRDHUP
    #define POLLRDHUP 0
    #endif
    """
    cdef struct pollfd:
        int fd
        short events
        short revents
    int POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDHUP
    int poll(pollfd *entries, unsigned long count, int timeout_ms) nogil

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME_COARSE
    int clock_gettime(int clock, timespec *target)

cdef extern from "<assert.h>" nogil:
    void c_assert "assert"(bint)

# A client's address without the padding of sockaddr_storage: family 0 on a unix socket, port in host order.
ctypedef struct PeerAddress:
    uint16_t family
    uint16_t port
    unsigned char host[16]
