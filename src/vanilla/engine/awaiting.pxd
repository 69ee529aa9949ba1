from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response
from vanilla.engine.calls cimport Calls
from vanilla.engine.parking cimport Parked
from vanilla.engine.starting cimport Starter
from vanilla.engine.takeover cimport Takeovers

cdef extern from "Python.h":
    bint PyCoro_CheckExact(object value)

cdef Py_ssize_t FLUSH_FREE_BYTES
cdef object _SUSPEND

cdef class Awaiting(Takeovers):
    cdef Starter starter
    cdef object offloads
    cdef object make_offloads
    cdef bint ignores_disconnect
    cdef int orphan_count        # coroutines that go on although their clients are gone
    cdef Response response

    cdef int wake(self, object future, object result) except -1
    cdef object run_coroutine(self, object result)
    cdef int suspend_coroutine(self, Response response, Py_ssize_t start) except -1
    cdef bint send_own(self, Parked parked) except -1
    cdef int go_on_early(self, Parked parked) except -1
