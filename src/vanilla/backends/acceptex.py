"""Listeners in Windows: connections are accepted ahead by AcceptEx, or as they come where several workers share one.

# Facts about accepting there
- AcceptEx wants the socket of the connection that is to come, and completes with it: no call tells of a backlog first.
- It needs the listener to belong to the port, and only one port can have it. So workers that share a listener poll it
  instead, and accept what they find: who is ready first has it.
- With an AcceptEx under way a plain accept() finds nothing: what comes is the AcceptEx's.
- An accepted socket inherits neither TCP_NODELAY nor, for certain, that it never blocks; and children inherit it unless
  told so.
- What AcceptEx accepted is half a socket until SO_UPDATE_ACCEPT_CONTEXT: it cannot be shut down, or asked for its peer.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.vanilla.backends.completions import OF_ACCEPT, OF_LISTENER, new_operation
from cython.cimports.vanilla.backends.interface import ACCEPTED, LISTENERS_MAX
from cython.cimports.vanilla.net.platform import (
    ECONNABORTED,
    ECONNRESET,
    ENOMEM,
    c_assert,
    close_socket,
)
from cython.cimports.vanilla.net.windows import (
    AF_INET,
    AF_INET6,
    FIONBIO,
    HANDLE_FLAG_INHERIT,
    INVALID_SOCKET,
    IPPROTO_TCP,
    POLL_ACCEPT,
    SO_PROTOCOL_INFOW,
    SO_UPDATE_ACCEPT_CONTEXT,
    SOCK_STREAM,
    SOL_SOCKET,
    TCP_NODELAY,
    WSA_FLAG_NO_HANDLE_INHERIT,
    WSA_FLAG_OVERLAPPED,
    WSA_IO_PENDING,
    XP1_IFS_HANDLES,
    CancelIoEx,
    SetHandleInformation,
    WSAGetLastError,
    accept_socket,
    base_socket,
    find_acceptex,
    find_addresses,
    find_transmitfile,
    getsockopt,
    ioctlsocket,
    last_errno,
    ntohs,
    open_socket,
    setsockopt,
)

ACCEPTS_BEGUN = 16  # for one listener at a time: connections come one by one, and each needs a socket beforehand
ADDRESS_BYTES = 144  # sockaddr_storage and the 16 bytes more that AcceptEx wants
GATHER_TURNS, GATHER_TURN_MS = 20, 50  # for accepts that were cancelled to say so


@cython.cclass
class AcceptsAhead(Backend):
    """Owns the completion port, the listeners, and the sockets of connections that are still to come."""

    def __cinit__(self, *_: object) -> None:
        number: cython.int
        for number in range(LISTENERS_MAX):
            self.listener_fds[number] = -1
            self.has_listener_armed[number] = self.is_associated[number] = False
            self.begun_counts[number] = 0
            self.first_accepted[number] = self.last_accepted[number] = cython.NULL
            self.listener_polls[number] = cython.NULL
        self.has_listener_listed = False
        self.skips_success = True
        self.outcomes = CompletionPort()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_listener(self, fd: cython.int, number: cython.int) -> cython.int:
        protocol: WSAPROTOCOL_INFOW
        length: cython.int = cython.sizeof(WSAPROTOCOL_INFOW)
        result: cython.int = self.find_functions(fd)
        c_assert(0 <= number < LISTENERS_MAX and self.listener_fds[number] < 0)
        if result < 0:
            return result
        if (
            getsockopt(
                fd,
                SOL_SOCKET,
                SO_PROTOCOL_INFOW,
                cython.cast(cython.p_char, cython.address(protocol)),
                cython.address(length),
            )
            < 0
        ):
            return -last_errno()
        if not protocol.dwServiceFlags1 & XP1_IFS_HANDLES:
            self.skips_success = False  # what a layered service provider hands out is no handle of the system's
        self.families[number] = protocol.iAddressFamily
        self.listener_fds[number] = fd
        self.resume_listener(number)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_functions(self, fd: cython.int) -> cython.int:
        """Ask Winsock for what it has beyond itself; 0 or -errno."""
        self.accept_later = find_acceptex(fd)
        self.find_addresses = find_addresses(fd)
        self.transmit_file = find_transmitfile(fd)
        has_all: cython.bint = (
            self.accept_later is not cython.NULL
            and self.find_addresses is not cython.NULL
            and self.transmit_file is not cython.NULL
        )
        return 0 if has_all else -last_errno()

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause_listener(self, number: cython.int) -> cython.void:
        """What is under way goes on: there was a place for each when it was begun."""
        self.has_listener_armed[number] = False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        if self.listener_fds[number] >= 0:
            self.has_listener_armed[number] = self.has_listener_listed = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def begin_accepts(self) -> cython.void:
        """Have connections accepted, or told of, as far as there are places for them."""
        number: cython.int
        self.has_listener_listed = False
        for number in range(LISTENERS_MAX):
            if not self.has_listener_armed[number]:
                continue
            if not self.is_alone:
                self.watch_listener(number)
                continue
            while self.begun_counts[number] < min(ACCEPTS_BEGUN, self.allowances[number]):
                if not self.begin_accept(number):
                    break

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def begin_accept(self, number: cython.int) -> cython.bint:
        """Have one connection accepted; False if that cannot be begun now."""
        accepting: cython.pointer[Accepting]
        received: DWORD = 0
        fd: SOCKET
        if not self.is_associated[number]:
            self.is_associated[number] = self.outcomes.associate(self.listener_fds[number])
        fd = open_socket(
            self.families[number],
            SOCK_STREAM,
            IPPROTO_TCP,
            cython.NULL,
            0,
            WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT,
        )
        if fd == INVALID_SOCKET:
            self.report_failure(number, last_errno())
            return False
        accepting = cython.cast(
            cython.pointer[Accepting], new_operation(cython.sizeof(Accepting), OF_ACCEPT, cython.NULL)
        )
        accepting.number = number
        accepting.fd = cython.cast(cython.int, fd)
        c_assert(accepting.fd >= 0 and cython.cast(SOCKET, accepting.fd) == fd)
        if not self.accept_later(
            self.listener_fds[number],
            fd,
            accepting.addresses,
            0,
            ADDRESS_BYTES,
            ADDRESS_BYTES,
            cython.address(received),
            cython.address(accepting.operation.overlapped),
        ):
            if WSAGetLastError() != WSA_IO_PENDING:
                self.report_failure(number, last_errno())
                self.outcomes.drop(cython.address(accepting.operation))
                return False
        self.outcomes.note_begun(cython.address(accepting.operation))
        self.begun_counts[number] += 1
        return True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_failure(self, number: cython.int, error: cython.int) -> cython.void:
        """Nothing can be accepted now; it is tried again at the next wait, unless the listener is paused by then."""
        self.complete(ACCEPTED, cython.NULL, -error).start = number
        self.has_listener_listed = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def watch_listener(self, number: cython.int) -> cython.void:
        """Be told once a connection is in the backlog."""
        polling: cython.pointer[Polling] = self.listener_polls[number]
        if polling is cython.NULL:
            polling = self.listener_polls[number] = cython.cast(
                cython.pointer[Polling], new_operation(cython.sizeof(Polling), OF_LISTENER, cython.NULL)
            )
            polling.fd = cython.cast(cython.int, base_socket(self.listener_fds[number]))
            polling.slot = number
            polling.events = POLL_ACCEPT
        if not polling.operation.is_pending and not self.outcomes.poll(polling):
            self.report_failure(number, ENOMEM)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_accepted(self, accepting: cython.pointer[Accepting], is_kept: cython.bint) -> cython.void:
        """A connection came in, or could not; `is_kept` has it wait for `accept_next`."""
        number: cython.int = accepting.number
        peer: PeerAddress
        completion: cython.pointer[Completion]
        fd: cython.int
        self.begun_counts[number] -= 1
        self.has_listener_listed = True
        if self.listener_fds[number] < 0 or has_failed(cython.address(accepting.operation)):
            self.outcomes.drop(cython.address(accepting.operation))  # its client has gone while it waited, or we have
        elif is_kept:
            accepting.next = cython.NULL
            if self.first_accepted[number] is cython.NULL:
                self.first_accepted[number] = accepting
            else:
                self.last_accepted[number].next = accepting
            self.last_accepted[number] = accepting
        else:
            c_assert(self.allowances[number] > 0)
            fd = self.finish_accept(accepting, cython.address(peer))
            self.allowances[number] -= 1
            completion = self.complete(ACCEPTED, cython.NULL, fd)
            completion.start = number
            completion.peer = peer

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def finish_accept(self, accepting: cython.pointer[Accepting], peer: cython.pointer[PeerAddress]) -> cython.int:
        """Make a connection of what AcceptEx has left: its descriptor."""
        fd: cython.int = accepting.fd
        listener: SOCKET = self.listener_fds[accepting.number]
        local: cython.pointer[sockaddr] = cython.NULL
        remote: cython.pointer[sockaddr] = cython.NULL
        local_length: cython.int = 0
        remote_length: cython.int = 0
        setsockopt(
            fd,
            SOL_SOCKET,
            SO_UPDATE_ACCEPT_CONTEXT,
            cython.cast(cython.p_char, cython.address(listener)),
            cython.sizeof(SOCKET),
        )
        self.find_addresses(
            accepting.addresses,
            0,
            ADDRESS_BYTES,
            ADDRESS_BYTES,
            cython.address(local),
            cython.address(local_length),
            cython.address(remote),
            cython.address(remote_length),
        )
        note_peer(peer, cython.cast(cython.pointer[sockaddr_in6], remote))
        settle_in(fd)
        accepting.fd = -1
        self.outcomes.drop(cython.address(accepting.operation))
        return fd

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def gather_accepted(self, number: cython.int) -> cython.void:
        """Have no accept of a listener under way any more, so that its backlog is there to be seen."""
        turn: cython.int
        index: cython.int
        searched: cython.int = 0
        operation: cython.pointer[Operation]
        CancelIoEx(cython.cast(HANDLE, cython.cast(cython.size_t, self.listener_fds[number])), cython.NULL)
        for turn in range(GATHER_TURNS):
            for index in range(searched, self.outcomes.reaped_count):
                operation = cython.cast(cython.pointer[Operation], self.outcomes.reaped[index].lpOverlapped)
                if (
                    operation is not cython.NULL
                    and operation.kind == OF_ACCEPT
                    and cython.cast(cython.pointer[Accepting], operation).number == number
                ):
                    self.take_accepted(cython.cast(cython.pointer[Accepting], self.outcomes.take(index)), True)
            searched = self.outcomes.reaped_count
            if self.begun_counts[number] == 0 or self.outcomes.reap(GATHER_TURN_MS) < 0:
                return

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        address: sockaddr_in6
        length: cython.int = cython.sizeof(sockaddr_in6)
        error: cython.int
        fd: SOCKET = accept_socket(
            self.listener_fds[number],
            cython.cast(cython.pointer[sockaddr], cython.address(address)),
            cython.address(length),
        )
        if fd == INVALID_SOCKET:
            error = last_errno()
            return -ECONNABORTED if error == ECONNRESET else -error
        c_assert(cython.cast(cython.int, fd) >= 0 and cython.cast(SOCKET, cython.cast(cython.int, fd)) == fd)
        SetHandleInformation(cython.cast(HANDLE, fd), HANDLE_FLAG_INHERIT, 0)
        note_peer(peer, cython.address(address))
        settle_in(cython.cast(cython.int, fd))
        return cython.cast(cython.int, fd)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_next(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        accepting: cython.pointer[Accepting]
        if self.begun_counts[number] > 0:
            self.gather_accepted(number)
        accepting = self.first_accepted[number]
        if accepting is not cython.NULL:
            self.first_accepted[number] = accepting.next
            return self.finish_accept(accepting, peer)
        return self.accept(number, peer)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_ready(self, number: cython.int) -> cython.void:
        """A shared listener has something in its backlog; what is left there is told again."""
        self.has_listener_listed = True
        if self.has_listener_armed[number]:
            self.accept_waiting(number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        accepting: cython.pointer[Accepting]
        fd: cython.int = self.listener_fds[number]
        if fd < 0:
            return
        self.listener_fds[number] = -1
        self.has_listener_armed[number] = self.is_associated[number] = False
        while self.first_accepted[number] is not cython.NULL:
            accepting = self.first_accepted[number]
            self.first_accepted[number] = accepting.next
            self.outcomes.drop(cython.address(accepting.operation))
        self.outcomes.give_up(-1, cython.cast(cython.pointer[Operation], self.listener_polls[number]))
        self.listener_polls[number] = cython.NULL
        CancelIoEx(cython.cast(HANDLE, cython.cast(cython.size_t, fd)), cython.NULL)
        close_socket(fd)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def disown_listeners(self) -> cython.void:
        number: cython.int
        for number in range(LISTENERS_MAX):
            self.listener_fds[number] = -1
            self.has_listener_armed[number] = False


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def has_failed(operation: cython.pointer[Operation]) -> cython.bint:
    """Whether the outcome is a failure."""
    return cython.cast(cython.int, operation.overlapped.Internal) < 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def settle_in(fd: cython.int) -> cython.void:
    """Have an accepted socket be as all are."""
    yes: cython.ulong = 1
    at_once: cython.int = 1
    ioctlsocket(fd, FIONBIO, cython.address(yes))
    setsockopt(
        fd, IPPROTO_TCP, TCP_NODELAY, cython.cast(cython.p_char, cython.address(at_once)), cython.sizeof(cython.int)
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_peer(peer: cython.pointer[PeerAddress], address: cython.pointer[sockaddr_in6]) -> cython.void:
    """Keep what matters of a client's address."""
    four: cython.pointer[sockaddr_in] = cython.cast(cython.pointer[sockaddr_in], address)
    memset(peer, 0, cython.sizeof(PeerAddress))
    if address is cython.NULL:
        return
    if address.sin6_family == AF_INET:
        peer.family = AF_INET
        peer.port = ntohs(four.sin_port)
        memcpy(peer.host, cython.address(four.sin_addr), 4)
    elif address.sin6_family == AF_INET6:
        peer.family = AF_INET6
        peer.port = ntohs(address.sin6_port)
        memcpy(peer.host, cython.address(address.sin6_addr), 16)
