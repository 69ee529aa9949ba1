from vanilla.contract.compiled cimport CompiledHandler
from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response

cdef class Variant:
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

cdef Variant choose_variant(Asset asset, Request request)
cdef int append_answer(Response response, bytes line, bytes rest) except -1
