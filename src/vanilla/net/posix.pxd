# The system calls that every POSIX platform has, as their backends need them: no GIL, errno left to the caller.
from libc.stdint cimport uint16_t, uint32_t

cdef extern from "<errno.h>" nogil:
    int errno

cdef extern from "<sys/types.h>" nogil:
    ctypedef long long off_t

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t read(int fd, void *target, size_t size)
    ssize_t write(int fd, const void *source, size_t length)

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    cdef struct sockaddr:
        sa_family_t sa_family
    int AF_INET, AF_INET6
    int MSG_NOSIGNAL, MSG_DONTWAIT, MSG_PEEK
    int SHUT_WR
    ssize_t recv(int fd, void *target, size_t size, int flags)
    ssize_t send(int fd, const void *source, size_t length, int flags)
    int shutdown(int fd, int how)

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
