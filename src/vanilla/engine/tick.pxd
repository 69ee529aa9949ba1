from vanilla.contract.compiled cimport CompiledHandler
from vanilla.atomics cimport ACQUIRE, RELEASE, atomic_load, atomic_or
from vanilla.backends.interface cimport Completion
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.worker cimport Worker
from vanilla.engine.connections cimport Connection
from vanilla.engine.handling cimport Handling
from vanilla.engine.state cimport Burst
from vanilla.engine.timers cimport TimerNode

cdef int ANNOUNCE, DRAIN, STOP

cdef class Engine(Handling):
    cdef bint has_run
    cdef bint is_cleaning        # all connections are closed, and coroutines come to their end
    cdef public object on_stop   # called with the worker when all is over; may return an awaitable
    cdef long long turn_ms       # when asyncio has something to do; -1 is never
    cdef long long left_ns       # when it was last given its turn
    cdef int wait_errno

    cdef bint has_coroutine_due(self) except -1
    cdef int tick(self) except -1
    cdef int send_timed(self) except -1
    cdef int finish_coroutines(self) except -1
    cdef int handle(self) except -1
    cdef int run_waiting(self) except -1
    cdef int flush_early(self, int index, int handled) except -1
    cdef void report_starved(self) noexcept

    cdef void poll(self) noexcept nogil
    cdef bint answer_at_once(self) noexcept nogil
    cdef bint is_over(self) noexcept nogil
    cdef void look_at_streams(self) noexcept nogil
    cdef long long find_timeout_ms(self) noexcept nogil
    cdef void obey(self) noexcept nogil
    cdef void close_idle(self) noexcept nogil
