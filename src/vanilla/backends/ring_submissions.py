"""What is asked of an io_uring, by name: the first link of the mechanism, which owns the ring.

# Facts that shape this
- An operation holds the file open. So closing is cancelling and closing, in that order; what completes for a
  connection that is gone names a generation that is over. Cancelling by descriptor looks at every operation there is;
  by its own name an operation is found at once.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.string import memset
from cython.cimports.vanilla.net.uring import (
    CANCEL_ALL,
    CANCEL_ANY,
    ENTER_GETEVENTS,
    OP_ASYNC_CANCEL,
    OP_CLOSE,
    OP_POLL_ADD,
    REGISTER_SYNC_CANCEL,
    SUBMIT_SKIP_SUCCESS,
    CancelRegistration,
)

from vanilla.backends.ring import TASK_RUNS


@cython.cclass
class RingSubmissions(Sockets):
    """Owns the ring, and the buffers that it receives into; has what any operation needs said and ended."""

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open_ring(self, settings: object) -> cython.int:
        """Make the ring and its buffers. Raises: OSError where the kernel refuses."""
        task_runs = [name for name, _ in TASK_RUNS if name in settings.features]
        self.ring = Ring(settings.submissions, settings.completions, task_runs)
        self.offered = OfferedBuffers(self.ring, settings.buffers, "shared_buffers" in settings.features)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def cancel(self, user_data: cython.ulonglong) -> cython.void:
        """End one operation; it completes once more, as cancelled, unless it is over already."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_ASYNC_CANCEL, -1, OF_NOTHING)
        entry.flags = SUBMIT_SKIP_SUCCESS
        entry.address = user_data

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def cancel_everything(self) -> cython.void:
        """Have nothing under way: the kernel must not write to memory that is about to go.

        Kernels that cannot do this end it by themselves.
        """
        everything: CancelRegistration
        memset(cython.address(everything), 0, cython.sizeof(CancelRegistration))
        everything.flags = CANCEL_ANY | CANCEL_ALL
        everything.seconds = everything.nanoseconds = -1
        self.ring.register(REGISTER_SYNC_CANCEL, cython.address(everything), 1)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_fd(self, fd: cython.int) -> cython.void:
        """Close a descriptor, behind what was submitted before; what was under way on it has been cancelled by then."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_CLOSE, fd, OF_NOTHING)
        entry.flags = SUBMIT_SKIP_SUCCESS

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def finish(self) -> cython.void:
        before: cython.int = -1
        self.ring.submit()
        while self.ring.reaped_count != before:  # what was cancelled lets go of its file only now, some at a time
            before = self.ring.reaped_count
            self.ring.enter(0, ENTER_GETEVENTS)
            self.ring.reap_all()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_poll(self, fd: cython.int, mask: cython.uint, user_data: cython.ulonglong) -> cython.void:
        """Complete once a descriptor is ready, or broken."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_POLL_ADD, fd, user_data)
        entry.operation_flags = mask
