from vanilla.contract.request cimport Request
from vanilla.contract.response cimport Response

cdef class CompiledHandler:
    cdef object answer(self, Request request, Response response, object worker)
