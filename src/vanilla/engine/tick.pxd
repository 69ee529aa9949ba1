from vanilla.backends.interface cimport Completion
from vanilla.contract cimport Framed, Request, Response, Worker
from vanilla.engine.connections cimport Connection
from vanilla.engine.state cimport Burst, State
from vanilla.engine.timers cimport TimerNode

cdef extern from "Python.h":
    Py_ssize_t count_references "Py_REFCNT"(void *object)

cdef extern from *:
    int atomic_load "__atomic_load_n"(int *value, int order) nogil
    int atomic_or "__atomic_or_fetch"(int *value, int bits, int order) nogil
    int ACQUIRE "__ATOMIC_ACQUIRE"
    int RELEASE "__ATOMIC_RELEASE"

cdef long long FLUSH_AFTER_NS
cdef Py_ssize_t FLUSH_BYTES
cdef int ANNOUNCE, DRAIN, STOP
cdef object _DONE, _CLOSE, _SUSPEND

cdef class Engine(State):
    cdef object handler
    cdef Request request
    cdef Response response
    cdef object on_timing
    cdef list timings
    cdef bint checks_responses
    cdef bint has_run
    cdef int command
    cdef int wait_errno

    cdef int handle(self) except -1
    cdef bint handle_request(self, Burst *burst, int position, long long entered_ns) except -1
    cdef bint is_last_word(self, Connection *connection) noexcept nogil
    cdef int flush_early(self, int index, int handled) except -1
    cdef Response new_response(self)
    cdef void report(self, str what, object error) noexcept
    cdef void report_starved(self) noexcept
    cdef int note_timing(self, Burst *burst, int status, Py_ssize_t length, long long entered_ns, long long returned_ns) except -1
    cdef int deliver_timings(self) except -1

    cdef void poll(self) noexcept nogil
    cdef bint is_over(self) noexcept nogil
    cdef long long find_timeout_ms(self) noexcept nogil
    cdef void obey(self) noexcept nogil
    cdef void close_idle(self) noexcept nogil
