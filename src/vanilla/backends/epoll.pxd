from vanilla.backends.interface cimport Backend, Channel, Completion
from vanilla.net.linux cimport epoll_event
from vanilla.net.platform cimport PeerAddress

cdef long long TIMEOUT_MS_MAX
cdef unsigned int NAMES_FROM, WATCHES_FROM

cdef class Epoll(Backend):
    cdef int epoll_fd
    cdef int wake_fd
    cdef epoll_event *events
    cdef int listener_fds[64]
    cdef bint has_listener_armed[64]
    cdef Channel **channels
    cdef unsigned int channel_size
    cdef Channel **again
    cdef int again_count
    cdef int again_size

    cdef int control(self, int operation, int fd, unsigned int events, unsigned long long data) noexcept nogil
    cdef Py_ssize_t send_with(
        self, Channel *channel, const unsigned char *source, Py_ssize_t length, int flags
    ) noexcept nogil
    cdef void await_writable(self, Channel *channel) noexcept nogil
    cdef void report_watch(self, unsigned int mask, unsigned long long name) noexcept nogil
    cdef void accept_ready(self, int number) noexcept nogil
    cdef void receive(self, Channel *channel) noexcept nogil
    cdef void push_again(self, Channel *channel) noexcept nogil
