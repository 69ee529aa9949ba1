from vanilla.buffers cimport ResponseBuffer
from vanilla.contract.request cimport Framed, Request
from vanilla.contract.response cimport Response
from vanilla.contract.worker cimport Worker
from vanilla.http1.reply cimport DateLine

cdef class CompiledHandler:
    cdef object answer(self, Request request, Response response, object worker)
    cdef int answer_at_once(
        self, Worker worker, const Framed *framed, ResponseBuffer answers, DateLine date
    ) noexcept nogil
