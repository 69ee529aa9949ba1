from libc.stdint cimport uint8_t

from vanilla.buffers cimport Slab
from vanilla.http1.head cimport COLON, QUESTION, Head, find_field, find_line_end, find_path, skip_space, trim_space
from vanilla.net.platform cimport PeerAddress

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

cdef int KEPT_COPY_BYTES

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
    cdef object route            # what a router found, that knows the names of its parameters
    cdef bytes routed            # the path in its canonical form, where that differs from what was sent
    cdef int[32] marks           # (start, end) of each parameter in the path
    cdef object _params
    cdef bint has_given          # its whole content was handed out as a piece
    cdef object awaited

    cdef bytes take_whole(self)
    cdef int check_whole(self) except -1
    cdef void forget(self) noexcept
    cdef void keep(self) noexcept
    cdef void leave(self) noexcept
    cdef bytes copy(self, Py_ssize_t start, Py_ssize_t end)
    cdef int split_target(self) except -1
    cdef bint has_field(self, const unsigned char *lower, Py_ssize_t length) noexcept nogil
    cdef bint is_get(self) noexcept nogil
    cdef bytes read_path(self)
