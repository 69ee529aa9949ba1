from vanilla.engine.state cimport State
from vanilla.engine.timers cimport TimerNode

cdef class Timer:
    cdef TimerNode node
    cdef Calls loop
    cdef object function
    cdef tuple arguments
    cdef set siblings            # the timers of the connection that it dies with, if it does

cdef class Posted:
    cdef object function
    cdef tuple arguments

cdef class Calls(State):
    cdef set timers
    cdef void **due
    cdef int due_count
    cdef int due_size
    cdef object mailbox
    cdef int has_mail
    cdef int is_shut
    cdef list drain_calls
    cdef bint has_drain_calls
    cdef bint has_told_streams
    cdef long long tell_ms

    cdef int check_open(self) except -1
    cdef Timer set_timer(self, object due_ns, object function, tuple arguments)
    cdef void on_timer(self, void *owner) noexcept nogil
    cdef bint withdraw(self, Posted posted) except -1
    cdef int run_mail(self) except -1
    cdef int run_last_mail(self) except -1
    cdef list hold_due(self)
    cdef int run_due(self, list came) except -1
    cdef int tell_streams(self) except -1
    cdef int call(self, object function, object arguments) except -1
    cdef void report(self, object subject, str what, object error) noexcept
