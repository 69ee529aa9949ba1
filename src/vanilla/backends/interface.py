"""The few operations that the engine asks of an event mechanism.

Completion style: `wait` returns with what has been done (a connection accepted, bytes received into a slab), not with
what could be. A mechanism that only says what is ready receives inside `wait`. Nothing here takes the GIL or raises;
results below zero are -errno. One thread, the worker's, calls everything but `wake`, and `accept` of a worker that is
held up: so `accept` changes nothing of the backend's.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.net.platform import EAGAIN

RECEIVE_BYTES_MIN = 16 * 1024  # a receive is offered at least this much room: fewer calls for a large body
EVENTS_MAX = 1024  # events taken in one wait
ACCEPTS_MAX = 64  # connections taken from one listener in one wait, so that a flood of them starves nobody
LISTENERS_MAX = 64  # listeners of one worker


@cython.cclass
class Backend:
    """What every mechanism shares: the list of completions, which grows to what one wait brought.

    `allowances` says of each listener how many more connections may be accepted; accepting takes one, the engine gives
    it back when the connection closes. `is_alone` says whether nobody else accepts from the same listeners; it holds
    from the first wait on in which they are not paused.
    """

    def __cinit__(self, *_: object) -> None:
        number: cython.int
        for number in range(LISTENERS_MAX):
            self.allowances[number] = 0
        self.is_alone = True
        self.completions = cython.NULL
        self.completion_count = self.completion_size = 0
        self.untaken = cython.NULL
        self.untaken_count = self.untaken_size = 0

    def __dealloc__(self) -> None:
        free(self.completions)
        free(self.untaken)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def complete(
        self, kind: cython.int, channel: cython.pointer[Channel], result: cython.int
    ) -> cython.pointer[Completion]:
        """A new entry at the end of the list. Out of memory ends the process: nothing can be told to anybody then."""
        completion: cython.pointer[Completion]
        size: cython.int
        if self.completion_count == self.completion_size:
            size = max(self.completion_size * 2, EVENTS_MAX)
            self.completions = cython.cast(
                cython.pointer[Completion], realloc(self.completions, size * cython.sizeof(Completion))
            )
            if self.completions is cython.NULL:
                abort()
            self.completion_size = size
        completion = cython.address(self.completions[self.completion_count])
        self.completion_count += 1
        completion.kind = kind
        completion.result = result
        completion.is_end = False
        completion.start = 0
        completion.channel = channel
        completion.slab = cython.NULL
        return completion

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_ready(self, slot: cython.uint, generation: cython.uint, events: cython.int) -> cython.void:
        """A new entry at the end of the list, of a watched descriptor: see `watch`."""
        completion: cython.pointer[Completion] = self.complete(READY, cython.NULL, events)
        completion.start = cython.cast(cython.int, slot)
        completion.generation = generation

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_waiting(self, number: cython.int) -> cython.void:
        """Take what waits in one listener's backlog, up to a bound: the rest is for another wait."""
        accepted: cython.int
        fd: cython.int
        peer: PeerAddress
        completion: cython.pointer[Completion]
        if self.allowances[number] <= 0:
            self.has_unplaced = True
        for accepted in range(min(ACCEPTS_MAX, self.allowances[number])):
            fd = self.accept(number, cython.address(peer))
            if fd == -EAGAIN:
                return
            completion = self.complete(ACCEPTED, cython.NULL, fd)
            completion.start = number
            completion.peer = peer
            if fd < 0:
                return
            self.allowances[number] -= 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_untaken(
        self,
        channel: cython.pointer[Channel],
        source: cython.p_const_uchar,
        length: cython.Py_ssize_t,
        error: cython.int,
    ) -> cython.void:
        """A new entry at the end of `untaken`; the engine empties the list."""
        entry: cython.pointer[Untaken]
        if self.untaken_count == self.untaken_size:
            self.untaken_size = max(self.untaken_size * 2, 64)
            self.untaken = cython.cast(
                cython.pointer[Untaken], realloc(self.untaken, self.untaken_size * cython.sizeof(Untaken))
            )
            if self.untaken is cython.NULL:
                abort()
        entry = cython.address(self.untaken[self.untaken_count])
        self.untaken_count += 1
        entry.channel = channel
        entry.generation = channel.generation
        entry.source = source
        entry.length = length
        entry.error = error

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_listener(self, fd: cython.int, number: cython.int) -> cython.int:
        """Accept from `fd`, a listening, non-blocking socket, from now on; completions carry `number` in `start`."""
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause_listener(self, number: cython.int) -> cython.void:
        """Leave new connections in the backlog."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        """Accept again."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        """One connection from the backlog at once: its descriptor, or -errno, -EAGAIN where none waits."""
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def accept_next(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        """As `accept`, for the worker itself: one that the mechanism has accepted and not reported yet goes first."""
        return self.accept(number, peer)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_unplaced(self, number: cython.int, peer: cython.pointer[PeerAddress]) -> cython.int:
        """One that there is no place for, to be given to another worker: its descriptor, or -errno as `accept`.

        A mechanism that accepts ahead gives only what it has accepted already.
        """
        return self.accept(number, peer)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        """Stop listening for good."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def disown_listeners(self) -> cython.void:
        """Forget the listeners without closing them."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        """Receive from channel.fd from now on; 0 or -errno."""
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        """Receive nothing more until `resume`: the kernel's buffer, then the peer, holds back."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        """Receive again, and what arrived meanwhile first."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Bytes taken, perhaps fewer than `length`, in which case WRITABLE follows once there is room; or -errno.

        A mechanism that is at it until there is room has taken more by then: WRITABLE carries how much in `result`.

        The mechanism may only note what is to be sent, and say that all is taken. So the bytes stay as they are until
        the next `settle` or `wait` returns; then `untaken` lists what the kernel has not taken of it after all.
        """
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_now(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """As `send`, and done when it returns. Nothing of the channel's may be noted."""
        return self.send(channel, source, length)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def settle(self) -> cython.void:
        """Do what is only noted: the kernel has then taken it, or it is `untaken`."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def finish(self) -> cython.void:
        """Nothing more is asked of this mechanism, after the channels that have been closed: close them now."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_ahead(
        self, channel: cython.pointer[Channel], source: cython.p_const_uchar, length: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """As `send_now`, of bytes that `send_file` follows at once: they may share its first packet."""
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def send_file(
        self, channel: cython.pointer[Channel], fd: cython.int, offset: cython.longlong, count: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Bytes taken of a file, perhaps fewer than `count`: try again; 0 where it ends at `offset`; or -errno.

        -EAGAIN where there is no room, or it is being sent: WRITABLE follows, as after `send`.
        """
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def count_queued(self, channel: cython.pointer[Channel]) -> cython.int:
        """Bytes that the kernel has taken and the peer has not acknowledged; 0 where that cannot be known."""
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def has_unread(self, channel: cython.pointer[Channel]) -> cython.bint:
        """Whether the peer has sent something that was not reported yet."""
        return False

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def shut_writing(self, channel: cython.pointer[Channel]) -> cython.void:
        """Tell the peer that nothing more comes, and go on receiving."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        """Close the descriptor. No completion for the channel follows, not even one that this wait already brought."""

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
        """Report READY once a user's descriptor is readable or writable (bits 1 and 2), hung up or broken.

        Once, unless persistent: then on every wait, for as long as it lasts. The completion carries `slot` in `start`,
        `generation`, and EVENT bits in `result`. Watching a descriptor again changes the watch. 0 or -errno.
        """
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        """Report the descriptor no more; one that is closed already is none."""

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        """Fill `completions` with what happened; 0 or -errno. Below 0 waits for ever, 0 only looks."""
        return -1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        """Have the current wait, or else the next one, return at once. Any thread."""
