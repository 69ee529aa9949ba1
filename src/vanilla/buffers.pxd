from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcpy, memmove

from vanilla.atomics cimport ACQUIRE, ACQUIRE_RELEASE, atomic_add, atomic_load
from vanilla.files cimport HeldFile, release_file
from vanilla.net.platform cimport c_assert

# A block of received bytes. Its owner and every object that looks into it hold a claim; the last release frees it.
ctypedef struct Slab:
    int claims
    Py_ssize_t size
    Slab *next
    unsigned char bytes[1]

cdef Py_ssize_t SLAB_BYTES, SLABS_SPARE_MAX, WARM_BYTES_MAX, RESPONSE_BYTES, RESPONSE_BYTES_KEPT, OWN_RESPONSE_BYTES
cdef int FILES_FIRST

cdef Slab *new_slab(Py_ssize_t size) noexcept nogil
cdef void claim(Slab *slab) noexcept nogil
cdef void release(Slab *slab) noexcept nogil
cdef bint is_claimed_by_others(Slab *slab) noexcept nogil

cdef class SlabPool:
    cdef Slab *current
    cdef Slab *used
    cdef Slab *spare
    cdef int spare_count
    cdef Py_ssize_t filled

    cdef Slab *warm
    cdef Py_ssize_t warm_bytes

    cdef bint make_room(self, Py_ssize_t length) noexcept nogil
    cdef Slab *take(self, Py_ssize_t size) noexcept nogil
    cdef void give_back(self, Slab *slab) noexcept nogil
    cdef void recycle(self) noexcept nogil

cdef class SlabView:
    cdef Slab *slab
    cdef Py_ssize_t start
    cdef Py_ssize_t length

cdef object view_slab(Slab *slab, Py_ssize_t start, Py_ssize_t length)

# A range of a file among the bytes of an answer, with a claim on the file; NULL once that is handed on.
ctypedef struct FilePart:
    Py_ssize_t at       # of the byte that holds its place
    HeldFile *file
    long long offset
    long long count

cdef class ResponseBuffer:
    cdef unsigned char *bytes
    cdef Py_ssize_t length
    cdef Py_ssize_t size
    cdef Py_ssize_t first_size
    cdef FilePart *files
    cdef int file_count
    cdef int file_size

    cdef bint reserve(self, Py_ssize_t length) noexcept nogil
    cdef bint append(self, const unsigned char *source, Py_ssize_t length) noexcept nogil
    cdef bint reserve_files(self, int count) noexcept nogil
    cdef bint append_file(self, HeldFile *file, long long offset, long long count) noexcept nogil
    cdef bint has_files(self, Py_ssize_t start, Py_ssize_t end) noexcept nogil
    cdef Py_ssize_t count_bytes(self, Py_ssize_t start) noexcept nogil
    cdef void truncate(self, Py_ssize_t length) noexcept nogil
    cdef bint insert(self, Py_ssize_t at, const unsigned char *source, Py_ssize_t length) noexcept nogil
    cdef void move_files(self, Py_ssize_t start, Py_ssize_t distance) noexcept nogil
    cdef bint move_to(self, ResponseBuffer target, Py_ssize_t start) noexcept nogil
    cdef bint is_outsized(self) noexcept nogil
    cdef void clear(self) noexcept nogil
    cdef void drop(self) noexcept nogil

cdef ResponseBuffer new_own_buffer()
