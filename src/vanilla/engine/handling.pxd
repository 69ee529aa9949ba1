from vanilla.contract.compiled cimport CompiledHandler
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.engine.connections cimport Connection
from vanilla.engine.parking cimport Parked
from vanilla.engine.resuming cimport Resuming
from vanilla.engine.state cimport Burst

cdef extern from "Python.h":
    Py_ssize_t count_references "Py_REFCNT"(void *object)

cdef object _CLOSE, _SUSPEND

cdef class Handling(Resuming):
    cdef object handler
    cdef CompiledHandler compiled    # the same, where it is one
    cdef bint may_answer_at_once

    cdef bint handle_request(self, Burst *burst, int position, long long entered_ns) except -1
    cdef bint suspend(self, Burst *burst, int position, Py_ssize_t start, long long entered_ns) except -1
    cdef int drop_current(self, Connection *connection) except -1
    cdef Request new_request(self)
    cdef Response new_response(self)
    cdef void report_cut(self) noexcept
