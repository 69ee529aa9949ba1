from libc.stdlib cimport calloc

from vanilla.buffers cimport Slab, new_slab, release
from vanilla.contract.request cimport Framed
from vanilla.engine.connections cimport Connection, Intake
from vanilla.engine.state cimport Bounds, State
from vanilla.http1.body cimport begin_chunked, decode_chunked

cdef int PIECE_BYTES_MIN, PIECE_BYTES_MAX
cdef Py_ssize_t WARM_BYTES
cdef long long DROP_BYTES_MAX

cdef void keep_pieces_warm() noexcept nogil
cdef bint open_intake(State state, Connection *connection, Py_ssize_t received) noexcept nogil
cdef Py_ssize_t consume(
    State state, Connection *connection, unsigned char *data, Py_ssize_t at, Py_ssize_t end,
) noexcept nogil
cdef void receive_content(State state, Connection *connection) noexcept nogil
cdef void stop_receiving(State state, Connection *connection) noexcept nogil
cdef bint has_piece(Intake *intake) noexcept nogil
cdef void grow_or_shrink(Intake *intake, Py_ssize_t filled) noexcept nogil
cdef int next_size(Intake *intake) noexcept nogil
cdef bint leave_content(State state, Connection *connection, Framed *framed) noexcept nogil
