"""io_uring(7): the kernel receives by itself, and one call a tick brings what came and takes what was answered.

# Facts that shape this
- A connection is armed once: multishot receive goes on until it is cancelled, fails, or finds no buffer. So data may
  come for a channel that is paused, or twice in one wait: it is kept here, and delivered when the engine can take it.
- A pause is only noted. Most end before anything arrives; what does arrive is kept, and ends the receiving, so that
  the peer is held back. A channel that is not received from is watched for a hang-up: by an epoll descriptor, which
  the ring polls, for the ring's own polls always tell of a half-close, too, and at once.
- Bytes for a place of the engine's own (large content) are received by recv(2) once there are some: the kernel must
  not write to memory that may be gone when it does.
- A send is tried when it is submitted, at the latest with the next wait, and not later (MSG_DONTWAIT). One that is
  taken whole is silent; of any other the engine learns before it looks at anything else.
- An operation holds the file open. So closing is cancelling and closing, in that order; what completes for a
  connection that is gone names a generation that is over. Cancelling by descriptor looks at every operation there is;
  by its own name an operation is found at once.
- An armed accept goes on when its listener is full: those connections are kept here as if in the backlog.
- A poll for a watched descriptor is armed again after each report: multishot polls tell edges, and the level is
  wanted.
"""

from __future__ import annotations

import os
import socket

import cython
from cython.cimports.libc.stdlib import abort, free, malloc, realloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.vanilla.backends.interface import (
    ACCEPTED,
    EVENT_ERROR,
    EVENT_HANGUP,
    EVENT_READABLE,
    EVENT_WRITABLE,
    EVENTS_MAX,
    LISTENERS_MAX,
    READY,
    RECEIVED,
    WRITABLE,
)
from cython.cimports.vanilla.backends.sockets import Sockets, check_watchable, note_peer
from cython.cimports.vanilla.buffers import SlabPool, claim, release
from cython.cimports.vanilla.net.linux import (
    EFD_CLOEXEC,
    EPOLL_CLOEXEC,
    EPOLL_CTL_ADD,
    EPOLLET,
    SOCK_CLOEXEC,
    SOCK_NONBLOCK,
    epoll_create1,
    epoll_ctl,
    epoll_event,
    epoll_wait,
    eventfd,
)
from cython.cimports.vanilla.net.platform import (
    EAGAIN,
    ECONNRESET,
    EINTR,
    ENOBUFS,
    c_assert,
)
from cython.cimports.vanilla.net.posix import (
    ECANCELED,
    EINVAL,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_WAITALL,
    POLLERR,
    POLLHUP,
    POLLIN,
    POLLOUT,
    POLLRDHUP,
    close,
    errno,
    getpeername,
    recv,
    sockaddr,
    sockaddr_in6,
    socklen_t,
    write,
)
from cython.cimports.vanilla.net.uring import (
    ACCEPT_MULTISHOT,
    CANCEL_ALL,
    CANCEL_ANY,
    ENTER_GETEVENTS,
    OP_ACCEPT,
    OP_ASYNC_CANCEL,
    OP_CLOSE,
    OP_POLL_ADD,
    OP_POLL_REMOVE,
    OP_READ,
    OP_RECV,
    OP_SEND,
    OUTCOME_BUFFER,
    OUTCOME_MORE,
    POLL_MULTISHOT,
    RECEIVE_MULTISHOT,
    REGISTER_SYNC_CANCEL,
    SUBMIT_BUFFER_SELECT,
    SUBMIT_SKIP_SUCCESS,
    CancelRegistration,
)

from vanilla.backends.ring import TASK_RUNS
from vanilla.backends.ring_settings import read_settings

QUEUED_BYTES_MAX = 128 * 1024  # of one send that is noted; a larger one is likely to be short, and sent at once
SLOTS_FIRST = 64
HANGUPS_MAX = 64


@cython.final
@cython.cclass
class IoUring(Sockets):
    """Owns its ring, the buffers that it receives into, and its wake-up descriptor.

    Args:
        pool: of the engine's own slabs.
        settings: see `read_settings`.

    Raises: OSError where the kernel makes no ring, or lacks something that is needed.
    """

    def __cinit__(self, pool: SlabPool, settings: object = None) -> None:
        number: cython.int
        self.wake_fd = self.hangups_fd = -1  # before anything that can raise: __dealloc__ runs all the same
        self.ports = cython.NULL
        self.port_size = 0
        self.listed = cython.NULL
        self.listed_count = self.listed_size = 0
        self.delivered = cython.NULL
        self.sends = cython.NULL
        self.send_count = self.send_size = 0
        self.waiting = cython.NULL
        self.waiting_count = self.waiting_size = 0
        self.watched = cython.NULL
        self.watched_size = 0
        self.rearmed = cython.NULL
        self.rearmed_count = self.rearmed_size = 0
        for number in range(LISTENERS_MAX):
            self.is_accepting[number] = self.is_unaccepting[number] = False
        self.name = "io_uring"
        self.pool = pool
        chosen: object = read_settings(os.environ.get("VANILLA_IO_URING", "")) if settings is None else settings
        self.accepts_many = "multishot_accept" in chosen.features
        self.receives_many = "multishot_receive" in chosen.features
        task_runs = [name for name, _ in TASK_RUNS if name in chosen.features]
        self.ring = Ring(chosen.submissions, chosen.completions, task_runs)
        self.offered = OfferedBuffers(self.ring, chosen.buffers, "shared_buffers" in chosen.features)
        self.wake_fd = eventfd(0, EFD_CLOEXEC)
        if self.wake_fd < 0:
            raise OSError(errno, f"eventfd: {os.strerror(errno)}")
        self.hangups_fd = epoll_create1(EPOLL_CLOEXEC)
        if self.hangups_fd < 0:
            raise OSError(errno, f"epoll_create1: {os.strerror(errno)}")
        self.arm_wake()
        self.arm_hangups()

    def __dealloc__(self) -> None:
        index: cython.int
        everything: CancelRegistration
        if self.ring is not None and self.ring.fd >= 0:
            # The kernel must not write to memory that is about to go. Kernels that cannot do this end it by themselves.
            memset(cython.address(everything), 0, cython.sizeof(CancelRegistration))
            everything.flags = CANCEL_ANY | CANCEL_ALL
            everything.seconds = everything.nanoseconds = -1
            self.ring.register(REGISTER_SYNC_CANCEL, cython.address(everything), 1)
        for index in range(self.waiting_count):
            close(self.waiting[index].fd)
        for index in range(cython.cast(cython.int, self.port_size)):
            drop_kept(cython.address(self.ports[index].first))
        drop_kept(cython.address(self.delivered))
        if self.wake_fd >= 0:
            close(self.wake_fd)
        if self.hangups_fd >= 0:
            close(self.hangups_fd)
        free(self.ports)
        free(self.listed)
        free(self.sends)
        free(self.waiting)
        free(self.watched)
        free(self.rearmed)

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

    # Submitting.

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
    def cancel(self, user_data: cython.ulonglong) -> cython.void:
        """End one operation; it completes once more, as cancelled, unless it is over already."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_ASYNC_CANCEL, -1, OF_NOTHING)
        entry.flags = SUBMIT_SKIP_SUCCESS
        entry.address = user_data

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
    def add_poll(self, fd: cython.int, mask: cython.uint, user_data: cython.ulonglong) -> cython.void:
        """Complete once a descriptor is ready, or broken."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_POLL_ADD, fd, user_data)
        entry.operation_flags = mask

    # Listeners.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_listener(self, fd: cython.int, number: cython.int) -> cython.int:
        c_assert(0 <= number < LISTENERS_MAX and self.listener_fds[number] < 0)
        self.listener_fds[number] = fd
        self.resume_listener(number)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause_listener(self, number: cython.int) -> cython.void:
        self.has_listener_armed[number] = False
        if self.is_accepting[number] and not self.is_unaccepting[number]:
            self.is_unaccepting[number] = True
            self.cancel(name_accept(number))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        if self.listener_fds[number] >= 0:
            self.has_listener_armed[number] = True
            self.arm_listener(number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_listener(self, number: cython.int) -> cython.void:
        """Accept from a listener, if nothing of that is under way."""
        entry: cython.pointer[Submission]
        if self.is_accepting[number] or not self.has_listener_armed[number]:
            return
        self.is_accepting[number] = True
        entry = self.ring.submission(OP_ACCEPT, self.listener_fds[number], name_accept(number))
        entry.operation_flags = SOCK_NONBLOCK | SOCK_CLOEXEC
        if self.accepts_many:
            entry.priority = ACCEPT_MULTISHOT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_next(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        index: cython.int
        fd: cython.int
        outcome: cython.pointer[Outcome]
        self.ring.reap_all()
        for index in range(self.ring.reaped_count):
            outcome = cython.address(self.ring.reaped[index])
            if outcome.user_data == name_accept(number):
                self.take_accepted(cython.address(outcome[0]), True)
                outcome.user_data = OF_NOTHING
        for index in range(self.waiting_count):
            if self.waiting[index].listener == number:
                fd = self.waiting[index].fd
                self.drop_waiting(index)
                ask_peer(fd, peer)
                return fd
        return self.accept(number, peer)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        index: cython.int = 0
        if self.listener_fds[number] < 0:
            return
        while index < self.waiting_count:
            if self.waiting[index].listener == number:
                close(self.waiting[index].fd)
                self.drop_waiting(index)
            else:
                index += 1
        self.pause_listener(number)
        self.close_fd(self.listener_fds[number])
        self.finish()  # who tries to connect next is to be refused
        self.listener_fds[number] = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_accepted(self, outcome: cython.pointer[Outcome], is_kept: cython.bint) -> cython.void:
        """A connection came in, or could not; `is_kept` has it wait with those that there is no place for."""
        number: cython.int = cython.cast(cython.int, (outcome.user_data >> KIND_BITS) & INDEX_MASK)
        result: cython.int = outcome.result
        completion: cython.pointer[Completion]
        if not outcome.flags & OUTCOME_MORE:
            self.is_accepting[number] = self.is_unaccepting[number] = False
            self.has_listener_listed = True
        if result == -ECANCELED or result == -EAGAIN:
            return
        if result == -EINVAL and self.accepts_many:
            self.accepts_many = False  # before Linux 5.19
            return
        if result >= 0 and self.listener_fds[number] < 0:
            close(result)
            return
        if result >= 0 and (is_kept or self.allowances[number] <= 0):
            self.keep_waiting(number, result)
            return
        completion = self.complete(ACCEPTED, cython.NULL, result)
        completion.start = number
        if result >= 0:
            self.allowances[number] -= 1
            ask_peer(result, cython.address(completion.peer))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def keep_waiting(self, number: cython.int, fd: cython.int) -> cython.void:
        """Keep a connection until there is a place for it."""
        if self.waiting_count == self.waiting_size:
            self.waiting_size = max(self.waiting_size * 2, SLOTS_FIRST)
            self.waiting = cython.cast(
                cython.pointer[Accepted], realloc(self.waiting, self.waiting_size * cython.sizeof(Accepted))
            )
            if self.waiting is cython.NULL:
                abort()
        self.waiting[self.waiting_count].fd = fd
        self.waiting[self.waiting_count].listener = number
        self.waiting_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop_waiting(self, index: cython.int) -> cython.void:
        """Take a connection off the list, and keep the others in order."""
        self.waiting_count -= 1
        while index < self.waiting_count:
            self.waiting[index] = self.waiting[index + 1]
            index += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def let_in(self) -> cython.void:
        """Report connections that waited, as far as there are places now, and accept further ones."""
        index: cython.int = 0
        number: cython.int
        completion: cython.pointer[Completion]
        while index < self.waiting_count:
            number = self.waiting[index].listener
            if self.allowances[number] > 0 and self.has_listener_armed[number]:
                self.allowances[number] -= 1
                completion = self.complete(ACCEPTED, cython.NULL, self.waiting[index].fd)
                completion.start = number
                ask_peer(self.waiting[index].fd, cython.address(completion.peer))
                self.drop_waiting(index)
            else:
                index += 1
        if self.has_listener_listed:
            self.has_listener_listed = False
            for number in range(LISTENERS_MAX):
                self.arm_listener(number)

    # Channels.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        port: cython.pointer[Port]
        self.keep_channel(channel)
        if self.port_size < self.channel_size:
            self.ports = cython.cast(cython.pointer[Port], realloc(self.ports, self.channel_size * cython.sizeof(Port)))
            if self.ports is cython.NULL:
                abort()
            memset(self.ports + self.port_size, 0, (self.channel_size - self.port_size) * cython.sizeof(Port))
            self.port_size = self.channel_size
        port = cython.address(self.ports[channel.index])
        memset(port, 0, cython.sizeof(Port))
        self.arm(channel, port)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = True
        if not self.ports[channel.index].is_receiving:
            self.list_channel(channel)  # to be watched for a hang-up

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        channel.is_paused = False
        if not port.is_receiving or port.first is not cython.NULL or channel.target_room > 0:
            self.list_channel(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        port: cython.pointer[Port] = cython.address(self.ports[channel.index])
        drop_kept(cython.address(port.first))
        port.is_listed = False
        if port.is_receiving and not port.is_stopping:
            self.cancel(name_operation(OF_RECEIVE, channel))
        if port.is_polling:
            self.cancel(name_operation(OF_INPUT, channel))
        if channel.has_writable_armed:
            self.cancel(name_operation(OF_OUTPUT, channel))
        self.close_fd(channel.fd)
        channel.fd = -1
        channel.is_queued = False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_unread(self, channel: cython.pointer[Channel]) -> cython.bint:
        index: cython.int
        received: cython.ulonglong = name_operation(OF_RECEIVE, channel)
        if self.ports[channel.index].first is not cython.NULL or Sockets.has_unread(self, channel):
            return True
        self.ring.reap_all()  # what the kernel has received already stands in no socket any more
        for index in range(self.ring.reaped_count):
            if self.ring.reaped[index].user_data == received and self.ring.reaped[index].result > 0:
                return True
        return False

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
        """Deliver what was kept for those that are not paused any more, and arm what is to be armed."""
        index: cython.int
        count: cython.int = self.listed_count
        channel: cython.pointer[Channel]
        port: cython.pointer[Port]
        for index in range(count):
            channel = self.listed[index]
            if channel.fd < 0:
                continue
            port = cython.address(self.ports[channel.index])
            if not port.is_listed:
                continue
            port.is_listed = False
            if channel.is_paused or port.has_told_end:
                self.watch_hangup(channel, port)
            elif port.first is not cython.NULL:
                self.deliver_kept(channel, port)
            elif port.error:
                self.complete(RECEIVED, channel, -port.error)
            elif port.has_ended:
                self.tell_end(channel, port)
                self.list_channel(channel)
            else:
                self.arm(channel, port)
        self.listed_count -= count
        for index in range(self.listed_count):
            self.listed[index] = self.listed[count + index]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Have more received, in whatever way is right now."""
        entry: cython.pointer[Submission]
        if port.is_receiving:
            if channel.target_room > 0:
                self.stop_receiving(channel, port)
            return
        if channel.target_room > 0:
            if port.is_full:
                self.receive_now(channel, port)
            elif not port.is_polling:
                port.is_polling = True
                self.add_poll(channel.fd, POLLIN | POLLRDHUP, name_operation(OF_INPUT, channel))
            return
        port.is_receiving = True
        entry = self.ring.submission(OP_RECV, channel.fd, name_operation(OF_RECEIVE, channel))
        entry.flags = SUBMIT_BUFFER_SELECT
        if self.receives_many:
            entry.priority = RECEIVE_MULTISHOT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def stop_receiving(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Cancel the receive; its last outcome has the channel looked at again."""
        if port.is_receiving and not port.is_stopping:
            port.is_stopping = True
            self.cancel(name_operation(OF_RECEIVE, channel))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def watch_hangup(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Be told, from now on, if the connection of a channel breaks that is not received from."""
        event: epoll_event
        if not port.is_receiving and not port.is_watched:
            port.is_watched = True
            event.events = EPOLLET  # of EPOLLHUP and EPOLLERR alone, which need not be asked for
            event.data.u64 = name_operation(OF_HANGUPS, channel)
            epoll_ctl(self.hangups_fd, EPOLL_CTL_ADD, channel.fd, cython.address(event))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_hangups(self) -> cython.void:
        """Complete whenever a watched connection has broken."""
        entry: cython.pointer[Submission] = self.ring.submission(OP_POLL_ADD, self.hangups_fd, OF_HANGUPS)
        entry.operation_flags = POLLIN
        entry.length = POLL_MULTISHOT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_hangups(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """Connections have broken. Those that are received from will say so themselves."""
        index: cython.int
        count: cython.int = HANGUPS_MAX
        events: epoll_event[64]
        channel: cython.pointer[Channel]
        port: cython.pointer[Port]
        if not outcome.flags & OUTCOME_MORE:
            self.arm_hangups()
        while count == HANGUPS_MAX:
            count = epoll_wait(self.hangups_fd, events, HANGUPS_MAX, 0)
            for index in range(count):
                channel = self.channel_named_by(events[index].data.u64)
                if channel is cython.NULL:
                    continue
                port = cython.address(self.ports[channel.index])
                if channel.is_paused or port.has_told_end:
                    self.fail(channel, port, ECONNRESET)

    # What was received.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_received(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """Bytes, the end, or an error of one channel, or of one that is gone."""
        start: cython.int = 0
        result: cython.int = outcome.result
        slab: cython.pointer[Slab] = cython.NULL
        channel: cython.pointer[Channel] = self.channel_of(outcome)
        port: cython.pointer[Port]
        if outcome.flags & OUTCOME_BUFFER:
            slab = self.offered.take(outcome.flags, result, cython.address(start))
        if channel is cython.NULL:
            return
        port = cython.address(self.ports[channel.index])
        if not outcome.flags & OUTCOME_MORE:
            port.is_receiving = port.is_stopping = False
            self.list_channel(channel)
        if result > 0:
            self.deliver(channel, port, slab, start, result)
        elif result == 0:
            self.end(channel, port)
        elif result == -EINVAL and self.receives_many:
            self.receives_many = False  # before Linux 6.0
        elif result != -ENOBUFS and result != -ECANCELED and result != -EAGAIN and result != -EINTR:
            self.fail(channel, port, -result)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def deliver(
        self,
        channel: cython.pointer[Channel],
        port: cython.pointer[Port],
        slab: cython.pointer[Slab],
        start: cython.int,
        length: cython.int,
    ) -> cython.void:
        """Report bytes, if the engine can take them in this wait: once for each channel. What it cannot is kept."""
        taken: cython.int = 0
        if not channel.is_paused and port.first is cython.NULL:
            taken = self.report(channel, port, slab, start, length)
        if taken < length:
            keep(port, slab, start + taken, length - taken)
            channel.is_again = True
            if channel.is_paused:
                self.stop_receiving(channel, port)
            else:
                self.list_channel(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report(
        self,
        channel: cython.pointer[Channel],
        port: cython.pointer[Port],
        slab: cython.pointer[Slab],
        start: cython.int,
        length: cython.int,
    ) -> cython.int:
        """Add bytes to what this wait brings: how many of them."""
        completion: cython.pointer[Completion]
        had: cython.int = 0
        if port.wait_number == self.wait_number:
            completion = cython.address(self.completions[port.completion])
            had = completion.result
            if completion.slab is not cython.NULL:
                if completion.slab != slab or completion.start + had != start:
                    return 0
                completion.result += length
                return length
        if channel.target_room == 0:
            if had > 0:
                return 0
            completion = self.complete_received(channel, port)
            completion.slab = slab
            completion.start = start
            completion.result = length
            return length
        length = min(length, cython.cast(cython.int, channel.target_room) - had)
        if length > 0:
            memcpy(channel.target + had, slab.bytes + start, length)
            if had == 0:
                completion = self.complete_received(channel, port)
            completion.result += length
            self.stop_receiving(channel, port)  # the rest is received where it belongs
        return length

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def complete_received(
        self, channel: cython.pointer[Channel], port: cython.pointer[Port]
    ) -> cython.pointer[Completion]:
        """The one entry of this channel that this wait brings."""
        port.wait_number = self.wait_number
        port.completion = self.completion_count
        return self.complete(RECEIVED, channel, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def deliver_kept(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Report what was kept, as much as one wait may bring; it stays until the next one."""
        kept: cython.pointer[Kept]
        taken: cython.int
        while port.first is not cython.NULL:
            kept = port.first
            taken = self.report(channel, port, kept.slab, kept.start, kept.length)
            kept.start += taken
            kept.length -= taken
            if kept.length > 0:
                break
            port.first = kept.next
            kept.next = self.delivered
            self.delivered = kept
        channel.is_again = port.first is not cython.NULL
        self.list_channel(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def receive_now(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """One recv(2), into the place that the engine has for the bytes."""
        received: cython.Py_ssize_t
        completion: cython.pointer[Completion]
        port.is_full = False
        while True:
            received = recv(channel.fd, channel.target, channel.target_room, MSG_DONTWAIT)
            if received >= 0 or errno != EINTR:
                break
        if received > 0:
            completion = self.complete_received(channel, port)
            completion.result = cython.cast(cython.int, received)
            port.is_full = received == channel.target_room
            self.list_channel(channel)
        elif received == 0:
            self.end(channel, port)
        elif errno == EAGAIN:
            self.arm(channel, port)
        else:
            self.fail(channel, port, errno)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def end(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """The peer has sent its last byte: say so now if nothing stands before it."""
        port.has_ended = True
        if channel.is_paused or port.first is not cython.NULL:
            self.list_channel(channel)
        else:
            self.tell_end(channel, port)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def tell_end(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Report the end, with the bytes before it if they come in this wait."""
        port.has_told_end = True
        if port.wait_number != self.wait_number:
            self.complete_received(channel, port)
        self.completions[port.completion].is_end = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def fail(self, channel: cython.pointer[Channel], port: cython.pointer[Port], error: cython.int) -> cython.void:
        """The connection is broken: say so at once to one that is paused, else behind what came before."""
        port.error = error
        if channel.is_paused or (port.first is cython.NULL and port.wait_number != self.wait_number):
            self.complete_received(channel, port).result = -error
        else:
            self.list_channel(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def channel_of(self, outcome: cython.pointer[Outcome]) -> cython.pointer[Channel]:
        """The open channel that an outcome is about; NULL if it is gone."""
        return self.channel_named_by(outcome.user_data)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def channel_named_by(self, user_data: cython.ulonglong) -> cython.pointer[Channel]:
        channel: cython.pointer[Channel] = self.channels[(user_data >> KIND_BITS) & INDEX_MASK]
        return channel if channel.fd >= 0 and channel.generation == user_data >> 32 else cython.NULL

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_polled(self, outcome: cython.pointer[Outcome], kind: cython.int) -> cython.void:
        """A channel has become readable or writable, or broken."""
        channel: cython.pointer[Channel] = self.channel_of(outcome)
        port: cython.pointer[Port]
        if channel is cython.NULL:
            return
        port = cython.address(self.ports[channel.index])
        if kind == OF_OUTPUT:
            channel.has_writable_armed = False
            if channel.wants_writable and outcome.result != -ECANCELED:
                channel.wants_writable = False
                self.complete(WRITABLE, channel, 0)
        else:
            port.is_polling = False
            port.is_full = True
            if channel.is_paused or channel.target_room == 0 or port.is_receiving or port.first is not cython.NULL:
                self.list_channel(channel)
            elif port.wait_number != self.wait_number:
                self.receive_now(channel, port)

    # Sending.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        entry: cython.pointer[Submission]
        noted: cython.pointer[Noted]
        if length > QUEUED_BYTES_MAX or channel.is_queued:
            return self.send_now(channel, source, length)
        if self.send_count == self.send_size:
            self.send_size = max(self.send_size * 2, EVENTS_MAX)
            self.sends = cython.cast(cython.pointer[Noted], realloc(self.sends, self.send_size * cython.sizeof(Noted)))
            if self.sends is cython.NULL:
                abort()
        noted = cython.address(self.sends[self.send_count])
        noted.channel = channel
        noted.generation = channel.generation
        noted.source = source
        noted.length = length
        entry = self.ring.submission(
            OP_SEND, channel.fd, OF_SEND | (cython.cast(cython.ulonglong, self.send_count) << KIND_BITS)
        )
        entry.flags = SUBMIT_SKIP_SUCCESS
        entry.address = cython.cast(cython.size_t, source)
        entry.length = cython.cast(cython.uint, length)
        # A short one is a failure for MSG_WAITALL, and so completes aloud: io_uring_enter(2) on CQE_SKIP_SUCCESS.
        entry.operation_flags = MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL
        self.send_count += 1
        channel.is_queued = True
        return length

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_with(
        self,
        channel: cython.pointer[Channel],
        source: cython.p_const_uchar,
        length: cython.Py_ssize_t,
        flags: cython.int,
    ) -> cython.Py_ssize_t:
        if self.is_behind(channel):
            return 0
        return Sockets.send_with(self, channel, source, length, flags)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_file(
        self, channel: cython.pointer[Channel], fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        if self.is_behind(channel):
            return -EAGAIN
        return Sockets.send_file(self, channel, fd, offset, count)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def is_behind(self, channel: cython.pointer[Channel]) -> cython.bint:
        """Whether something that was sent to the channel before is untaken, now that it has been tried."""
        if not channel.is_queued:
            return False
        self.settle()
        return channel.wants_writable or channel.has_failed

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_writable(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.wants_writable = True
        if not channel.has_writable_armed:
            channel.has_writable_armed = True
            self.add_poll(channel.fd, POLLOUT, name_operation(OF_OUTPUT, channel))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def settle(self) -> cython.void:
        index: cython.int
        outcome: cython.pointer[Outcome]
        self.ring.submit()
        if self.send_count == 0:
            return
        self.ring.reap_all()
        for index in range(self.ring.reaped_count):
            outcome = cython.address(self.ring.reaped[index])
            if outcome.user_data & KIND_MASK == OF_SEND:
                self.take_sent(outcome)
                outcome.user_data = OF_NOTHING
        self.forget_sends()

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
    def take_sent(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """A send was short, or failed."""
        noted: cython.pointer[Noted] = cython.address(self.sends[outcome.user_data >> KIND_BITS])
        sent: cython.int = max(outcome.result, 0)
        channel: cython.pointer[Channel] = noted.channel
        if channel.fd < 0 or channel.generation != noted.generation or sent == noted.length:
            return
        if outcome.result < 0 and outcome.result != -EAGAIN and outcome.result != -EINTR:
            channel.has_failed = True
            self.report_untaken(channel, noted.source, noted.length, -outcome.result)
        else:
            self.await_writable(channel)
            self.report_untaken(channel, noted.source + sent, noted.length - sent, 0)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def forget_sends(self) -> cython.void:
        """All that was noted has been tried."""
        index: cython.int
        for index in range(self.send_count):
            if self.sends[index].channel.generation == self.sends[index].generation:
                self.sends[index].channel.is_queued = False
        self.send_count = 0

    # Watched descriptors.

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
        watched: cython.pointer[Watched]
        result: cython.int = check_watchable(fd)
        if result < 0:
            return result
        if slot >= self.watched_size:
            self.watched_size = max(self.watched_size * 2, slot + 1, SLOTS_FIRST)
            self.watched = cython.cast(
                cython.pointer[Watched], realloc(self.watched, self.watched_size * cython.sizeof(Watched))
            )
            if self.watched is cython.NULL:
                abort()
        watched = cython.address(self.watched[slot])
        watched.fd = fd
        watched.generation = generation
        watched.is_persistent = is_persistent
        watched.mask = 0
        if interest & EVENT_READABLE:
            watched.mask |= POLLIN | POLLRDHUP
        if interest & EVENT_WRITABLE:
            watched.mask |= POLLOUT
        self.arm_watch(slot)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def arm_watch(self, slot: cython.uint) -> cython.void:
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        watched.is_armed = True
        self.add_poll(watched.fd, watched.mask, name_watched(slot, watched.generation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        if watched.generation != generation or watched.fd < 0:
            return
        watched.fd = -1
        if watched.is_armed:
            entry: cython.pointer[Submission] = self.ring.submission(OP_POLL_REMOVE, -1, OF_NOTHING)
            entry.flags = SUBMIT_SKIP_SUCCESS
            entry.address = name_watched(slot, generation)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_watched(self, outcome: cython.pointer[Outcome]) -> cython.void:
        """A watched descriptor is ready."""
        slot: cython.uint = cython.cast(cython.uint, (outcome.user_data >> KIND_BITS) & INDEX_MASK)
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        events: cython.int = 0
        mask: cython.int = outcome.result
        completion: cython.pointer[Completion]
        if watched.generation != outcome.user_data >> 32 or watched.fd < 0 or mask == -ECANCELED:
            return
        watched.is_armed = False
        if mask < 0:
            events = EVENT_ERROR
        else:
            if mask & POLLIN:
                events |= EVENT_READABLE
            if mask & POLLOUT:
                events |= EVENT_WRITABLE
            if mask & (POLLHUP | POLLRDHUP):
                events |= EVENT_HANGUP
            if mask & POLLERR:
                events |= EVENT_ERROR
        completion = self.complete(READY, cython.NULL, events)
        completion.start = cython.cast(cython.int, slot)
        completion.generation = watched.generation
        if watched.is_persistent:
            self.list_watch(slot)
        else:
            watched.fd = -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def list_watch(self, slot: cython.uint) -> cython.void:
        """Arm a persistent watch again when the next wait begins: it has had its turn then."""
        if self.rearmed_count == self.rearmed_size:
            self.rearmed_size = max(self.rearmed_size * 2, SLOTS_FIRST)
            self.rearmed = cython.cast(
                cython.pointer[cython.uint], realloc(self.rearmed, self.rearmed_size * cython.sizeof(cython.uint))
            )
            if self.rearmed is cython.NULL:
                abort()
        self.rearmed[self.rearmed_count] = slot
        self.rearmed_count += 1

    # Waiting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        one: cython.ulonglong = 1
        write(self.wake_fd, cython.address(one), 8)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        index: cython.int
        result: cython.int
        slot: cython.uint
        self.completion_count = 0
        self.wait_number += 1
        drop_kept(cython.address(self.delivered))
        if self.offered.spent_count > 0:
            self.offered.recycle()
        if self.listed_count > 0:
            self.look_at_listed()
        if self.waiting_count > 0 or self.has_listener_listed:
            self.let_in()
        for index in range(self.rearmed_count):
            slot = self.rearmed[index]
            if self.watched[slot].fd >= 0 and not self.watched[slot].is_armed:
                self.arm_watch(slot)
        self.rearmed_count = 0
        if self.completion_count > 0 or self.ring.reaped_count > 0 or self.listed_count > 0:
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
        elif kind != OF_NOTHING:
            self.take_polled(outcome, kind)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def ask_peer(fd: cython.int, peer: cython.pointer[PeerAddress]) -> cython.void:
    """The address of an accepted connection: one accept for many has no room for it."""
    address: sockaddr_in6
    length: socklen_t = cython.sizeof(sockaddr_in6)
    address.sin6_family = 0
    getpeername(fd, cython.cast(cython.pointer[sockaddr], cython.address(address)), cython.address(length))
    note_peer(peer, cython.address(address))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def keep(port: cython.pointer[Port], slab: cython.pointer[Slab], start: cython.int, length: cython.int) -> cython.void:
    """Keep received bytes, with a claim on their slab, behind those that are kept already."""
    kept: cython.pointer[Kept] = cython.cast(cython.pointer[Kept], malloc(cython.sizeof(Kept)))
    if kept is cython.NULL:
        abort()
    claim(slab)
    kept.next = cython.NULL
    kept.slab = slab
    kept.start = start
    kept.length = length
    if port.first is cython.NULL:
        port.first = kept
    else:
        port.last.next = kept
    port.last = kept


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_kept(first: cython.pointer[cython.pointer[Kept]]) -> cython.void:
    """Nobody looks at what was kept any more."""
    kept: cython.pointer[Kept]
    while first[0] is not cython.NULL:
        kept = first[0]
        first[0] = kept.next
        release(kept.slab)
        free(kept)


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
