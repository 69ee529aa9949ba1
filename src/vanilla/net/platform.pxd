# What the engine needs of every platform, whatever its backend is: errors, clocks, files, and sockets outside of one.
# No GIL. Results below zero are -errno, in the numbers of Python's errno module.
#
# Facts about Windows that shape this:
# - A socket is a HANDLE, as wide as a pointer. The kernel gives out small multiples of 4, so that an `int fd` holds it: a
#   larger one that comes from Python is refused as an int, and a backend asserts it of those that it makes itself.
#   close(2) and errno know no socket; closesocket() and WSAGetLastError() do.
# - The descriptor of an open file is the C runtime's, which has 8192 of them and must be the one that Python uses: the
#   universal one. It ends the process that asks it about a descriptor which is not open, unless the thread forbids that.
# - `long` has 32 bits: no count, offset or time is one.
# - errno.h has numbers for network errors that Winsock and Python's errno module do not use; theirs are WSAE....
#
# The C below is GNU C (gcc, clang, zig cc, mingw-w64 on the universal C runtime), as the atomics of the engine are.
from libc.stdint cimport uint16_t

cdef extern from * nogil:
    """
    #include <errno.h>
    #include <limits.h>
    #ifdef _WIN32

    #include <winsock2.h>
    #include <windows.h>
    #include <fcntl.h>
    #include <io.h>
    #include <stdlib.h>

    #undef ECONNABORTED
    #undef ECONNRESET
    #undef ENOBUFS
    #undef ETIMEDOUT
    #define ECONNABORTED WSAECONNABORTED
    #define ECONNRESET WSAECONNRESET
    #define ENOBUFS WSAENOBUFS
    #define ETIMEDOUT WSAETIMEDOUT

    CYTHON_UNUSED static long long vanilla_monotonic_ns(void) {
        LARGE_INTEGER frequency, count;
        QueryPerformanceFrequency(&frequency);
        QueryPerformanceCounter(&count);
        return count.QuadPart / frequency.QuadPart * 1000000000
            + count.QuadPart % frequency.QuadPart * 1000000000 / frequency.QuadPart;
    }

    CYTHON_UNUSED static long long vanilla_wall_clock_s(void) {
        FILETIME now;  /* 100 ns each, since 1601 */
        GetSystemTimeAsFileTime(&now);
        return (((long long)now.dwHighDateTime << 32) | now.dwLowDateTime) / 10000000 - 11644473600;
    }

    CYTHON_UNUSED static int vanilla_file_error(void) {
        switch (GetLastError()) {
        case ERROR_ACCESS_DENIED: case ERROR_LOCK_VIOLATION: case ERROR_SHARING_VIOLATION: return -EACCES;
        case ERROR_INVALID_HANDLE: return -EBADF;
        case ERROR_NOT_ENOUGH_MEMORY: case ERROR_OUTOFMEMORY: case ERROR_NO_SYSTEM_RESOURCES: return -ENOMEM;
        case ERROR_TOO_MANY_OPEN_FILES: return -EMFILE;
        default: return -EIO;
        }
    }

    /* The universal C runtime has it; mingw-w64's stdlib.h does not declare it. */
    _CRTIMP _invalid_parameter_handler __cdecl _set_thread_local_invalid_parameter_handler(_invalid_parameter_handler);

    static void vanilla_ignore(const wchar_t *what, const wchar_t *where, const wchar_t *file, unsigned line,
                               uintptr_t reserved) {
        (void)what, (void)where, (void)file, (void)line, (void)reserved;
    }

    /* What is below a descriptor; INVALID_HANDLE_VALUE, which every call refuses, if it is not open. */
    CYTHON_UNUSED static HANDLE vanilla_find_handle(int fd) {
        _invalid_parameter_handler previous = _set_thread_local_invalid_parameter_handler(vanilla_ignore);
        HANDLE handle = (HANDLE)_get_osfhandle(fd);
        _set_thread_local_invalid_parameter_handler(previous);
        return handle;
    }

    /* A read at an offset moves the position of a file that is not read by overlapping calls: it is put back. */
    CYTHON_UNUSED static Py_ssize_t vanilla_read_handle(HANDLE handle, void *target, Py_ssize_t size, long long offset) {
        LARGE_INTEGER nowhere = {0}, position;
        OVERLAPPED at = {0};
        DWORD count = 0;
        Py_ssize_t result = 0;
        at.Offset = (DWORD)offset;
        at.OffsetHigh = (DWORD)(offset >> 32);
        if (!SetFilePointerEx(handle, nowhere, &position, FILE_CURRENT))
            return vanilla_file_error();
        if (ReadFile(handle, target, size < INT_MAX ? (DWORD)size : INT_MAX, &count, &at))
            result = count;
        else if (GetLastError() != ERROR_HANDLE_EOF)
            result = vanilla_file_error();
        SetFilePointerEx(handle, position, NULL, FILE_BEGIN);
        return result;
    }

    CYTHON_UNUSED static Py_ssize_t vanilla_read_file(int fd, void *target, Py_ssize_t size, long long offset) {
        return vanilla_read_handle(vanilla_find_handle(fd), target, size, offset);
    }

    CYTHON_UNUSED static int vanilla_check_file(int fd, long long *size) {
        HANDLE handle = vanilla_find_handle(fd);
        LARGE_INTEGER found;
        char none;
        if (handle == INVALID_HANDLE_VALUE)
            return -EBADF;
        if (GetFileType(handle) != FILE_TYPE_DISK)
            return 1;
        if (!GetFileSizeEx(handle, &found))
            return vanilla_file_error();
        *size = found.QuadPart;
        return vanilla_read_handle(handle, &none, 0, 0) == -EACCES ? 2 : 0;
    }

    /* A duplicate of the HANDLE would share its position with the caller's; opened again, the file has one of its own. */
    CYTHON_UNUSED static int vanilla_duplicate_file(int fd) {
        DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
        HANDLE handle = ReOpenFile(vanilla_find_handle(fd), GENERIC_READ, share, 0);
        int own;
        if (handle == INVALID_HANDLE_VALUE)
            return vanilla_file_error();
        own = _open_osfhandle((intptr_t)handle, _O_RDONLY | _O_BINARY | _O_NOINHERIT);
        if (own < 0)
            CloseHandle(handle);
        return own < 0 ? -EMFILE : own;
    }

    #define vanilla_close_file(fd) _close(fd)
    #define vanilla_close_socket(fd) closesocket((SOCKET)(fd))
    /* As in a backend's sockets, which never block: FIONBIO says so there, for there is no MSG_DONTWAIT. */
    #define vanilla_recv(fd, target, size, flags) recv((SOCKET)(fd), (char *)(target), (int)(size), (flags))
    #define vanilla_send(fd, source, length, flags) send((SOCKET)(fd), (const char *)(source), (int)(length), (flags))
    #define VANILLA_DONTWAIT 0
    #define VANILLA_NOSIGNAL 0

    CYTHON_UNUSED static int vanilla_peer_credentials(int fd, int *pid, unsigned *uid, unsigned *gid) {
        (void)fd, (void)pid, (void)uid, (void)gid;
        return -ENOSYS;
    }

    #else

    #include <fcntl.h>
    #include <sys/types.h>
    #include <sys/socket.h>
    #include <sys/stat.h>
    #include <sys/un.h>
    #include <time.h>
    #include <unistd.h>
    #ifdef __FreeBSD__
    #include <sys/ucred.h>
    #endif

    /* That of time.monotonic(), with which coroutines count: on macOS it stands still while the machine sleeps. */
    #ifdef __APPLE__
    #define VANILLA_CLOCK CLOCK_UPTIME_RAW
    #else
    #define VANILLA_CLOCK CLOCK_MONOTONIC
    #endif

    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0  /* older macOS; Python has SIGPIPE ignored from the start */
    #endif

    CYTHON_UNUSED static long long vanilla_monotonic_ns(void) {
        struct timespec now;
        clock_gettime(VANILLA_CLOCK, &now);
        return (long long)now.tv_sec * 1000000000 + now.tv_nsec;
    }

    CYTHON_UNUSED static long long vanilla_wall_clock_s(void) {
        struct timespec now;
    #ifdef CLOCK_REALTIME_COARSE
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    #else
        clock_gettime(CLOCK_REALTIME, &now);
    #endif
        return now.tv_sec;
    }

    CYTHON_UNUSED static int vanilla_check_file(int fd, long long *size) {
        struct stat status;
        if (fstat(fd, &status) < 0)
            return -errno;
        *size = status.st_size;
        return !S_ISREG(status.st_mode) ? 1 : (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY ? 2 : 0;
    }

    CYTHON_UNUSED static int vanilla_duplicate_file(int fd) {
        int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        return own < 0 ? -errno : own;
    }

    CYTHON_UNUSED static Py_ssize_t vanilla_read_file(int fd, void *target, Py_ssize_t size, long long offset) {
        ssize_t count = pread(fd, target, size, offset);
        return count < 0 ? -errno : count;
    }

    /* A signal that interrupts them is no failure. */
    CYTHON_UNUSED static Py_ssize_t vanilla_recv(int fd, void *target, size_t size, int flags) {
        ssize_t count;
        do count = recv(fd, target, size, flags); while (count < 0 && errno == EINTR);
        return count;
    }

    CYTHON_UNUSED static Py_ssize_t vanilla_send(int fd, const void *source, size_t length, int flags) {
        ssize_t count;
        do count = send(fd, source, length, flags); while (count < 0 && errno == EINTR);
        return count;
    }

    #define vanilla_close_file(fd) close(fd)
    #define vanilla_close_socket(fd) close(fd)
    #define VANILLA_DONTWAIT MSG_DONTWAIT
    #define VANILLA_NOSIGNAL MSG_NOSIGNAL

    CYTHON_UNUSED static int vanilla_peer_credentials(int fd, int *pid, unsigned *uid, unsigned *gid) {
    #if defined(__linux__)
        struct ucred peer;
        socklen_t size = sizeof peer;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
            return -errno;
        *pid = peer.pid;
        *uid = peer.uid;
        *gid = peer.gid;
        return 0;
    #elif defined(__APPLE__)
        pid_t peer;
        socklen_t size = sizeof peer;
        if (getpeereid(fd, uid, gid) < 0 || getsockopt(fd, SOL_LOCAL, LOCAL_PEERPID, &peer, &size) < 0)
            return -errno;
        *pid = peer;
        return 0;
    #elif defined(__FreeBSD__)
        struct xucred peer;
        socklen_t size = sizeof peer;
        if (getpeereid(fd, uid, gid) < 0 || getsockopt(fd, SOL_LOCAL, LOCAL_PEERCRED, &peer, &size) < 0)
            return -errno;
        *pid = peer.cr_pid;  /* since FreeBSD 13 */
        return 0;
    #else
        (void)fd, (void)pid, (void)uid, (void)gid;
        return -ENOSYS;
    #endif
    }

    #endif
    """
    int AF_INET, AF_INET6
    int EAGAIN, EBADF, ECONNABORTED, ECONNRESET, EEXIST, EINTR, EIO, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPIPE
    int ETIMEDOUT

    long long read_monotonic_ns "vanilla_monotonic_ns"()    # of time.monotonic_ns(); in Windows from Python 3.13 on
    long long read_wall_clock_s "vanilla_wall_clock_s"()    # since the epoch, by a clock that costs no system call

    int check_file "vanilla_check_file"(int fd, long long *size)    # FILE_READABLE, or why it cannot be sent
    int duplicate_file "vanilla_duplicate_file"(int fd)
    Py_ssize_t read_file "vanilla_read_file"(int fd, void *target, Py_ssize_t size, long long offset)
    void close_file "vanilla_close_file"(int fd)

    int MSG_DONTWAIT "VANILLA_DONTWAIT", MSG_NOSIGNAL "VANILLA_NOSIGNAL", MSG_PEEK
    Py_ssize_t recv "vanilla_recv"(int fd, void *target, size_t size, int flags)    # the error stays with the platform
    Py_ssize_t send "vanilla_send"(int fd, const void *source, size_t length, int flags)
    void close_socket "vanilla_close_socket"(int fd)
    int read_peer_credentials "vanilla_peer_credentials"(int fd, int *pid, unsigned *uid, unsigned *gid)    # unix sockets

cdef enum:
    FILE_READABLE
    FILE_NOT_REGULAR
    FILE_NOT_READABLE

cdef extern from "<assert.h>" nogil:
    void c_assert "assert"(bint)

# A client's address without the padding of sockaddr_storage: family 0 on a unix socket, port in host order.
ctypedef struct PeerAddress:
    uint16_t family
    uint16_t port
    unsigned char host[16]
