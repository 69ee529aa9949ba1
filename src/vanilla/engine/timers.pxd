from libc.stdlib cimport calloc, free
from libc.stdint cimport uint64_t

cdef extern from *:
    int leading_zeros "__builtin_clzll"(unsigned long long word) nogil
    int trailing_zeros "__builtin_ctzll"(unsigned long long word) nogil

# A place in the wheel, embedded in whatever has a deadline. `link` points at the pointer to it; NULL while not in a wheel.
# `owner` is the Python object that the node is part of, borrowed, or NULL for a connection's.
ctypedef struct TimerNode:
    void *owner
    long long due_ms
    TimerNode *next
    TimerNode **link

cdef int LEVELS, SLOT_BITS, SLOTS
cdef long long _NEVER
cdef long long AHEAD_MS

cdef class TimerWheel:
    cdef long long now_ms
    cdef uint64_t occupied[6]
    cdef TimerNode *slots[6][64]
    cdef TimerNode *due

    cdef void add(self, TimerNode *node, long long due_ms) noexcept nogil
    cdef void remove(self, TimerNode *node) noexcept nogil
    cdef long long next_ms(self) noexcept nogil
    cdef void advance(self, long long now_ms) noexcept nogil
    cdef TimerNode *take_due(self) noexcept nogil
    cdef long long find_expiring(self, int *level, int *slot) noexcept nogil
