from vanilla.buffers cimport FilePart, ResponseBuffer
from vanilla.contract.head cimport ResponseHead, check_field
from vanilla.contract.request cimport Framed
from vanilla.files cimport OpenFile
from vanilla.http1.head cimport CR, equals
from vanilla.http1.reply cimport DateLine

cdef Py_ssize_t FILE_COPY_BYTES

# How what is appended to an answer becomes content: as it stands, in chunks, up to a length that was given, until the
# connection closes, or not at all.
cdef enum:
    RAW
    CHUNKED
    SIZED
    UNTIL_CLOSE
    BODYLESS

cdef class Response(ResponseHead):
    cdef DateLine date
    cdef Framed *framed          # the request that this answers, while its handler or a continuation runs
    cdef object loop             # what waits for clients; None for a response made by hand
    cdef object parked           # the request, once its coroutine has waited
    cdef int coding
    cdef int begun_status        # of the head that has left; negated, that of the refusal in its place
    cdef Py_ssize_t informed     # bytes of interim answers at the start
    cdef long long unwritten     # of the length that was given
    cdef bint has_ended          # its content is whole
    cdef bytes trailing
    cdef object encoder          # what its content goes through; None at first
    cdef bint is_counted         # what is written is held against `unwritten`, though it is sent in another length
    cdef object source
    cdef object awaited
    cdef object taking           # what takes the connection over once this answer is complete

    cdef bytes copy(self, Py_ssize_t start, Py_ssize_t end)
    cdef bint has_head(self) noexcept
    cdef int check_unbegun(self) except -1
    cdef int append_file_answer(self, bytes before, bytes behind, OpenFile file) except -1
    cdef int append_file(self, OpenFile kept, int fd, long long offset, Py_ssize_t count) except -1
    cdef int append_held(self, OpenFile kept, int fd, long long offset, Py_ssize_t count) noexcept
    cdef int append_copy(self, int fd, long long offset, Py_ssize_t count) noexcept
    cdef int append_fields(self, object content_type, object headers) except -1
    cdef int append_start(self, int status, object headers, object content_type, object length) except -1
    cdef int append_content(self, object data) except -1
    cdef int append_framed(self, object data) except -1
    cdef bytes take_content(self, Py_ssize_t start)
    cdef int frame_anew(self) except -1
    cdef int sync_content(self) except -1
    cdef int encode_file(self, int fd, long long offset, Py_ssize_t count) except -1
    cdef bint end_content(self) except -1
    cdef void forget(self) noexcept
    cdef int append(self, object data) except -1
    cdef int append_raw(self, object data) except -1
    cdef int append_reply(self, int status, object body, object content_type, object headers) except -1
    cdef int append_field(self, object name, object value) except -1
