from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.compiled cimport CompiledHandler
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.contract.worker cimport Worker
from vanilla.http1.reply cimport DateLine
from vanilla.toolkit.seen_heads cimport SEEN_BYTES_MAX, SeenHeads

# An answer but for its Date, which comes between the two. It is a part of its Variant, which owns the bytes.
ctypedef struct Made:
    const unsigned char *line
    Py_ssize_t line_length
    const unsigned char *rest
    Py_ssize_t rest_length
    int status

cdef class Variant:
    cdef Made made_whole
    cdef Made made_unchanged
    cdef readonly bytes etag
    cdef readonly bytes whole      # a 200 behind its Date, content and all
    cdef readonly bytes unchanged  # a 304 likewise

cdef class Asset:
    cdef readonly tuple codings    # that there is a variant for, the best first; "identity" last
    cdef readonly tuple variants
    cdef dict chosen               # by the value of Accept-Encoding

cdef class StaticAssets(CompiledHandler):
    cdef readonly dict assets      # by path, escaped as clients do
    cdef Asset fallback
    cdef object not_found

    cdef Asset look_up(self, Request request)
    cdef object answer_slowly(self, Request request, Response response, object worker, SeenHeads seen)

cdef Variant choose_variant(Asset asset, Request request)
cdef int append_made(Response response, const Made *made) except -1
cdef bint append_pieces(ResponseBuffer answers, DateLine date, const Made *made) noexcept nogil
