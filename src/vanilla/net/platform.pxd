# One name for each call of sockets that platforms spell differently; errno is left to the caller, as by the calls themselves.
from vanilla.net.posix cimport off_t, sockaddr, socklen_t

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
    static inline int vanilla_wake_pipe(int *fds) {
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

    /* accept(2) of a non-blocking socket that no child inherits. */
    static inline int vanilla_accept(int fd, struct sockaddr *address, socklen_t *length) {
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

    /* sendfile(2) as Linux has it: bytes taken, 0 at the end of the file, -1 and errno; what was taken before EAGAIN is
       taken. */
    static inline ssize_t vanilla_sendfile(int fd, int file, off_t offset, size_t count) {
    #if defined(__linux__)
        return sendfile(fd, file, &offset, count);
    #elif defined(__APPLE__)
        off_t length = (off_t)count;
        int result = sendfile(file, fd, offset, &length, NULL, 0);
        return result == 0 || ((errno == EAGAIN || errno == EINTR) && length > 0) ? (ssize_t)length : -1;
    #elif defined(__FreeBSD__)
        off_t taken = 0;
        int result = sendfile(file, fd, offset, count, NULL, &taken, 0);
        return result == 0 || ((errno == EAGAIN || errno == EINTR) && taken > 0) ? (ssize_t)taken : -1;
    #else
        (void)fd, (void)file, (void)offset, (void)count;
        errno = ENOSYS;
        return -1;
    #endif
    }

    /* Bytes that the kernel has taken and the peer has not acknowledged; 0 where that cannot be known. */
    static inline int vanilla_unacknowledged(int fd) {
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
