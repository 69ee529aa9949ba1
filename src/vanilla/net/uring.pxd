# The kernel's side of io_uring: io_uring_setup(2), io_uring_enter(2), io_uring_register(2), as include/uapi/linux/io_uring.h
# lays it out. Declared here, since installed headers lack what newer kernels have, and no library is needed.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

# struct io_uring_sqe: one thing to do. What a name stands for depends on the operation.
ctypedef struct Submission:
    uint8_t opcode
    uint8_t flags
    uint16_t priority        # or flags of a receive or an accept
    int32_t fd
    uint64_t offset          # or the second address
    uint64_t address
    uint32_t length          # or flags of a poll
    uint32_t operation_flags # of a message, an accept, a cancellation; the mask of a poll
    uint64_t user_data
    uint16_t buffer_group
    uint16_t personality
    int32_t file_index
    uint64_t address3
    uint64_t padding

# struct io_uring_cqe: what came of it.
ctypedef struct Outcome:
    uint64_t user_data
    int32_t result
    uint32_t flags

# struct io_uring_buf: a buffer offered for receiving. The tail of the ring of them stands in the first one's last field.
ctypedef struct OfferedBuffer:
    uint64_t address
    uint32_t length
    uint16_t id
    uint16_t tail

ctypedef struct SubmissionOffsets:
    uint32_t head
    uint32_t tail
    uint32_t ring_mask
    uint32_t ring_entries
    uint32_t flags
    uint32_t dropped
    uint32_t array
    uint32_t reserved
    uint64_t user_address

ctypedef struct OutcomeOffsets:
    uint32_t head
    uint32_t tail
    uint32_t ring_mask
    uint32_t ring_entries
    uint32_t overflow
    uint32_t outcomes
    uint32_t flags
    uint32_t reserved
    uint64_t user_address

ctypedef struct RingParameters:
    uint32_t submission_count
    uint32_t outcome_count
    uint32_t flags
    uint32_t thread_cpu
    uint32_t thread_idle
    uint32_t features
    uint32_t workers_fd
    uint32_t reserved[3]
    SubmissionOffsets submissions
    OutcomeOffsets outcomes

ctypedef struct BufferRingRegistration:
    uint64_t address
    uint32_t entry_count
    uint16_t group
    uint16_t flags
    uint64_t reserved[3]

ctypedef struct CancelRegistration:
    uint64_t address
    int32_t fd
    uint32_t flags
    int64_t seconds
    int64_t nanoseconds
    uint8_t opcode
    uint8_t padding[7]
    uint64_t padding2[3]

ctypedef struct WaitArgument:
    uint64_t signal_mask
    uint32_t signal_mask_size
    uint32_t padding
    uint64_t timeout

ctypedef struct KernelTime:
    int64_t seconds
    long long nanoseconds

cdef enum:
    # numbers of the calls, the same on every architecture
    SYS_IO_URING_SETUP = 425
    SYS_IO_URING_ENTER = 426
    SYS_IO_URING_REGISTER = 427
    # where mmap(2) finds the parts
    OFFSET_RINGS = 0
    OFFSET_SUBMISSIONS = 0x10000000
    # flags of a ring
    SETUP_CQSIZE = 1 << 3
    SETUP_CLAMP = 1 << 4
    SETUP_R_DISABLED = 1 << 6
    SETUP_SUBMIT_ALL = 1 << 7
    SETUP_COOP_TASKRUN = 1 << 8
    SETUP_SINGLE_ISSUER = 1 << 12
    SETUP_DEFER_TASKRUN = 1 << 13
    # what a kernel has
    FEATURE_SINGLE_MMAP = 1 << 0
    FEATURE_NODROP = 1 << 1
    FEATURE_EXT_ARG = 1 << 8
    FEATURE_CQE_SKIP = 1 << 11
    # of io_uring_enter
    ENTER_GETEVENTS = 1 << 0
    ENTER_EXT_ARG = 1 << 3
    # of io_uring_register
    REGISTER_ENABLE_RINGS = 12
    REGISTER_PBUF_RING = 22
    REGISTER_SYNC_CANCEL = 24
    BUFFERS_INCREMENTAL = 2
    # of the submission queue
    QUEUE_OUTCOMES_OVERFLOW = 1 << 1
    # operations
    OP_POLL_ADD = 6
    OP_POLL_REMOVE = 7
    OP_ACCEPT = 13
    OP_ASYNC_CANCEL = 14
    OP_CLOSE = 19
    OP_READ = 22
    OP_SEND = 26
    OP_RECV = 27
    # of a submission
    SUBMIT_BUFFER_SELECT = 1 << 5
    SUBMIT_SKIP_SUCCESS = 1 << 6
    ACCEPT_MULTISHOT = 1 << 0
    RECEIVE_MULTISHOT = 1 << 1
    POLL_MULTISHOT = 1 << 0
    CANCEL_ALL = 1 << 0
    CANCEL_ANY = 1 << 2
    # of an outcome
    OUTCOME_BUFFER = 1 << 0
    OUTCOME_MORE = 1 << 1
    OUTCOME_BUFFER_MORE = 1 << 4
    OUTCOME_BUFFER_SHIFT = 16

cdef extern from "<unistd.h>" nogil:
    long syscall(long number, ...)

cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, PROT_WRITE, MAP_SHARED, MAP_POPULATE, MAP_PRIVATE, MAP_ANONYMOUS
    void *MAP_FAILED
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long long offset)
    int munmap(void *address, size_t length)
