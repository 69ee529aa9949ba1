from vanilla.backends.interface cimport Channel
from vanilla.backends.readiness cimport Readiness
from vanilla.net.linux cimport epoll_event

cdef long long TIMEOUT_MS_MAX

cdef class Epoll(Readiness):
    cdef int epoll_fd
    cdef int wake_fd
    cdef epoll_event *events

    cdef int control(self, int operation, int fd, unsigned int events, unsigned long long data) noexcept nogil
    cdef void report_watch(self, unsigned int mask, unsigned long long name) noexcept nogil
