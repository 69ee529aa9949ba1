"""The records of one worker's connections: where they live, and the buffers that each owns while it needs them.

An idle keep-alive connection owns a record and nothing else. Records never move, and one that was closed is not used
again before the tick is over, so that what this tick still knows of it finds `channel.fd == -1`.
"""

from __future__ import annotations

import cython
from cython.cimports.libc.string import memcpy, memmove, memset
from cython.cimports.vanilla.buffers import claim
from cython.cimports.vanilla.net.platform import c_assert

CHUNK_CONNECTIONS = 256  # records allocated at a time, about 80 KiB


@cython.final
@cython.cclass
class ConnectionTable:
    """Owns every record and, at the end, what open ones still hold."""

    def __cinit__(self) -> None:
        self.chunks = cython.NULL
        self.chunk_count = 0
        self.unused = self.left = cython.NULL

    def __dealloc__(self) -> None:
        index: cython.int
        for index in range(self.size()):
            drop_buffers(self.at(index))
        for index in range(self.chunk_count):
            free(self.chunks[index])
        free(self.chunks)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def at(self, index: cython.int) -> cython.pointer[Connection]:
        """The record with that index, open or not."""
        c_assert(0 <= index < self.chunk_count * CHUNK_CONNECTIONS)
        return cython.address(self.chunks[index // CHUNK_CONNECTIONS][index % CHUNK_CONNECTIONS])

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def size(self) -> cython.int:
        """How many records there are."""
        return self.chunk_count * CHUNK_CONNECTIONS

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def take(self) -> cython.pointer[Connection]:
        """A blank record with an index and a generation of its own; NULL when there is no memory."""
        index: cython.int
        connection: cython.pointer[Connection]
        chunks: cython.pointer[cython.pointer[Connection]]
        generation: cython.uint
        if self.unused is cython.NULL:
            chunks = cython.cast(
                cython.pointer[cython.pointer[Connection]],
                realloc(self.chunks, (self.chunk_count + 1) * cython.sizeof(cython.pointer[Connection])),
            )
            if chunks is cython.NULL:
                return cython.NULL
            self.chunks = chunks
            connection = cython.cast(cython.pointer[Connection], calloc(CHUNK_CONNECTIONS, cython.sizeof(Connection)))
            if connection is cython.NULL:
                return cython.NULL
            chunks[self.chunk_count] = connection
            for index in range(CHUNK_CONNECTIONS - 1, -1, -1):
                connection[index].channel.fd = -1
                connection[index].channel.index = self.chunk_count * CHUNK_CONNECTIONS + index
                connection[index].next = self.unused
                self.unused = cython.address(connection[index])
            self.chunk_count += 1
        connection = self.unused
        self.unused = connection.next
        index = connection.channel.index
        generation = connection.channel.generation + 1
        memset(connection, 0, cython.sizeof(Connection))
        connection.channel.fd = -1
        connection.channel.index = index
        connection.channel.generation = generation
        return connection

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def give_back(self, connection: cython.pointer[Connection]) -> cython.void:
        """The connection is closed: free what it owns now, its record when the tick is over."""
        c_assert(connection.channel.fd == -1 and connection.timer.link is cython.NULL)
        drop_buffers(connection)
        connection.channel.generation += 1
        connection.next = self.left
        self.left = connection

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def recycle(self) -> cython.void:
        """The tick is over: records given back in it may be used again."""
        connection: cython.pointer[Connection]
        while self.left is not cython.NULL:
            connection = self.left
            self.left = connection.next
            connection.next = self.unused
            self.unused = connection


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_rest(connection: cython.pointer[Connection]) -> cython.void:
    """Let go of the bytes that were to be framed later."""
    if connection.rest is not cython.NULL:
        release(connection.rest)
        connection.rest = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_buffers(connection: cython.pointer[Connection]) -> cython.void:
    """Release every block that the connection owns."""
    if connection.held is not cython.NULL:
        release(connection.held)
        connection.held = cython.NULL
    if connection.waiting is not cython.NULL:
        release(connection.waiting.slab)
        free(connection.waiting)
        connection.waiting = cython.NULL
    drop_rest(connection)
    drop_intake(connection)
    drop_unsent(connection)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_intake(connection: cython.pointer[Connection]) -> cython.void:
    """The content of the last request has come to its end, or is of no use any more."""
    free(connection.intake)
    connection.intake = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def new_waiting(
    slab: cython.pointer[Slab], framed: cython.pointer[Framed], count: cython.int, trailing: cython.int
) -> cython.pointer[Waiting]:
    """A copy of `count` framed requests, with a claim on the slab that they look into; NULL when there is no memory."""
    waiting: cython.pointer[Waiting] = cython.cast(
        cython.pointer[Waiting], malloc(cython.sizeof(Waiting) + count * cython.sizeof(Framed))
    )
    if waiting is not cython.NULL:
        claim(slab)
        waiting.slab = slab
        waiting.count = count
        waiting.trailing = trailing
        memcpy(waiting.framed, framed, count * cython.sizeof(Framed))
    return waiting


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def count_unsent(connection: cython.pointer[Connection]) -> cython.Py_ssize_t:
    """Bytes of answers that the kernel has not taken yet."""
    return connection.unsent_end - connection.unsent_start + connection.file_bytes


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_unsent(connection: cython.pointer[Connection]) -> cython.void:
    """Give back what held the unsent bytes and files: all were sent, or nobody waits for them any more."""
    while connection.files is not cython.NULL:
        drop_file(connection)
    free(connection.unsent)
    connection.unsent = cython.NULL
    connection.unsent_start = connection.unsent_end = connection.unsent_size = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def drop_file(connection: cython.pointer[Connection]) -> cython.void:
    """Forget the first unsent file, and give up the claim on it."""
    file: cython.pointer[UnsentFile] = connection.files
    connection.files = file.next
    connection.file_bytes -= file.count
    if file.file is not cython.NULL:
        release_file(file.file)
    free(file)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_unsent_answers(
    connection: cython.pointer[Connection],
    answers: ResponseBuffer,
    start: cython.Py_ssize_t,
    end: cython.Py_ssize_t,
) -> cython.bint:
    """Take over [start, end) of the answers, whose files change hands; False when there is no memory."""
    index: cython.int
    part: cython.pointer[FilePart]
    for index in range(answers.file_count):
        part = cython.address(answers.files[index])
        if part.at >= end:
            break
        if part.at >= start:
            if not append_unsent(connection, answers.bytes + start, part.at - start):
                return False
            if not append_unsent_file(connection, part):
                return False
            start = part.at + 1  # behind the byte that held its place
    return append_unsent(connection, answers.bytes + start, end - start)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_unsent_file(connection: cython.pointer[Connection], part: cython.pointer[FilePart]) -> cython.bint:
    """Take over a file behind what is unsent already; False when there is no memory."""
    file: cython.pointer[UnsentFile] = cython.cast(cython.pointer[UnsentFile], malloc(cython.sizeof(UnsentFile)))
    if file is cython.NULL:
        return False
    file.next = cython.NULL
    file.at = connection.unsent_end
    file.file = part.file
    file.offset = part.offset
    file.count = part.count
    part.file = cython.NULL
    if connection.files is cython.NULL:
        connection.files = file
    else:
        connection.last_file.next = file
    connection.last_file = file
    connection.file_bytes += file.count
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def append_unsent(
    connection: cython.pointer[Connection], source: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.bint:
    """Keep a copy of what could not be sent, behind what is kept already; False when there is no memory."""
    size: cython.Py_ssize_t
    grown: cython.pointer[cython.uchar]
    file: cython.pointer[UnsentFile] = connection.files
    if length == 0:
        return True
    if connection.unsent_start > 0:
        while file is not cython.NULL:
            file.at -= connection.unsent_start
            file = file.next
        connection.unsent_end -= connection.unsent_start
        memmove(connection.unsent, connection.unsent + connection.unsent_start, connection.unsent_end)
        connection.unsent_start = 0
    if connection.unsent_size - connection.unsent_end < length:
        size = max(connection.unsent_end + length, connection.unsent_size * 2)
        grown = cython.cast(cython.pointer[cython.uchar], realloc(connection.unsent, size))
        if grown is cython.NULL:
            return False
        connection.unsent = grown
        connection.unsent_size = size
    memcpy(connection.unsent + connection.unsent_end, source, length)
    connection.unsent_end += length
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def prepend_unsent(
    connection: cython.pointer[Connection], source: cython.p_const_uchar, length: cython.Py_ssize_t
) -> cython.bint:
    """Keep a copy of what could not be sent, before what is kept already; False when there is no memory."""
    kept: cython.Py_ssize_t = connection.unsent_end - connection.unsent_start
    block: cython.pointer[cython.uchar] = cython.cast(cython.pointer[cython.uchar], malloc(length + kept))
    file: cython.pointer[UnsentFile] = connection.files
    if block is cython.NULL:
        return False
    memcpy(block, source, length)
    if kept > 0:
        memcpy(block + length, connection.unsent + connection.unsent_start, kept)
    while file is not cython.NULL:
        file.at += length - connection.unsent_start
        file = file.next
    free(connection.unsent)
    connection.unsent = block
    connection.unsent_start = 0
    connection.unsent_end = connection.unsent_size = length + kept
    return True
