from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.engine.awaiting cimport Awaiting
from vanilla.engine.connections cimport Connection
from vanilla.engine.parking cimport Parked

cdef int EVENT_WRITABLE_AGAIN, EVENT_RESUMED, EVENT_PIECE, EVENT_BAD
cdef object _DONE, _CLOSE, _SUSPEND

cdef class Resuming(Awaiting):
    cdef object begin_source(self, Request request, Response response, object result)
    cdef int aim(self, Parked parked, Py_ssize_t start) except -1
    cdef int unpark(self, Parked parked) except -1
    cdef int run_resumptions(self) except -1
    cdef int run_notices(self) except -1
    cdef int go_on_drained(self, Parked parked) except -1
    cdef int go_on_content(self, Parked parked) except -1
    cdef int run_gone(self) except -1
    cdef int drop_hooks(self, Response response) except -1
