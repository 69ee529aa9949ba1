from vanilla.backends.interface cimport Channel, Completion
from vanilla.backends.offered cimport OfferedBuffers
from vanilla.backends.ring cimport Ring
from vanilla.backends.sockets cimport Sockets
from vanilla.buffers cimport Slab
from vanilla.net.platform cimport PeerAddress
from vanilla.net.uring cimport Outcome, Submission

cdef Py_ssize_t QUEUED_BYTES_MAX
cdef int SLOTS_FIRST, HANGUPS_MAX

# What an operation is for: the lowest bits of its user_data. Then come an index and, above, a generation.
cdef enum:
    OF_NOTHING
    OF_WAKE
    OF_ACCEPT
    OF_RECEIVE
    OF_SEND
    OF_WATCH
    OF_INPUT
    OF_OUTPUT
    OF_HANGUPS
    KIND_BITS = 4
    KIND_MASK = 15
    INDEX_MASK = 0xFFFFFFF

cdef inline unsigned long long name_operation(int kind, Channel *channel) noexcept nogil:
    return (<unsigned long long>channel.generation << 32) | (<unsigned long long>channel.index << KIND_BITS) | kind

cdef inline unsigned long long name_accept(int number) noexcept nogil:
    return (<unsigned long long>number << KIND_BITS) | OF_ACCEPT

cdef inline unsigned long long name_watched(unsigned int slot, unsigned int generation) noexcept nogil:
    return (<unsigned long long>generation << 32) | (<unsigned long long>slot << KIND_BITS) | OF_WATCH

# Received bytes that the engine cannot take yet.
ctypedef struct Kept:
    Kept *next
    Slab *slab
    int start
    int length

# What is under way on one channel, found by its index.
ctypedef struct Port:
    Kept *first
    Kept *last
    unsigned int wait_number   # in which `completion` is this channel's
    int completion
    int error
    bint is_receiving          # into offered buffers
    bint is_stopping           # that is cancelled, and its last outcome is to come
    bint is_polling            # for input that is received where it belongs
    bint is_full               # there is some, or may be
    bint is_watched            # for a hang-up
    bint has_ended
    bint has_told_end
    bint is_listed

# A send that has been noted.
ctypedef struct Noted:
    Channel *channel
    unsigned int generation
    const unsigned char *source
    Py_ssize_t length

# A connection that was accepted and waits for a place.
ctypedef struct Accepted:
    int fd
    int listener

# A user's descriptor, by slot; -1 once the watch is over.
ctypedef struct Watched:
    int fd
    unsigned int generation
    unsigned int mask
    bint is_persistent
    bint is_armed

cdef class IoUring(Sockets):
    cdef Ring ring
    cdef OfferedBuffers offered
    cdef bint accepts_many
    cdef bint receives_many
    cdef int wake_fd
    cdef int hangups_fd          # an epoll descriptor
    cdef unsigned long long wakes
    cdef unsigned int wait_number
    cdef Port *ports
    cdef unsigned int port_size
    cdef Channel **listed        # to be looked at when the next wait begins
    cdef int listed_count
    cdef int listed_size
    cdef Kept *delivered         # in the last wait
    cdef Noted *sends            # of this submission
    cdef int send_count
    cdef int send_size
    cdef Accepted *waiting
    cdef int waiting_count
    cdef int waiting_size
    cdef bint is_accepting[64]
    cdef bint is_unaccepting[64]
    cdef bint has_listener_listed
    cdef Watched *watched
    cdef unsigned int watched_size
    cdef unsigned int *rearmed
    cdef int rearmed_count
    cdef int rearmed_size

    cdef void arm_wake(self) noexcept nogil
    cdef void cancel(self, unsigned long long user_data) noexcept nogil
    cdef void close_fd(self, int fd) noexcept nogil
    cdef void add_poll(self, int fd, unsigned int mask, unsigned long long user_data) noexcept nogil
    cdef void arm_listener(self, int number) noexcept nogil
    cdef void take_accepted(self, Outcome *outcome, bint is_kept) noexcept nogil
    cdef void keep_waiting(self, int number, int fd) noexcept nogil
    cdef void drop_waiting(self, int index) noexcept nogil
    cdef void let_in(self) noexcept nogil
    cdef void list_channel(self, Channel *channel) noexcept nogil
    cdef void look_at_listed(self) noexcept nogil
    cdef void arm(self, Channel *channel, Port *port) noexcept nogil
    cdef void stop_receiving(self, Channel *channel, Port *port) noexcept nogil
    cdef void watch_hangup(self, Channel *channel, Port *port) noexcept nogil
    cdef void arm_hangups(self) noexcept nogil
    cdef void take_hangups(self, Outcome *outcome) noexcept nogil
    cdef void take_received(self, Outcome *outcome) noexcept nogil
    cdef void deliver(self, Channel *channel, Port *port, Slab *slab, int start, int length) noexcept nogil
    cdef int report(self, Channel *channel, Port *port, Slab *slab, int start, int length) noexcept nogil
    cdef Completion *complete_received(self, Channel *channel, Port *port) noexcept nogil
    cdef void deliver_kept(self, Channel *channel, Port *port) noexcept nogil
    cdef void receive_now(self, Channel *channel, Port *port) noexcept nogil
    cdef void end(self, Channel *channel, Port *port) noexcept nogil
    cdef void tell_end(self, Channel *channel, Port *port) noexcept nogil
    cdef void fail(self, Channel *channel, Port *port, int error) noexcept nogil
    cdef Channel *channel_of(self, Outcome *outcome) noexcept nogil
    cdef Channel *channel_named_by(self, unsigned long long user_data) noexcept nogil
    cdef void take_polled(self, Outcome *outcome, int kind) noexcept nogil
    cdef bint is_behind(self, Channel *channel) noexcept nogil
    cdef void take_sent(self, Outcome *outcome) noexcept nogil
    cdef void forget_sends(self) noexcept nogil
    cdef void arm_watch(self, unsigned int slot) noexcept nogil
    cdef void take_watched(self, Outcome *outcome) noexcept nogil
    cdef void list_watch(self, unsigned int slot) noexcept nogil
    cdef void take(self, Outcome *outcome) noexcept nogil

cdef void ask_peer(int fd, PeerAddress *peer) noexcept nogil
cdef void keep(Port *port, Slab *slab, int start, int length) noexcept nogil
cdef void drop_kept(Kept **first) noexcept nogil
