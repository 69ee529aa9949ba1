from vanilla.net.uring cimport Outcome, RingParameters, Submission

cdef class Ring:
    cdef int fd
    cdef readonly str task_run
    cdef bint is_enabled
    cdef void *queues
    cdef size_t queues_size
    cdef void *slots
    cdef size_t slots_size
    cdef Submission *submissions
    cdef unsigned int submission_count
    cdef unsigned int *submission_head
    cdef unsigned int *submission_tail
    cdef unsigned int *submission_flags
    cdef int unsubmitted
    cdef Outcome *outcomes
    cdef unsigned int outcome_mask
    cdef unsigned int *outcome_head
    cdef unsigned int *outcome_tail
    cdef Outcome *reaped         # what has completed, for whoever reaped it to look at
    cdef int reaped_count
    cdef int reaped_size

    cdef int map(self, RingParameters *parameters) except -1
    cdef Submission *submission(self, int opcode, int fd, unsigned long long user_data) noexcept nogil
    cdef void submit(self) noexcept nogil
    cdef int enter(self, unsigned int wanted, unsigned int flags) noexcept nogil
    cdef int enter_until(self, long long timeout_ms) noexcept nogil
    cdef int wait(self, long long timeout_ms) noexcept nogil
    cdef void reap(self) noexcept nogil
    cdef void reap_all(self) noexcept nogil
    cdef void enable(self) noexcept nogil
    cdef int register(self, unsigned int operation, void *argument, unsigned int count) noexcept nogil
