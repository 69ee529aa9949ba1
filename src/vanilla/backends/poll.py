"""poll(2): the portable mechanism, and the easiest to follow. Each wait costs as much as there are descriptors.

# Facts about poll
- It is level-triggered: what is not received now is reported again. So a channel whose end was received is asked for
  no more input, or each wait would report the end anew.
- POLLHUP and POLLERR are always reported. A paused channel asks for nothing else, and is reported broken by them. macOS
  differs: where nothing is asked for it reports nothing, and POLLHUP as soon as one side has ended.
- A closed descriptor is POLLNVAL. A number that was closed and is another file's by now is that file's: poll knows
  numbers only. So a watch is to be cancelled before its descriptor is closed.
- It takes any descriptor. Regular files and directories are always ready; watching one is refused, as epoll does.
"""

from __future__ import annotations

import os

import cython
from cython.cimports.libc.stdlib import abort, free, realloc
from cython.cimports.vanilla.backends.interface import LISTENERS_MAX
from cython.cimports.vanilla.backends.sockets import (
    NAMES_FROM,
    WATCHES_FROM,
    check_watchable,
    events_polled,
    name_of,
    name_of_watch,
    poll_mask,
)
from cython.cimports.vanilla.buffers import SlabPool
from cython.cimports.vanilla.net.platform import (
    EINTR,
    c_assert,
)
from cython.cimports.vanilla.net.posix import (
    POLL_OVER,
    POLL_ROOM,
    POLLIN,
    POLLOUT,
    close,
    errno,
    open_wake_pipe,
    poll,
    read,
    write,
)

TIMEOUT_MS_MAX = 2**31 - 1  # what poll(2) takes: 24 days
NOWHERE = -1  # of a place: it is not in the set
ENTRIES_FIRST = 64


@cython.final
@cython.cclass
class Poll(Readiness):
    """Owns its wake-up pipe, and the set: one entry for each descriptor, and where each name stands in it."""

    def __cinit__(self, pool: SlabPool) -> None:
        number: cython.int
        self.wake_fds[0] = self.wake_fds[1] = -1  # before anything that can raise: __dealloc__ runs all the same
        self.entries = cython.NULL
        self.details = cython.NULL
        self.entry_count = self.entry_size = 0
        self.places = cython.NULL
        self.place_size = 0
        self.watch_places = cython.NULL
        self.watch_size = 0
        for number in range(LISTENERS_MAX + 1):
            self.fixed_places[number] = NOWHERE
        self.name = "poll"
        self.pool = pool
        if open_wake_pipe(self.wake_fds) < 0:
            raise OSError(errno, f"pipe: {os.strerror(errno)}")
        self.enter(self.wake_fds[0], POLLIN, LISTENERS_MAX)

    def __dealloc__(self) -> None:
        if self.wake_fds[0] >= 0:
            close(self.wake_fds[0])
            close(self.wake_fds[1])
        free(self.entries)
        free(self.details)
        free(self.places)
        free(self.watch_places)

    # The set.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def place_of(self, name: cython.ulonglong) -> cython.p_int:
        """Where it is kept at which place of the set the descriptor of that name stands."""
        number: cython.uint = cython.cast(cython.uint, name)
        if number >= WATCHES_FROM:
            return cython.address(self.watch_places[number - WATCHES_FROM])
        if number >= NAMES_FROM:
            return cython.address(self.places[number - NAMES_FROM])
        return cython.address(self.fixed_places[number])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def enter(self, fd: cython.int, events: cython.int, name: cython.ulonglong) -> cython.void:
        """Add a descriptor to the set."""
        if self.entry_count == self.entry_size:
            self.entry_size = max(self.entry_size * 2, ENTRIES_FIRST)
            self.entries = cython.cast(
                cython.pointer[pollfd], realloc(self.entries, self.entry_size * cython.sizeof(pollfd))
            )
            self.details = cython.cast(
                cython.pointer[Detail], realloc(self.details, self.entry_size * cython.sizeof(Detail))
            )
            if self.entries is cython.NULL or self.details is cython.NULL:
                abort()
        self.entries[self.entry_count].fd = fd
        self.entries[self.entry_count].events = cython.cast(cython.short, events)
        self.entries[self.entry_count].revents = 0
        self.details[self.entry_count].name = name
        self.details[self.entry_count].is_once = False
        self.place_of(name)[0] = self.entry_count
        self.entry_count += 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def leave(self, name: cython.ulonglong) -> cython.void:
        """Take a descriptor out of the set, and put the last one in its place."""
        place: cython.p_int = self.place_of(name)
        at: cython.int = place[0]
        if at == NOWHERE:
            return
        c_assert(self.details[at].name == name)
        place[0] = NOWHERE
        self.entry_count -= 1
        if at < self.entry_count:
            self.entries[at] = self.entries[self.entry_count]
            self.details[at] = self.details[self.entry_count]
            self.place_of(self.details[at].name)[0] = at

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def ask(self, channel: cython.pointer[Channel], has_ended: cython.bint) -> cython.void:
        """Ask for what is to be known of a channel."""
        events: cython.int = 0 if channel.is_paused or has_ended else POLLIN
        if channel.wants_writable:
            events |= POLLOUT
        self.entries[self.places[channel.index]].events = cython.cast(cython.short, events)

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
        self.leave(number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume_listener(self, number: cython.int) -> cython.void:
        if not self.has_listener_armed[number] and self.listener_fds[number] >= 0:
            self.has_listener_armed[number] = True
            self.enter(self.listener_fds[number], POLLIN, number)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close_listener(self, number: cython.int) -> cython.void:
        self.leave(number)
        Readiness.close_listener(self, number)

    # Channels.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add(self, channel: cython.pointer[Channel]) -> cython.int:
        self.keep_channel(channel)
        if self.place_size < self.channel_size:
            self.places = cython.cast(cython.p_int, realloc(self.places, self.channel_size * cython.sizeof(cython.int)))
            if self.places is cython.NULL:
                abort()
            self.place_size = self.channel_size
        self.enter(channel.fd, POLLIN, name_of(channel))
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def pause(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = True
        self.ask(channel, False)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def resume(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.is_paused = False
        self.ask(channel, False)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def await_writable(self, channel: cython.pointer[Channel]) -> cython.void:
        channel.wants_writable = True
        self.entries[self.places[channel.index]].events |= POLLOUT

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def close(self, channel: cython.pointer[Channel]) -> cython.void:
        self.leave(name_of(channel))
        Readiness.close(self, channel)

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
        at: cython.uint
        result: cython.int = check_watchable(fd)
        if result < 0:
            return result
        if slot >= self.watch_size:
            at = self.watch_size
            self.watch_size = max(self.watch_size * 2, slot + 1, ENTRIES_FIRST)
            self.watch_places = cython.cast(
                cython.p_int, realloc(self.watch_places, self.watch_size * cython.sizeof(cython.int))
            )
            if self.watch_places is cython.NULL:
                abort()
            while at < self.watch_size:
                self.watch_places[at] = NOWHERE
                at += 1
        self.enter(fd, poll_mask(interest), name_of_watch(slot, generation))
        self.details[self.entry_count - 1].is_once = not is_persistent
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def unwatch(self, fd: cython.int, slot: cython.uint, generation: cython.uint) -> cython.void:
        self.leave(name_of_watch(slot, generation))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def report_watch(self, at: cython.int, mask: cython.int) -> cython.void:
        """Turn what a watched descriptor is ready for into a completion."""
        name: cython.ulonglong = self.details[at].name
        self.report_ready(
            cython.cast(cython.uint, name) - WATCHES_FROM, cython.cast(cython.uint, name >> 32), events_polled(mask)
        )
        if self.details[at].is_once:
            self.leave(name)

    # Waiting.

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wake(self) -> cython.void:
        octet: cython.uchar = 0
        write(self.wake_fds[1], cython.address(octet), 1)  # a full pipe wakes, too

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wait(self, timeout_ms: cython.longlong) -> cython.int:
        again_count: cython.int = self.again.count
        ready: cython.int
        count: cython.int
        at: cython.int = 0
        self.completion_count = 0
        if again_count > 0:
            timeout_ms = 0
        ready = poll(self.entries, self.entry_count, cython.cast(cython.int, min(timeout_ms, TIMEOUT_MS_MAX)))
        if ready < 0:
            return 0 if errno == EINTR else -errno
        while ready > 0 and at < self.entry_count:
            count = self.entry_count
            if self.entries[at].revents != 0:
                ready -= 1
                self.take_entry(at, self.entries[at].revents)
            if self.entry_count == count:  # else the last one stands here now, and has not had its turn
                at += 1
        self.receive_again(again_count)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take_entry(self, at: cython.int, mask: cython.int) -> cython.void:
        """Do what one descriptor is ready for."""
        name: cython.ulonglong = self.details[at].name
        number: cython.uint = cython.cast(cython.uint, name)
        before: cython.int = self.completion_count
        channel: cython.pointer[Channel]
        octets: cython.uchar[64]
        if number >= WATCHES_FROM:
            self.report_watch(at, mask)
        elif number < cython.cast(cython.uint, LISTENERS_MAX):
            self.accept_waiting(cython.cast(cython.int, number))
        elif number == cython.cast(cython.uint, LISTENERS_MAX):
            while read(self.wake_fds[0], octets, 64) == 64:
                pass
        else:
            channel = self.channels[number - NAMES_FROM]
            self.take_ready(channel, mask & POLLIN != 0, mask & POLL_ROOM != 0, False, mask & POLL_OVER != 0)
            self.ask(channel, self.completion_count > before and self.completions[self.completion_count - 1].is_end)
