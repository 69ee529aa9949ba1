"""Completion ports, the mechanism of Windows. Receiving is done as by mechanisms that tell readiness: see below.

# Facts that shape this
- A receive of no bytes completes once there is something to receive, and holds no buffer until then. The bytes are
  received by recv() where the engine wants them, so nothing is written behind its back.
- A channel that is paused keeps that receive: a reset ends it. Once it has told of input that nobody receives, a poll
  by AFD for a reset alone stands in: it says nothing of a half-close.
- Who is reset is told by the outcome. Afterwards recv() may say anything, what came before can still be received.
- send() without room takes nothing, and nothing tells of room but an outcome: so what it has not taken is copied to a
  block and sent by an operation. When that is done the engine learns how much has been taken, and goes on behind it.
- send() takes all that it is given while the socket's buffer has any room: so it is given no more than SEND_BYTES_MAX.
- TransmitFile completes later, always. Windows for workstations does two at a time, for all processes: a client that
  does not read would hold one of them. There files are read and sent like anything else.
- Only sockets can be watched. A number that is no socket may be an open file's, which the C runtime knows.
"""

from __future__ import annotations

import os
import sys

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.vanilla.backends.acceptex import has_failed
from cython.cimports.vanilla.backends.completions import (
    BLOCK_BYTES,
    OF_ACCEPT,
    OF_HANGUP,
    OF_LISTENER,
    OF_RECEIVE,
    OF_SEND,
    OF_WATCH,
    new_operation,
)
from cython.cimports.vanilla.backends.interface import (
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
    EVENTS_MAX,
    LISTENERS_MAX,
    READY,
    RECEIVE_BYTES_MIN,
    RECEIVED,
    WRITABLE,
)
from cython.cimports.vanilla.buffers import SlabPool
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    EBADF,
    ECONNRESET,
    EINTR,
    EIO,
    ENOMEM,
    EPERM,
    c_assert,
    close_socket,
    read_file,
    recv,
    send,
)
from cython.cimports.vanilla.net.windows import (
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS,
    FILE_SKIP_SET_EVENT_ON_HANDLE,
    INVALID_HANDLE_VALUE,
    MSG_PEEK,
    POLL_ABORT,
    POLL_ACCEPT,
    POLL_CONNECT_FAIL,
    POLL_DISCONNECT,
    POLL_LOCAL_CLOSE,
    POLL_RECEIVE,
    POLL_SEND,
    SD_SEND,
    SO_TYPE,
    SOL_SOCKET,
    WSA_IO_PENDING,
    WSAENOTSOCK,
    SetFileCompletionNotificationModes,
    WSAGetLastError,
    WSARecv,
    WSASend,
    base_socket,
    count_acknowledged,
    find_handle,
    getsockopt,
    last_errno,
    outcome_errno,
    shutdown,
)

SEND_BYTES_MAX = 256 * 1024  # of one send(): what the kernel takes beyond the socket's buffer is its own memory
SLOTS_FIRST = 64
WORKSTATION = 1  # VER_NT_WORKSTATION


@cython.final
@cython.no_gc_clear  # what is under way needs the port until the end
@cython.cclass
class Iocp(AcceptsAhead):
    """Owns what is under way for channels and watched sockets.

    VANILLA_IOCP, for tests and diagnosis, says how files are sent: transmit or read.
    """

    def __cinit__(self, pool: SlabPool) -> None:
        self.ports = cython.NULL
        self.port_size = 0
        self.listed = cython.NULL
        self.listed_count = self.listed_size = 0
        self.watched = cython.NULL
        self.watched_size = 0
        self.rearmed = cython.NULL
        self.rearmed_count = self.rearmed_size = 0
        self.name = "iocp"
        self.pool = pool
        files = os.environ.get("VANILLA_IOCP") or (
            "read" if sys.getwindowsversion().product_type == WORKSTATION else "transmit"
        )
        self.transmits_files = files == "transmit"

    def __dealloc__(self) -> None:
        number: cython.int
        index: cython.uint
        port: cython.pointer[Port]
        if self.outcomes is not None:  # else there is no port
            for number in range(LISTENERS_MAX):
                self.close_listener(number)
            for index in range(self.port_size):
                port = cython.address(self.ports[index])
                self.outcomes.give_up(-1, port.receiving)  # of channels that nobody has closed, if there are any
                self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], port.sending))
                self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], port.hangup))
            for index in range(self.watched_size):
                self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], self.watched[index]))
            self.outcomes.drain()
        free(self.ports)
        free(self.listed)
        free(self.watched)
        free(self.rearmed)

    # Channels.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        port: cython.pointer[Port]
        size: cython.uint
        if channel.index >= self.port_size:
            size = max(self.port_size * 2, channel.index + 1, EVENTS_MAX)
            self.ports = cython.cast(cython.pointer[Port], realloc(self.ports, size * cython.sizeof(Port)))
            if self.ports is cython.NULL:
                abort()
            memset(self.ports + self.port_size, 0, (size - self.port_size) * cython.sizeof(Port))
            self.port_size = size
        if not self.outcomes.associate(channel.fd):
            return -EIO
        port = cython.address(self.ports[channel.index])
        memset(port, 0, cython.sizeof(Port))
        if self.skips_success and not SetFileCompletionNotificationModes(
            cython.cast(HANDLE, cython.cast(cython.size_t, channel.fd)),
            FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE,
        ):
            return -EIO
        port.receiving = cython.cast(
            cython.pointer[Operation], new_operation(cython.sizeof(Operation), OF_RECEIVE, channel)
        )
        self.list_channel(channel)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = True
        if not self.ports[channel.index].receiving.is_pending:
            self.list_channel(channel)  # to be watched for a reset

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = False
        if not self.ports[channel.index].receiving.is_pending:
            self.list_channel(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        self.outcomes.give_up(channel.fd, port.receiving)
        self.outcomes.give_up(channel.fd, cython.cast(cython.pointer[Operation], port.sending))
        self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], port.hangup))
        memset(port, 0, cython.sizeof(Port))
        close_socket(channel.fd)
        channel.fd = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def list_channel(self, channel: cython.pointer[Channel]) -> cython.void:
        """Look at the channel when the next wait begins."""
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        if port.is_listed:
            return
        if self.listed_count == self.listed_size:
            self.listed_size = max(self.listed_size * 2, SLOTS_FIRST)
            self.listed = cython.cast(
                cython.pointer[cython.pointer[Channel]],
                realloc(self.listed, self.listed_size * cython.sizeof(cython.pointer[Channel])),
            )
            if self.listed is cython.NULL:
                abort()
        port.is_listed = True
        self.listed[self.listed_count] = channel
        self.listed_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def look_at_listed(self) -> cython.void:
        """Receive from those that have something, and have the others say when they do."""
        index: cython.int
        count: cython.int = self.listed_count
        channel: cython.pointer[Channel]
        port: cython.pointer[Port]
        for index in range(count):
            channel = self.listed[index]
            port = cython.address(self.ports[channel.index])
            if channel.fd < 0 or not port.is_listed:
                continue
            port.is_listed = False
            if not (port.has_input or port.has_told_end or port.error):
                self.arm(channel, port)
            if channel.is_paused or port.has_told_end:
                self.watch_hangup(channel, port)
            elif port.has_input or port.error:
                self.receive(channel, port)
        self.listed_count -= count
        for index in range(self.listed_count):
            self.listed[index] = self.listed[count + index]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Have an outcome come once there is something to receive; or `has_input`, if there is already."""
        nothing: WSABUF
        received: DWORD = 0
        flags: DWORD = 0
        if port.receiving.is_pending:
            return
        nothing.len = 0
        nothing.buf = cython.NULL
        if (
            WSARecv(
                channel.fd,
                cython.address(nothing),
                1,
                cython.address(received),
                cython.address(flags),
                cython.address(port.receiving.overlapped),
                cython.NULL,
            )
            == 0
        ):
            if self.skips_success:
                port.has_input = True
            else:
                self.outcomes.note_begun(port.receiving)
        elif WSAGetLastError() == WSA_IO_PENDING:
            self.outcomes.note_begun(port.receiving)
        else:
            self.fail(channel, port, last_errno())

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def watch_hangup(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Be told if the connection of a channel is reset that nothing is received from."""
        if port.receiving.is_pending or port.error:
            return
        if port.hangup is cython.NULL:
            port.hangup = cython.cast(
                cython.pointer[Polling], new_operation(cython.sizeof(Polling), OF_HANGUP, channel)
            )
            port.hangup.fd = cython.cast(cython.int, base_socket(channel.fd))
            port.hangup.events = POLL_ABORT
        if not port.hangup.operation.is_pending:
            self.outcomes.poll(port.hangup)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_input(self, operation: cython.pointer[Operation]) -> cython.void:
        """A channel has something to receive, or is broken."""
        channel: cython.pointer[Channel] = operation.channel
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        if has_failed(operation):
            self.fail(channel, port, outcome_errno(channel.fd, cython.address(operation.overlapped)) or ECONNRESET)
        else:
            port.has_input = True
        if channel.is_paused or port.has_told_end:
            self.list_channel(channel)
        else:
            self.receive(channel, port)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_hangup(self, polling: cython.pointer[Polling]) -> cython.void:
        """A channel that nothing was received from is broken. One that is received from again says so itself."""
        channel: cython.pointer[Channel] = polling.operation.channel
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        if polling.poll.events & POLL_ABORT and not has_failed(cython.address(polling.operation)):
            if not port.receiving.is_pending:
                self.fail(channel, port, ECONNRESET)
                self.list_channel(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def fail(self, channel: cython.pointer[Channel], port: cython.pointer[Port], error: cython.int) -> cython.void:
        """The connection is broken: say so at once where nothing is received; else behind what came before."""
        port.error = error
        if channel.is_paused or port.has_told_end:
            self.complete(RECEIVED, channel, -error)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def receive(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """One recv(): into the connection's own slab where it has one for a large body, else behind the others."""
        target: cython.pointer[cython.uchar] = channel.target
        room: cython.Py_ssize_t = channel.target_room
        received: cython.Py_ssize_t
        error: cython.int
        completion: cython.pointer[Completion]
        start: cython.int = 0
        if room == 0:
            if not self.pool.make_room(RECEIVE_BYTES_MIN):
                self.complete(RECEIVED, channel, -ENOMEM)
                return
            start = cython.cast(cython.int, self.pool.filled)
            target = self.pool.current.bytes + self.pool.filled
            room = self.pool.current.size - self.pool.filled
        received = recv(channel.fd, target, room, 0)
        if received <= 0 and port.error:
            self.complete(RECEIVED, channel, -port.error)
            return
        if received < 0:
            error = last_errno()
            if error == EAGAIN or error == EINTR:
                port.has_input = False
                self.list_channel(channel)
            else:
                port.error = error
                self.complete(RECEIVED, channel, -error)
            return
        completion = self.complete(RECEIVED, channel, cython.cast(cython.int, received))
        completion.start = start
        completion.is_end = port.has_told_end = received == 0
        if channel.target_room == 0:
            completion.slab = self.pool.current
            self.pool.filled += received
        port.has_input = received == room  # else the socket is empty
        self.list_channel(channel)

    # Sending.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        block: cython.p_uchar
        sent: cython.Py_ssize_t = 0
        copied: cython.Py_ssize_t
        taken: cython.Py_ssize_t
        error: cython.int
        if port.sending is not cython.NULL:
            return 0
        while True:
            error = port.send_error or send_what_fits(channel.fd, source, length, cython.address(sent))
            if error:
                return -error
            if sent == length:
                break
            copied = min(length - sent, BLOCK_BYTES)
            block = self.outcomes.take_block()
            if block is cython.NULL:
                return -ENOMEM
            memcpy(block, source + sent, copied)
            taken = self.send_block(channel, port, block, 0, copied)
            if taken < 0:
                return taken
            if taken == 0:
                break
            sent += taken
        port.taken += sent
        return sent

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_ahead(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        return self.send(channel, source, length)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_block(
        self,
        channel: cython.pointer[Channel],
        port: cython.pointer[Port],
        block: cython.p_uchar,
        start: cython.Py_ssize_t,
        length: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """Have block[start:start + length] sent; bytes taken at once, 0 if that is told later, or -errno.

        The block is not the caller's any more.
        """
        sent: DWORD = 0
        error: cython.int
        sending: cython.pointer[Sending] = cython.cast(
            cython.pointer[Sending], new_operation(cython.sizeof(Sending), OF_SEND, channel)
        )
        sending.block = block
        sending.piece.buf = cython.cast(cython.p_char, block + start)
        sending.piece.len = cython.cast(DWORD, length)
        if (
            WSASend(
                channel.fd,
                cython.address(sending.piece),
                1,
                cython.address(sent),
                0,
                cython.address(sending.operation.overlapped),
                cython.NULL,
            )
            == 0
        ):
            if self.skips_success:
                self.outcomes.drop(cython.address(sending.operation))
                return sent
        elif WSAGetLastError() != WSA_IO_PENDING:
            error = last_errno()
            self.outcomes.drop(cython.address(sending.operation))
            return -error
        self.begin_sending(channel, port, sending)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def begin_sending(
        self, channel: cython.pointer[Channel], port: cython.pointer[Port], sending: cython.pointer[Sending]
    ) -> cython.void:
        """What was begun will be told as WRITABLE."""
        self.outcomes.note_begun(cython.address(sending.operation))
        port.sending = sending
        channel.wants_writable = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_file(
        self, channel: cython.pointer[Channel], fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        sending: cython.pointer[Sending]
        handle: HANDLE
        error: cython.int
        if port.sending is not cython.NULL:
            return -EAGAIN
        if port.send_error:
            return -port.send_error
        if port.has_file_ended:
            port.has_file_ended = False
            return 0
        if not self.transmits_files:
            return self.send_read(channel, port, fd, offset, count)
        handle = find_handle(fd)
        if handle == INVALID_HANDLE_VALUE:
            return -EBADF
        sending = cython.cast(cython.pointer[Sending], new_operation(cython.sizeof(Sending), OF_SEND, channel))
        sending.operation.overlapped.Offset = cython.cast(DWORD, offset)
        sending.operation.overlapped.OffsetHigh = cython.cast(DWORD, offset >> 32)
        if self.transmit_file(
            channel.fd,
            handle,
            cython.cast(DWORD, count),
            0,
            cython.address(sending.operation.overlapped),
            cython.NULL,
            0,
        ):
            if self.skips_success:
                count = sending.operation.overlapped.InternalHigh
                self.outcomes.drop(cython.address(sending.operation))
                port.taken += count
                return count
        elif WSAGetLastError() != WSA_IO_PENDING:
            error = last_errno()
            self.outcomes.drop(cython.address(sending.operation))
            return -error
        self.begin_sending(channel, port, sending)
        return -EAGAIN

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_read(
        self,
        channel: cython.pointer[Channel],
        port: cython.pointer[Port],
        fd: cython.int,
        offset: cython.longlong,
        count: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """As `send_file`, of what is read into a block first."""
        sent: cython.Py_ssize_t = 0
        taken: cython.Py_ssize_t
        error: cython.int
        block: cython.p_uchar = self.outcomes.take_block()
        if block is cython.NULL:
            return -ENOMEM
        count = read_file(fd, block, min(count, BLOCK_BYTES), offset)
        if count <= 0:
            self.outcomes.give_back(block)
            return count
        error = send_what_fits(channel.fd, block, count, cython.address(sent))
        port.taken += sent
        if error or sent == count:
            self.outcomes.give_back(block)
            return -error if error else sent
        taken = self.send_block(channel, port, block, sent, count - sent)
        if taken < 0:
            return taken
        port.taken += taken
        return sent + taken if sent + taken > 0 else -EAGAIN

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_sent(self, sending: cython.pointer[Sending]) -> cython.void:
        """What was begun has been taken, as far as it was."""
        channel: cython.pointer[Channel] = sending.operation.channel
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        taken: cython.int = cython.cast(cython.int, sending.operation.overlapped.InternalHigh)
        if has_failed(cython.address(sending.operation)):
            port.send_error = outcome_errno(channel.fd, cython.address(sending.operation.overlapped)) or ECONNRESET
        elif sending.block is cython.NULL:
            port.has_file_ended = taken == 0
        port.taken += taken
        port.sending = cython.NULL
        self.outcomes.drop(cython.address(sending.operation))
        channel.wants_writable = False
        self.complete(WRITABLE, channel, taken)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def count_queued(self, channel: cython.pointer[Channel]) -> cython.int:
        acknowledged: cython.longlong = count_acknowledged(channel.fd)
        if acknowledged < 0:
            return 0
        return cython.cast(cython.int, self.ports[channel.index].taken - acknowledged)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_unread(self, channel: cython.pointer[Channel]) -> cython.bint:
        octet: cython.uchar
        return recv(channel.fd, cython.address(octet), 1, MSG_PEEK) > 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def shut_writing(self, channel: cython.pointer[Channel]) -> cython.void:
        shutdown(channel.fd, SD_SEND)

    # Watched sockets.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def watch(
        self,
        fd: cython.int,
        slot: cython.uint,
        generation: cython.uint,
        interest: cython.int,
        is_persistent: cython.bint,
    ) -> cython.int:
        polling: cython.pointer[Polling]
        size: cython.uint
        kind: cython.int = 0
        room: cython.int = cython.sizeof(cython.int)
        if getsockopt(fd, SOL_SOCKET, SO_TYPE, cython.cast(cython.p_char, cython.address(kind)), cython.address(room)):
            if WSAGetLastError() != WSAENOTSOCK:
                return -last_errno()
            return -EBADF if find_handle(fd) == INVALID_HANDLE_VALUE else -EPERM
        if slot >= self.watched_size:
            size = max(self.watched_size * 2, slot + 1, SLOTS_FIRST)
            self.watched = cython.cast(
                cython.pointer[cython.pointer[Polling]],
                realloc(self.watched, size * cython.sizeof(cython.pointer[Polling])),
            )
            if self.watched is cython.NULL:
                abort()
            memset(
                self.watched + self.watched_size,
                0,
                (size - self.watched_size) * cython.sizeof(cython.pointer[Polling]),
            )
            self.watched_size = size
        c_assert(self.watched[slot] is cython.NULL)
        polling = cython.cast(cython.pointer[Polling], new_operation(cython.sizeof(Polling), OF_WATCH, cython.NULL))
        polling.fd = cython.cast(cython.int, base_socket(fd))
        polling.slot = slot
        polling.generation = generation
        polling.interest = interest
        polling.is_persistent = is_persistent
        polling.events = POLL_ABORT | POLL_CONNECT_FAIL
        if interest & EVENT_READABLE:
            polling.events |= POLL_RECEIVE | POLL_ACCEPT | POLL_DISCONNECT
        if interest & EVENT_WRITABLE:
            polling.events |= POLL_SEND
        if not self.outcomes.poll(polling):
            self.outcomes.drop(cython.address(polling.operation))
            return -EIO
        self.watched[slot] = polling
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        polling: cython.pointer[Polling]
        if slot >= self.watched_size:
            return
        polling = self.watched[slot]
        if polling is not cython.NULL and polling.generation == generation:
            self.watched[slot] = cython.NULL
            self.outcomes.give_up(-1, cython.address(polling.operation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_watched(self, polling: cython.pointer[Polling]) -> cython.void:
        """A watched socket is ready, or was closed, which is nobody's news: as with epoll it is watched no more."""
        found: cython.uint = polling.poll.events
        events: cython.int = 0
        completion: cython.pointer[Completion]
        if has_failed(cython.address(polling.operation)) or found & POLL_LOCAL_CLOSE:
            self.watched[polling.slot] = cython.NULL
            self.outcomes.drop(cython.address(polling.operation))
            return
        if found & (POLL_RECEIVE | POLL_ACCEPT | POLL_DISCONNECT | POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_READABLE & polling.interest
        if found & (POLL_SEND | POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_WRITABLE & polling.interest
        if found & (POLL_DISCONNECT | POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_HANGUP
        if found & (POLL_ABORT | POLL_CONNECT_FAIL):
            events |= EVENT_ERROR
        completion = self.complete(READY, cython.NULL, events)
        completion.start = cython.cast(cython.int, polling.slot)
        completion.generation = polling.generation
        if polling.is_persistent:
            self.list_watch(polling.slot)
        else:
            self.watched[polling.slot] = cython.NULL
            self.outcomes.drop(cython.address(polling.operation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def list_watch(self, slot: cython.uint) -> cython.void:
        """Poll for a persistent watch again when the next wait begins: it has had its turn then."""
        if self.rearmed_count == self.rearmed_size:
            self.rearmed_size = max(self.rearmed_size * 2, SLOTS_FIRST)
            self.rearmed = cython.cast(
                cython.pointer[cython.uint], realloc(self.rearmed, self.rearmed_size * cython.sizeof(cython.uint))
            )
            if self.rearmed is cython.NULL:
                abort()
        self.rearmed[self.rearmed_count] = slot
        self.rearmed_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def rearm_watches(self) -> cython.void:
        """Poll again for persistent watches that have been told of."""
        index: cython.int
        polling: cython.pointer[Polling]
        for index in range(self.rearmed_count):
            polling = self.watched[self.rearmed[index]]
            if polling is not cython.NULL and not polling.operation.is_pending and not self.outcomes.poll(polling):
                self.watched[polling.slot] = cython.NULL
                self.outcomes.drop(cython.address(polling.operation))
        self.rearmed_count = 0

    # Waiting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        self.outcomes.wake()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        index: cython.int
        result: cython.int
        operation: cython.pointer[Operation]
        self.completion_count = 0
        if self.listed_count > 0:
            self.look_at_listed()
        if self.rearmed_count > 0:
            self.rearm_watches()
        if self.has_listener_listed:
            self.begin_accepts()
        if self.completion_count > 0 or self.outcomes.reaped_count > 0 or self.listed_count > 0:
            timeout_ms = 0
        result = self.outcomes.reap(timeout_ms)
        if result < 0:
            return result
        for index in range(self.outcomes.reaped_count):
            operation = self.outcomes.take(index)
            if operation is not cython.NULL:
                self.take(operation)
        self.outcomes.reaped_count = 0
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self, operation: cython.pointer[Operation]) -> cython.void:
        """Do what one outcome is for."""
        if operation.kind == OF_RECEIVE:
            self.take_input(operation)
        elif operation.kind == OF_SEND:
            self.take_sent(cython.cast(cython.pointer[Sending], operation))
        elif operation.kind == OF_ACCEPT:
            self.take_accepted(cython.cast(cython.pointer[Accepting], operation), False)
        elif operation.kind == OF_LISTENER:
            self.accept_ready(cython.cast(cython.int, cython.cast(cython.pointer[Polling], operation).slot))
        elif operation.kind == OF_WATCH:
            self.take_watched(cython.cast(cython.pointer[Polling], operation))
        else:
            self.take_hangup(cython.cast(cython.pointer[Polling], operation))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_what_fits(
    fd: cython.int, source: cython.p_const_uchar, length: cython.Py_ssize_t, sent: cython.pointer[cython.Py_ssize_t]
) -> cython.int:
    """Send from `sent` on as long as the kernel takes it, and move `sent` on; 0, or what is wrong with the socket."""
    count: cython.Py_ssize_t
    error: cython.int
    while sent[0] < length:
        count = send(fd, source + sent[0], min(length - sent[0], SEND_BYTES_MAX), 0)
        if count >= 0:
            sent[0] += count
            continue
        error = last_errno()
        if error == EAGAIN:
            return 0
        if error != EINTR:
            return error
    return 0


def find_fault() -> str | None:
    """Why there is no completion port here, or none that serves; None if there is."""
    try:
        Iocp(SlabPool())
    except OSError as error:
        return f"iocp cannot be had here: {error}"
    return None
