from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.engine.connections cimport Connection
from vanilla.engine.parking cimport Parked
from vanilla.engine.starting cimport Starter
from vanilla.engine.state cimport Burst
from vanilla.engine.takeover cimport Takeovers

cdef extern from "Python.h":
    bint PyCoro_CheckExact(object value)
    Py_ssize_t count_references "Py_REFCNT"(void *object)

cdef long long FLUSH_AFTER_NS
cdef Py_ssize_t FLUSH_BYTES, FLUSH_FREE_BYTES
cdef int FLUSH_FILES
cdef object _DONE, _CLOSE, _SUSPEND

cdef class Handling(Takeovers):
    cdef Starter starter
    cdef object handler
    cdef Response response
    cdef object on_timing
    cdef list timings
    cdef bint checks_responses
    cdef long long flushed_ns
    cdef int command

    cdef bint handle_request(self, Burst *burst, int position, long long entered_ns) except -1
    cdef int fail(self, Request request, str what, object error) except 1
    cdef int judge(
        self, Request request, Response response, ResponseBuffer answer, Py_ssize_t start, object result
    ) except 1
    cdef int find_status(self, Request request, ResponseBuffer answer, Py_ssize_t start) except 1
    cdef object begin_source(self, Request request, Response response, object result)
    cdef bint settle(
        self, ResponseBuffer answer, Py_ssize_t start, Framed *framed, Response response, Connection *connection,
        bint is_final, int status,
    ) except -1
    cdef bint suspend(self, Burst *burst, int position, Py_ssize_t start, long long entered_ns) except -1
    cdef bint waits(self, Parked parked) except -1
    cdef bint begin(self, Request request, Response response, ResponseBuffer answer, Py_ssize_t start) except -1
    cdef int aim(self, Parked parked, Py_ssize_t start) except -1
    cdef bint send_more(self, Parked parked, Py_ssize_t start) except -1
    cdef int conclude(self, Parked parked, Py_ssize_t start, int status, object result) except -1
    cdef bint is_whole(self, Parked parked, object result) except -1
    cdef object run_coroutine(self, object result)
    cdef int suspend_coroutine(self, Response response, Py_ssize_t start) except -1
    cdef bint send_own(self, Parked parked) except -1
    cdef int go_on_early(self, Parked parked) except -1
    cdef int flush_resumed(self) except -1
    cdef bint is_full(self, ResponseBuffer answers) noexcept nogil
    cdef void report_cut(self) noexcept
    cdef int unpark(self, Parked parked) except -1
    cdef int drop_current(self, Connection *connection) except -1
    cdef bint is_last_word(self, Connection *connection) noexcept nogil
    cdef Request new_request(self)
    cdef Response new_response(self)
    cdef int note_timing(
        self, Connection *connection, Request request, int status, Py_ssize_t length, long long entered_ns,
    ) except -1
    cdef int deliver_timings(self) except -1
