# An open descriptor, and how many claim it.
ctypedef struct HeldFile:
    int claims
    int fd

cdef HeldFile *hold_duplicate(int fd, int *error) noexcept nogil
cdef void claim_file(HeldFile *held) noexcept nogil
cdef void release_file(HeldFile *held) noexcept nogil
cdef long long measure_file(int fd, object file) except -1

cdef class OpenFile:
    cdef HeldFile *held
    cdef long long _size

    cdef HeldFile *claim(self) noexcept
