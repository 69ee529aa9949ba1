# The counts of one worker. Written by its thread alone; aligned words, so that others may read them without a lock.
ctypedef struct Counts:
    long long accepted
    long long open
    long long requests
    long long bytes_received
    long long bytes_sent
    long long responses[6]
    long long in_flight
    long long parked
    long long ticks
    long long gil_held_ns
    long long handler_since_ns
    long long limits[16]

cdef int LIMIT_TARGET, LIMIT_HEADER_BYTES, LIMIT_HEADERS, LIMIT_BODY, LIMIT_EXTENSION, LIMIT_READ, LIMIT_KEEPALIVE
cdef int LIMIT_WRITE, LIMIT_RECEIVE_RATE, LIMIT_SEND_RATE, LIMIT_CONNECTIONS, LIMIT_ACCEPT, LIMIT_REQUESTS
cdef int LIMIT_PENDING, LIMIT_LINGER, LIMIT_SUSPEND

cdef class Worker:
    cdef public object state
    cdef readonly int index
    cdef readonly tuple forwarded_allow_ips
    cdef bint is_draining
    cdef object loop
    cdef Counts counts
    cdef dict kept               # by whoever keeps something for each worker, found without a lock; None at first
    cdef object keeper           # who asked last, and what it keeps: most often it asks again
    cdef object last_kept

    cdef object find_kept(self, object keeper)
    cdef int keep(self, object keeper, object what) except -1

cdef class Draining:
    cdef Worker worker
