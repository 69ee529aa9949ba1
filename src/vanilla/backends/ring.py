"""One io_uring: its two queues in memory shared with the kernel, and the calls that move them.

# Facts about io_uring
- What is submitted is tried at once, in order, inside io_uring_enter(2); only what would have to wait completes
  later.
- With DEFER_TASKRUN (Linux 6.1) what completes later does so only inside a call that asks for events, on the thread
  that owns the ring: nothing of ours changes behind our back. Before that, COOP_TASKRUN (5.19): on any system call.
- SINGLE_ISSUER wants one thread to do everything. So the ring is made disabled, and the first to enter it is that
  thread.
- A queue of outcomes that is full loses nothing (NODROP): the kernel keeps the rest, says so by a flag, and ends what
  would go on by itself (multishot); a call that asks for events brings the rest.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.libc.string import memset
from cython.cimports.vanilla.atomics import ACQUIRE, RELEASE, atomic_load_unsigned, atomic_store_unsigned
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    EINTR,
)
from cython.cimports.vanilla.net.posix import (
    EBUSY,
    EINVAL,
    ENOSYS,
    ETIME,
    close,
    errno,
)
from cython.cimports.vanilla.net.uring import (
    ENTER_EXT_ARG,
    ENTER_GETEVENTS,
    FEATURE_CQE_SKIP,
    FEATURE_EXT_ARG,
    FEATURE_NODROP,
    FEATURE_SINGLE_MMAP,
    MAP_FAILED,
    MAP_POPULATE,
    MAP_SHARED,
    OFFSET_RINGS,
    OFFSET_SUBMISSIONS,
    PROT_READ,
    PROT_WRITE,
    QUEUE_OUTCOMES_OVERFLOW,
    REGISTER_ENABLE_RINGS,
    SETUP_CLAMP,
    SETUP_COOP_TASKRUN,
    SETUP_CQSIZE,
    SETUP_DEFER_TASKRUN,
    SETUP_R_DISABLED,
    SETUP_SINGLE_ISSUER,
    SETUP_SUBMIT_ALL,
    SYS_IO_URING_ENTER,
    SYS_IO_URING_REGISTER,
    SYS_IO_URING_SETUP,
    KernelTime,
    RingParameters,
    WaitArgument,
    mmap,
    munmap,
    syscall,
)

# From the newest kernels to the oldest that will do: how what completes later is brought to its thread.
TASK_RUNS = (
    ("deferred", SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_COOP_TASKRUN),
    ("cooperative", SETUP_COOP_TASKRUN),
)
_NEEDED = FEATURE_SINGLE_MMAP | FEATURE_NODROP | FEATURE_EXT_ARG | FEATURE_CQE_SKIP


@cython.final
@cython.cclass
class Ring:
    """Owns its descriptor and what is mapped of it.

    Args:
        submissions, outcomes: room in the queues; the kernel rounds up to powers of two.
        task_runs: the names of TASK_RUNS that may be tried.

    Raises: OSError where the kernel makes none: ENOSYS too old, EPERM forbidden (seccomp, io_uring_disabled), ENOMEM
        and EMFILE limits.
    """

    def __cinit__(self) -> None:
        self.fd = -1  # before anything that can raise: __dealloc__ runs all the same
        self.queues = self.slots = MAP_FAILED
        self.reaped = cython.NULL
        self.reaped_count = self.reaped_size = 0
        self.unsubmitted = 0

    def __init__(self, submissions: cython.uint, outcomes: cython.uint, task_runs: object) -> None:
        parameters: RingParameters
        code: cython.int = EINVAL
        flags: cython.uint
        for name, bits in TASK_RUNS:
            if name not in task_runs:
                continue
            flags = bits
            memset(cython.address(parameters), 0, cython.sizeof(RingParameters))
            parameters.flags = flags | SETUP_CQSIZE | SETUP_CLAMP | SETUP_R_DISABLED | SETUP_SUBMIT_ALL
            parameters.outcome_count = outcomes
            self.fd = syscall(SYS_IO_URING_SETUP, submissions, cython.address(parameters))
            if self.fd >= 0:
                self.task_run = name
                break
            code = errno
            if code != EINVAL:
                break
        if self.fd < 0:
            raise OSError(code, f"io_uring_setup: {os.strerror(code)}")
        if parameters.features & _NEEDED != _NEEDED:
            raise OSError(ENOSYS, "io_uring_setup: this kernel's io_uring is too old; Linux 5.19 has what is needed")
        self.map(cython.address(parameters))

    def __dealloc__(self) -> None:
        if self.slots is not MAP_FAILED:
            munmap(self.slots, self.slots_size)
        if self.queues is not MAP_FAILED:
            munmap(self.queues, self.queues_size)
        if self.fd >= 0:
            close(self.fd)
        free(self.reaped)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def map(self, parameters: cython.pointer[RingParameters]) -> cython.int:
        """Find both queues in the memory that the kernel shares."""
        base: cython.p_char
        entry: cython.uint
        array: cython.pointer[cython.uint]
        protection: cython.int = PROT_READ | PROT_WRITE
        flags: cython.int = MAP_SHARED | MAP_POPULATE
        self.queues_size = max(
            parameters.submissions.array + parameters.submission_count * cython.sizeof(cython.uint),
            parameters.outcomes.outcomes + parameters.outcome_count * cython.sizeof(Outcome),
        )
        self.slots_size = parameters.submission_count * cython.sizeof(Submission)
        self.queues = mmap(cython.NULL, self.queues_size, protection, flags, self.fd, OFFSET_RINGS)
        if self.queues is not MAP_FAILED:
            self.slots = mmap(cython.NULL, self.slots_size, protection, flags, self.fd, OFFSET_SUBMISSIONS)
        if self.slots is MAP_FAILED:
            raise OSError(errno, f"io_uring: mmap: {os.strerror(errno)}")
        base = cython.cast(cython.p_char, self.queues)
        self.submissions = cython.cast(cython.pointer[Submission], self.slots)
        self.submission_count = parameters.submission_count
        self.submission_head = cython.cast(cython.pointer[cython.uint], base + parameters.submissions.head)
        self.submission_tail = cython.cast(cython.pointer[cython.uint], base + parameters.submissions.tail)
        self.submission_flags = cython.cast(cython.pointer[cython.uint], base + parameters.submissions.flags)
        self.outcomes = cython.cast(cython.pointer[Outcome], base + parameters.outcomes.outcomes)
        self.outcome_mask = parameters.outcome_count - 1
        self.outcome_head = cython.cast(cython.pointer[cython.uint], base + parameters.outcomes.head)
        self.outcome_tail = cython.cast(cython.pointer[cython.uint], base + parameters.outcomes.tail)
        array = cython.cast(cython.pointer[cython.uint], base + parameters.submissions.array)
        for entry in range(parameters.submission_count):
            array[entry] = entry  # an indirection that nobody needs
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def submission(self, opcode: cython.int, fd: cython.int, user_data: cython.ulonglong) -> cython.pointer[Submission]:
        """A blank entry at the end of the queue, which is submitted first if it is full."""
        entry: cython.pointer[Submission]
        tail: cython.uint = self.submission_tail[0]
        while tail - atomic_load_unsigned(self.submission_head, ACQUIRE) == self.submission_count:
            self.submit()
        entry = cython.address(self.submissions[tail & (self.submission_count - 1)])
        memset(entry, 0, cython.sizeof(Submission))
        entry.opcode = cython.cast(cython.uchar, opcode)
        entry.fd = fd
        entry.user_data = user_data
        atomic_store_unsigned(self.submission_tail, tail + 1, RELEASE)
        self.unsubmitted += 1
        return entry

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def submit(self) -> cython.void:
        """Have the kernel try everything that is in the queue."""
        result: cython.int
        while self.unsubmitted > 0:
            result = self.enter(0, 0)
            if result == -EBUSY or result == -EAGAIN:
                self.reap_all()  # it wants room for outcomes first
            elif result < 0:
                abort()  # the ring is not ours any more: nothing could be told to anybody

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def enter(self, wanted: cython.uint, flags: cython.uint) -> cython.int:
        """io_uring_enter(2) without a timeout: what was submitted, or -errno. A signal is no error."""
        result: cython.int
        if not self.is_enabled:
            self.enable()
        result = syscall(SYS_IO_URING_ENTER, self.fd, self.unsubmitted, wanted, flags, cython.NULL, 0)
        if result < 0:
            return 0 if errno == EINTR else -errno
        self.unsubmitted -= result
        return result

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        """Submit, and wait until something completes, or the time is up; below 0 for ever. 0 or -errno."""
        result: cython.int
        if timeout_ms <= 0:
            result = self.enter(0 if timeout_ms == 0 else 1, ENTER_GETEVENTS)
        else:
            result = self.enter_until(timeout_ms)
        self.reap_all()
        return 0 if result >= 0 or result == -EBUSY or result == -EAGAIN else result

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def enter_until(self, timeout_ms: cython.longlong) -> cython.int:
        """io_uring_enter(2) for one event, or until the time is up: what was submitted, or -errno."""
        argument: WaitArgument
        until: KernelTime
        result: cython.int
        if not self.is_enabled:
            self.enable()
        memset(cython.address(argument), 0, cython.sizeof(WaitArgument))
        until.seconds = timeout_ms // 1000
        until.nanoseconds = timeout_ms % 1000 * 1_000_000
        argument.timeout = cython.cast(cython.size_t, cython.address(until))
        result = syscall(
            SYS_IO_URING_ENTER,
            self.fd,
            self.unsubmitted,
            1,
            ENTER_GETEVENTS | ENTER_EXT_ARG,
            cython.address(argument),
            cython.sizeof(WaitArgument),
        )
        if result < 0:  # nothing was submitted then
            return 0 if errno == ETIME or errno == EINTR else -errno
        self.unsubmitted -= result
        return result

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reap(self) -> cython.void:
        """Move what has completed to `reaped`, which makes room in the queue."""
        head: cython.uint = self.outcome_head[0]
        tail: cython.uint = atomic_load_unsigned(self.outcome_tail, ACQUIRE)
        count: cython.int = cython.cast(cython.int, tail - head)
        if self.reaped_size - self.reaped_count < count:
            self.reaped_size = max(self.reaped_size * 2, self.reaped_count + count, 256)
            self.reaped = cython.cast(
                cython.pointer[Outcome], realloc(self.reaped, self.reaped_size * cython.sizeof(Outcome))
            )
            if self.reaped is cython.NULL:
                abort()
        while head != tail:
            self.reaped[self.reaped_count] = self.outcomes[head & self.outcome_mask]
            self.reaped_count += 1
            head += 1
        atomic_store_unsigned(self.outcome_head, head, RELEASE)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reap_all(self) -> cython.void:
        """Move everything that has completed to `reaped`, with what the queue had no room for."""
        self.reap()
        while atomic_load_unsigned(self.submission_flags, ACQUIRE) & QUEUE_OUTCOMES_OVERFLOW:
            self.enter(0, ENTER_GETEVENTS)
            self.reap()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def enable(self) -> cython.void:
        """The calling thread is the ring's from now on."""
        self.is_enabled = True
        if syscall(SYS_IO_URING_REGISTER, self.fd, REGISTER_ENABLE_RINGS, cython.NULL, 0) < 0:
            abort()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def register(self, operation: cython.uint, argument: cython.p_void, count: cython.uint) -> cython.int:
        """io_uring_register(2): 0 or more, or -errno."""
        result: cython.int = syscall(SYS_IO_URING_REGISTER, self.fd, operation, argument, count)
        return result if result >= 0 else -errno
