"""What an io_uring has received: reported once for each channel in a wait, and kept until the engine can take it.

# Facts that shape this
- A connection is armed once: multishot receive goes on until it is cancelled, fails, or finds no buffer. So data may
  come for a channel that is paused, or twice in one wait: it is kept here, and delivered when the engine can take it.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.stdlib import abort, free, malloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.vanilla.backends.interface import EVENTS_MAX, RECEIVED
from cython.cimports.vanilla.backends.listing import list_channel, make_table
from cython.cimports.vanilla.backends.ring_submissions import OF_RECEIVE, name_operation
from cython.cimports.vanilla.buffers import claim, release


@cython.cclass
class RingDeliveries(RingListeners):
    """Owns a port for each channel, with what was received and not reported, and a list of those to be looked at."""

    def __cinit__(self, *_: object) -> None:
        self.ports = cython.NULL
        self.port_size = 0
        self.listed.entries = cython.NULL
        self.listed.count = self.listed.size = 0
        self.delivered = cython.NULL

    def __dealloc__(self) -> None:
        index: cython.int
        for index in range(cython.cast(cython.int, self.port_size)):
            drop_kept(cython.address(self.ports[index].first))
        drop_kept(cython.address(self.delivered))
        free(self.ports)
        free(self.listed.entries)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def keep_port(self, channel: cython.pointer[Channel]) -> cython.pointer[Port]:
        """A blank port, for a channel that is new."""
        port: cython.pointer[Port]
        self.keep_channel(channel)
        self.ports = cython.cast(
            cython.pointer[Port],
            make_table(self.ports, cython.address(self.port_size), channel.index, EVENTS_MAX, cython.sizeof(Port)),
        )
        port = cython.address(self.ports[channel.index])
        memset(port, 0, cython.sizeof(Port))
        return port

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
    def stop_receiving(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """Cancel the receive; its last outcome has the channel looked at again."""
        if port.is_receiving and not port.is_stopping:
            port.is_stopping = True
            self.cancel(name_operation(OF_RECEIVE, channel))

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
                self.look_later(channel)

    @cython.final  # so that it is called directly, for each request
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

    @cython.final  # so that it is called directly, for each request
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
        self.look_later(channel)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def end(self, channel: cython.pointer[Channel], port: cython.pointer[Port]) -> cython.void:
        """The peer has sent its last byte: say so now if nothing stands before it."""
        port.has_ended = True
        if channel.is_paused or port.first is not cython.NULL:
            self.look_later(channel)
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
            self.look_later(channel)


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
