# What POSIX and Linux have for opening files below a folder; elsewhere ENOSYS, and beneath.py does what it can.
cdef extern from * nogil:
    """
    #include <errno.h>
    #if defined(__linux__)
    #include <fcntl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    /* openat2(2), of Linux 5.6, which libraries and headers lack for long. */
    static int vanilla_open_beneath(int folder, const char *path) {
        struct { unsigned long long flags, mode, resolve; } how = {
            O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0, 0x08 | 0x02 /* RESOLVE_BENEATH, NO_MAGICLINKS */
        };
        long fd;
        do fd = syscall(437, folder, path, &how, sizeof how); while (fd < 0 && (errno == EINTR || errno == EAGAIN));
        return fd < 0 ? -errno : (int)fd;
    }
    #else
    static int vanilla_open_beneath(int folder, const char *path) {
        (void)folder, (void)path;
        return -ENOSYS;
    }
    #endif
    """
    int open_by_openat2 "vanilla_open_beneath"(int folder, const char *path)
