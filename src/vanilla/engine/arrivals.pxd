from vanilla.backends.interface cimport Completion
from vanilla.buffers cimport Slab
from vanilla.contract.request cimport Framed
from vanilla.engine.connections cimport Connection
from vanilla.engine.state cimport Bounds, State

cdef Py_ssize_t HELD_HEAD_BYTES, HELD_CONTENT_BYTES, HELD_SENDER_BYTES, HELD_SENT_BYTES

cdef void go_on_listed(State state) noexcept nogil
cdef void on_received(State state, Completion *completion) noexcept nogil
cdef void on_due(State state, Connection *connection) noexcept nogil
