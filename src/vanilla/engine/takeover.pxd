from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response
from vanilla.engine.connections cimport Connection
from vanilla.engine.reading cimport Reading
from vanilla.engine.state cimport Notice

cdef enum Stage:
    ASKED    # the answer that switches protocols is not complete yet
    BEGUN
    OVER     # its protocol has been told, or is about to be

cdef class Takeover:
    cdef Takeovers loop
    cdef Connection *connection
    cdef unsigned int generation
    cdef int stage
    cdef readonly object protocol
    cdef readonly object worker
    cdef readonly object peer
    cdef object on_received      # the protocol's methods; the optional ones may be None
    cdef object on_drained
    cdef object on_closed
    cdef object on_ended
    cdef object on_draining
    cdef object reason           # what closed() is told instead of what the socket says
    cdef list outbox             # what was to be sent before the switching answer
    cdef list kept               # what arrived and has not been told: it is paused, or has not begun
    cdef bint has_kept_end
    cdef bint has_ended
    cdef bint has_begun
    cdef bint is_paused
    cdef bint is_closing
    cdef bint is_cut
    cdef Py_ssize_t written      # bytes that this tick has still to send, while connection.written_count > 0
    cdef set timers

    cdef bint speaks(self) noexcept
    cdef int write(self, bytes data) except -1
    cdef int go_on(self) except -1
    cdef int end(self) except -1
    cdef int call(self, str name, object function, tuple arguments) except -1

cdef class Takeovers(Reading):
    cdef set takeovers           # every one that has not been told closed(), which keeps them alive
    cdef bint has_told_takeovers

    cdef int judge_takeover(self, Request request, Response response, int status, bint closes) except 1
    cdef int begin_takeover(self, Response response, Connection *connection) except -1
    cdef int drop_takeover(self, Response response, object reason) except -1
    cdef int tell_protocol(self, Notice *notice) except -1
    cdef int end_takeover(self, Takeover takeover, int error) except -1
    cdef int tell_takeovers(self) except -1
