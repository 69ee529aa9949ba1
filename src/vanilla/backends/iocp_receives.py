"""Channels of a completion port, and how they are received from: as by mechanisms that tell readiness.

# Facts that shape this
- A receive of no bytes completes once there is something to receive, and holds no buffer until then. The bytes are
  received by recv() where the engine wants them, so nothing is written behind its back.
- A channel that is paused keeps that receive: a reset ends it. Once it has told of input that nobody receives, a poll
  by AFD for a reset alone stands in: it says nothing of a half-close.
- Who is reset is told by the outcome. Afterwards recv() may say anything, what came before can still be received.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memset
from cython.cimports.vanilla.backends.acceptex import has_failed
from cython.cimports.vanilla.backends.completions import OF_HANGUP, OF_RECEIVE, new_operation
from cython.cimports.vanilla.backends.interface import EVENTS_MAX, RECEIVE_BYTES_MIN, RECEIVED
from cython.cimports.vanilla.backends.listing import drop_first, list_channel, listed_at, make_table
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    ECONNRESET,
    EINTR,
    EIO,
    ENOMEM,
    close_socket,
    recv,
)
from cython.cimports.vanilla.net.windows import (
    FILE_SKIP_COMPLETION_PORT_ON_SUCCESS,
    FILE_SKIP_SET_EVENT_ON_HANDLE,
    MSG_PEEK,
    POLL_ABORT,
    WSA_IO_PENDING,
    SetFileCompletionNotificationModes,
    WSAGetLastError,
    WSARecv,
    base_socket,
    last_errno,
    outcome_errno,
)


@cython.cclass
class IocpReceives(AcceptsAhead):
    """Owns a port for each channel, with what is under way for it, and a list of those to be looked at."""

    def __cinit__(self, *_: object) -> None:
        self.ports = cython.NULL
        self.port_size = 0
        self.listed.entries = cython.NULL
        self.listed.count = self.listed.size = 0

    def __dealloc__(self) -> None:
        free(self.ports)
        free(self.listed.entries)

    # Channels.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        port: cython.pointer[Port]
        self.ports = cython.cast(
            cython.pointer[Port],
            make_table(self.ports, cython.address(self.port_size), channel.index, EVENTS_MAX, cython.sizeof(Port)),
        )
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
        self.look_later(channel)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = True
        if not self.ports[channel.index].receiving.is_pending:
            self.look_later(channel)  # to be watched for a reset

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = False
        if not self.ports[channel.index].receiving.is_pending:
            self.look_later(channel)

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
    def give_up_channels(self) -> cython.void:
        """Want no outcome any more: of channels that nobody has closed, if there are any."""
        index: cython.uint
        port: cython.pointer[Port]
        for index in range(self.port_size):
            port = cython.address(self.ports[index])
            self.outcomes.give_up(-1, port.receiving)
            self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], port.sending))
            self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], port.hangup))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_unread(self, channel: cython.pointer[Channel]) -> cython.bint:
        octet: cython.uchar
        return recv(channel.fd, cython.address(octet), 1, MSG_PEEK) > 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def look_later(self, channel: cython.pointer[Channel]) -> cython.void:
        """Look at the channel when the next wait begins."""
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        if not port.is_listed:
            port.is_listed = True
            list_channel(cython.address(self.listed), channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def look_at_listed(self) -> cython.void:
        """Receive from those that have something, and have the others say when they do."""
        index: cython.int
        count: cython.int = self.listed.count
        channel: cython.pointer[Channel]
        port: cython.pointer[Port]
        for index in range(count):
            channel = listed_at(cython.address(self.listed), index)
            if channel is cython.NULL:
                continue
            port = cython.address(self.ports[channel.index])
            port.is_listed = False
            if not (port.has_input or port.has_told_end or port.error):
                self.arm(channel, port)
            if channel.is_paused or port.has_told_end:
                self.watch_hangup(channel, port)
            elif port.has_input or port.error:
                self.receive(channel, port)
        drop_first(cython.address(self.listed), count)

    # Receiving.

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
    def take_input(self, operation: cython.pointer[Operation]) -> cython.void:
        """A channel has something to receive, or is broken."""
        channel: cython.pointer[Channel] = operation.channel
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        if has_failed(operation):
            self.fail(channel, port, outcome_errno(channel.fd, cython.address(operation.overlapped)) or ECONNRESET)
        else:
            port.has_input = True
        if channel.is_paused or port.has_told_end:
            self.look_later(channel)
        else:
            self.receive(channel, port)

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
                self.look_later(channel)
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
        self.look_later(channel)

    # Hang-ups.

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
    def take_hangup(self, polling: cython.pointer[Polling]) -> cython.void:
        """A channel that nothing was received from is broken. One that is received from again says so itself."""
        channel: cython.pointer[Channel] = polling.operation.channel
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        if polling.poll.events & POLL_ABORT and not has_failed(cython.address(polling.operation)):
            if not port.receiving.is_pending:
                self.fail(channel, port, ECONNRESET)
                self.look_later(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def fail(self, channel: cython.pointer[Channel], port: cython.pointer[Port], error: cython.int) -> cython.void:
        """The connection is broken: say so at once where nothing is received; else behind what came before."""
        port.error = error
        if channel.is_paused or port.has_told_end:
            self.complete(RECEIVED, channel, -error)
