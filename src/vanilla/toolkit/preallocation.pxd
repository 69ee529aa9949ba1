# What Linux alone has for it; elsewhere nothing is set aside.
cdef extern from * nogil:
    """
    #if defined(__linux__)
    #include <fcntl.h>
    static int vanilla_set_aside(int fd, long long start, long long length) {
        return fallocate(fd, FALLOC_FL_KEEP_SIZE, start, length);
    }
    #else
    static int vanilla_set_aside(int fd, long long start, long long length) {
        (void)fd, (void)start, (void)length;
        return -1;
    }
    #endif
    """
    int set_aside "vanilla_set_aside"(int fd, long long start, long long length)
