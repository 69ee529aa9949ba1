"""A completion port of Windows: what has been begun, and what has come of it. It knows no connection.

# Facts about completion ports
- The kernel writes to an operation until its outcome has been taken, also after its socket was closed. So an operation
  lives on the heap by itself, and is freed with its outcome, never before.
- An operation that fails at once has no outcome. One that succeeds at once has one, unless its handle was told to skip
  that, as those of channels are.
- A handle belongs to one port for good, duplicates included. A poll of a socket is an operation of AFD's handle, which
  is here, and not of the socket: any socket can be polled, whatever its port is.
- A poll tells the level, once. It holds the socket open, and ends when the last handle of it is closed.
- What a thread has begun ends with the thread, but not for handles that belong to a port.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, calloc, free, malloc, realloc
from cython.cimports.vanilla.backends.interface import EVENTS_MAX
from cython.cimports.vanilla.net.platform import EIO, close_socket
from cython.cimports.vanilla.net.windows import (
    INFINITE,
    INVALID_HANDLE_VALUE,
    POLL_LOCAL_CLOSE,
    WAIT_TIMEOUT,
    CancelIoEx,
    CloseHandle,
    CreateIoCompletionPort,
    GetLastError,
    GetQueuedCompletionStatusEx,
    PostQueuedCompletionStatus,
    open_afd,
    poll_afd,
)

BLOCK_BYTES = 64 * 1024  # of what is copied for a send that the kernel does not take at once
SPARE_MAX = 16  # blocks that are kept for the next ones: a mebibyte
DRAIN_TURNS, DRAIN_TURN_MS = 20, 50  # at the end, for outcomes that are still to come: cancelled, they come at once
TIMEOUT_MS_MAX = 2**31 - 1  # 24 days, as elsewhere


@cython.final
@cython.cclass
class CompletionPort:
    """Owns the port, AFD's handle, and every operation that was given up."""

    def __cinit__(self) -> None:
        self.port = self.afd = cython.NULL  # before anything that can raise: __dealloc__ runs all the same
        self.reaped = cython.NULL
        self.reaped_count = self.reaped_size = 0
        self.pending_count = self.spare_count = 0
        self.port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, cython.NULL, 0, 1)
        if self.port is cython.NULL:
            raise OSError(None, "CreateIoCompletionPort", None, GetLastError())
        self.afd = open_afd(self.port, 0)
        if self.afd is cython.NULL:
            raise OSError(None, "\\Device\\Afd", None, GetLastError())

    def __dealloc__(self) -> None:
        if self.afd is not cython.NULL:
            CloseHandle(self.afd)
        if self.port is not cython.NULL:
            CloseHandle(self.port)
        while self.spare_count > 0:
            self.spare_count -= 1
            free(self.spare[self.spare_count])
        free(self.reaped)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def associate(self, fd: cython.int) -> cython.bint:
        """Have the outcomes of a socket come here."""
        return (
            CreateIoCompletionPort(cython.cast(HANDLE, cython.cast(cython.size_t, fd)), self.port, 0, 0)
            is not cython.NULL
        )

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def poll(self, polling: cython.pointer[Polling]) -> cython.bint:
        """Have an outcome come once one of the events holds; False if the socket cannot be polled."""
        polling.poll.timeout = 2**63 - 1
        polling.poll.handle_count = 1
        polling.poll.is_exclusive = 0
        polling.poll.handle = cython.cast(cython.p_void, cython.cast(cython.size_t, polling.fd))
        polling.poll.events = polling.events | POLL_LOCAL_CLOSE
        polling.poll.status = 0
        if not poll_afd(
            self.afd,
            cython.address(polling.operation.overlapped),
            cython.address(polling.poll),
            cython.sizeof(AfdPoll),
        ):
            return False
        self.note_begun(cython.address(polling.operation))
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def note_begun(self, operation: cython.pointer[Operation]) -> cython.void:
        """The operation will have an outcome."""
        operation.is_pending = True
        self.pending_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def give_up(self, fd: cython.int, operation: cython.pointer[Operation]) -> cython.void:
        """Nobody waits for an operation any more: cancel it, unless it is over. A poll is AFD's: its `fd` is -1."""
        handle: HANDLE = self.afd if fd < 0 else cython.cast(HANDLE, cython.cast(cython.size_t, fd))
        if operation is cython.NULL:
            return
        if not operation.is_pending:
            self.drop(operation)
            return
        operation.is_given_up = True
        CancelIoEx(handle, cython.address(operation.overlapped))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reap(self, timeout_ms: cython.longlong) -> cython.int:
        """Fetch outcomes, behind those that were fetched and not taken yet; 0 or -errno. Below 0 waits for ever."""
        count: DWORD = 0
        entries: cython.pointer[OVERLAPPED_ENTRY]
        timeout: DWORD = INFINITE if timeout_ms < 0 else cython.cast(DWORD, min(timeout_ms, TIMEOUT_MS_MAX))
        if self.reaped_size - self.reaped_count < EVENTS_MAX:
            self.reaped_size = self.reaped_count + EVENTS_MAX
            entries = cython.cast(
                cython.pointer[OVERLAPPED_ENTRY],
                realloc(self.reaped, self.reaped_size * cython.sizeof(OVERLAPPED_ENTRY)),
            )
            if entries is cython.NULL:
                abort()
            self.reaped = entries
        if not GetQueuedCompletionStatusEx(
            self.port, self.reaped + self.reaped_count, EVENTS_MAX, cython.address(count), timeout, False
        ):
            return 0 if GetLastError() == WAIT_TIMEOUT else -EIO
        self.reaped_count += count
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self, index: cython.int) -> cython.pointer[Operation]:
        """The operation that a fetched outcome is of, once; NULL for a wake-up, or where nobody waits for it."""
        operation: cython.pointer[Operation] = cython.cast(cython.pointer[Operation], self.reaped[index].lpOverlapped)
        self.reaped[index].lpOverlapped = cython.NULL
        if operation is cython.NULL:
            return cython.NULL
        operation.is_pending = False
        self.pending_count -= 1
        if operation.is_given_up:
            self.drop(operation)
            return cython.NULL
        return operation

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop(self, operation: cython.pointer[Operation]) -> cython.void:
        """Free an operation that is over, and what it holds."""
        if operation.kind == OF_SEND:
            self.give_back(cython.cast(cython.pointer[Sending], operation).block)
        elif operation.kind == OF_ACCEPT:
            if cython.cast(cython.pointer[Accepting], operation).fd >= 0:
                close_socket(cython.cast(cython.pointer[Accepting], operation).fd)
        free(operation)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_block(self) -> cython.p_uchar:
        """BLOCK_BYTES for a send; NULL when there is no memory."""
        if self.spare_count > 0:
            self.spare_count -= 1
            return self.spare[self.spare_count]
        return cython.cast(cython.p_uchar, malloc(BLOCK_BYTES))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def give_back(self, block: cython.p_uchar) -> cython.void:
        """The block is of no use any more."""
        if block is not cython.NULL and self.spare_count < SPARE_MAX:
            self.spare[self.spare_count] = block
            self.spare_count += 1
        else:
            free(block)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drain(self) -> cython.void:
        """At the end: free what was given up, as its outcomes come. What has none by then is leaked, not freed: the
        kernel may still write to it.
        """
        turn: cython.int
        index: cython.int
        operation: cython.pointer[Operation]
        for turn in range(DRAIN_TURNS):
            for index in range(self.reaped_count):
                operation = self.take(index)
                if operation is not cython.NULL:
                    self.drop(operation)
            self.reaped_count = 0
            if self.pending_count == 0 or self.reap(DRAIN_TURN_MS) < 0:
                break

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        """Have the wait that is under way, or else the next one, return. Any thread."""
        PostQueuedCompletionStatus(self.port, 0, 0, cython.NULL)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def new_operation(size: cython.size_t, kind: cython.int, channel: cython.pointer[Channel]) -> cython.p_void:
    """An operation, of `size` bytes with what belongs to its kind. Out of memory ends the process."""
    operation: cython.pointer[Operation] = cython.cast(cython.pointer[Operation], calloc(1, size))
    if operation is cython.NULL:
        abort()
    operation.kind = kind
    operation.channel = channel
    return operation
