from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.toolkit.seen_heads cimport SeenHeads
from vanilla.toolkit.use_order cimport UseOrder, Used, link, note_use, unlink

# The same answer as it is given without the GIL. It is a part of its Entry, which owns the bytes.
ctypedef struct Kept:
    const unsigned char *head    # NULL once the entry is dropped
    Py_ssize_t head_length
    const unsigned char *content
    Py_ssize_t content_length
    int status
    long long calm_s             # a second of the wall clock within which it stays fresh, and its age what it is
    Used used                    # by its Entry

# An answer, or the knowledge that there is none to keep.
cdef class Entry:
    cdef Kept kept
    cdef bytes fields            # status line and fields, without Age
    cdef bytes head              # the same with Age, the blank line, and short content; None once the entry is dropped
    cdef Py_ssize_t joined       # bytes of content in there
    cdef bytes content           # longer content
    cdef bytes unchanged         # what a 304 in its place has, without Age
    cdef bytes etag
    cdef object last_modified    # seconds since the epoch, or None
    cdef long long age           # that `head` says
    cdef double born             # on the cache's clock, when its age was 0
    cdef double fresh_until
    cdef double stale_until      # may be answered until then while it is refreshed
    cdef double retry_at         # of a refresh that failed
    cdef bint is_public          # also for requests with Authorization
    cdef bint is_pass            # nothing is kept: requests of this key do not wait for each other
    cdef bint is_refreshing
    cdef Py_ssize_t size
    cdef Group group
    cdef bytes key

    cdef int show(self, bytes head, bytes content) except -1
    cdef int hide(self) except -1

# What is kept for one target.
cdef class Group:
    cdef bytes target
    cdef tuple names             # of the fields of the request that the answer depends on
    cdef dict entries            # by method and values of these

cdef class Counts:
    cdef readonly long long hits
    cdef readonly long long misses
    cdef readonly long long evictions

# What one worker keeps.
cdef class Store:
    cdef object __weakref__
    cdef object worker
    cdef Counts counts
    cdef dict groups             # by target
    cdef dict flights            # by (target, key): what a handler is answering
    cdef SeenHeads seen
    cdef readonly Py_ssize_t stored_bytes
    cdef readonly Py_ssize_t max_bytes
    cdef UseOrder order

    cdef int add(self, Entry entry) except -1
    cdef int drop(self, Entry entry) except -1
    cdef int drop_target(self, bytes target) except -1

cdef int give_at_once(Store store, const Framed *framed, ResponseBuffer answers, long long now_s) noexcept nogil
cdef bint is_special(Request request) noexcept
cdef bytes find_key(Request request, tuple names, bint is_head)
cdef Entry find_entry(Store store, bytes target, Request request, bint is_head)
cdef int append_entry(Response response, Entry entry, bint is_head) except -1
