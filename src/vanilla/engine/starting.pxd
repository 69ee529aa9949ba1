cdef class Starter:
    cdef object loop
    cdef object make_task
    cdef object plain_call_soon
    cdef object answered
    cdef object never
    cdef bint is_eager
    cdef bint is_catching
    cdef object step
    cdef object context
    cdef bint is_waking
    cdef list woken

    cdef object start(self, object coroutine)
    cpdef int wake(self, object future, object result) except -1
