"""kqueue(2): the mechanism of macOS and FreeBSD.

# Facts about kqueue
- What is registered (a knote) belongs to a descriptor's number and a filter. Reading and writing are two knotes and
  tell in two events, each of its own direction's end: EV_EOF, with the error in fflags if there was one. A connection
  is over when both have told of an end, so the end of reading has writing registered, too.
- close(2) forgets the knotes of its number, whatever duplicates there are: closing a channel costs no call. But a
  change that waits for the next kevent(2) must be dropped then, since the number may be another file's by that time.
- An EV_ADD of what is registered gives it another name and leaves it EV_CLEAR or EV_ONESHOT as it was. So all channels
  are registered alike, and what a watch might find is deleted first. Manuals and kernels are at odds about whether it
  enables what is disabled: nothing is ever disabled, and EV_ENABLE is always given.
- With EV_CLEAR an event comes once for each change of state, as edges do with epoll: channels have it. For writing,
  from the first short send on, that is once for each acknowledgement that makes room.
- The kevent(2) that waits applies changes first, so that they cost no call. One that fails is an event; without room
  for it the call fails, and the changes behind it are lost.
- EVFILT_USER with EV_CLEAR is a wake-up without a descriptor. Timers need none either: kevent(2) has a timeout.
- A pipe that nobody reads any more cannot be watched for writing (EPIPE): a user event tells that in its place.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import abort, calloc, free, realloc
from cython.cimports.libc.string import memset
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
)
from cython.cimports.vanilla.backends.listing import ROOM_FIRST, list_channel, listed_at, make_table
from cython.cimports.vanilla.backends.sockets import (
    A_PIPE,
    NAMES_FROM,
    WATCHES_FROM,
    check_watchable,
    name_of,
    name_of_watch,
)
from cython.cimports.vanilla.buffers import SlabPool
from cython.cimports.vanilla.net.bsd import (
    EV_ADD,
    EV_CLEAR,
    EV_DELETE,
    EV_ENABLE,
    EV_EOF,
    EV_ERROR,
    EV_ONESHOT,
    EV_RECEIPT,
    EVFILT_READ,
    EVFILT_USER,
    EVFILT_WRITE,
    NOTE_TRIGGER,
    kevent,
    name_given,
    open_kqueue,
    set_change,
    timespec,
)
from cython.cimports.vanilla.net.platform import EINTR, EPIPE, c_assert
from cython.cimports.vanilla.net.posix import close, errno

TIMEOUT_MS_MAX = 2**31 - 1  # 24 days, as elsewhere: far from what a kernel might not take
CHANGES_FIRST = 64


@cython.final
@cython.cclass
class Kqueue(Readiness):
    """Owns its kqueue, and knows what each channel and each watch has registered there."""

    def __cinit__(self, pool: SlabPool) -> None:
        change: Kevent
        number: cython.int
        self.kqueue_fd = -1  # before anything that can raise: __dealloc__ runs all the same
        self.changes = cython.NULL
        self.change_count = self.change_size = 0
        self.event_size = EVENTS_MAX
        self.changing.entries = cython.NULL
        self.changing.count = self.changing.size = 0
        self.standings = cython.NULL
        self.standing_size = 0
        self.watched = cython.NULL
        self.watched_size = 0
        for number in range(LISTENERS_MAX):
            self.is_listener_registered[number] = False
        self.has_listener_changes = False
        self.name = "kqueue"
        self.pool = pool
        self.events = cython.cast(cython.pointer[Kevent], calloc(self.event_size, cython.sizeof(Kevent)))
        if self.events is cython.NULL:
            raise MemoryError
        self.kqueue_fd = open_kqueue()
        if self.kqueue_fd < 0:
            raise OSError(errno, f"kqueue: {os.strerror(errno)}")
        set_change(cython.address(change), LISTENERS_MAX, EVFILT_USER, EV_ADD | EV_ENABLE | EV_CLEAR, LISTENERS_MAX)
        number = self.apply(cython.address(change), 1)
        if number < 0:
            raise OSError(-number, f"kevent: {os.strerror(-number)}")

    def __dealloc__(self) -> None:
        if self.kqueue_fd >= 0:
            close(self.kqueue_fd)
        free(self.changes)
        free(self.events)
        free(self.changing.entries)
        free(self.standings)
        free(self.watched)

    # Changes.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def apply(self, changes: cython.pointer[Kevent], count: cython.int) -> cython.int:
        """Make these changes now: 0, or -errno of the first that fails. Deleting what is not there is no failure."""
        now: timespec
        answers: Kevent[4]
        index: cython.int
        result: cython.int
        now.tv_sec = now.tv_nsec = 0
        c_assert(count <= 4)
        for index in range(count):
            changes[index].flags |= EV_RECEIPT  # each is answered, and no event is taken
        while True:
            result = kevent(self.kqueue_fd, changes, count, answers, count, cython.address(now))
            if result >= 0 or errno != EINTR:
                break
        if result < 0:
            return -errno
        for index in range(result):
            if answers[index].data != 0 and not changes[index].flags & EV_DELETE:
                return -cython.cast(cython.int, answers[index].data)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def register(self, channel: cython.pointer[Channel], interest: cython.int) -> cython.void:
        """Have the next wait register a channel for reading or writing."""
        standing: cython.pointer[Standing] = cython.address(self.standings[channel.index])
        if standing.pending == 0:
            list_channel(cython.address(self.changing), channel)
        standing.pending |= interest

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def put(self, fd: cython.int, filter: cython.int, flags: cython.int, name: cython.ulonglong) -> cython.void:
        """Add to the changes that the wait makes; there is room for the answer of each among the events."""
        if self.change_count == self.change_size:
            self.change_size = max(self.change_size * 2, CHANGES_FIRST)
            self.changes = cython.cast(
                cython.pointer[Kevent], realloc(self.changes, self.change_size * cython.sizeof(Kevent))
            )
            if self.changes is cython.NULL:
                abort()
            if self.event_size < self.change_size:
                self.event_size = self.change_size
                self.events = cython.cast(
                    cython.pointer[Kevent], realloc(self.events, self.event_size * cython.sizeof(Kevent))
                )
                if self.events is cython.NULL:
                    abort()
        set_change(cython.address(self.changes[self.change_count]), fd, filter, flags, name)
        self.change_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def gather_changes(self) -> cython.void:
        """Ask for what has changed of listeners and channels since the last wait, and is still so."""
        index: cython.int
        channel: cython.pointer[Channel]
        standing: cython.pointer[Standing]
        self.change_count = 0
        if self.has_listener_changes:
            self.has_listener_changes = False
            for index in range(LISTENERS_MAX):
                if self.is_listener_registered[index] != self.has_listener_armed[index]:
                    self.is_listener_registered[index] = self.has_listener_armed[index]
                    self.put(
                        self.listener_fds[index],
                        EVFILT_READ,
                        EV_ADD | EV_ENABLE if self.has_listener_armed[index] else EV_DELETE,
                        index,
                    )
        for index in range(self.changing.count):
            channel = listed_at(cython.address(self.changing), index)
            if channel is cython.NULL:
                continue
            standing = cython.address(self.standings[channel.index])
            if standing.pending & EVENT_READABLE:
                self.put(channel.fd, EVFILT_READ, EV_ADD | EV_ENABLE | EV_CLEAR, name_of(channel))
            if standing.pending & EVENT_WRITABLE:
                self.put(channel.fd, EVFILT_WRITE, EV_ADD | EV_ENABLE | EV_CLEAR, name_of(channel))
            standing.pending = 0
        self.changing.count = 0

    # Listeners.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_listener(self, fd: cython.int, number: cython.int) -> cython.int:
        change: Kevent
        c_assert(0 <= number < LISTENERS_MAX and self.listener_fds[number] < 0)
        self.listener_fds[number] = fd
        self.has_listener_armed[number] = self.is_listener_registered[number] = True
        set_change(cython.address(change), fd, EVFILT_READ, EV_ADD | EV_ENABLE, number)
        return self.apply(cython.address(change), 1)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause_listener(self, number: cython.int) -> cython.void:
        if self.has_listener_armed[number]:
            self.has_listener_armed[number] = False
            self.has_listener_changes = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        if not self.has_listener_armed[number] and self.listener_fds[number] >= 0:
            self.has_listener_armed[number] = True
            self.has_listener_changes = True

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        self.is_listener_registered[number] = False  # close(2) forgets it
        Readiness.close_listener(self, number)

    # Channels.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        self.keep_channel(channel)
        if self.standing_size < self.channel_size:
            self.standings = cython.cast(
                cython.pointer[Standing], realloc(self.standings, self.channel_size * cython.sizeof(Standing))
            )
            if self.standings is cython.NULL:
                abort()
            self.standing_size = self.channel_size
        memset(cython.address(self.standings[channel.index]), 0, cython.sizeof(Standing))
        self.register(channel, EVENT_READABLE)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_writable(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.wants_writable = True
        if not channel.has_writable_armed:
            channel.has_writable_armed = True
            self.register(channel, EVENT_WRITABLE)

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
        changes: Kevent[4]
        count: cython.int = 2
        flags: cython.int = EV_ADD | EV_ENABLE | (0 if is_persistent else EV_ONESHOT)
        name: cython.ulonglong = name_of_watch(slot, generation)
        watched: cython.pointer[Watched]
        is_pipe: cython.bint
        result: cython.int = check_watchable(fd)
        if result < 0:
            return result
        is_pipe = result == A_PIPE
        self.watched = cython.cast(
            cython.pointer[Watched],
            make_table(self.watched, cython.address(self.watched_size), slot, ROOM_FIRST, cython.sizeof(Watched)),
        )
        watched = cython.address(self.watched[slot])
        watched.generation = generation
        watched.fd = fd
        watched.registered = interest
        watched.is_once = not is_persistent
        watched.is_pipe = is_pipe
        watched.reported = 0
        set_change(cython.address(changes[0]), fd, EVFILT_READ, EV_DELETE, name)
        set_change(cython.address(changes[1]), fd, EVFILT_WRITE, EV_DELETE, name)
        if interest & EVENT_READABLE:
            set_change(cython.address(changes[count]), fd, EVFILT_READ, flags, name)
            count += 1
        if interest & EVENT_WRITABLE:
            set_change(cython.address(changes[count]), fd, EVFILT_WRITE, flags, name)
            count += 1
        result = self.apply(changes, count)
        if result == -EPIPE:
            set_change(cython.address(changes[0]), slot + WATCHES_FROM, EVFILT_USER, flags, name)
            set_change(cython.address(changes[1]), slot + WATCHES_FROM, EVFILT_USER, EV_ENABLE, name)
            changes[1].fflags = NOTE_TRIGGER  # FreeBSD ignores it in the EV_ADD
            watched.registered = (interest & EVENT_READABLE) | EVENT_ERROR
            result = self.apply(changes, 2)
        if result < 0:
            self.drop_watch(watched, slot)
        return result

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop_watch(self, watched: cython.pointer[Watched], slot: cython.uint) -> cython.void:
        """Delete what a watch has registered, and has not been told of."""
        changes: Kevent[3]
        count: cython.int = 0
        if watched.registered & EVENT_READABLE:
            set_change(cython.address(changes[count]), watched.fd, EVFILT_READ, EV_DELETE, 0)
            count += 1
        if watched.registered & EVENT_WRITABLE:
            set_change(cython.address(changes[count]), watched.fd, EVFILT_WRITE, EV_DELETE, 0)
            count += 1
        if watched.registered & EVENT_ERROR:
            set_change(cython.address(changes[count]), slot + WATCHES_FROM, EVFILT_USER, EV_DELETE, 0)
            count += 1
        watched.registered = 0
        if count > 0:
            self.apply(changes, count)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        if slot < self.watched_size and self.watched[slot].generation == generation:
            self.drop_watch(cython.address(self.watched[slot]), slot)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_watch(self, event: cython.pointer[Kevent]) -> cython.void:
        """Turn an event of a watched descriptor into a completion, or add it to that of the other event."""
        name: cython.ulonglong = name_given(event)
        slot: cython.uint = cython.cast(cython.uint, name) - WATCHES_FROM
        watched: cython.pointer[Watched] = cython.address(self.watched[slot])
        interest: cython.int = EVENT_READABLE if event.filter == EVFILT_READ else EVENT_WRITABLE
        events: cython.int = interest
        completion: cython.pointer[Completion]
        if watched.generation != cython.cast(cython.uint, name >> 32):
            return
        if event.filter == EVFILT_USER:
            interest = EVENT_ERROR
            events = EVENT_WRITABLE | EVENT_ERROR
        elif event.flags & EV_EOF:
            # As epoll tells it: a pipe at its end is not readable, and one that nobody reads is broken.
            if not watched.is_pipe:
                events |= EVENT_HANGUP
            elif event.filter == EVFILT_WRITE:
                events |= EVENT_ERROR
            else:
                events = EVENT_READABLE | EVENT_HANGUP if event.data > 0 else EVENT_HANGUP
            if event.fflags != 0:
                events |= EVENT_ERROR
        if watched.is_once:
            watched.registered &= ~interest
            if watched.registered != 0:
                self.drop_watch(watched, slot)  # what this wait brought as well still comes
        if watched.reported < self.completion_count:
            completion = cython.address(self.completions[watched.reported])
            if (
                completion.kind == READY
                and cython.cast(cython.uint, completion.start) == slot
                and completion.generation == watched.generation
            ):
                completion.result |= events
                return
        watched.reported = self.completion_count
        self.report_ready(slot, watched.generation, events)

    # Waiting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        now: timespec
        change: Kevent
        now.tv_sec = now.tv_nsec = 0
        set_change(cython.address(change), LISTENERS_MAX, EVFILT_USER, EV_ENABLE, LISTENERS_MAX)
        change.fflags = NOTE_TRIGGER
        kevent(self.kqueue_fd, cython.address(change), 1, cython.NULL, 0, cython.address(now))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        again_count: cython.int = self.again.count
        count: cython.int
        index: cython.int
        timeout: timespec
        until: cython.pointer[timespec] = cython.NULL
        self.completion_count = 0
        if again_count > 0:
            timeout_ms = 0
        if timeout_ms >= 0:
            timeout_ms = min(timeout_ms, TIMEOUT_MS_MAX)
            timeout.tv_sec = timeout_ms // 1000
            timeout.tv_nsec = timeout_ms % 1000 * 1_000_000
            until = cython.address(timeout)
        self.gather_changes()
        count = kevent(self.kqueue_fd, self.changes, self.change_count, self.events, self.event_size, until)
        if count < 0:
            return 0 if errno == EINTR else -errno  # kevent(2): the changes are made all the same
        c_assert(count <= self.event_size)
        for index in range(count):
            self.take_event(cython.address(self.events[index]))
        self.receive_again(again_count)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_event(self, event: cython.pointer[Kevent]) -> cython.void:
        """Do what one event is about."""
        name: cython.ulonglong = name_given(event)
        number: cython.uint = cython.cast(cython.uint, name)
        channel: cython.pointer[Channel]
        if event.flags & EV_ERROR:
            self.take_refusal(event)
        elif number >= WATCHES_FROM:
            self.report_watch(event)
        elif number < cython.cast(cython.uint, LISTENERS_MAX):
            self.accept_waiting(cython.cast(cython.int, number))
        elif number >= NAMES_FROM:  # else it is the wake-up, of which nothing is left to do
            channel = self.channel_named(name)
            if channel is not cython.NULL:
                self.take_channel(channel, event)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_channel(self, channel: cython.pointer[Channel], event: cython.pointer[Kevent]) -> cython.void:
        """Do what a channel is ready for; it is received from in one event of a wait at most, that of reading."""
        standing: cython.pointer[Standing] = cython.address(self.standings[channel.index])
        is_ending: cython.bint = event.flags & EV_EOF != 0
        is_broken: cython.bint = is_ending and event.fflags != 0
        if event.filter == EVFILT_READ:
            if is_ending and not (is_broken or channel.has_writable_armed):
                channel.has_writable_armed = True
                self.register(channel, EVENT_WRITABLE)
            self.take_ready(channel, True, False, is_ending, is_broken or (is_ending and standing.is_shut))
            return
        self.take_ready(channel, False, True, False, False)
        if is_ending:
            standing.is_shut = True
            if (is_broken or channel.is_ending) and not channel.is_broken:
                channel.is_ending = channel.is_broken = True
                self.push_again(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_refusal(self, event: cython.pointer[Kevent]) -> cython.void:
        """A change of a listener or of a channel was not made: only for want of memory, as far as is known."""
        name: cython.ulonglong = name_given(event)
        number: cython.uint = cython.cast(cython.uint, name)
        error: cython.int = cython.cast(cython.int, event.data)
        channel: cython.pointer[Channel]
        completion: cython.pointer[Completion]
        if error == 0:
            return
        if number >= NAMES_FROM:
            channel = self.channel_named(name)
            if channel is not cython.NULL:
                self.complete(RECEIVED, channel, -error)
        elif number < cython.cast(cython.uint, LISTENERS_MAX) and self.has_listener_armed[number]:
            self.is_listener_registered[number] = False  # until it is paused and resumed
            completion = self.complete(ACCEPTED, cython.NULL, -error)
            completion.start = cython.cast(cython.int, number)
