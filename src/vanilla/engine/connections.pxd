from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc

from vanilla.backends.interface cimport Channel
from vanilla.buffers cimport FilePart, ResponseBuffer, Slab, release
from vanilla.contract.request cimport Framed
from vanilla.engine.timers cimport TimerNode
from vanilla.files cimport HeldFile, release_file
from vanilla.net.platform cimport PeerAddress

# Requests of one burst that wait until their connection's earlier answers are taken. All look into one slab.
ctypedef struct Waiting:
    Slab *slab
    int count
    int trailing
    Framed framed[1]

# A range of a file that is to be sent before the byte `at` of what is unsent, with a claim on the file.
ctypedef struct UnsentFile:
    UnsentFile *next
    Py_ssize_t at
    HeldFile *file
    long long offset
    long long count

# How far a message that has not fully arrived is: it stands at the start of `held`.
cdef enum Arrival:
    IN_HEAD
    IN_SIZED_CONTENT
    IN_CHUNKED_CONTENT
    WHOLE_CHUNKED

# The content of a request that its handler takes piece by piece, while the request is being answered.
ctypedef struct Intake:
    bint is_chunked
    bint is_whole            # nothing is missing any more
    bint is_wanted           # the next piece is being received
    bint is_dropped          # the answer is complete: what is missing is received and dropped
    bint expects_continue    # the client waits to be asked for it
    int status               # that the content has to be refused with, or 0
    int chunk_state
    int extension_bytes
    int trailer_bytes
    int filled               # bytes of the piece at hand
    int size                 # room that the next piece gets
    unsigned char *piece     # where it is received; the Parked request owns it
    long long missing        # bytes still to come; of the present chunk, where it is chunked
    long long received       # bytes of content that have come
    long long dropped        # bytes of the wire that were dropped
    long long moved          # bytes of the wire that came while somebody waited
    long long began_ms       # when the waiting began, had it been without a break
    long long waited_ms

cdef enum Deadline:
    ANSWERING
    FIRST_BYTE
    IDLE
    HEAD
    CONTENT
    CONTENT_RATE
    DRAINED
    DRAINED_RATE
    LINGER

# One open connection. `timer` is first, so that a node that came due is its connection's address.
ctypedef struct Connection:
    TimerNode timer
    Channel channel
    PeerAddress peer
    uint8_t listener
    uint8_t arrival
    uint8_t deadline
    bint closes          # nothing more is read from it: it closes once its answers are taken
    bint lingers         # ... and with input perhaps unread
    bint has_shut        # all was sent and the writing side is shut: input is dropped until its end
    bint is_ended        # the peer has shut its writing side
    bint is_busy         # a message or an answer is under way: counted as in flight
    bint has_skipped_line  # the one empty line that may stand before a request has come
    bint wants_drained   # whoever streams to it waits until it has taken most of what was written
    bint awaits_proxy    # it begins with a PROXY header, which has not come
    bint is_listed       # it stands on the list of those that go on without the backend
    unsigned int request_count
    long long due_ms
    long long began_ms   # when the content began to arrive, or the answer to be blocked
    long long moved      # bytes received or sent since then
    int queued           # bytes that the kernel held for the client at that time
    Slab *held
    int held_end
    int searched
    int chunk_state
    int chunk_at         # the next byte of the body to decode
    int content_start    # in a head: where its field lines begin, 0 until that is known
    int decoded_end
    int extension_bytes
    int trailer_bytes
    long long taken_ns   # when the kernel had taken the last answer; kept only where somebody asks for timestamps
    long long needed     # the whole message is this long; or the unread bytes of the present chunk
    Waiting *waiting
    Slab *rest           # what came behind a request that may switch protocols: not framed before that is answered
    int rest_start
    int rest_end
    Intake *intake       # of the partial request that is framed, until it is answered and all of it has come
    int written_count    # of what resumed requests appended and this tick has yet to send
    void *parked         # the Parked request that is to be answered before anything else, borrowed
    void *takeover       # the Takeover whose protocol speaks here instead of HTTP, borrowed
    int error            # the errno that closes the connection, 0 for an end in order
    unsigned char *unsent
    Py_ssize_t unsent_start
    Py_ssize_t unsent_end
    Py_ssize_t unsent_size
    UnsentFile *files    # among the unsent bytes, in order
    UnsentFile *last_file
    Py_ssize_t file_bytes  # of theirs that are unsent
    Connection *next     # in the list of free records, or of those to be freed after this tick

cdef int CHUNK_CONNECTIONS

cdef class ConnectionTable:
    cdef Connection **chunks
    cdef int chunk_count
    cdef Connection *unused
    cdef Connection *left

    cdef Connection *take(self) noexcept nogil
    cdef void give_back(self, Connection *connection) noexcept nogil
    cdef void recycle(self) noexcept nogil
    cdef Connection *at(self, int index) noexcept nogil
    cdef int size(self) noexcept nogil

cdef void drop_rest(Connection *connection) noexcept nogil
cdef void drop_buffers(Connection *connection) noexcept nogil
cdef void drop_intake(Connection *connection) noexcept nogil
cdef Waiting *new_waiting(Slab *slab, Framed *framed, int count, int trailing) noexcept nogil
cdef bint append_unsent(Connection *connection, const unsigned char *source, Py_ssize_t length) noexcept nogil
cdef bint prepend_unsent(Connection *connection, const unsigned char *source, Py_ssize_t length) noexcept nogil
cdef bint append_unsent_answers(
    Connection *connection, ResponseBuffer answers, Py_ssize_t start, Py_ssize_t end
) noexcept nogil
cdef bint append_unsent_file(Connection *connection, FilePart *part) noexcept nogil
cdef void drop_file(Connection *connection) noexcept nogil
cdef void drop_unsent(Connection *connection) noexcept nogil
cdef Py_ssize_t count_unsent(Connection *connection) noexcept nogil
