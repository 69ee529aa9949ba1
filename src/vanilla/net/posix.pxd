# The system calls that every POSIX platform has, as their backends need them: no GIL, errno left to the caller.
from libc.stdint cimport uint16_t, uint32_t

cdef extern from "<errno.h>" nogil:
    int errno
    int EBUSY, ECANCELED, EINVAL, ENOSYS, ETIME

cdef extern from "<sys/types.h>" nogil:
    ctypedef long long off_t
    ctypedef unsigned int mode_t

cdef extern from "<unistd.h>" nogil:
    int close(int fd)
    ssize_t read(int fd, void *target, size_t size)
    ssize_t write(int fd, const void *source, size_t length)

cdef extern from "<sys/stat.h>" nogil:
    cdef struct file_status "stat":
        mode_t st_mode
    int fstat(int fd, file_status *status)
    bint S_ISREG(mode_t mode)
    bint S_ISDIR(mode_t mode)
    bint S_ISFIFO(mode_t mode)

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
    /* What tells that a connection is over, and that there may be room. To macOS, POLLHUP is the end of one direction, of
       any, and takes the place of POLLOUT. */
    #ifdef __APPLE__
    #define VANILLA_POLL_OVER POLLERR
    #define VANILLA_POLL_ROOM (POLLOUT | POLLHUP)
    #else
    #define VANILLA_POLL_OVER (POLLERR | POLLHUP)
    #define VANILLA_POLL_ROOM POLLOUT
    #endif
    """
    cdef struct pollfd:
        int fd
        short events
        short revents
    int POLLIN, POLLOUT, POLLERR, POLLHUP, POLLNVAL, POLLRDHUP
    int POLL_OVER "VANILLA_POLL_OVER", POLL_ROOM "VANILLA_POLL_ROOM"
    int poll(pollfd *entries, unsigned long count, int timeout_ms) nogil

# One name for each call that POSIX platforms spell differently.
cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <unistd.h>
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/ioctl.h>
    #if defined(__linux__)
    #include <sys/sendfile.h>
    #include <linux/sockios.h>
    #elif defined(__APPLE__) || defined(__FreeBSD__)
    #include <sys/uio.h>
    #include <sys/filio.h>
    #endif

    #ifndef MSG_MORE
    #define MSG_MORE 0
    #endif
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* Python has SIGPIPE ignored from the start */
    #endif

    /* A pipe for wake-ups: non-blocking at both ends, and no child inherits it. */
    CYTHON_UNUSED static int vanilla_wake_pipe(int *fds) {
    #if defined(__APPLE__)
        if (pipe(fds) < 0) return -1;
        for (int end = 0; end < 2; end++) {
            (void)fcntl(fds[end], F_SETFD, FD_CLOEXEC);
            (void)fcntl(fds[end], F_SETFL, O_NONBLOCK);
        }
        return 0;
    #else
        return pipe2(fds, O_NONBLOCK | O_CLOEXEC);
    #endif
    }

    /* accept(2) of a non-blocking socket that no child inherits. The address has no family where none is given. */
    CYTHON_UNUSED static int vanilla_accept(int fd, struct sockaddr *address, socklen_t *length) {
        address->sa_family = AF_UNSPEC;
    #if defined(__APPLE__)
        int accepted = accept(fd, address, length);
        if (accepted >= 0) {
            (void)fcntl(accepted, F_SETFD, FD_CLOEXEC);
            (void)fcntl(accepted, F_SETFL, O_NONBLOCK);
        }
        return accepted;
    #else
        return accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    #endif
    }

    /* sendfile(2) as Linux has it: bytes taken, 0 at the end of the file, -1 and errno. The others tell of EAGAIN together
       with how much was taken before it, and count 0 as everything up to the end. */
    CYTHON_UNUSED static ssize_t vanilla_sendfile(int fd, int file, off_t offset, size_t count) {
    #if defined(__linux__)
        return sendfile(fd, file, &offset, count);
    #elif defined(__APPLE__) || defined(__FreeBSD__)
        if (count == 0)
            return 0;
    #if defined(__APPLE__)
        off_t taken = (off_t)count;
        int result = sendfile(file, fd, offset, &taken, NULL, 0);
    #else
        off_t taken = 0;
        int result = sendfile(file, fd, offset, count, NULL, &taken, 0);
    #endif
        return result == 0 || ((errno == EAGAIN || errno == EINTR) && taken > 0) ? (ssize_t)taken : -1;
    #else
        (void)fd, (void)file, (void)offset, (void)count;
        errno = ENOSYS;
        return -1;
    #endif
    }

    /* Bytes that the kernel has taken and the peer has not acknowledged; 0 where that cannot be known. */
    CYTHON_UNUSED static int vanilla_unacknowledged(int fd) {
        int count = 0;
    #if defined(__linux__)
        return ioctl(fd, SIOCOUTQ, &count) == 0 ? count : 0;
    #elif defined(__APPLE__)
        socklen_t size = sizeof count;
        return getsockopt(fd, SOL_SOCKET, SO_NWRITE, &count, &size) == 0 ? count : 0;
    #elif defined(FIONWRITE)
        return ioctl(fd, FIONWRITE, &count) == 0 ? count : 0;
    #else
        (void)fd;
        return count;
    #endif
    }
    """
    int MSG_MORE, MSG_NOSIGNAL
    int open_wake_pipe "vanilla_wake_pipe"(int *fds) nogil
    int accept_nonblocking "vanilla_accept"(int fd, sockaddr *address, socklen_t *length) nogil
    ssize_t send_file_range "vanilla_sendfile"(int fd, int file, off_t offset, size_t count) nogil
    int count_unacknowledged "vanilla_unacknowledged"(int fd) nogil
