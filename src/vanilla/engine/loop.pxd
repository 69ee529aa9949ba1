from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response
from vanilla.engine.connections cimport Connection
from vanilla.engine.parking cimport Parked
from vanilla.engine.reading cimport Reading
from vanilla.engine.state cimport Notice

cdef int EVENT_WRITABLE_AGAIN, EVENT_RESUMED, EVENT_PIECE, EVENT_BAD

cdef class Loop(Reading):
    cdef object offloads
    cdef object make_offloads
    cdef bint ignores_disconnect
    cdef int orphan_count        # coroutines that go on although their clients are gone

    cdef int run_gone(self) except -1
    cdef bint drop_source(self, Response response) except -1
    cdef int run_resumptions(self) except -1
    cdef int run_notices(self) except -1
    cdef int tell_protocol(self, Notice *notice) except -1
    cdef int drop_takeover(self, Response response, object reason) except -1
    cdef int go_on_drained(self, Parked parked) except -1
    cdef int go_on_content(self, Parked parked) except -1
    cdef int wake(self, object future, object result) except -1
