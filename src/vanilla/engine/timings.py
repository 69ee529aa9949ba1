"""When a request arrived, was handled and answered: noted with its answer, handed out once the kernel has taken it."""

from __future__ import annotations

import cython
from cython.cimports.vanilla.engine.state import read_clock_ns

from vanilla.counters import RequestTiming


@cython.cfunc
@cython.exceptval(-1, check=False)
def note_timing(
    engine: Calls,
    connection: cython.pointer[Connection],
    request: Request,
    status: cython.int,
    length: cython.Py_ssize_t,
    entered_ns: cython.longlong,
) -> cython.int:
    """Keep the times of a request that has just been answered, until the kernel has taken its answer."""
    framed: cython.pointer[Framed] = cython.address(request.framed)
    timing = RequestTiming(
        request.method,
        request.target,
        status,
        framed.content_end - framed.start,
        length,
        framed.received_ns,
        entered_ns,
        read_clock_ns(),
        0,
    )
    engine.timings.append((connection.channel.index, connection.channel.generation, timing))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def deliver_timings(engine: Calls) -> cython.int:
    """Hand out the times of every answer that has been taken; those cut off have a sent_ns of 0."""
    connection: cython.pointer[Connection]
    kept: list = []
    for index, generation, timing in engine.timings:
        connection = engine.table.at(index)
        if connection.taken_ns == 0 and connection.channel.generation == generation:
            kept.append((index, generation, timing))
            continue
        try:
            engine.on_timing(timing._replace(sent_ns=connection.taken_ns))
        except BaseException as error:
            engine.report(engine.worker, "on_timing raised", error)
    engine.timings = kept
    return 0
