# A place in the order, a part of what `owner` is.
ctypedef struct Used:
    Used *newer
    Used *older
    void *owner

ctypedef struct UseOrder:
    Used *newest
    Used *oldest

cdef void link(UseOrder *order, Used *used) noexcept nogil
cdef void unlink(UseOrder *order, Used *used) noexcept nogil
cdef void note_use(UseOrder *order, Used *used) noexcept nogil
