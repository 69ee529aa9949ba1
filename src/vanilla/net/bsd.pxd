# What BSD systems have: kqueue(2) and kevent(2), of macOS and FreeBSD. Their structs differ in layout, and have these fields.
from libc.stdint cimport int64_t, uint64_t, uintptr_t

cdef extern from *:
    """
    #include <sys/types.h>
    #include <sys/event.h>
    #include <fcntl.h>
    #include <time.h>

    _Static_assert(sizeof(void *) == 8, "udata carries a name, which has 64 bits");

    /* kqueue(2) that is closed on execve(2). */
    static inline int vanilla_kqueue(void) {
        int fd = kqueue();
        if (fd >= 0)
            (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        return fd;
    }

    #define vanilla_name(event) ((uint64_t)(uintptr_t)(event)->udata)
    #define vanilla_set_change(change, ident, filter, flags, name) \\
        EV_SET(change, ident, filter, (unsigned short)(flags), 0, 0, (void *)(uintptr_t)(name))
    """

    # A change that is asked for, its answer, or an event.
    cdef struct Kevent "kevent":
        uintptr_t ident        # a descriptor's number, or a user event's
        short filter
        unsigned short flags
        unsigned int fflags    # of a user event what it does; at the end of a socket its error
        int64_t data           # bytes; the errno of an answer
        void *udata

    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec

    int EVFILT_READ, EVFILT_WRITE, EVFILT_USER
    int EV_ADD, EV_DELETE, EV_ENABLE, EV_ONESHOT, EV_CLEAR, EV_RECEIPT, EV_EOF, EV_ERROR
    unsigned int NOTE_TRIGGER

    int open_kqueue "vanilla_kqueue"() nogil
    int kevent(
        int kqueue_fd, const Kevent *changes, int change_count, Kevent *events, int event_size, const timespec *timeout
    ) nogil

    # udata as the name that it carries, and a change that gives it.
    uint64_t name_given "vanilla_name"(const Kevent *event) nogil
    void set_change "vanilla_set_change"(Kevent *change, uintptr_t ident, int filter, int flags, uint64_t name) nogil
