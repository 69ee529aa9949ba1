"""How is sent in Windows: what send() takes at once, and the rest by an operation; files by TransmitFile, or read.

# Facts that shape this
- send() without room takes nothing, and nothing tells of room but an outcome: so what it has not taken is copied to a
  block and sent by an operation. When that is done the engine learns how much has been taken, and goes on behind it.
- send() takes all that it is given while the socket's buffer has any room: so it is given no more than SEND_BYTES_MAX.
- TransmitFile completes later, always. Windows for workstations does two at a time, for all processes: a client that
  does not read would hold one of them. There files are read and sent like anything else.
"""

from __future__ import annotations

import os
import sys

import cython
from cython.cimports.libc.string import memcpy
from cython.cimports.vanilla.backends.acceptex import has_failed
from cython.cimports.vanilla.backends.completions import BLOCK_BYTES, OF_SEND, new_operation
from cython.cimports.vanilla.backends.interface import WRITABLE
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    EBADF,
    ECONNRESET,
    EINTR,
    ENOMEM,
    read_file,
    send,
)
from cython.cimports.vanilla.net.windows import (
    INVALID_HANDLE_VALUE,
    SD_SEND,
    WSA_IO_PENDING,
    WSAGetLastError,
    WSASend,
    count_acknowledged,
    find_handle,
    last_errno,
    outcome_errno,
    shutdown,
)

SEND_BYTES_MAX = 256 * 1024  # of one send(): what the kernel takes beyond the socket's buffer is its own memory
WORKSTATION = 1  # VER_NT_WORKSTATION


@cython.cclass
class IocpSends(IocpReceives):
    """Knows how files are sent: VANILLA_IOCP, for tests and diagnosis, says transmit or read."""

    def __cinit__(self, *_: object) -> None:
        files = os.environ.get("VANILLA_IOCP") or (
            "read" if sys.getwindowsversion().product_type == WORKSTATION else "transmit"
        )
        self.transmits_files = files == "transmit"

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
    def shut_writing(self, channel: cython.pointer[Channel]) -> cython.void:
        shutdown(channel.fd, SD_SEND)


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
