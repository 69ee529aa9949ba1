from vanilla.buffers cimport ResponseBuffer
from vanilla.contract cimport Framed, Request, Response
from vanilla.engine.connections cimport Connection
from vanilla.engine.loop cimport Loop, Parked
from vanilla.engine.state cimport Burst

cdef extern from "Python.h":
    Py_ssize_t count_references "Py_REFCNT"(void *object)

cdef long long FLUSH_AFTER_NS
cdef Py_ssize_t FLUSH_BYTES
cdef object _DONE, _CLOSE, _SUSPEND

cdef class Handling(Loop):
    cdef object handler
    cdef Response response
    cdef object on_timing
    cdef list timings
    cdef bint checks_responses
    cdef long long flushed_ns
    cdef int finished_count
    cdef int command

    cdef bint handle_request(self, Burst *burst, int position, long long entered_ns) except -1
    cdef int judge(self, Request request, ResponseBuffer answer, Py_ssize_t start, object result, bint checks) except -2
    cdef bint settle(
        self, ResponseBuffer answer, Py_ssize_t start, Framed *framed, Response response, Connection *connection,
        bint is_final, bint fails,
    ) except -1
    cdef bint suspend(self, Burst *burst, int position, Py_ssize_t start, long long entered_ns) except -1
    cdef bint begin(self, Parked parked, Request request, ResponseBuffer answer, Py_ssize_t start) except -1
    cdef int flush_resumed(self) except -1
    cdef int unpark(self, Parked parked) except -1
    cdef int drop_current(self) except -1
    cdef bint is_last_word(self, Connection *connection) noexcept nogil
    cdef Response new_response(self)
    cdef int note_timing(
        self, Connection *connection, Request request, int status, Py_ssize_t length, long long entered_ns,
    ) except -1
    cdef int deliver_timings(self) except -1
