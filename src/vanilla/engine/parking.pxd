from cpython.object cimport PyObject

from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response
from vanilla.engine.calls cimport Calls
from vanilla.engine.connections cimport Connection

cdef class Parked:
    cdef Parking loop
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

cdef class Parking(Calls):
    cdef readonly object runner  # of coroutines; None where handlers are plain functions
    cdef set parked
    cdef object resumptions
    cdef int stream_count        # parked requests whose answers have begun
    cdef Connection *calling     # whose handler or continuation runs; else NULL
    cdef Parked current          # its request, once it has asked to wait
    cdef Request request
    cdef long long flushed_ns

    cdef Parked park(self)
    cdef int make_way(self) except -1
    cdef bint waits(self, Parked parked) except -1
    cdef bint drop_source(self, Response response) except -1
    cdef int flush_resumed(self) except -1
    cdef int go_on(self, Parked parked, object continuation, object payload, int events) except -1
    cdef bint send_more(self, Parked parked, Py_ssize_t start) except -1
    cdef int conclude(self, Parked parked, Py_ssize_t start, int status, object result) except -1
    cdef int write_parked(self, Parked parked, object data) except -1
    cdef int finish_parked(self, Parked parked) except -1
