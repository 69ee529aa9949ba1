from libc.stdint cimport uint8_t

from vanilla.engine.connections cimport Connection
from vanilla.engine.neighbours cimport Handed
from vanilla.engine.state cimport Bounds, State
from vanilla.net.platform cimport PeerAddress

cdef long long STARVED_RETRY_MS, STARVED_LOG_MS, LOOK_AROUND_MS, LOOK_FOR_PLACE_MS, NEVER_MS
cdef int FAILURES_MAX, REFUSALS_MAX, UNEVEN_SHARE, UNEVEN_SPARE, LOOK_FROM, LOOK_SEATS_MAX, LOOK_ACCEPTS_MAX
cdef Py_ssize_t SCRATCH_BYTES

cdef long long to_ms(object seconds) except -1
cdef int add_listener(State state, int number, int fd, object limits, int connections_max, object proxies) except -1
cdef void on_accepted(State state, int number, int fd, PeerAddress *peer) noexcept nogil
cdef void take_handed(State state) noexcept nogil
cdef void pass_on(State state) noexcept nogil
cdef void look_around(State state) noexcept nogil
cdef void drop_handed(State state) noexcept nogil
cdef void keep_house(State state) noexcept nogil
cdef void stop_accepting(State state) noexcept nogil
cdef bint has_backlog(State state) noexcept nogil
