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

    cdef object start(self, object coroutine)
