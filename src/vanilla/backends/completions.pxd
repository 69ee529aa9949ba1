from vanilla.backends.interface cimport Channel
from vanilla.net.windows cimport DWORD, HANDLE, OVERLAPPED, OVERLAPPED_ENTRY, WSABUF, AfdPoll

cdef enum:
    OF_RECEIVE    # a channel has something to receive
    OF_SEND       # what a channel could not be sent at once
    OF_HANGUP     # a channel that is not received from has broken
    OF_ACCEPT     # a connection for a listener
    OF_LISTENER   # there is one in its backlog
    OF_WATCH      # a watched socket is ready

# What has been begun and will have an outcome. Whoever begins it owns it, until it is given up: then it belongs to the
# kernel, and goes with its outcome.
ctypedef struct Operation:
    OVERLAPPED overlapped    # first: an outcome carries its address
    int kind
    bint is_pending
    bint is_given_up
    Channel *channel

ctypedef struct Sending:
    Operation operation
    WSABUF piece
    unsigned char *block     # that the piece is in; NULL for a file
    int length

ctypedef struct Accepting:
    Operation operation
    Accepting *next          # that was accepted and not reported yet
    int number               # of the listener
    int fd                   # of the connection that it will be
    unsigned char addresses[288]

ctypedef struct Polling:
    Operation operation
    AfdPoll poll
    int fd
    unsigned int events
    unsigned int slot        # of a watch, or the number of a listener
    unsigned int generation
    int interest
    bint is_persistent

cdef Py_ssize_t BLOCK_BYTES
cdef int SPARE_MAX, DRAIN_TURNS, DRAIN_TURN_MS
cdef long long TIMEOUT_MS_MAX

cdef class CompletionPort:
    cdef HANDLE port
    cdef HANDLE afd
    cdef OVERLAPPED_ENTRY *reaped
    cdef int reaped_count
    cdef int reaped_size
    cdef int pending_count
    cdef unsigned char *spare[16]
    cdef int spare_count

    cdef bint associate(self, int fd) noexcept nogil
    cdef bint poll(self, Polling *polling) noexcept nogil
    cdef void note_begun(self, Operation *operation) noexcept nogil
    cdef void give_up(self, int fd, Operation *operation) noexcept nogil
    cdef int reap(self, long long timeout_ms) noexcept nogil
    cdef Operation *take(self, int index) noexcept nogil
    cdef void drop(self, Operation *operation) noexcept nogil
    cdef unsigned char *take_block(self) noexcept nogil
    cdef void give_back(self, unsigned char *block) noexcept nogil
    cdef void drain(self) noexcept nogil
    cdef void wake(self) noexcept nogil

cdef void *new_operation(size_t size, int kind, Channel *channel) noexcept nogil
