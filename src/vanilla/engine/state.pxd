from libc.stdint cimport uint8_t

from vanilla.backends.interface cimport Backend, Channel, Completion
from vanilla.buffers cimport ResponseBuffer, Slab, SlabPool
from vanilla.contract.request cimport Framed
from vanilla.contract.worker cimport Counts, Worker
from vanilla.engine.connections cimport Connection, ConnectionTable
from vanilla.engine.neighbours cimport Handed, Neighbours
from vanilla.engine.timers cimport TimerNode, TimerWheel
from vanilla.files cimport HeldFile, release_file
from vanilla.http1.body cimport Chunked
from vanilla.http1.head cimport Head
from vanilla.http1.reply cimport DateLine
from vanilla.net.platform cimport PeerAddress
from vanilla.proxy.header cimport Origin

# A network whose connections begin with a PROXY header; IPv4 in IPv6's clothes.
ctypedef struct Trusted:
    unsigned char address[16]
    int prefix

# The limits of one listener in the engine's units, and how full it is. A time of 0 is off.
ctypedef struct Bounds:
    Py_ssize_t target_bytes
    Py_ssize_t header_bytes
    Py_ssize_t header_count
    Py_ssize_t content_bytes
    Py_ssize_t extension_bytes
    long long read_ms
    long long keepalive_ms
    long long write_ms
    long long receive_rate
    long long send_rate
    long long rate_grace_ms
    long long accept_ms
    long long linger_ms
    long long suspend_ms
    Py_ssize_t high_water
    Py_ssize_t low_water
    unsigned int requests_max
    Py_ssize_t pending_bytes
    bint is_full      # no place is left
    bint is_shut      # and no neighbour has one
    bint is_starved
    long long refuses_ms
    Trusted *trusted
    int trusted_count
    bint trusts_all
    bint trusts_unix

# What one connection brought in this tick: framed requests [first, first + count), then perhaps the server's own word.
ctypedef struct Burst:
    Connection *connection
    unsigned int generation
    Slab *slab
    int first
    int count
    int trailing      # 100 prompts for content, any other status refuses; 0 is nothing
    Py_ssize_t start
    Py_ssize_t end

# Something that phase 1 or 3 has noted about a connection, for phase 2 to act on.
cdef enum Kind:
    NOTICE_DRAINED   # the client has taken most of what was written
    NOTICE_CONTENT   # a piece of the content has come, or why none will
    NOTICE_TAKEN     # a protocol has taken the connection over
    NOTICE_RECEIVED  # it received slab[start:start + length], which stays until this tick ends
    NOTICE_ENDED     # its client sends nothing more
    NOTICE_CLOSED    # its connection is gone

ctypedef struct Notice:
    int kind
    Connection *connection
    unsigned int generation
    void *takeover   # the Takeover that is meant, which lives until it has been told NOTICE_CLOSED; else NULL
    Slab *slab
    int start
    int length       # or the errno that closed the connection

cdef long long DRAIN_LINGER_MS

cdef class State:
    cdef Worker worker
    cdef Counts *counts
    cdef Backend backend
    cdef int *allowances
    cdef SlabPool pool
    cdef ConnectionTable table
    cdef TimerWheel wheel
    cdef TimerNode housekeeping
    cdef ResponseBuffer buffer
    cdef DateLine date
    cdef Head head
    cdef Chunked chunked

    cdef Neighbours neighbours
    cdef int seat             # among them
    cdef int first_looked_at
    cdef int accepts_until_look
    cdef long long looks_around_ms
    cdef Handed *handed       # given by them, waits for a place

    cdef Bounds bounds[64]
    cdef int listener_count
    cdef Origin origin
    cdef Burst *bursts
    cdef int burst_count
    cdef int burst_size
    cdef int flushed_count
    cdef int finished_count
    cdef int answered_count      # bursts, and requests of the next one, that were answered without the GIL
    cdef int answered_position
    cdef Framed *framed
    cdef int framed_count
    cdef int framed_size
    cdef Connection **listed
    cdef int listed_count
    cdef int listed_size
    cdef Slab **borrowed
    cdef int borrowed_count
    cdef int borrowed_size
    cdef ResponseBuffer resumed
    cdef Burst *written
    cdef int written_count
    cdef int written_size
    cdef void **gone
    cdef int gone_count
    cdef int gone_size
    cdef Notice *notices
    cdef int notice_count
    cdef int notice_size
    cdef Connection **leaving    # that close once what was sent to them is settled
    cdef int leaving_count
    cdef int leaving_size
    cdef int taken_count         # connections that other protocols have taken over

    cdef int command             # what another thread asks for
    cdef long long now_ms
    cdef long long received_ns
    cdef long long grace_ms
    cdef long long cut_ms
    cdef bint has_stopped_accepting
    cdef bint checks_responses
    cdef bint is_timed
    cdef object on_timing        # gets the times of each answer that was taken
    cdef list timings            # of answers that the kernel has not taken yet
    cdef bint is_streaming       # handlers run as soon as the head is in
    cdef bint has_notice
    cdef bint must_log_starved
    cdef long long starved_log_ms
    cdef long long file_tick     # the last in which files were sent, to how many connections, and in the one before
    cdef int file_turns
    cdef int file_turns_before
    cdef int cut_count           # answers cut off since the log was told, because of their files
    cdef HeldFile *cut_file      # of the first of them: the file, its error or 0 where it ended, what lacked, and whose
    cdef int cut_errno
    cdef long long cut_bytes
    cdef PeerAddress cut_peer

    cdef Framed *reserve_framed(self, int count) noexcept nogil
    cdef void push_burst(self, Connection *connection, Slab *slab, int first, int trailing) noexcept nogil
    cdef void list_connection(self, Connection *connection) noexcept nogil
    cdef void borrow(self, Slab *slab) noexcept nogil
    cdef void set_deadline(self, Connection *connection, int deadline, long long due_ms) noexcept nogil
    cdef void await_request(self, Connection *connection) noexcept nogil
    cdef void await_end(self, Connection *connection) noexcept nogil
    cdef void hasten_end(self, Connection *connection) noexcept nogil
    cdef bint lingers_on(self, Connection *connection) noexcept nogil
    cdef void await_arrival(self, Connection *connection) noexcept nogil
    cdef void await_content(self, Connection *connection) noexcept nogil
    cdef void await_drained(self, Connection *connection) noexcept nogil
    cdef bint drains_on(self, Connection *connection) noexcept nogil
    cdef void reached(self, int limit) noexcept nogil
    cdef void note_busy(self, Connection *connection) noexcept nogil
    cdef void drop_waiting(self, Connection *connection) noexcept nogil
    cdef void close(self, Connection *connection) noexcept nogil
    cdef void cut_off(self, Connection *connection, int error) noexcept nogil
    cdef void drop_cut(self) noexcept nogil
    cdef void list_leaving(self, Connection *connection) noexcept nogil
    cdef void settle_sends(self) noexcept nogil
    cdef void take_back(self) noexcept nogil
    cdef void push_written(self, Connection *connection, Py_ssize_t start) noexcept nogil
    cdef void on_gone(self, void *parked) noexcept nogil
    cdef Notice *notify(self, int kind, Connection *connection) noexcept nogil
    cdef void tell(self, int kind, Connection *connection, Slab *slab, int start, int length) noexcept nogil
    cdef void detach(self, Connection *connection) noexcept nogil
    cdef void note_drained(self, Connection *connection) noexcept nogil
    cdef void end_tick(self) noexcept nogil

cdef long long read_clock_ns() noexcept nogil
cdef Connection *connection_of(Channel *channel) noexcept nogil
