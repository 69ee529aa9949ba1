from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.compiled cimport CompiledHandler
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport RAW, Response
from vanilla.contract.worker cimport Worker
from vanilla.http1.head cimport find_line_end
from vanilla.http1.reply cimport DateLine
from vanilla.net.platform cimport read_wall_clock_s
from vanilla.toolkit.kept_answers cimport (
    Entry,
    Group,
    Kept,
    Store,
    append_entry,
    find_entry,
    find_key,
    give_at_once,
    is_special,
)
from vanilla.toolkit.seen_heads cimport SEEN_BYTES_MAX
from vanilla.toolkit.use_order cimport note_use
cdef Py_ssize_t ENTRY_BYTES, JOINED_BYTES_MAX
cdef int NONE, FRESH, STALE

cdef class Flight:
    cdef CachedHandler cache
    cdef Store store
    cdef bytes target
    cdef bytes key
    cdef tuple names
    cdef Entry stale             # what it refreshes
    cdef list waiting
    cdef bint may_keep
    cdef bint is_authorized
    cdef bint is_over

    cdef int land(self, object worker, bint is_kept) except -1

cdef class CachedHandler(CompiledHandler):
    cdef readonly object handler
    cdef double ttl
    cdef double stale_seconds
    cdef tuple names
    cdef Py_ssize_t max_bytes
    cdef object clock
    cdef object statuses
    cdef bint by_host
    cdef bint clients_may_refresh
    cdef bint refreshes_behind
    cdef list stores             # weak references, one for each worker
    cdef list counts
    cdef Store spare             # for calls without a worker

    cdef Store reach(self, object worker)
    cdef object answer_slowly(self, Request request, Response response, object worker, Store store)
    cdef object lead(self, Request request, Response response, object worker, Flight flight)
    cdef object follow(self, Request request, Response response, object worker, Store store, Flight flight)
    cdef object reply(self, Request request, Response response, Store store, Entry entry)
    cdef int check(self, Store store, Entry entry, double now) except -1
    cdef int begin_refresh(self, Request request, object worker, Store store, Entry entry) except -1
    cdef bytes find_target(self, Request request)
    cdef bint keep(self, Flight flight, Request request, Response response) except -1
    cdef int forget_target(self, Store store, bytes target) except -1
