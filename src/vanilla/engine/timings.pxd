from vanilla.contract.request cimport Framed, Request
from vanilla.engine.calls cimport Calls
from vanilla.engine.connections cimport Connection

cdef int note_timing(
    Calls engine, Connection *connection, Request request, int status, Py_ssize_t length, long long entered_ns,
) except -1
cdef int deliver_timings(Calls engine) except -1
