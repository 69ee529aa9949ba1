from cpython.bytes cimport _PyBytes_Resize, PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from cpython.ref cimport Py_INCREF, Py_XDECREF
from libc.stdlib cimport free, realloc

from vanilla.atomics cimport ACQUIRE_RELEASE, atomic_exchange
from vanilla.backends.interface cimport Completion
from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.contract.worker cimport Worker
from vanilla.engine.connections cimport Connection, Intake
from vanilla.engine.state cimport Notice, State
from vanilla.engine.timers cimport TimerNode

# A watched descriptor that became ready, until the GIL is held.
ctypedef struct Ready:
    unsigned int slot
    unsigned int generation
    int events

cdef int EVENT_WRITABLE_AGAIN, EVENT_TIMEOUT, EVENT_RESUMED, EVENT_PIECE, EVENT_BAD

cdef class Timer:
    cdef TimerNode node
    cdef Loop loop
    cdef object function
    cdef tuple arguments
    cdef set siblings            # the timers of the connection that it dies with, if it does

cdef class Parked:
    cdef Loop loop
    cdef Connection *connection
    cdef unsigned int generation
    cdef readonly Request request
    cdef readonly Response response
    cdef list watches
    cdef bint is_open
    cdef bint has_handle
    cdef object on_disconnect
    cdef object body             # (continuation, None) or (None, future): goes on with the next piece of the content
    cdef PyObject *piece         # bytes that content is being received into, or has been; owned
    cdef object drained          # (continuation, payload) or (None, futures): goes on when the client has taken most
    cdef object task             # the coroutine that answers
    cdef list early              # what was to go on with the request before its coroutine was over
    cdef bint is_orphan          # its client is gone, and it goes on
    cdef long long flushed_tick  # in which its coroutine last flushed without waiting
    cdef long long parked_tick
    cdef int status
    cdef Py_ssize_t appended
    cdef long long entered_ns

cdef class Watch:
    cdef Loop loop
    cdef readonly int fd
    cdef int interest
    cdef unsigned int slot
    cdef unsigned int generation
    cdef readonly bint is_active
    cdef bint is_persistent
    cdef bint is_limited
    cdef object continuation
    cdef object payload
    cdef object on_disconnect
    cdef Parked parked
    cdef Timer deadline

cdef class Loop(State):
    cdef list watches
    cdef list free_slots
    cdef unsigned int watch_count
    cdef dict watched
    cdef set timers
    cdef set parked
    cdef object mailbox
    cdef object resumptions
    cdef int has_mail
    cdef bint is_shut
    cdef readonly object runner  # of coroutines; None where handlers are plain functions
    cdef object offloads
    cdef object make_offloads
    cdef bint ignores_disconnect
    cdef int orphan_count        # coroutines that go on although their clients are gone
    cdef list drain_calls
    cdef bint has_told_streams
    cdef long long tell_ms
    cdef int stream_count        # parked requests whose answers have begun
    cdef Connection *calling
    cdef Parked current
    cdef Request request

    cdef Ready *ready
    cdef int ready_count
    cdef int ready_size
    cdef void **due
    cdef int due_count
    cdef int due_size
    cdef void on_ready(self, Completion *completion) noexcept nogil
    cdef void on_timer(self, void *owner) noexcept nogil
    cdef Parked park(self)
    cdef bint drop_source(self, Response response) except -1
    cdef int check_open(self) except -1
    cdef int forget_watch(self, Watch watch) except -1
    cdef int run_mail(self) except -1
    cdef list hold_due(self)
    cdef int run_due(self, list came) except -1
    cdef int run_ready(self) except -1
    cdef int run_gone(self) except -1
    cdef int run_resumptions(self) except -1
    cdef int run_notices(self) except -1
    cdef int tell_protocol(self, Notice *notice) except -1
    cdef int drop_takeover(self, Response response, object reason) except -1
    cdef int go_on_drained(self, Parked parked) except -1
    cdef int go_on_content(self, Parked parked) except -1
    cdef int ask_content(self, Parked parked) except -1
    cdef int keep_first(self, Parked parked) except -1
    cdef bytes take_piece(self, Parked parked)
    cdef int tell_streams(self) except -1
    cdef int fire(self, Watch watch, int events) except -1
    cdef int go_on(self, Parked parked, object continuation, object payload, int events) except -1
    cdef int wake(self, object future, object result) except -1
    cdef int make_way(self) except -1
    cdef int write_parked(self, Parked parked, object data) except -1
    cdef int finish_parked(self, Parked parked) except -1
    cdef int call(self, object function, object arguments) except -1
    cdef void report(self, object subject, str what, object error) noexcept
