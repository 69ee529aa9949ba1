from libc.stdint cimport uint8_t

from vanilla.buffers cimport FilePart, ResponseBuffer, Slab
from vanilla.files cimport OpenFile
from vanilla.http1.head cimport COLON, QUESTION, Head, equals, find_field, find_line_end, find_path, is_field_value, is_token, skip_space, trim_space
from vanilla.http1.reply cimport DateLine
from vanilla.net.posix cimport PeerAddress

# Where one framed request lies in its slab: what the codec found, in the form that the engine queues.
ctypedef struct Framed:
    Slab *slab
    int start
    int method_end
    int target_start
    int target_end
    int fields_start
    int fields_end
    int content_start
    int content_end
    uint8_t version
    uint8_t may_switch   # to another protocol: the client asks for it
    bint is_head
    bint is_last
    bint lingers
    bint is_partial   # of its content only the beginning is there
    long long received_ns

# The counts of one worker. Written by its thread alone; aligned words, so that others may read them without a lock.
ctypedef struct Counts:
    long long accepted
    long long open
    long long requests
    long long bytes_received
    long long bytes_sent
    long long responses[6]
    long long in_flight
    long long parked
    long long ticks
    long long gil_held_ns
    long long handler_since_ns
    long long limits[16]

cdef int KEPT_COPY_BYTES
cdef Py_ssize_t FILE_COPY_BYTES
cdef int LIMIT_TARGET, LIMIT_HEADER_BYTES, LIMIT_HEADERS, LIMIT_BODY, LIMIT_EXTENSION, LIMIT_READ, LIMIT_KEEPALIVE
cdef int LIMIT_WRITE, LIMIT_RECEIVE_RATE, LIMIT_SEND_RATE, LIMIT_CONNECTIONS, LIMIT_ACCEPT, LIMIT_REQUESTS
cdef int LIMIT_PENDING, LIMIT_LINGER, LIMIT_SUSPEND

# How what is appended to an answer becomes content: as it stands, in chunks, up to a length that was given, until the
# connection closes, or not at all.
cdef enum:
    RAW
    CHUNKED
    SIZED
    UNTIL_CLOSE
    BODYLESS

cdef enum:
    CANCEL = 1
    IGNORE = 2

cdef class Request:
    cdef Framed framed
    cdef PeerAddress peer_address
    cdef bint has_claim
    cdef bint is_read
    cdef bint has_left
    cdef int after_disconnect    # 0: what the server does by default
    cdef readonly int client_fd
    cdef object _method
    cdef object _target
    cdef object _path
    cdef object _query
    cdef object _body
    cdef object loop             # of its worker, until it is answered; None for a request made by hand
    cdef void *parked            # the Parked that it is, while it waits
    cdef bint has_given          # its whole content was handed out as a piece
    cdef object awaited

    cdef bytes take_whole(self)
    cdef int check_whole(self) except -1
    cdef void forget(self) noexcept
    cdef void keep(self) noexcept
    cdef void leave(self) noexcept
    cdef bytes copy(self, Py_ssize_t start, Py_ssize_t end)
    cdef int split_target(self) except -1

cdef class Response:
    cdef ResponseBuffer buffer
    cdef DateLine date
    cdef Py_ssize_t begin        # where in the buffer this answer's part starts
    cdef bint is_open
    cdef bint closes
    cdef Framed *framed          # the request that this answers, while its handler or a continuation runs
    cdef object loop             # what waits for clients; None for a response made by hand
    cdef object parked           # the request, once its coroutine has waited
    cdef int coding
    cdef bint has_begun          # the head has left: what follows cannot take it back
    cdef int status
    cdef Py_ssize_t informed     # bytes of interim answers at the start
    cdef long long unwritten     # of the length that was given
    cdef bytes trailing
    cdef object source
    cdef object awaited
    cdef object taking           # what takes the connection over once this answer is complete

    cdef int check_open(self) except -1
    cdef bytes copy(self, Py_ssize_t start, Py_ssize_t end)
    cdef bint has_head(self) noexcept
    cdef int append_file(self, OpenFile kept, int fd, long long offset, Py_ssize_t count) except -1
    cdef int append_held(self, OpenFile kept, int fd, long long offset, Py_ssize_t count) noexcept
    cdef int append_copy(self, int fd, long long offset, Py_ssize_t count) noexcept
    cdef int append_fields(self, object content_type, object headers) except -1
    cdef int append_start(self, int status, object headers, object content_type, object length) except -1
    cdef int append_content(self, object data) except -1
    cdef bint end_content(self) except -1
    cdef void forget(self) noexcept
    cdef int append(self, object data) except -1
    cdef int append_raw(self, object data) except -1
    cdef int append_reply(self, int status, object body, object content_type, object headers) except -1
    cdef int append_field(self, object name, object value) except -1

cdef class Worker:
    cdef public object state
    cdef readonly int index
    cdef bint is_draining
    cdef object loop
    cdef Counts counts

cdef class Draining:
    cdef Worker worker
