"""io_uring(7): the kernel receives by itself, and one call a tick brings what came and takes what was answered.

The mechanism is a chain of classes, each with what one concern needs, and the facts that shape it:

    RingSubmissions  ring_submissions  what is asked of the ring, and by which name
    RingListeners    ring_listeners    connections that come
    RingDeliveries   ring_deliveries   what was received: reported, or kept
    RingReceives     ring_receives     channels, and how they are received from
    RingSends        ring_sends        what is sent
    RingWatches      ring_watches      descriptors of the user's
    IoUring          io_uring          waiting
"""

from __future__ import annotations

import os
import socket

import cython
from cython.cimports.vanilla.backends.ring_deliveries import drop_kept
from cython.cimports.vanilla.backends.ring_submissions import (
    KIND_MASK,
    OF_ACCEPT,
    OF_HANGUPS,
    OF_INPUT,
    OF_NOTHING,
    OF_OUTPUT,
    OF_RECEIVE,
    OF_SEND,
    OF_WAKE,
    OF_WATCH,
    name_accept,
)
from cython.cimports.vanilla.buffers import SlabPool
from cython.cimports.vanilla.net.linux import EFD_CLOEXEC, eventfd
from cython.cimports.vanilla.net.posix import EINVAL, close, errno, write
from cython.cimports.vanilla.net.uring import OP_READ, OP_RECV, RECEIVE_MULTISHOT, SUBMIT_BUFFER_SELECT

from vanilla.backends.ring_settings import read_settings


@cython.final
@cython.cclass
class IoUring(RingWatches):
    """Owns its wake-up descriptor, and has each outcome done by the part that it is for.

    Args:
        pool: of the engine's own slabs.
        settings: see `read_settings`.

    Raises: OSError where the kernel makes no ring, or lacks something that is needed.
    """

    def __cinit__(self, pool: SlabPool, settings: object = None) -> None:
        self.wake_fd = -1  # before anything that can raise: __dealloc__ runs all the same
        self.name = "io_uring"
        self.pool = pool
        chosen: object = read_settings(os.environ.get("VANILLA_IO_URING", "")) if settings is None else settings
        self.accepts_many = "multishot_accept" in chosen.features
        self.receives_many = "multishot_receive" in chosen.features
        self.open_ring(chosen)
        self.open_wake()
        self.open_hangups()

    def __dealloc__(self) -> None:
        if self.ring is not None and self.ring.fd >= 0:
            self.cancel_everything()
        if self.wake_fd >= 0:
            close(self.wake_fd)

    def list_features(self) -> dict[str, bool]:
        """Which of FEATURES this kernel has: two are tried, since no call tells. For a ring that serves nobody."""
        ours, theirs = socket.socketpair()
        with ours, theirs, socket.socket() as listener:
            listener.listen(1)
            self.listener_fds[0] = listener.fileno()
            self.resume_listener(0)
            entry: cython.pointer[Submission] = self.ring.submission(OP_RECV, ours.fileno(), OF_NOTHING)
            entry.flags = SUBMIT_BUFFER_SELECT
            entry.priority = RECEIVE_MULTISHOT
            self.finish()
            for index in range(self.ring.reaped_count):
                if self.ring.reaped[index].result == -EINVAL:
                    self.accepts_many &= self.ring.reaped[index].user_data != name_accept(0)
                    self.receives_many &= self.ring.reaped[index].user_data != OF_NOTHING
            self.listener_fds[0] = -1
        return {
            "deferred": self.ring.task_run == "deferred",
            "cooperative": True,
            "multishot_accept": self.accepts_many,
            "multishot_receive": self.receives_many,
            "shared_buffers": self.offered.is_incremental,
        }

    # Waking.

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open_wake(self) -> cython.int:
        """Have other threads able to wake this one. Raises: OSError."""
        self.wake_fd = eventfd(0, EFD_CLOEXEC)
        if self.wake_fd < 0:
            raise OSError(errno, f"eventfd: {os.strerror(errno)}")
        self.arm_wake()
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_wake(self) -> cython.void:
        """Complete once another thread wants this one to return from its wait."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_READ, self.wake_fd, OF_WAKE)
        entry.address = cython.cast(cython.size_t, cython.address(self.wakes))
        entry.length = 8

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        one: cython.ulonglong = 1
        write(self.wake_fd, cython.address(one), 8)

    # Waiting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        index: cython.int
        result: cython.int
        self.completion_count = 0
        self.wait_number += 1
        drop_kept(cython.address(self.delivered))
        if self.offered.spent_count > 0:
            self.offered.recycle()
        if self.listed.count > 0:
            self.look_at_listed()
        if self.kept_count > 0 or self.has_listener_listed:
            self.let_in()
        if self.rearmed.count > 0:
            self.rearm_watches()
        if self.completion_count > 0 or self.ring.reaped_count > 0 or self.listed.count > 0:
            timeout_ms = 0
        result = self.ring.wait(timeout_ms)
        if result < 0:
            return result
        if self.ring.unsubmitted > 0:
            self.ring.submit()
            self.ring.reap_all()
        for index in range(self.ring.reaped_count):
            self.take(cython.address(self.ring.reaped[index]))
        self.ring.reaped_count = 0
        self.forget_sends()
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """Do what one outcome is for."""
        kind: cython.int = cython.cast(cython.int, outcome.user_data & KIND_MASK)
        if kind == OF_RECEIVE:
            self.take_received(outcome)
        elif kind == OF_SEND:
            self.take_sent(outcome)
        elif kind == OF_ACCEPT:
            self.take_accepted(outcome, False)
        elif kind == OF_WATCH:
            self.take_watched(outcome)
        elif kind == OF_WAKE:
            self.arm_wake()
        elif kind == OF_HANGUPS:
            self.take_hangups(outcome)
        elif kind == OF_OUTPUT:
            self.take_writable(outcome)
        elif kind == OF_INPUT:
            self.take_input(outcome)


def find_fault() -> str | None:
    """Why this kernel lets nobody have an io_uring, or none that serves; None if it does."""
    try:
        IoUring(SlabPool())
    except OSError as error:
        return f"io_uring cannot be had here: {error.strerror}"
    return None


def list_features() -> dict[str, bool]:
    """The features of `ring_settings.FEATURES` by name, and whether this kernel has each.

    Raises: OSError if it lets nobody have a ring.
    """
    return IoUring(SlabPool()).list_features()
