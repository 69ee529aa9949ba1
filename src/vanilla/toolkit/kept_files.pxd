from vanilla.contract.compiled cimport CompiledHandler
from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response
from vanilla.contract.worker cimport Worker
from vanilla.files cimport OpenFile
from vanilla.http1.head cimport COLON, equals, find_line_end
from vanilla.http1.reply cimport DATE_BYTES
from vanilla.net.platform cimport read_monotonic_ns
from vanilla.toolkit.use_order cimport UseOrder, Used, link, note_use, unlink

cdef Py_ssize_t CHOICES_MAX, SIBLINGS_KNOWN_MAX

# A file that is open, and all that is said of it.
cdef class Kept:
    cdef readonly OpenFile file
    cdef readonly list names
    cdef readonly object status
    cdef public double checked       # when it was looked at last, by the clock of the handler
    cdef readonly bytes etag
    cdef readonly bytes media_type
    cdef readonly list fields        # of a 200
    cdef readonly list whole         # of a 200 with Content-Type, as it is sent most of all
    cdef bint is_made                # the lines of a whole 200 are, or it is known that there can be none
    cdef bytes before                # those in front of Date; None where a field is Date, or closes the connection
    cdef bytes behind
    cdef object key
    cdef Used used

    cdef int make_lines(self) except -1

# The codings that a path has precompressed files for.
cdef class Siblings:
    cdef readonly double looked
    cdef readonly tuple codings      # the best first
    cdef dict chosen                 # by the value of Accept-Encoding

    cdef object choose_for(self, Request request)

# What one worker keeps.
cdef class Shelf:
    cdef dict kept                   # by path, or (path, coding)
    cdef dict siblings               # by path
    cdef UseOrder order

cdef class KeptFiles(CompiledHandler):
    cdef double revalidate
    cdef bint has_siblings
    cdef object local                # shelves of threads that are no worker's

    cdef Shelf reach(self, object worker)

cdef object key_of(bytes path, object coding)
cdef bint has_condition(Request request) noexcept nogil
