from vanilla.backends.interface cimport Channel
from vanilla.buffers cimport ResponseBuffer
from vanilla.engine.connections cimport Connection
from vanilla.engine.state cimport Burst, State

cdef Py_ssize_t FLUSH_BYTES
cdef Py_ssize_t FILE_TICK_BYTES, FILE_SHARE_MIN, FILE_SHARE_MAX, FILE_SHARE_STEP
cdef long long FLUSH_AFTER_NS
cdef int FLUSH_FILES

cdef void finish_burst(State state, Burst *burst) noexcept nogil
cdef bint is_full(ResponseBuffer answers) noexcept nogil
cdef void flush(State state, int until) noexcept nogil
cdef void flush_written(State state) noexcept nogil
cdef void send_burst(State state, Burst *burst) noexcept nogil
cdef void send_bytes(State state, Connection *connection, const unsigned char *source, Py_ssize_t length) noexcept nogil
cdef void after_answers(State state, Connection *connection) noexcept nogil
cdef void finish_close(State state, Connection *connection) noexcept nogil
cdef void send_answers(
    State state, Connection *connection, ResponseBuffer answers, Py_ssize_t start, Py_ssize_t end
) noexcept nogil
cdef Py_ssize_t take_turn(State state) noexcept nogil
cdef Py_ssize_t find_share(int count) noexcept nogil
cdef void send_unsent(State state, Connection *connection) noexcept nogil
cdef void note_taken(State state, Connection *connection, Py_ssize_t taken) noexcept nogil
cdef void on_writable(State state, Connection *connection, int taken) noexcept nogil
