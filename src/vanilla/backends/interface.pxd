from vanilla.buffers cimport Slab, SlabPool
from vanilla.net.platform cimport PeerAddress

# What a backend knows of one connection; the engine's own record begins with it, and it never moves while it is open.
ctypedef struct Channel:
    int fd
    unsigned int index
    unsigned int generation
    bint is_paused
    bint is_queued    # what was sent waits for `settle` or `wait`
    bint has_failed   # ... and did not leave
    bint is_again     # more is there to be received, or may be
    bint is_ending
    bint is_broken    # reset, or closed by both sides: what it has still sent is received, then it is reported
    bint wants_writable
    bint has_writable_armed
    unsigned char *target
    Py_ssize_t target_room

ctypedef struct Completion:
    int kind
    int result
    bint is_end
    int start
    Channel *channel
    Slab *slab
    unsigned int generation
    PeerAddress peer

# What the kernel did not take of something that `send` had said is taken.
ctypedef struct Untaken:
    Channel *channel
    unsigned int generation
    int error                    # or 0: it takes more later
    const unsigned char *source
    Py_ssize_t length

cdef enum:
    ACCEPTED
    RECEIVED
    WRITABLE
    READY

# What became of a watched descriptor, as bits; the same as vanilla.Event.
cdef enum:
    EVENT_READABLE = 1
    EVENT_WRITABLE = 2
    EVENT_HANGUP = 4
    EVENT_ERROR = 8

cdef Py_ssize_t RECEIVE_BYTES_MIN
cdef int EVENTS_MAX, ACCEPTS_MAX, LISTENERS_MAX

cdef class Backend:
    cdef readonly str name
    cdef SlabPool pool
    cdef Completion *completions
    cdef int completion_count
    cdef int completion_size
    cdef int allowances[64]
    cdef bint is_alone
    cdef int kept_count      # connections that were accepted although there was no place
    cdef bint has_unplaced   # others wait in a backlog: set by a wait, taken back by the engine
    cdef Untaken *untaken
    cdef int untaken_count
    cdef int untaken_size

    cdef int add_listener(self, int fd, int number) noexcept nogil
    cdef void pause_listener(self, int number) noexcept nogil
    cdef void resume_listener(self, int number) noexcept nogil
    cdef int accept(self, int number, PeerAddress *peer) noexcept nogil
    cdef int accept_next(self, int number, PeerAddress *peer) noexcept nogil
    cdef int take_unplaced(self, int number, PeerAddress *peer) noexcept nogil
    cdef void close_listener(self, int number) noexcept nogil
    cdef void disown_listeners(self) noexcept nogil
    cdef int add(self, Channel *channel) noexcept nogil
    cdef void pause(self, Channel *channel) noexcept nogil
    cdef void resume(self, Channel *channel) noexcept nogil
    cdef Py_ssize_t send(self, Channel *channel, const unsigned char *source, Py_ssize_t length) noexcept nogil
    cdef Py_ssize_t send_now(self, Channel *channel, const unsigned char *source, Py_ssize_t length) noexcept nogil
    cdef void settle(self) noexcept nogil
    cdef void finish(self) noexcept nogil
    cdef Py_ssize_t send_ahead(self, Channel *channel, const unsigned char *source, Py_ssize_t length) noexcept nogil
    cdef Py_ssize_t send_file(self, Channel *channel, int fd, long long offset, Py_ssize_t count) noexcept nogil
    cdef int count_queued(self, Channel *channel) noexcept nogil
    cdef bint has_unread(self, Channel *channel) noexcept nogil
    cdef void shut_writing(self, Channel *channel) noexcept nogil
    cdef void close(self, Channel *channel) noexcept nogil
    cdef int watch(self, int fd, unsigned int slot, unsigned int generation, int interest, bint is_persistent) noexcept nogil
    cdef void unwatch(self, int fd, unsigned int slot, unsigned int generation) noexcept nogil
    cdef int wait(self, long long timeout_ms) noexcept nogil
    cdef void wake(self) noexcept nogil
    cdef void report_untaken(
        self, Channel *channel, const unsigned char *source, Py_ssize_t length, int error
    ) noexcept nogil
    cdef Completion *complete(self, int kind, Channel *channel, int result) noexcept nogil
    cdef void report_ready(self, unsigned int slot, unsigned int generation, int events) noexcept nogil
    cdef void accept_waiting(self, int number) noexcept nogil
