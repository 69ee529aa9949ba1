from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.engine.connections cimport Connection
from vanilla.engine.takeover cimport Takeovers

cdef object _DONE, _CLOSE, _SUSPEND

cdef int fail(Takeovers engine, Request request, str what, object error) except 1
cdef int judge(
    Takeovers engine, Request request, Response response, ResponseBuffer answer, Py_ssize_t start, object result
) except 1
cdef int find_status(Takeovers engine, Request request, ResponseBuffer answer, Py_ssize_t start) except 1
cdef Py_ssize_t begin(
    Takeovers engine, Request request, Response response, ResponseBuffer answer, Py_ssize_t start
) except -2
cdef bint run_hooks_at_begin(
    Takeovers engine, Request request, Response response, ResponseBuffer answer, Py_ssize_t *start
) except -1
cdef int run_hooks(Takeovers engine, Request request, Response response, int status) except 1
cdef ResponseBuffer take_apart(Takeovers engine, Response response, ResponseBuffer answer, Py_ssize_t start)
cdef int run_hook(Takeovers engine, Request request, Response response, object hook) except 1
cdef int refuse(Takeovers engine, Request request, Response response, int status) except -1
cdef bint is_whole(Takeovers engine, Request request, Response response, object result) except -1
cdef bint settle(
    Takeovers engine, ResponseBuffer answer, Py_ssize_t start, Framed *framed, Response response,
    Connection *connection, bint is_final, int status,
) except -1
cdef bint is_last_word(Takeovers engine, Connection *connection) noexcept nogil
